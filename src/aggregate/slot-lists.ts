import { NONE } from './aggregate.ts'
import { grownInts } from '../core/columns.ts'

/**
 * A list of entries per slot, in shared arrays: appending, clearing and reusing cost no allocation. An entry is an index; who uses
 * this keeps its values in columns by that index.
 */
export class SlotLists {
  #heads: Uint32Array = new Uint32Array(0)
  #tails: Uint32Array = new Uint32Array(0)
  #lengths: Uint32Array = new Uint32Array(0)
  #next: Uint32Array = new Uint32Array(0)
  #free = NONE
  #used = 0
  #size = 0

  reserve(slots: number): void {
    this.#heads = grownInts(this.#heads, slots, NONE)
    this.#tails = grownInts(this.#tails, slots, NONE)
    this.#lengths = grownInts(this.#lengths, slots)
  }

  /** Entries in the lists of all slots. */
  get size(): number {
    return this.#size
  }

  length(slot: number): number {
    return this.#lengths[slot]!
  }

  /** A new entry at the end of the slot's list. */
  append(slot: number): number {
    let entry = this.#free
    if (entry === NONE) {
      entry = this.#used++
      this.#next = grownInts(this.#next, this.#used)
    } else this.#free = this.#next[entry]!
    this.#next[entry] = NONE
    const tail = this.#tails[slot]!
    if (tail === NONE) this.#heads[slot] = entry
    else this.#next[tail] = entry
    this.#tails[slot] = entry
    this.#lengths[slot]!++
    this.#size++
    return entry
  }

  /** The first entry, or NONE. */
  first(slot: number): number {
    return this.#heads[slot]!
  }

  /** The entry after this one, or NONE. */
  after(entry: number): number {
    return this.#next[entry]!
  }

  clear(slot: number): void {
    const tail = this.#tails[slot]!
    if (tail === NONE) return
    this.#next[tail] = this.#free
    this.#free = this.#heads[slot]!
    this.#heads[slot] = NONE
    this.#tails[slot] = NONE
    this.#size -= this.#lengths[slot]!
    this.#lengths[slot] = 0
  }

  /** The slot's entries by their positions; those of equal position as they were appended. O(entries) when they are in order. */
  ordered(slot: number, positions: Float64Array): number[] {
    const entries: number[] = []
    let last = Number.NEGATIVE_INFINITY
    let inOrder = true
    for (let entry = this.first(slot); entry !== NONE; entry = this.after(entry)) {
      entries.push(entry)
      inOrder &&= positions[entry]! >= last
      last = positions[entry]!
    }
    return inOrder ? entries : entries.sort((a, b) => positions[a]! - positions[b]!)
  }
}
