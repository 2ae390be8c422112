import { Kind, type RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import { eachEntry, Entries, EntriesCursor, type EntriesState } from './entries.ts'
import { appendRowKey, type LineKey } from './line-sorter.ts'

/** Lines are dropped when so many have gathered, if that is more than twice the limit. */
const LEAST = 1 << 10

/** What is held, on its way through a file. */
export interface FirstLinesState {
  readonly entries: EntriesState
  readonly numbers: Float64Array
  readonly bar: Uint8Array | undefined
  readonly barNumber: number
}

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
    const place = into.payloads.place(line, 0, line.length)
    into.add(into.keys.add(key, start, end), place, line.length)
  }

  #trim(): void {
    const old = this.#entries
    const numbers = this.#numbers
    const order = old.sort().slice(0, this.#limit)
    const last = order.at(-1)
    const fresh = new Entries()
    this.#numbers = new Float64Array(0)
    // In the order of arrival, which equal lines keep.
    for (const entry of order.slice().sort()) {
      const { key, start, end } = this.#keyOf(old, entry)
      const at = old.spans[2 * entry]!
      const line = old.payloads.memory.subarray(at, at + old.spans[2 * entry + 1]!)
      this.#keep(fresh, key, start, end, new Uint8Array(line), numbers[entry]!)
    }
    if (last !== undefined && order.length === this.#limit) {
      const { key, start, end } = this.#keyOf(old, last)
      this.#bar = new Uint8Array(key.subarray(start, end))
      this.#barNumber = numbers[last]!
    }
    old.free()
    this.#entries = fresh
  }

  #keyOf(entries: Entries, entry: number): { key: Uint8Array; start: number; end: number } {
    const { keys } = entries
    const id = entries.keyOf(entry)
    return { key: keys.arena.memory, start: keys.starts[id]!, end: keys.starts[id]! + keys.lengths[id]! }
  }

  /** What is held, as `structuredClone` takes it; and back, into an empty one. */
  export(): FirstLinesState {
    const { count } = this.#entries
    return {
      entries: this.#entries.export(0),
      numbers: this.#numbers.slice(0, count),
      bar: this.#bar,
      barNumber: this.#barNumber,
    }
  }
  import({ entries, numbers, bar, barNumber }: FirstLinesState): void {
    let entry = 0
    eachEntry(entries, (key, keyStart, keyEnd, payload, start, end) => {
      this.#keep(this.#entries, key, keyStart, keyEnd, payload.subarray(start, end), numbers[entry++]!)
    })
    this.#bar = bar
    this.#barNumber = barNumber
  }

  /** Hands on the lines in order, in pieces that are valid until `emit` returns. */
  drain(emit: (lines: Uint8Array) => void): void {
    new EntriesCursor(this.#entries, this.#limit).drain(emit)
  }
}
