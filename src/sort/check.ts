import type { RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import { BeckError } from '../core/errors.ts'
import { excerpt } from '../core/excerpt.ts'
import type { Operator } from '../core/operator.ts'
import { appendRowKey, type LineKey } from './line-sorter.ts'

/** `sort --check`: nothing comes out, and the first record that is out of order is an error. */
export class CheckSorted implements Operator {
  readonly #keys: readonly LineKey[]
  #last = new ByteBuffer(256)
  #current = new ByteBuffer(256)
  #any = false

  constructor(keys: readonly LineKey[]) {
    this.#keys = keys
  }

  processBatch(batch: RecordBatch): void {
    for (let row = 0; row < batch.count; row++) {
      const current = this.#current
      current.length = 0
      appendRowKey(current, batch, row, this.#keys)
      if (this.#any && Buffer.compare(this.#last.view(), current.view()) > 0) {
        const { file, line } = batch.locate(row)
        const at = row * batch.stride
        throw new BeckError('not-sorted', {
          place: `${file}:${line}`,
          problem: `this record belongs before the one above it: ${excerpt(batch.bytes, batch.spans[at]!, batch.spans[at + 1]!)}`,
        })
      }
      this.#current = this.#last
      this.#last = current
      this.#any = true
    }
  }
}
