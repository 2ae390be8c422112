import { NONE } from './aggregate.ts'
import { grownFloats, grownInts } from '../core/columns.ts'
import { SlotLists } from './slot-lists.ts'

/**
 * How often each of some small numbers (ids of values, buckets of a sketch) occurs in each slot, and where first: a hash table of
 * (slot, id) over typed arrays, whose entries are also listed per slot.
 */
export class SlotCounts {
  readonly #lists = new SlotLists()
  #slots: Uint32Array = new Uint32Array(0)
  #ids: Uint32Array = new Uint32Array(0)
  #counts: Float64Array = new Float64Array(0)
  #positions: Float64Array = new Float64Array(0)
  /** Entries of the same bucket are chained. */
  #chain: Uint32Array = new Uint32Array(0)
  #buckets: Uint32Array = new Uint32Array(1024).fill(NONE)
  #size = 0

  reserve(slots: number): void {
    this.#lists.reserve(slots)
  }

  /** (slot, id) pairs in all. */
  get size(): number {
    return this.#size
  }

  bytes(slots: number): number {
    return 12 * slots + 36 * this.#size
  }

  /** How many ids a slot has. */
  distinct(slot: number): number {
    return this.#lists.length(slot)
  }

  /** Adds `count` occurrences. Returns the entry. */
  add(slot: number, id: number, count: number): number {
    const bucket = hash(slot, id) & (this.#buckets.length - 1)
    for (let entry = this.#buckets[bucket]!; entry !== NONE; entry = this.#chain[entry]!) {
      if (this.#ids[entry] === id && this.#slots[entry] === slot) {
        this.#counts[entry]! += count
        return entry
      }
    }
    const entry = this.#lists.append(slot)
    if (entry >= this.#ids.length) this.#grow(entry + 1)
    this.#slots[entry] = slot
    this.#ids[entry] = id
    this.#counts[entry] = count
    this.#positions[entry] = Number.POSITIVE_INFINITY
    this.#chain[entry] = this.#buckets[bucket]!
    this.#buckets[bucket] = entry
    if (++this.#size > this.#buckets.length) this.#rehash(2 * this.#buckets.length)
    return entry
  }

  #grow(size: number): void {
    this.#slots = grownInts(this.#slots, size)
    this.#ids = grownInts(this.#ids, size)
    this.#counts = grownFloats(this.#counts, size)
    this.#positions = grownFloats(this.#positions, size)
    this.#chain = grownInts(this.#chain, size)
  }

  #rehash(buckets: number): void {
    const old = this.#buckets
    this.#buckets = new Uint32Array(buckets).fill(NONE)
    for (const head of old) {
      for (let entry = head; entry !== NONE;) {
        const next = this.#chain[entry]!
        this.#link(entry)
        entry = next
      }
    }
  }

  #link(entry: number): void {
    const bucket = hash(this.#slots[entry]!, this.#ids[entry]!) & (this.#buckets.length - 1)
    this.#chain[entry] = this.#buckets[bucket]!
    this.#buckets[bucket] = entry
  }

  /** Where the entry was first seen; `Infinity` when new. */
  position(entry: number): number {
    return this.#positions[entry]!
  }
  setPosition(entry: number, position: number): void {
    this.#positions[entry] = position
  }
  id(entry: number): number {
    return this.#ids[entry]!
  }
  count(entry: number): number {
    return this.#counts[entry]!
  }

  /** The slot's entries in order of their positions, or as they came while none was set. */
  entries(slot: number): number[] {
    return this.#lists.ordered(slot, this.#positions)
  }

  clear(slot: number): void {
    for (let entry = this.#lists.first(slot); entry !== NONE; entry = this.#lists.after(entry)) {
      const bucket = hash(slot, this.#ids[entry]!) & (this.#buckets.length - 1)
      if (this.#buckets[bucket] === entry) this.#buckets[bucket] = this.#chain[entry]!
      else {
        let before = this.#buckets[bucket]!
        while (this.#chain[before] !== entry) before = this.#chain[before]!
        this.#chain[before] = this.#chain[entry]!
      }
      this.#size--
    }
    this.#lists.clear(slot)
  }

  /** Gives every entry the id that `renamed` says, when ids are given out anew. Slots must be all that have entries. */
  rename(slots: Iterable<number>, renamed: (id: number) => number): void {
    this.#buckets.fill(NONE)
    for (const slot of slots) {
      for (let entry = this.#lists.first(slot); entry !== NONE; entry = this.#lists.after(entry)) {
        this.#ids[entry] = renamed(this.#ids[entry]!)
        this.#link(entry)
      }
    }
  }
}

function hash(slot: number, id: number): number {
  let mixed = Math.imul(slot, 0x9e3779b1) ^ Math.imul(id, 0x85ebca6b)
  mixed ^= mixed >>> 15
  mixed = Math.imul(mixed, 0x2c1b3c6d)
  return (mixed ^ (mixed >>> 13)) >>> 0
}
