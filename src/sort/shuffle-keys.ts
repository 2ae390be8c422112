import type { KeyTable, RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import { canonicalKey } from '../core/key.ts'
import { fromLatin1 } from '../core/latin1.ts'
import { partitionOf } from '../core/murmur2.ts'
import type { StageContext } from '../core/operator.ts'
import { appendSortKey } from './sort-key.ts'

/** Keys are forgotten when there are so many of them. */
const MOST_KEYS = 1 << 17

/** What records are shuffled by: per key, by its id, its partition and its value as one sort key, `bytes[start(id)..end(id)]`. */
export class ShuffleKeys {
  readonly #partitions: number
  readonly #parts: number
  readonly #table: KeyTable
  readonly #prefixes = new ByteBuffer(1 << 12)
  readonly #ends: number[] = []

  constructor(
    { partitions, keyFields }: { readonly partitions: number; readonly keyFields: readonly number[] },
    context: Pick<StageContext, 'keyTable'>,
  ) {
    this.#partitions = partitions
    this.#parts = keyFields.length
    this.#table = context.keyTable(keyFields)
  }

  get size(): number {
    return this.#table.size
  }

  /** The id of each row. A view, valid until the next call. */
  intern(batch: RecordBatch): Uint32Array {
    const ids = this.#table.intern(batch)
    for (let id = this.#ends.length; id < this.#table.size; id++) this.#describe(id)
    return ids
  }

  get bytes(): Uint8Array {
    return this.#prefixes.bytes
  }
  start(id: number): number {
    return id > 0 ? this.#ends[id - 1]! : 0
  }
  end(id: number): number {
    return this.#ends[id]!
  }

  /** Forgets all keys if there are too many: ids begin anew then. */
  forgetMany(): boolean {
    if (this.size <= MOST_KEYS) return false
    this.clear()
    return true
  }
  clear(): void {
    this.#table.clear()
    this.#prefixes.length = this.#ends.length = 0
  }

  #describe(id: number): void {
    const parts = Array.from({ length: this.#parts }, (_, part) => this.#table.text(id, part))
    const partition = this.#partitions === 1 ? 0 : partitionOfKey(parts.map(fromLatin1), this.#partitions)
    for (let shift = 24; shift >= 0; shift -= 8) this.#prefixes.byte(partition >>> shift)
    for (const part of parts) {
      const text = Buffer.from(part, 'latin1')
      appendSortKey(this.#prefixes, text, 0, text.length)
    }
    this.#ends.push(this.#prefixes.length)
  }
}

/**
 * The partition of a key: of a string its bytes are hashed, of everything else its canonical JSON text, of several values together that of
 * their array. Null is in partition 0.
 */
export function partitionOfKey(parts: readonly string[], partitions: number): number {
  if (parts.every((part) => part === 'null')) return 0
  const canonical = parts.map(canonicalKey)
  const [only] = canonical
  if (canonical.length > 1) return partitionOf(Buffer.from(`[${canonical.join(',')}]`), partitions)
  return partitionOf(Buffer.from(only!.startsWith('"') ? (JSON.parse(only!) as string) : only!), partitions)
}
