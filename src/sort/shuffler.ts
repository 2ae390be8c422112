import type { RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { StageContext } from '../core/operator.ts'
import { appendRowKey, type LineKey, PIECE } from './line-sorter.ts'
import type { Cursor } from './runs.ts'
import { ShuffleKeys } from './shuffle-keys.ts'
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

/**
 * Brings records into the order of partition, key, secondary keys, arrival. A partition's number comes from the key's bytes as Kafka
 * has it (src/core/murmur2.ts); the null key is in partition 0.
 */
export class Shuffler {
  readonly #options: ShuffleOptions
  readonly #keys: ShuffleKeys
  readonly #sorter: ExternalSorter
  readonly #key = new ByteBuffer(256)
  /** Per key its number in the sorter, where it has one. */
  #sorterKeys = new Uint32Array(1 << 10).fill(NONE)
  #generation = 0
  /** Keys have the same numbers here and in the sorter, as long as neither has forgotten any. */
  #sameNumbers = true
  #rowKeys = new Uint32Array(0)

  constructor(options: ShuffleOptions, context: Pick<StageContext, 'keyTable' | 'memoryBytes' | 'spill'>) {
    this.#options = options
    this.#keys = new ShuffleKeys(options, context)
    this.#sorter = new ExternalSorter({ memoryBytes: context.memoryBytes, spill: () => context.spill(), grouped: true })
  }

  add(batch: RecordBatch): void {
    const { count, spans, stride } = batch
    if (count === 0) return
    if (this.#keys.forgetMany()) {
      this.#sorterKeys.fill(NONE)
      this.#sameNumbers = false
    }
    const known = this.#keys.size
    const ids = this.#keys.intern(batch)
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
      key.copy(this.#keys.bytes, this.#keys.start(id), this.#keys.end(id))
      appendRowKey(key, batch, row, sort)
      sorter.add(sorter.key(key.bytes, 0, key.length), place, length)
      place += length
    }
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
    const number = this.#sorter.key(this.#keys.bytes, this.#keys.start(id), this.#keys.end(id))
    return (this.#sorterKeys[id] = number)
  }

  /** Begins anew, with all of its memory: after everything has been handed out. */
  clear(): void {
    this.#keys.clear()
    this.#sorter.clear()
    this.#generation = this.#sorter.generation
    this.#sorterKeys.fill(NONE)
    this.#sameNumbers = true
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
