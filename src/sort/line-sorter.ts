import type { RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { StageContext } from '../core/operator.ts'
import type { EntriesState } from './entries.ts'
import { ExternalSorter } from './external.ts'
import type { Cursor } from './runs.ts'
import { appendSortKey } from './sort-key.ts'

/** What lines are sorted by: a field of the batch, and which way. */
export interface LineKey {
  readonly field: number
  readonly descending: boolean
}

/** Appends the keys of a row as one sort key. */
export function appendRowKey(into: ByteBuffer, batch: RecordBatch, row: number, keys: readonly LineKey[]): void {
  const { bytes, spans, stride } = batch
  for (const { field, descending } of keys) {
    const at = row * stride + 2 + 2 * field
    appendSortKey(into, bytes, spans[at]!, spans[at + 1]!, descending)
  }
}

/** Sorts lines, stable, in bounded memory. O(n) in memory where keys differ early, O(n log runs) beyond. */
export class LineSorter {
  readonly #keys: readonly LineKey[]
  readonly #sorter: ExternalSorter
  readonly #key = new ByteBuffer(256)

  /** @param grouped lines of equal keys may be put together: they are only copied */
  constructor(keys: readonly LineKey[], context: Pick<StageContext, 'memoryBytes' | 'spill'>, grouped = true) {
    this.#keys = keys
    this.#sorter = new ExternalSorter({ memoryBytes: context.memoryBytes, spill: () => context.spill(), grouped })
  }

  add(batch: RecordBatch): void {
    const { count, spans, stride } = batch
    if (count === 0) return
    const lines = batch.lines(undefined, 0, count)
    let place = this.#sorter.place(lines, 0, lines.length)
    const key = this.#key
    for (let row = 0; row < count; row++) {
      const length = spans[row * stride + 1]! - spans[row * stride]! + 1
      key.length = 0
      appendRowKey(key, batch, row, this.#keys)
      this.#sorter.add(this.#sorter.key(key.bytes, 0, key.length), place, length)
      place += length
    }
  }

  /** What has come since the last call, to be put back by `restore`, which comes before the first line. */
  added(): readonly EntriesState[] {
    return this.#sorter.added()
  }
  restore(logs: Iterable<readonly EntriesState[]>): void {
    this.#sorter.added()
    for (const added of logs) this.#sorter.restore(added)
  }

  /** Everything in order. Call it once. */
  sorted(): Cursor {
    return this.#sorter.sorted()
  }
}

/** Output is handed on in pieces of about this size. */
export const PIECE = 1 << 18

/** Hands on the payloads of a cursor in pieces, each valid until `emit` returns. */
export function drain(cursor: Cursor, emit: (lines: Uint8Array) => void): void {
  if (cursor.drain) {
    cursor.drain(emit)
    return
  }
  const piece = new ByteBuffer(PIECE + (PIECE >> 2))
  while (cursor.advance()) {
    piece.copy(cursor.bytes, cursor.start, cursor.end)
    if (piece.length < PIECE) continue
    emit(piece.view())
    piece.length = 0
  }
  emit(piece.view())
}
