import type { RecordBatch } from '../core/batch.ts'
import { countLines } from '../core/count-lines.ts'
import type { Collector, EventTime } from '../core/operator.ts'

/** The counts of a meter, as another thread gets them. Plain data. */
export interface SharedCounts {
  /** By stage: records in; then, if `out`, by stage: records out. */
  readonly counts: SharedArrayBuffer
  readonly stages: number
  readonly out: boolean
}

/**
 * What the stages of a run have done so far, for people who watch it or ask for it afterwards. Records are counted in memory that threads share;
 * watermarks are known to the main thread. Costs an addition a batch and stage; what goes out, if asked for, a look at each line that is made anew.
 */
export class Meter {
  readonly shared: SharedCounts
  /** By stage: the time up to which all events have arrived. */
  readonly watermarks: (EventTime | undefined)[] = []
  readonly #records: BigInt64Array
  readonly #onChange: () => void

  /** @param stages how many there are; or the counts of another thread @param out count what goes out, too @param onChange called after each addition */
  constructor(stages: number | SharedCounts, { out = false, onChange = () => {} }: MeterOptions = {}) {
    this.shared = typeof stages === 'number' ? { counts: new SharedArrayBuffer(stages * 16), stages, out } : stages
    this.#records = new BigInt64Array(this.shared.counts)
    this.#onChange = onChange
  }

  /** So many records have come in. */
  add(stage: number, records: number): void {
    Atomics.add(this.#records, stage, BigInt(records))
    this.#onChange()
  }
  /** So many have gone out. */
  gave(stage: number, records: number): void {
    Atomics.add(this.#records, this.shared.stages + stage, BigInt(records))
    this.#onChange()
  }

  see(stage: number, watermark: EventTime | undefined): void {
    if (watermark !== undefined) this.watermarks[stage] = watermark
  }

  in(stage: number): number {
    return Number(Atomics.load(this.#records, stage))
  }
  out(stage: number): number {
    return Number(Atomics.load(this.#records, this.shared.stages + stage))
  }

  /** Counts what goes through a collector, if that is asked for. */
  counting(stage: number, out: Collector): Collector {
    if (!this.shared.out) return out
    return {
      forward: (batch, mask, from = 0, to = batch.count) => {
        this.gave(stage, chosen(batch, mask, from, to))
        out.forward(batch, mask, from, to)
      },
      emit: (lines) => {
        this.gave(stage, countLines(lines))
        out.emit(lines)
      },
      emitText: (lines) => {
        this.gave(stage, countLines(lines))
        out.emitText(lines)
      },
    }
  }

  /** What there is now, so that `goBack` forgets what comes after it: it is done once more. */
  get now(): readonly bigint[] {
    return [...this.#records]
  }
  goBack(then: readonly bigint[]): void {
    then.forEach((records, at) => Atomics.store(this.#records, at, records))
  }
}

interface MeterOptions {
  readonly out?: boolean
  readonly onChange?: () => void
}

/** How many rows of a batch go on, of those that `Collector.forward` is given. */
export function chosen({ count }: RecordBatch, mask: Uint8Array | undefined, from: number, to: number): number {
  if (!mask) return Math.min(to, count) - from
  let rows = 0
  for (let row = from; row < to; row++) rows += mask[row] ? 1 : 0
  return rows
}
