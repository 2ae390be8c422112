import { Arena } from './arena.ts'
import { sortWords } from './sort-words.ts'

/** Groups of this size and less are sorted by comparing. */
const FEW = 12

/** Keys in memory, numbered from 0, and their order by bytes. No key begins another one. */
export class Keys {
  count = 0
  readonly arena = new Arena()
  starts = new Uint32Array(1024)
  lengths = new Uint32Array(1024)
  /** The eight bytes of each key that are being sorted by, as two numbers. */
  #high = new Uint32Array(0)
  #low = new Uint32Array(0)

  /** Takes a copy. */
  add(key: Uint8Array, start: number, end: number): number {
    const id = this.count++
    if (id === this.starts.length) {
      this.starts = grown(this.starts, 2 * id)
      this.lengths = grown(this.lengths, 2 * id)
    }
    this.starts[id] = this.arena.place(key, start, end)
    this.lengths[id] = end - start
    return id
  }

  /** Negative, 0 or positive as `a` comes before, is, or comes after `b`; the first `skip` bytes are known to be equal. */
  compare(a: number, b: number, skip = 0): number {
    const { memory } = this.arena
    const aStart = this.starts[a]!
    const bStart = this.starts[b]!
    const aLength = this.lengths[a]!
    const bLength = this.lengths[b]!
    const both = aLength < bLength ? aLength : bLength
    for (let p = skip; p < both; p++) {
      const difference = memory[aStart + p]! - memory[bStart + p]!
      if (difference !== 0) return difference
    }
    return aLength - bLength
  }

  /** Key numbers in order, equal ones in the order of their numbers. O(n) passes over the bytes that tell keys apart, where keys are many. */
  sort(): Uint32Array {
    const { count } = this
    const order = new Uint32Array(count)
    let sorted = true
    for (let key = 0; key < count; key++) {
      order[key] = key
      if (sorted && key > 0 && this.compare(key - 1, key) > 0) sorted = false
    }
    if (sorted) return order
    this.#high = new Uint32Array(count)
    this.#low = new Uint32Array(count)
    this.#sortRange(order, 0, count, 0)
    this.#high = this.#low = new Uint32Array(0)
    return order
  }

  #sortRange(order: Uint32Array, from: number, to: number, skip: number): void {
    if (to - from <= FEW) {
      this.#insertionSort(order, from, to, skip)
      return
    }
    const { starts, lengths } = this
    const { memory } = this.arena
    const high = this.#high
    const low = this.#low
    let longest = 0
    for (let i = from; i < to; i++) {
      const key = order[i]!
      const start = starts[key]! + skip
      const left = lengths[key]! - skip
      if (left > longest) longest = left
      high[key] = word(memory, start, left)
      low[key] = word(memory, start + 4, left - 4)
    }
    sortWords(order, from, to, high, low)
    // Keys that have ended within these eight bytes are equal.
    if (longest <= 8) return
    for (let first = from; first < to;) {
      const key = order[first]!
      let next = first + 1
      while (next < to && high[order[next]!] === high[key] && low[order[next]!] === low[key]) next++
      if (next - first > 1 && lengths[key]! > skip + 8) this.#sortRange(order, first, next, skip + 8)
      first = next
    }
  }

  #insertionSort(order: Uint32Array, from: number, to: number, skip: number): void {
    for (let i = from + 1; i < to; i++) {
      const key = order[i]!
      let j = i - 1
      while (j >= from && this.compare(order[j]!, key, skip) > 0) {
        order[j + 1] = order[j]!
        j--
      }
      order[j + 1] = key
    }
  }

  clear(): void {
    this.count = 0
    this.arena.clear()
  }
}

export function grown(old: Uint32Array, size: number): Uint32Array<ArrayBuffer> {
  const copy = new Uint32Array(size)
  copy.set(old)
  return copy
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
