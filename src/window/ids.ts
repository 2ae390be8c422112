import { grownInts } from '../core/columns.ts'

/** Up to here a table from id to slot is a plain array; and beyond where it has an entry for every so many ids. */
const DENSE = 4096
const DENSE_SHARE = 8
/** So many are there at first: V8 makes an array of 64 bytes as quickly as an object. */
const FEW_KEYS = 16
const NOTHING = new Uint32Array(0)
/** Knuth's multiplier: spreads ids that follow each other. */
const SPREAD = 0x9e3779b1

/**
 * A map from key ids to slots that keeps the order of insertion. Memory grows with the entries, not with the ids: a window that saw
 * few of many keys is small.
 */
export class SlotsByKey {
  #keys: Uint32Array = new Uint32Array(FEW_KEYS)
  #slots: Uint32Array = new Uint32Array(FEW_KEYS)
  #size = 0
  /** Entries below are in the tables; those that came many at once wait until somebody looks for a key. */
  #indexed = 0
  /** Slot + 1 of the first ids; 0 is none. */
  #dense = new Uint32Array(16)
  /** Beyond: pairs of id + 1 and slot by linear probing, a power of two of them, at most half full; id 0 is none. */
  #sparse: Uint32Array | undefined
  #sparseUsed = 0

  /** All keys, in order. A view, valid until the next one comes. */
  get keys(): Uint32Array {
    return this.#keys.subarray(0, this.#size)
  }

  /** Their slots. A view, valid until the next one comes. */
  get slots(): Uint32Array {
    return this.#slots.subarray(0, this.#size)
  }

  get size(): number {
    return this.#size
  }

