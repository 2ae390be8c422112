import { NONE } from '../aggregate/aggregate.ts'
import type { RecordBatch } from '../core/batch.ts'
import type { Collector, EventTime } from '../core/operator.ts'
import type { Engine, EngineState, Policy, Rows } from './engine.ts'
import { FedWindows, type FedParts } from './fed-windows.ts'
import { sortedBy } from './ids.ts'
import type { Standing } from './results.ts'
import { NO_SESSION, SessionLists, type SessionListsState } from './session-lists.ts'
import { SessionWheel } from './session-wheel.ts'

interface SessionState extends SessionListsState {
  /** Of the changed sessions. */
  readonly standing: ReadonlyMap<number, Standing[]>
  readonly changed: ReadonlySet<number>
}

/** Rows whose sessions are brought into the cache together. */
const AHEAD = 32
const touched = new Float64Array(1)
/** Reads the latest sessions of some rows' keys, so that the cache misses of all of them overlap: what is done with a row waits for its own. */
function touch(bounds: Float64Array, latest: Int32Array, keys: Uint32Array, from: number, to: number): void {
  if (bounds.length === 0) return
  let sum = 0
  for (let row = from; row < to; row++) {
    const session = latest[keys[row] as number] as number
    sum += bounds[session === NO_SESSION ? 0 : 2 * session] as number
  }
  touched[0] = sum // else V8 would leave it all out
}

/**
 * Session windows `[first, last + gap)`, one list of sessions per key. A session is a slot: its content is the aggregates' slot. Sessions
 * that touch merge; the merge of their contents waits until the rows of the batch are fed.
 *
 *     gap 3      a---b------c          c - b > gap: two sessions [a, b+3) and [c, c+3)
 *     later            d               d touches both: one session [a, c+3)
 *
 * A session closes when W > end, since a record at exactly `end` would still belong to it.
 */
export class SessionWindows extends FedWindows implements Engine {
  readonly #gap: number
  readonly #lists: SessionLists
  readonly #wheel: SessionWheel
  /** Closed in the middle of a batch, not emitted yet. */
  #closed: number[] = []
  /** Merges to do before the rows of the batch are fed: `from` into `into`. */
  #merges: { readonly into: number; readonly from: number }[] = []
  #merged = new Map<number, number>()
  readonly #standing = new Map<number, Standing[]>()
  /** Changed since they were emitted (`--emit every`). */
  readonly #changed = new Set<number>()

