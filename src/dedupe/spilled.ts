import type { KeyTable } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { StageContext } from '../core/operator.ts'
import { ExternalSorter } from '../sort/external.ts'
import { compareKeys, type Cursor, type CursorKey } from '../sort/runs.ts'
import { appendDouble, appendSortKey } from '../sort/sort-key.ts'

/** What the key table costs for a key, beside its text. */
export const KEY_BYTES = 64

/** Appends the sort key of an interned key. */
export function appendInterned(into: ByteBuffer, keys: KeyTable, id: number, parts: number): void {
  for (let part = 0; part < parts; part++) {
    const text = Buffer.from(keys.text(id, part), 'latin1')
    appendSortKey(into, text, 0, text.length)
  }
}

/** Lines that come out in the order of a number, as positions in the input are. */
export class ByPosition {
  readonly #sorter: ExternalSorter
  readonly #key = new ByteBuffer(8)
  constructor(context: Pick<StageContext, 'spill'>, memoryBytes: number) {
    this.#sorter = new ExternalSorter({ memoryBytes, spill: () => context.spill(), grouped: true })
  }
  /** Takes a copy; the line has its line end. */
  add(position: number, bytes: Uint8Array, start: number, end: number): void {
    this.#key.length = 0
    appendDouble(this.#key, position)
    this.#sorter.insert(this.#key.bytes, 0, 8, bytes, start, end)
  }
  sorted(): Cursor {
    return this.#sorter.sorted()
  }
}

/** Groups of equal keys of a cursor, one after the other. */
export function* groupsOf(cursor: Cursor): Generator<(entry: () => void) => void> {
  const key = new ByteBuffer(64)
  const first: CursorKey = {
    get key() {
      return key.bytes
    },
    keyStart: 0,
    get keyEnd() {
      return key.length
    },
  }
  let more = cursor.advance()
  for (;;) {
    if (!more) return
    key.length = 0
    key.copy(cursor.key, cursor.keyStart, cursor.keyEnd)
    yield (entry) => {
      do {
        entry()
        more = cursor.advance()
      } while (more && compareKeys(first, cursor) === 0)
    }
  }
}
