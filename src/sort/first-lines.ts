import { Kind, type RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import { Entries } from './entries.ts'
import { appendRowKey, type LineKey, PIECE } from './line-sorter.ts'

/** Lines are dropped when so many have gathered, if that is more than twice the limit. */
const LEAST = 1 << 10

/** The first `limit` lines of a stable sort, in memory for some twice as many. What comes after the last of them is not kept at all. */
export class FirstLines {
  readonly #keys: readonly LineKey[]
  readonly #limit: number
  #entries = new Entries()
  readonly #key = new ByteBuffer(256)
  /** The key of the last line that is in, once there are `limit`: only smaller ones get in. */
  #bar: Uint8Array | undefined
  /** And its first key, if that is a number. */
  #barNumber = Number.NaN
  #numbers = new Float64Array(0)

  constructor(keys: readonly LineKey[], limit: number) {
    this.#keys = keys
    this.#limit = limit
  }

  add(batch: RecordBatch): void {
    const key = this.#key
    const { field, descending } = this.#keys[0]!
    const { kinds, values } = batch.numbers(field)
    for (let row = 0; row < batch.count; row++) {
      // Most rows of a long input go here, for the cost of a comparison; equal doubles and NaN do not.
      const value = values[row]!
      if (kinds[row] === Kind.number && (descending ? value < this.#barNumber : value > this.#barNumber)) continue
      key.length = 0
      appendRowKey(key, batch, row, this.#keys)
      if (this.#bar && Buffer.compare(key.view(), this.#bar) >= 0) continue
      const line = batch.lines(undefined, row, row + 1)
      this.#keep(this.#entries, key.bytes, 0, key.length, line, kinds[row] === Kind.number ? value : Number.NaN)
      if (this.#entries.count >= Math.max(LEAST, 2 * this.#limit)) this.#trim()
    }
  }

  #keep(into: Entries, key: Uint8Array, start: number, end: number, line: Uint8Array, value: number): void {
    if (into.count === this.#numbers.length) {
      const larger = new Float64Array(2 * into.count + LEAST)
      larger.set(this.#numbers)
      this.#numbers = larger
    }
    this.#numbers[into.count] = value
    into.add(key, start, end, into.place(line, 0, line.length), line.length)
  }

  #trim(): void {
    const old = this.#entries
    const numbers = this.#numbers
    old.sort()
    const fresh = new Entries()
    this.#numbers = new Float64Array(0)
    // In the order of arrival, which equal lines keep.
    for (const entry of old.order.slice(0, this.#limit).sort()) {
      const start = old.start(entry)
      const line = old.chunk(entry).subarray(start, start + old.length(entry))
      const keyStart = old.keyStart(entry)
      this.#keep(fresh, old.keyChunk(entry), keyStart, keyStart + old.keyLength(entry), line, numbers[entry]!)
    }
    const last = old.order[this.#limit - 1]
    if (last !== undefined) {
      const start = old.keyStart(last)
      this.#bar = old.keyChunk(last).slice(start, start + old.keyLength(last))
      this.#barNumber = numbers[last]!
    }
    this.#entries = fresh
  }

  /** Hands on the lines in order, in pieces that are valid until `emit` returns. */
  drain(emit: (lines: Uint8Array) => void): void {
    const entries = this.#entries
    entries.sort()
    const piece = new ByteBuffer(PIECE + (PIECE >> 2))
    for (const entry of entries.order.subarray(0, Math.min(entries.count, this.#limit))) {
      piece.copy(entries.chunk(entry), entries.start(entry), entries.start(entry) + entries.length(entry))
      if (piece.length < PIECE) continue
      emit(piece.view())
      piece.length = 0
    }
    emit(piece.view())
  }
}
