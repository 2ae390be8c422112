import { Arena } from './arena.ts'
import { sortWords } from './sort-words.ts'

/** What an entry costs beside its bytes. */
const ENTRY_BYTES = 36
/** Groups of this size and less are sorted by comparing. */
const FEW = 12

/** Entries of a key and a payload in memory. Sorting is stable, by the bytes of the keys. */
export class Entries {
  count = 0
  /** Entry numbers in order, after `sort`. */
  order = new Uint32Array(0)
  readonly #keys = new Arena()
  readonly #payloads = new Arena()
  #keyPlaces = new Float64Array(1024)
  #keyLengths = new Uint32Array(1024)
  #places = new Float64Array(1024)
  #lengths = new Uint32Array(1024)
  /** The eight bytes of each key that are being sorted by, as two numbers. */
  #high = new Uint32Array(1024)
  #low = new Uint32Array(1024)

  /** Bytes held, the numbers beside them included. */
  get bytes(): number {
    return this.#keys.bytes + this.#payloads.bytes + this.count * ENTRY_BYTES
  }

  /** Takes a copy of bytes that payloads are in: a whole block of lines at once. */
  place(bytes: Uint8Array, start: number, end: number): number {
    return this.#payloads.place(bytes, start, end)
  }

  /** Takes a copy of a key, for a payload of `length` at `place`. */
  add(key: Uint8Array, keyStart: number, keyEnd: number, place: number, length: number): void {
    const entry = this.count++
    if (entry === this.#places.length) this.#growIndex()
    this.#keyPlaces[entry] = this.#keys.place(key, keyStart, keyEnd)
    this.#keyLengths[entry] = keyEnd - keyStart
    this.#places[entry] = place
    this.#lengths[entry] = length
  }

  /** Where the key and the payload of an entry are: in `keyChunk(entry)` and `chunk(entry)`. */
  keyChunk(entry: number): Uint8Array<ArrayBuffer> {
    return this.#keys.chunk(this.#keyPlaces[entry]!)
  }
  keyStart(entry: number): number {
    return this.#keys.offset(this.#keyPlaces[entry]!)
  }
  keyLength(entry: number): number {
    return this.#keyLengths[entry]!
  }
  chunk(entry: number): Uint8Array<ArrayBuffer> {
    return this.#payloads.chunk(this.#places[entry]!)
  }
  start(entry: number): number {
    return this.#payloads.offset(this.#places[entry]!)
  }
  length(entry: number): number {
    return this.#lengths[entry]!
  }

  /** Negative, 0 or positive as the key of `a` comes before, is, or comes after that of `b`; the first `skip` bytes are known to be equal. */
  compare(a: number, b: number, skip = 0): number {
    const aKey = this.keyChunk(a)
    const bKey = this.keyChunk(b)
    const aStart = this.keyStart(a)
    const bStart = this.keyStart(b)
    const aLength = this.#keyLengths[a]!
    const bLength = this.#keyLengths[b]!
    const both = aLength < bLength ? aLength : bLength
    for (let p = skip; p < both; p++) {
      const difference = aKey[aStart + p]! - bKey[bStart + p]!
      if (difference !== 0) return difference
    }
    return aLength - bLength
  }

  /** Fills `order`. O(n) passes over the bytes that tell keys apart, where keys are many; nothing is moved that is in order already. */
  sort(): void {
    const { count } = this
    if (this.order.length < count) this.order = new Uint32Array(count + (count >> 1))
    const { order } = this
    let sorted = true
    for (let entry = 0; entry < count; entry++) {
      order[entry] = entry
      if (sorted && entry > 0 && this.compare(entry - 1, entry) > 0) sorted = false
    }
    if (!sorted) this.#sortRange(0, count, 0)
  }

  #sortRange(from: number, to: number, skip: number): void {
    const { order } = this
    if (to - from <= FEW) {
      for (let i = from + 1; i < to; i++) {
        const entry = order[i]!
        let j = i - 1
        while (j >= from && this.compare(order[j]!, entry, skip) > 0) {
          order[j + 1] = order[j]!
          j--
        }
        order[j + 1] = entry
      }
      return
    }
    const high = this.#high
    const low = this.#low
    let longest = 0
    for (let i = from; i < to; i++) {
      const entry = order[i]!
      const key = this.keyChunk(entry)
      const start = this.keyStart(entry) + skip
      const left = this.#keyLengths[entry]! - skip
      if (left > longest) longest = left
      high[entry] = word(key, start, left)
      low[entry] = word(key, start + 4, left - 4)
    }
    sortWords(order, from, to, high, low)
    // No key begins another, so keys that have ended within these eight bytes are equal.
    if (longest <= 8) return
    for (let first = from; first < to;) {
      const entry = order[first]!
      let next = first + 1
      while (next < to && high[order[next]!] === high[entry] && low[order[next]!] === low[entry]) next++
      if (next - first > 1 && this.#keyLengths[entry]! > skip + 8) this.#sortRange(first, next, skip + 8)
      first = next
    }
  }

  /** Forgets everything, and keeps the memory for more. */
  clear(): void {
    this.count = 0
    this.#keys.clear()
    this.#payloads.clear()
  }
  /** Gives the memory back. */
  free(): void {
    this.count = 0
    this.#keys.free()
    this.#payloads.free()
    this.order = new Uint32Array(0)
    this.#keyPlaces = new Float64Array(0)
    this.#keyLengths = new Uint32Array(0)
    this.#places = new Float64Array(0)
    this.#lengths = new Uint32Array(0)
    this.#high = new Uint32Array(0)
    this.#low = new Uint32Array(0)
  }

  #growIndex(): void {
    const size = Math.max(1024, 2 * this.#places.length)
    const floats = (old: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> => {
      const copy = new Float64Array(size)
      copy.set(old)
      return copy
    }
    const integers = (old: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => {
      const copy = new Uint32Array(size)
      copy.set(old)
      return copy
    }
    this.#keyPlaces = floats(this.#keyPlaces)
    this.#places = floats(this.#places)
    this.#keyLengths = integers(this.#keyLengths)
    this.#lengths = integers(this.#lengths)
    this.#high = new Uint32Array(size)
    this.#low = new Uint32Array(size)
  }
}

/** Four bytes of a key, the first the most significant; zeros beyond its end. */
export function word(bytes: Uint8Array, at: number, left: number): number {
  if (left >= 4) {
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  }
  let value = 0
  for (let p = 0; p < 4; p++) value = (value << 8) | (p < left ? bytes[at + p]! : 0)
  return value >>> 0
}
