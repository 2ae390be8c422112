import type { KeyTable, RecordBatch } from '../core/batch.ts'
import type { Collector, Operator, StageContext } from '../core/operator.ts'

export interface DedupeOptions {
  /** Fields of the key, by their index. */
  readonly fields: readonly number[]
  readonly dupesTo: string | undefined
}

/** `dedupe`: the first record of each key leaves at once. O(1) a record. */
export class DedupeFirst implements Operator {
  readonly #keys: KeyTable
  readonly #dupes: { write(lines: Uint8Array): void } | undefined
  #mask = new Uint8Array(0)

  constructor({ fields, dupesTo }: DedupeOptions, context: StageContext) {
    this.#keys = context.keyTable(fields)
    this.#dupes = dupesTo === undefined ? undefined : context.sideFile(dupesTo)
  }

  processBatch(batch: RecordBatch, out: Collector): void {
    let next = this.#keys.size
    const ids = this.#keys.intern(batch)
    const { count } = batch
    if (this.#mask.length < count) this.#mask = new Uint8Array(2 * count)
    const mask = this.#mask
    // New keys get the next ids, in order.
    const known = next
    for (let row = 0; row < count; row++) {
      const isNew = ids[row] === next
      mask[row] = isNew ? 1 : 0
      if (isNew) next++
    }
    if (next > known) out.forward(batch, mask)
    if (this.#dupes && next - known < count) {
      for (let row = 0; row < count; row++) mask[row]! ^= 1
      this.#dupes.write(batch.lines(mask, 0, count))
    }
  }
}
