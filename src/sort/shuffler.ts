import type { KeyTable, RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import { canonicalKey } from '../core/key.ts'
import { fromLatin1 } from '../core/latin1.ts'
import { partitionOf } from '../core/murmur2.ts'
import type { StageContext } from '../core/operator.ts'
import { appendRowKey, type LineKey, PIECE } from './line-sorter.ts'
import type { Cursor } from './runs.ts'
import { appendSortKey } from './sort-key.ts'
import type { EntriesState } from './entries.ts'
import { ExternalSorter } from './external.ts'

export interface ShuffleOptions {
  readonly partitions: number
  /** How many fields, the first ones, are the key. */
  readonly keyFields: readonly number[]
  /** What records of one key are sorted by. */
  readonly sort: readonly LineKey[]
}

const NONE = 0xffffffff
/** Keys are forgotten when there are so many of them. */
const MOST_KEYS = 1 << 17

/**
 * Brings records into the order of partition, key, secondary keys, arrival. A partition's number comes from the key's bytes as Kafka
 * has it (src/core/murmur2.ts); the null key is in partition 0.
 */
export class Shuffler {
  readonly #options: ShuffleOptions
  readonly #keys: KeyTable
  readonly #sorter: ExternalSorter
  /** Per key its partition and its value, as sort keys: `#prefixes[ends[id - 1]..ends[id]]`. */
  readonly #prefixes = new ByteBuffer(1 << 12)
  readonly #prefixEnds: number[] = []
  readonly #key = new ByteBuffer(256)
  /** Per key its number in the sorter, where it has one. */
  #sorterKeys = new Uint32Array(1 << 10).fill(NONE)
  #generation = 0
  /** Keys have the same numbers here and in the sorter, as long as neither has forgotten any. */
  #sameNumbers = true
  #rowKeys = new Uint32Array(0)

  constructor(options: ShuffleOptions, context: StageContext) {
    this.#options = options
    this.#keys = context.keyTable(options.keyFields)
    this.#sorter = new ExternalSorter({ memoryBytes: context.memoryBytes, spill: () => context.spill(), grouped: true })
  }

  add(batch: RecordBatch): void {
    const { count, spans, stride } = batch
    if (count === 0) return
    if (this.#keys.size > MOST_KEYS) {
      this.#keys.clear()
      this.#prefixes.length = this.#prefixEnds.length = 0
      this.#sorterKeys.fill(NONE)
      this.#sameNumbers = false
    }
    const known = this.#keys.size
    const ids = this.#keys.intern(batch)
    for (let id = this.#prefixEnds.length; id < this.#keys.size; id++) this.#describe(id)
    if (this.#sorterKeys.length < this.#keys.size) {
      const known = this.#sorterKeys
      this.#sorterKeys = new Uint32Array(2 * this.#keys.size).fill(NONE)
      this.#sorterKeys.set(known)
    }
    const { sort } = this.#options
    const lines = batch.lines(undefined, 0, count)
    const sorter = this.#sorter
    let place = sorter.place(lines, 0, lines.length)
    if (sorter.generation !== this.#generation) {
      this.#generation = sorter.generation
      this.#sorterKeys.fill(NONE)
      this.#sameNumbers = false
    }
    if (sort.length === 0) {
      if (this.#sameNumbers) for (let id = known; id < this.#keys.size; id++) this.#give(id)
      sorter.addLines(batch, place, this.#sameNumbers ? ids : this.#numbers(ids, count))
      return
    }
    const key = this.#key
    for (let row = 0; row < count; row++) {
      const id = ids[row]!
      const length = spans[row * stride + 1]! - spans[row * stride]! + 1
      key.length = 0
      key.copy(this.#prefixes.bytes, this.#prefixStart(id), this.#prefixEnds[id]!)
      appendRowKey(key, batch, row, sort)
      sorter.add(sorter.key(key.bytes, 0, key.length), place, length)
      place += length
    }
  }

  #prefixStart(id: number): number {
    return id > 0 ? this.#prefixEnds[id - 1]! : 0
  }

  /** The numbers that the keys of rows have in the sorter. */
  #numbers(ids: Uint32Array, count: number): Uint32Array {
    if (this.#rowKeys.length < count) this.#rowKeys = new Uint32Array(2 * count)
    const numbers = this.#rowKeys
    const known = this.#sorterKeys
    for (let row = 0; row < count; row++) {
      const id = ids[row]!
      let number = known[id]!
      if (number === NONE) number = this.#give(id)
      numbers[row] = number
    }
    return numbers
  }

  /** Gives a key its number in the sorter. */
  #give(id: number): number {
    const number = this.#sorter.key(this.#prefixes.bytes, this.#prefixStart(id), this.#prefixEnds[id]!)
    return (this.#sorterKeys[id] = number)
  }

  #describe(id: number): void {
    const { keyFields, partitions } = this.#options
    const parts = keyFields.map((_, part) => this.#keys.text(id, part))
    const partition = partitions === 1 ? 0 : partitionOfKey(parts.map(fromLatin1), partitions)
    for (let shift = 24; shift >= 0; shift -= 8) this.#prefixes.byte(partition >>> shift)
    for (const part of parts) {
      const text = Buffer.from(part, 'latin1')
      appendSortKey(this.#prefixes, text, 0, text.length)
    }
    this.#prefixEnds.push(this.#prefixes.length)
  }

  /** What has come since the last call, to be put back by `restore`, which comes before the first line. */
  added(): readonly EntriesState[] {
    return this.#sorter.added()
  }
  restore(logs: Iterable<readonly EntriesState[]>): void {
    this.#sorter.added()
    for (const added of logs) this.#sorter.restore(added)
    this.#generation = this.#sorter.generation
    this.#sameNumbers = false
  }

  /** Everything in order. Call it once. */
  sorted(): Cursor {
    return this.#sorter.sorted()
  }

  /** Hands out pieces of lines, partition after partition. Call it once, instead of `sorted`. */
  drain(write: (partition: number, lines: Uint8Array) => void): void {
    const cursor = this.sorted()
    const piece = new ByteBuffer(PIECE + (PIECE >> 2))
    let current = 0
    const flush = (): void => {
      if (piece.length > 0) write(current, piece.view())
      piece.length = 0
    }
    while (cursor.advance()) {
      const { key, keyStart } = cursor
      const partition =
        (key[keyStart]! << 24) | (key[keyStart + 1]! << 16) | (key[keyStart + 2]! << 8) | key[keyStart + 3]!
      if (partition !== current || piece.length >= PIECE) flush()
      current = partition
      piece.copy(cursor.bytes, cursor.start, cursor.end)
    }
    flush()
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
