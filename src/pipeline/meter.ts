import type { EventTime } from '../core/operator.ts'

/**
 * What the stages of a run have done so far, for people who watch it. Records are counted in memory that threads share; watermarks are known to the
 * main thread. Costs an addition a batch and stage.
 */
export class Meter {
  readonly shared: SharedArrayBuffer
  /** By stage: the time up to which all events have arrived. */
  readonly watermarks: (EventTime | undefined)[] = []
  readonly #records: BigInt64Array
  readonly #onChange: () => void

  /** @param stages how many there are; or the counts of another thread @param onChange called after each addition */
  constructor(stages: number | SharedArrayBuffer, onChange: () => void = () => {}) {
    this.shared = typeof stages === 'number' ? new SharedArrayBuffer(stages * 8) : stages
    this.#records = new BigInt64Array(this.shared)
    this.#onChange = onChange
  }

  add(stage: number, records: number): void {
    Atomics.add(this.#records, stage, BigInt(records))
    this.#onChange()
  }

  see(stage: number, watermark: EventTime | undefined): void {
    if (watermark !== undefined) this.watermarks[stage] = watermark
  }

  records(stage: number): number {
    return Number(Atomics.load(this.#records, stage))
  }
}
