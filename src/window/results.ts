import type { AggregateSet, WholeResults } from '../aggregate/set.ts'
import type { KeyLines, LinePiece } from '../core/batch.ts'
import type { Collector, EventTime } from '../core/operator.ts'
import { formatTime } from '../core/time.ts'
import { Lines } from './lines.ts'
import type { Keys } from './keys.ts'
import type { Policy } from './engine.ts'

/** A result that was emitted and not taken back. */
export interface Standing {
  readonly start: EventTime
  readonly end: EventTime
  readonly revision: number
  /** The result's members, kept to be retracted; "" unless the policy is `correct`. */
  readonly body: string
}

/** Emits results; the engines say which, and in which order. */
export interface Results {
  /**
   * Emits the result of a window and key from its slot. Keys must stay until `flush`.
   * @param standing what was said before of the same window, or of sessions that are now part of it; in order
   * @returns what stands now
   */
  emit(
    start: EventTime,
    end: EventTime,
    key: number,
    slot: number,
    standing?: readonly Standing[],
  ): Standing[] | undefined
  /** Where results go from now on. */
  open(out: Collector): void
  /** Hands on what is still held. */
  flush(): void
}

const NOTHING: readonly Standing[] = []

/** `{"window":{"start":…,"end":…},KEYS…,AGGREGATES…}`, with `revision`, `replaces` or `op` behind them where the policy asks for it. */
export function aggregateResults(
  keys: Keys,
  content: Pick<AggregateSet, 'results' | 'wholeResults'>,
  { late }: Policy,
  remember: boolean,
): Results {
  const whole = remember ? undefined : content.wholeResults()
  const made = whole && keys.lines(WINDOW, [...whole.pieces, { kind: 'text', text: '}\n' }])
  if (whole && made) return new WholeLines(whole, made)
  const lines = new Lines()
  const line = (start: EventTime, end: EventTime, body: string, extra: string): void => {
    lines
      .text('{"window":{"start":"')
      .time(start)
      .text('","end":"')
      .time(end)
      .text('"}')
      .text(body)
      .text(extra)
      .text('}')
    lines.end()
  }
  return {
    emit(start, end, key, slot, standing = NOTHING) {
      if (!remember) {
        lines.text('{"window":{"start":"').time(start).text('","end":"').time(end).text('"}')
        keys.writeMembers(key, lines)
        lines.text(',').text(content.results(slot)).text('}').end()
        return undefined
      }
      const body = `${keys.members(key)},${content.results(slot)}`
      const same = standing.find((before) => before.start === start && before.end === end)
      if (late === 'correct') {
        if (same && standing.length === 1 && same.body === body) return [same]
        for (const before of standing) line(before.start, before.end, before.body, ',"op":"retract"')
        line(start, end, body, ',"op":"insert"')
        return [{ start, end, revision: 0, body }]
      }
      const revision = same ? same.revision + 1 : 0
      const others = standing.filter((before) => before !== same)
      const bounds = others.map((before) => `["${formatTime(before.start)}","${formatTime(before.end)}"]`).join(',')
      line(start, end, body, (revision > 0 ? `,"revision":${revision}` : '') + (bounds && `,"replaces":[${bounds}]`))
      return [{ start, end, revision, body: '' }]
    },
    open: (out) => lines.open(out),
    flush: () => lines.flush(),
  }
}

const WINDOW: readonly LinePiece[] = [
  { kind: 'text', text: '{"window":{"start":"' },
  { kind: 'time' },
  { kind: 'text', text: '","end":"' },
  { kind: 'time' },
  { kind: 'text', text: '"}' },
]

/** Results that are keys and whole numbers, said once: the key table makes their lines, many at a time. */
class WholeLines implements Results {
  readonly #whole: WholeResults
  readonly #lines: KeyLines
  #out: Collector | undefined
  readonly #emit = (lines: Uint8Array): void => this.#out?.emit(lines)

  constructor(whole: WholeResults, lines: KeyLines) {
    this.#whole = whole
    this.#lines = lines
  }

  open(out: Collector): void {
    this.#out = out
  }

  emit(start: EventTime, end: EventTime, key: number, slot: number): undefined {
    const lines = this.#lines
    if (lines.isFull) this.flush()
    lines.begin(key)
    lines.add(start)
    lines.add(end)
    const aside = this.#whole.aside?.(slot)
    if (aside) for (const number of aside) lines.add(number)
    else for (const column of this.#whole.columns()) lines.add(column[slot] as number)
  }

  flush(): void {
    this.#lines.write(this.#emit)
  }
}

/** `"window":{"start":"…","end":"…"}` */
export const windowMember = (start: EventTime, end: EventTime): string =>
  `"window":{"start":"${formatTime(start)}","end":"${formatTime(end)}"}`