  constructor(gapMs: number, policy: Policy, delayMs: number, parts: FedParts) {
    super(policy, delayMs, parts)
    this.#gap = gapMs
    this.#wheel = new SessionWheel(gapMs, (session) => this.#dueAt(session))
    this.#lists = new SessionLists((slots) => {
      this.#wheel.reserve(slots)
      this.content.reserve(slots)
    })
  }

  process(batch: RecordBatch, rows: Rows, out: Collector): void {
    const { times, keys, slots } = rows
    const { count } = batch
    const { delayMs, grace, remember, policy } = this
    const { latenessMs } = policy
    const lists = this.#lists
    this.results.open(out)
    lists.reserveKeys(this.keys.size)
    const assigned = this.slotsFor(batch)
    const gap = this.#gap
    const quick = !remember
    const ofKeys = lists.latest
    let bounds = lists.bounds
    let watermark = this.watermark
    let fed = 0
    for (let row = 0; row < count; row++) {
      if (row % AHEAD === 0) touch(bounds, ofKeys, keys, row, Math.min(count, row + AHEAD))
      if (slots[row] === NONE) continue
      const time = times[row] as number
      const key = keys[row] as number
      const latest = ofKeys[key] as number
      let end: number
      if (
        quick &&
        latest !== NO_SESSION &&
        time >= (bounds[2 * latest] as number) &&
        time <= (end = bounds[2 * latest + 1] as number) &&
        watermark <= end + grace
      ) {
        // Within the key's latest session: the common case.
        if (time + gap > end) end = bounds[2 * latest + 1] = time + gap
        if (end + latenessMs <= watermark) {
          rows.late[row] = 1
          rows.lateCount++
          continue
        }
        assigned[row] = latest
      } else {
        if (remember && watermark > this.#wheel.nextDue) {
          this.#feed(batch, assigned, fed, row)
          fed = row
          this.fire(watermark)
        }
        const session = this.#sessionFor(key, time, watermark)
        if (session === NO_SESSION) {
          rows.late[row] = 1
          rows.lateCount++
          continue
        }
        bounds = lists.bounds
        assigned[row] = session
        if (remember) {
          const over = watermark > (bounds[2 * session + 1] as number)
          if (policy.emit === 'changes' || (policy.late !== 'drop' && over)) {
            this.#feed(batch, assigned, fed, row + 1)
            fed = row + 1
            this.#emit(session)
            if (over && policy.late !== 'drop') lists.emitted[session] = 1
            this.#wheel.schedule(session)
          } else if (policy.emit === 'every') this.#changed.add(session)
        }
      }
      if (time - delayMs > watermark) watermark = time - delayMs
    }
    this.#feed(batch, assigned, fed, count)
    this.advance(watermark, out)
  }

  emitChanged(out: Collector): void {
    this.results.open(out)
    for (const session of this.#lists.sorted([...this.#changed], this.keys)) this.#emit(session)
    this.#changed.clear()
    this.results.flush()
  }

  settle(): void {
    const lists = this.#lists
    this.content.settle?.(lists.slots, () => sortedBy([...lists.live()], (session) => lists.endOf(session)))
  }

  markKeys(marks: Uint8Array): void {
    this.#lists.markKeys(marks)
  }

  renumberKeys(ids: Uint32Array): void {
    this.#lists.renumberKeys(ids)
  }

  snapshot(whole: boolean): EngineState {
    const lists = this.#lists.snapshot(whole)
    const standing = new Map<number, Standing[]>()
    for (const session of this.remember ? lists.sessions : []) {
      const stands = this.#standing.get(session)
      if (stands) standing.set(session, stands)
    }
    const own: SessionState = { ...lists, standing, changed: this.#changed }
    const slots = lists.sessions.filter((_, at) => (lists.key[at] as number) >= 0)
    return { watermark: this.watermark, slots, slotsEnd: this.#lists.slots.size, own }
  }

  restore({ watermark, own }: EngineState): void {
    const { standing, changed, ...lists } = own as SessionState
    this.watermark = watermark
    this.#lists.restore(lists)
    lists.sessions.forEach((session, at) => {
      if ((lists.key[at] as number) < 0) this.content.clear(session)
      const stands = standing.get(session)
      if (stands) this.#standing.set(session, stands)
      else this.#standing.delete(session)
    })
    this.#changed.clear()
    for (const session of changed) this.#changed.add(session)
  }

  makeRoom(slots: number): void {
    this.#lists.slots.makeRoom(slots)
  }

  restored(): void {
    for (const session of this.#lists.live()) this.#wheel.schedule(session)
    this.#lists.restored()
  }

  /** The session is emitted, or forgotten when it was emitted, as soon as the watermark is greater. */
  #dueAt(session: number): EventTime {
    const lists = this.#lists
    return lists.endOf(session) + (lists.emitted[session] ? this.policy.latenessMs : this.grace)
  }

  /** The session that takes a record, after merging; NO_SESSION when the record is late even so. */
  #sessionFor(key: number, time: EventTime, watermark: EventTime): number {
    const lists = this.#lists
    const { bounds, next } = lists
    let start = time
    let end = time + this.#gap
    // Lists are in order of time, latest first. Sessions that the watermark has passed are closed on the way.
    let later = NO_SESSION
    let previous = NO_SESSION
    let into = NO_SESSION
    let others: number[] | undefined
    for (let session = lists.latest[key] as number; session !== NO_SESSION;) {
      const after = next[session] as number
      if (watermark > this.#dueAt(session)) {
        // Those further down ended even earlier.
        this.#close(key, previous, session)
        break
      }
      const from = bounds[2 * session] as number
      const to = bounds[2 * session + 1] as number
      if (time <= to && time + this.#gap >= from) {
        if (into === NO_SESSION) into = session
        else (others ??= []).push(session)
        start = Math.min(start, from)
        end = Math.max(end, to)
      } else if (into === NO_SESSION && from > time) later = session
      previous = session
      session = after
    }
    if (end + this.policy.latenessMs <= watermark) return NO_SESSION
    if (into === NO_SESSION) {
      into = lists.insert(key, later, start, end)
      this.#wheel.schedule(into)
      return into
    }
    if (others) for (const other of others) this.#merge(into, other)
    const changed = lists.emitted[into] === 1 || others !== undefined
    lists.setBounds(into, start, end)
    if (changed) {
      lists.emitted[into] = 0
      this.#wheel.schedule(into)
    }
    return into
  }

  /** `from` is the next one in the list, directly or behind others already merged. */
  #merge(into: number, from: number): void {
    this.#lists.absorb(into, from)
    this.#wheel.cancel(from)
    this.#merges.push({ into, from })
    this.#merged.set(from, into)
    this.#changed.delete(from)
    const standing = [...(this.#standing.get(from) ?? []), ...(this.#standing.get(into) ?? [])]
    this.#standing.delete(from)
    if (standing.length > 0) {
      this.#standing.set(
        into,
        standing.sort((a, b) => a.end - b.end || a.start - b.start),
      )
    }
  }

  /** Takes a session and all before it out of a key's list: they are over. Those not emitted yet will be, at the end of the batch. */
  #close(key: number, previous: number, first: number): void {
    for (const session of this.#lists.cut(key, previous, first)) {
      this.#closed.push(session)
      this.#wheel.cancel(session)
    }
  }

  /** Adds the rows `from`..`to` to their sessions, merged ones together. */
  #feed(batch: RecordBatch, assigned: Uint32Array, from: number, to: number): void {
    const lists = this.#lists
    if (this.#merges.length > 0) {
      for (const { into, from } of this.#merges) {
        this.content.merge(into, from)
        this.content.clear(from)
      }
      for (let row = from; row < to; row++) {
        let slot = assigned[row] as number
        for (let into = this.#merged.get(slot); into !== undefined; into = this.#merged.get(slot)) slot = into
        assigned[row] = slot
      }
      for (const { from } of this.#merges) lists.slots.giveBack(from)
      this.#merges = []
      this.#merged = new Map()
    }
    this.feedRows(batch, from, to, lists.changed, lists.slots.size)
  }

  /** Emits the sessions that the watermark has passed, in order, and forgets those that can take no more records. */
  protected fire(watermark: EventTime): void {
    if (watermark <= this.#wheel.nextDue && this.#closed.length === 0) return
    const over = this.#closed
    this.#closed = []
    this.#wheel.takeDue(watermark, over)
    if (over.length === 0) return
    const lists = this.#lists
    if (!this.remember) {
      for (const session of lists.sorted(over, this.keys)) {
        this.#emit(session)
        this.#forget(session)
      }
      return
    }
    const unsaid = over.filter((session) => !lists.emitted[session])
    for (const session of lists.sorted(unsaid, this.keys)) this.#speak(session)
    for (const session of over) {
      if (this.policy.late !== 'drop' && watermark <= lists.endOf(session) + this.policy.latenessMs) {
        lists.emitted[session] = 1
        lists.markChanged(session)
        this.#wheel.schedule(session)
      } else this.#forget(session)
    }
  }

  /** A session's result at its close, left out when the same was said already. */
  #speak(session: number): void {
    const said = this.policy.emit !== 'final' && this.#standing.has(session)
    if (!said || this.#changed.has(session)) this.#emit(session)
    this.#changed.delete(session)
  }

  #emit(session: number): void {
    const { bounds, key } = this.#lists
    const standing = this.results.emit(
      bounds[2 * session] as number,
      bounds[2 * session + 1] as number,
      key[session] as number,
      session,
      this.remember ? this.#standing.get(session) : undefined,
    )
    if (!standing) return
    this.#standing.set(session, standing)
    this.#lists.markChanged(session)
  }

  #forget(session: number): void {
    this.#lists.remove(session)
    this.#wheel.cancel(session)
    if (this.remember) this.#standing.delete(session)
    this.content.clear(session)
  }
}
