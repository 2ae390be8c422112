/** Up to here a table from id to slot is a plain array; and beyond where it has an entry for every so many ids. */
const DENSE = 4096
const DENSE_SHARE = 8
/** Knuth's multiplier: spreads ids that follow each other. */
const SPREAD = 0x9e3779b1

/**
 * A map from key ids to slots that keeps the order of insertion. Memory grows with the entries, not with the ids: a window that saw
 * few of many keys is small.
 */
export class SlotsByKey {
  readonly keys: number[] = []
  readonly slots: number[] = []
  /** Slot + 1 of the first ids; 0 is none. */
  #dense = new Uint32Array(16)
  /** Beyond: pairs of id + 1 and slot by linear probing, a power of two of them, at most half full; id 0 is none. */
  #sparse: Uint32Array | undefined
  #sparseUsed = 0

  /** The slot of a key, or -1. */
  get(key: number): number {
    if (key < this.#dense.length) return (this.#dense[key] as number) - 1
    const sparse = this.#sparse
    if (!sparse) return -1
    const at = place(sparse, key)
    return sparse[at] === 0 ? -1 : (sparse[at + 1] as number)
  }

  /** The key must not be there. */
  set(key: number, slot: number): void {
    this.keys.push(key)
    this.slots.push(slot)
    this.#put(key, slot)
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
    const most = keys.reduce((most, key) => Math.max(most, key), 0)
    const dense = most < DENSE_SHARE * keys.length
    this.#dense = new Uint32Array(dense ? Math.max(16, 2 ** Math.ceil(Math.log2(most + 1))) : DENSE)
    this.#sparse = dense ? undefined : new Uint32Array(Math.max(64, 2 ** Math.ceil(Math.log2(8 * keys.length))))
    this.#sparseUsed = 0
    for (let at = 0; at < keys.length; at++) this.#put(keys[at] as number, slots[at] as number)
  }

  /** Many at once; none of the keys may be there. */
  setAll(keys: Uint32Array, slots: Uint32Array): void {
    const before = this.keys.length
    this.keys.length = this.slots.length = before + keys.length
    for (let index = 0; index < keys.length; index++) {
      this.keys[before + index] = keys[index] as number
      this.slots[before + index] = slots[index] as number
    }
    if (keys.length > before) return this.#makeRoom()
    for (let index = 0; index < keys.length; index++) this.#put(keys[index] as number, slots[index] as number)
  }

  /** Gives every key its new id. */
  renumber(ids: Uint32Array): void {
    this.keys.forEach((key, index) => (this.keys[index] = ids[key] as number))
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
    this.#capacity = Math.max(size, 2 * this.#capacity)
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