  /** The slot of a key, or -1. */
  get(key: number): number {
    if (key < this.#dense.length) return (this.#dense[key] as number) - 1
    if (this.#indexed < this.#size) {
      this.#makeRoom()
      return this.get(key)
    }
    const sparse = this.#sparse
    if (!sparse) return -1
    const at = place(sparse, key)
    return sparse[at] === 0 ? -1 : (sparse[at + 1] as number)
  }

  /** The key must not be there. */
  set(key: number, slot: number): void {
    if (this.#indexed < this.#size) this.#makeRoom()
    this.#append(1)
    this.#keys[this.#size - 1] = key
    this.#slots[this.#size - 1] = slot
    this.#indexed = this.#size
    this.#put(key, slot)
  }

  #append(count: number): void {
    this.#size += count
    this.#keys = grownInts(this.#keys, this.#size)
    this.#slots = grownInts(this.#slots, this.#size)
  }

  #put(key: number, slot: number): void {
    if (key >= this.#dense.length && key < DENSE) {
      const larger = new Uint32Array(Math.min(DENSE, Math.max(key + 1, 2 * this.#dense.length)))
      larger.set(this.#dense)
      this.#dense = larger
    }
    if (key < this.#dense.length) this.#dense[key] = slot + 1
    else if (this.#sparse && 4 * this.#sparseUsed < this.#sparse.length) {
      this.#sparseUsed++
      const at = place(this.#sparse, key)
      this.#sparse[at] = key + 1
      this.#sparse[at + 1] = slot
    } else this.#makeRoom() // for all that `keys` and `slots` have, this one too
  }

  /** Everything into tables with room for as much again. */
  #makeRoom(): void {
    const { keys, slots } = this
    let most = 0
    for (let at = 0; at < keys.length; at++) most = Math.max(most, keys[at] as number)
    this.#indexed = this.#size
    const dense = most < DENSE_SHARE * keys.length
    this.#dense = new Uint32Array(dense ? Math.max(16, 2 ** Math.ceil(Math.log2(most + 1))) : DENSE)
    this.#sparse = dense ? undefined : new Uint32Array(Math.max(64, 2 ** Math.ceil(Math.log2(8 * keys.length))))
    this.#sparseUsed = 0
    if (dense) {
      const table = this.#dense
      for (let at = 0; at < keys.length; at++) table[keys[at] as number] = (slots[at] as number) + 1
    } else for (let at = 0; at < keys.length; at++) this.#put(keys[at] as number, slots[at] as number)
  }

  /** Many at once; none of the keys may be there. */
  setAll(keys: Uint32Array, slots: Uint32Array): void {
    const before = this.#size
    this.#append(keys.length)
    this.#keys.set(keys, before)
    this.#slots.set(slots, before)
    this.#dense = NOTHING
    this.#sparse = undefined
  }

  /** Marks the keys with 1. */
  markKeys(marks: Uint8Array): void {
    const { keys } = this
    for (let at = 0; at < keys.length; at++) marks[keys[at] as number] = 1
  }

  /** Gives every key its new id. */
  renumber(ids: Uint32Array): void {
    const { keys } = this
    for (let at = 0; at < keys.length; at++) keys[at] = ids[keys[at] as number] as number
    this.#makeRoom()
  }
}

/** Where a key's pair is, or the free place where it belongs. */
function place(sparse: Uint32Array, key: number): number {
  const mask = sparse.length - 1
  let at = (Math.imul(key, SPREAD) >>> 5) & mask & ~1
  while (sparse[at] !== 0 && sparse[at] !== key + 1) at = (at + 2) & mask
  return at
}

/** Hands out small dense numbers and takes them back. */
export class Slots {
  readonly #free: number[] = []
  readonly #grow: (slots: number) => void
  #size = 0
  #capacity = 0

  /** `grow` makes room for slots below its argument. */
  constructor(grow: (slots: number) => void) {
    this.#grow = grow
  }

  /** How many are out. */
  get used(): number {
    return this.#size - this.#free.length
  }

  /** There is room for slots below. */
  get capacity(): number {
    return this.#capacity
  }

  /** All slots that were ever given out are below. */
  get size(): number {
    return this.#size
  }

  take(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#size === this.#capacity) {
      this.#capacity = Math.max(64, this.#capacity + Math.ceil(this.#capacity / 2))
      this.#grow(this.#capacity)
    }
    return this.#size++
  }

  giveBack(slot: number): void {
    this.#free.push(slot)
  }

  /** While a snapshot comes back: makes room for slots up to here, which may all be in use. */
  makeRoom(size: number): void {
    if (size <= this.#capacity) return
    // Columns have as many: see core/columns.ts.
    this.#capacity = Math.max(64, 2 ** Math.ceil(Math.log2(size)))
    this.#grow(this.#capacity)
  }

  /** When it has come back: those marked with 1 are in use, and no others. */
  restore(used: Uint8Array): void {
    this.#size = used.lastIndexOf(1) + 1
    this.makeRoom(this.#size)
    this.#free.length = 0
    for (let slot = this.#size - 1; slot >= 0; slot--) if (used[slot] === 0) this.#free.push(slot)
  }
}

/** Digits of a radix sort, and the widest range that is sorted by them: 49 days of ms. */
const DIGIT_BITS = 11
const DIGITS = 2 ** DIGIT_BITS
const MOST_RANGE = 2 ** 32
/** For fewer items clearing the counts costs more than sorting them. */
const FEW = 64

/** By a whole number, ascending; items of one number stay in their order. */
export function sortedBy(items: readonly number[], value: (item: number) => number): number[] {
  const count = items.length
  const values = new Float64Array(count)
  let [least, most] = [Infinity, -Infinity]
  for (let index = 0; index < count; index++) {
    const own = value(items[index] as number)
    values[index] = own
    if (own < least) least = own
    if (own > most) most = own
  }
  if (count < FEW || !(most - least < MOST_RANGE)) return [...items].sort((a, b) => value(a) - value(b))
  let from = new Uint32Array(count)
  let to = new Uint32Array(count)
  for (let index = 0; index < count; index++) {
    from[index] = index
    values[index]! -= least
  }
  const ends = new Uint32Array(DIGITS)
  for (let shift = 0; most - least >= 2 ** shift || shift === 0; shift += DIGIT_BITS) {
    ends.fill(0)
    for (let index = 0; index < count; index++) ends[((values[index] as number) >>> shift) & (DIGITS - 1)]!++
    let sum = 0
    for (let at = 0; at < DIGITS; at++) {
      sum += ends[at] as number
      ends[at] = sum
    }
    for (let at = count - 1; at >= 0; at--) {
      const index = from[at] as number
      to[--ends[((values[index] as number) >>> shift) & (DIGITS - 1)]!] = index
    }
    ;[from, to] = [to, from]
  }
  const sorted: number[] = []
  for (let at = 0; at < count; at++) sorted.push(items[from[at] as number] as number)
  return sorted
}
