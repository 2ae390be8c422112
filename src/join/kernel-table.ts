import type { RecordBatch } from '../core/batch.ts'
import { type Heap, Pieces, SLACK } from '../ndjson/heap.ts'
import { WasmBatch } from '../ndjson/wasm-batch.ts'
import type { JoinTable } from './table.ts'

const OUT_BYTES = 1 << 20
/** A larger table is not copied into the kernel's memory. */
const MOST_BYTES = 1 << 28

/**
 * The hot path of a join with a table in memory: the table copied to where the kernel can read it (kernel/lines.ts draws it). What the
 * kernel leaves is for `BroadcastJoin` itself.
 */
export class KernelTable {
  readonly #heap: Heap
  readonly #pieces: Pieces
  readonly #words: number
  readonly #matched: number
  readonly #out: number

  /** A safe point to grow the memory: there is no batch yet. */
  constructor(heap: Heap, table: JoinTable, keepsLeft: boolean, keepsRight: boolean, clashFields: readonly number[]) {
    this.#heap = heap
    this.#pieces = new Pieces(heap, this)
    this.#matched = keepsRight ? this.#pieces.allocateZeroed(table.rowCount + 1) : 0
    const words = [
      table.keyCount,
      this.#copy(table.firsts),
      this.#copy(table.rows),
      this.#copy(table.tailStarts),
      this.#copy(table.tails),
      this.#matched,
      keepsLeft ? 1 : 0,
      clashFields.length,
      // The end of a field's span, in bytes of a row.
      ...clashFields.map((field) => 12 + 8 * field),
    ]
    this.#words = this.#copy(Uint32Array.from(words))
    this.#out = this.#pieces.allocate(OUT_BYTES + 2 * SLACK) + SLACK
  }

  /** @param others copies that there are already */
  static fits(table: JoinTable, others: number): boolean {
    return others < table.copies && table.tails.length + 4 * table.rowCount < MOST_BYTES
  }

  close(): void {
    this.#pieces.close()
  }

  #copy(data: Uint8Array | Uint32Array): number {
    const address = this.#pieces.allocate(data.byteLength + 2 * SLACK) + SLACK
    this.#heap.bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), address)
    return address
  }

  /** Joins the rows `from`..`to` and hands the lines on; returns the first row that is not for the kernel. */
  splice(batch: RecordBatch, ids: Uint32Array, from: number, to: number, emit: (lines: Uint8Array) => void): number {
    if (!(batch instanceof WasmBatch) || batch.block.heap !== this.#heap) return from
    const { bytes, kernel } = this.#heap
    const { address, spans } = batch.block
    for (let row = from; ;) {
      row = kernel.splice(
        address,
        spans,
        4 * batch.stride,
        row,
        to,
        ids.byteOffset,
        this.#words,
        this.#out,
        this.#out + OUT_BYTES,
      )
      const length = kernel.copiedBytes()
      if (length > 0) emit(bytes.subarray(this.#out, this.#out + length))
      if (length === 0 || row === to) return row
    }
  }

  /** Per row of the table whether it had a partner. */
  matched(rows: number): Uint8Array {
    return this.#heap.bytes.subarray(this.#matched, this.#matched + rows)
  }
}
