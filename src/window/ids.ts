/** Up to here a table from id to slot is a plain array. */
const DENSE = 4096

/**
 * A map from key ids to slots that keeps the order of insertion. Memory grows with the entries, not with the ids: a window that saw
 * few of many keys is small.
 */
export class SlotsByKey {
  readonly keys: number[] = []
  readonly slots: number[] = []
  /** Ids below DENSE: index + 1 into `keys` and `slots`. */
  #dense = new Uint32Array(16)
  #sparse: Map<number, number> | undefined

  /** The slot of a key, or -1. */
  get(key: number): number {
    const index = key < DENSE ? (this.#dense[key] ?? 0) : (this.#sparse?.get(key) ?? 0)
    return index === 0 ? -1 : (this.slots[index - 1] as number)
  }

  /** The key must not be there. */
  set(key: number, slot: number): void {
    const index = this.keys.push(key)
    this.slots.push(slot)
    if (key >= DENSE) (this.#sparse ??= new Map()).set(key, index)
    else {
      if (key >= this.#dense.length) {
        const larger = new Uint32Array(Math.min(DENSE, Math.max(key + 1, 2 * this.#dense.length)))
        larger.set(this.#dense)
        this.#dense = larger
      }
      this.#dense[key] = index
    }
  }

  /** Gives every key its new id. */
  renumber(ids: Uint32Array): void {
    const { keys, slots } = this
    const old = keys.splice(0)
    const oldSlots = slots.splice(0)
    this.#dense.fill(0)
    this.#sparse = undefined
    old.forEach((key, index) => this.set(ids[key] as number, oldSlots[index] as number))
  }
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
}

/** A binary heap of numbers, smallest first. */
export class MinHeap {
  readonly #items: number[] = []

  get least(): number {
    return this.#items[0] ?? Infinity
  }

  push(item: number): void {
    const items = this.#items
    let at = items.push(item) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if ((items[parent] as number) <= item) break
      items[at] = items[parent] as number
      at = parent
    }
    items[at] = item
  }

  pop(): number {
    const items = this.#items
    const least = this.least
    const last = items.pop()
    if (last === undefined || items.length === 0) return least
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && (items[child + 1] as number) < (items[child] as number)) child++
      if ((items[child] as number) >= last) break
      items[at] = items[child] as number
      at = child
    }
    items[at] = last
    return least
  }
}
