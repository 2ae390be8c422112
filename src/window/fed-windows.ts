import { NONE } from '../aggregate/aggregate.ts'
import type { ChangedSlots } from '../aggregate/changed-slots.ts'
import type { RecordBatch } from '../core/batch.ts'
import type { Collector, EventTime } from '../core/operator.ts'
import { graceMs, speaksTwice, type Content, type Policy } from './engine.ts'
import type { Keys } from './keys.ts'
import type { Results } from './results.ts'

/** What windows work with. */
export interface FedParts {
  readonly content: Content
  readonly keys: Keys
  readonly results: Results
}

/**
 * What all windows with content do alike: rows are given slots first and fed to the content together, at the end of their batch or as soon as a
 * result needs them; results come when the watermark has passed.
 */
export abstract class FedWindows {
  watermark: EventTime = -Infinity
  protected readonly policy: Policy
  protected readonly delayMs: number
  protected readonly grace: number
  /** There can be more than one result of a window. */
  protected readonly remember: boolean
  protected readonly content: Content
  protected readonly keys: Keys
  protected readonly results: Results
  /** By row: the slot that it goes into; NONE once it is fed. */
  #assigned = new Uint32Array(0)

  constructor(policy: Policy, delayMs: number, { content, keys, results }: FedParts) {
    this.policy = policy
    this.delayMs = delayMs
    this.grace = graceMs(policy)
    this.remember = speaksTwice(policy)
    this.content = content
    this.keys = keys
    this.results = results
  }

  advance(watermark: EventTime, out: Collector): void {
    this.results.open(out)
    if (watermark > this.watermark) this.watermark = watermark
    this.fire(this.watermark)
    this.results.flush()
  }

  /** Emits what is due at a watermark. */
  protected abstract fire(watermark: EventTime): void

  /** Where the slots of a batch's rows are to be written, all of them NONE. */
  protected slotsFor({ count }: RecordBatch): Uint32Array {
    if (this.#assigned.length < count) this.#assigned = new Uint32Array(count + (count >> 1)).fill(NONE)
    return this.#assigned
  }

  /**
   * Feeds the rows `from`..`to` to the content.
   * @param changed where their slots are marked
   * @param size slots are below it
   */
  protected feedRows(
    batch: RecordBatch,
    from: number,
    to: number,
    changed: ChangedSlots | undefined,
    size: number,
  ): void {
    if (from === to) return
    const assigned = this.#assigned
    this.content.add(batch, assigned.subarray(0, batch.count))
    changed?.mark(assigned.subarray(from, to), size)
    assigned.fill(NONE, from, to)
  }
}
