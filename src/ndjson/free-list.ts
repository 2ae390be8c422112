/** Memory that nobody has, below a top: extents in the order of their addresses, of which no two touch. Taking and giving back cost as many steps as there are extents. */
export class FreeList {
  readonly #starts: number[] = []
  readonly #ends: number[] = []

  /** How many extents there are. */
  get extents(): number {
    return this.#starts.length
  }

  /** The lowest `size` bytes there are in one piece: what is in use stays together, and what is not does, too. */
  take(size: number): number | undefined {
    const at = this.#starts.findIndex((start, index) => this.#ends[index]! - start >= size)
    if (at < 0) return undefined
    const start = this.#starts[at]!
    if (this.#ends[at] === start + size) this.#remove(at)
    else this.#starts[at] = start + size
    return start
  }

  /** Joins it with what is free on both sides. */
  add(start: number, end: number): void {
    const next = this.#starts.findIndex((other) => other > start)
    const at = next < 0 ? this.#starts.length : next
    if ((this.#ends[at - 1] ?? 0) > start || (this.#starts[at] ?? Infinity) < end)
      throw new Error('a piece of memory is given back that is free')
    const joinsBefore = this.#ends[at - 1] === start
    const joinsAfter = this.#starts[at] === end
    if (joinsBefore && joinsAfter) {
      this.#ends[at - 1] = this.#ends[at]!
      this.#remove(at)
    } else if (joinsBefore) this.#ends[at - 1] = end
    else if (joinsAfter) this.#starts[at] = start
    else {
      this.#starts.splice(at, 0, start)
      this.#ends.splice(at, 0, end)
    }
  }

  /** What is free right below `top` is free no more: the new top. */
  lower(top: number): number {
    if (this.#ends.at(-1) !== top) return top
    this.#ends.pop()
    return this.#starts.pop()!
  }

  #remove(at: number): void {
    this.#starts.splice(at, 1)
    this.#ends.splice(at, 1)
  }
}
