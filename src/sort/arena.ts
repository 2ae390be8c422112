/** Pieces have at most this size, the first ones less, so that growing never copies and little costs little. */
const CHUNK = 1 << 24
const FIRST = 1 << 16

/** Bytes in memory, named by one number each. Written in order, forgotten all at once. */
export class Arena {
  readonly #chunks: Uint8Array<ArrayBuffer>[] = []
  #current = -1
  #used = 0
  #size = 0
  bytes = 0

  /** Takes a copy, in one piece. */
  place(from: Uint8Array, start: number, end: number): number {
    const size = end - start
    if (this.#used + size > this.#size) this.#next(size)
    const at = this.#used
    const chunk = this.#chunks[this.#current]!
    if (size > 40) chunk.set(start === 0 && end === from.length ? from : from.subarray(start, end), at)
    else for (let p = 0; p < size; p++) chunk[at + p] = from[start + p]!
    this.#used += size
    this.bytes += size
    return this.#current * CHUNK + at
  }

  /** What is larger than a chunk has one alone, so that the number of a place tells its chunk. */
  #next(size: number): void {
    this.#current++
    let chunk = this.#chunks[this.#current]
    if (!chunk || chunk.length < size) {
      chunk = new Uint8Array(Math.max(size, this.#current < 4 ? FIRST << (2 * this.#current) : CHUNK))
      this.#chunks[this.#current] = chunk
    }
    this.#size = size > CHUNK ? size : Math.min(chunk.length, CHUNK)
    this.#used = 0
  }

  /** The chunk that holds a place; the place is at `offset(place)` in it. */
  chunk(place: number): Uint8Array<ArrayBuffer> {
    return this.#chunks[Math.floor(place / CHUNK)]!
  }
  offset(place: number): number {
    return place % CHUNK
  }

  /** Forgets everything, and keeps the memory for more. */
  clear(): void {
    this.#current = -1
    this.#used = this.#size = 0
    this.bytes = 0
  }

  /** Gives the memory back. */
  free(): void {
    this.clear()
    this.#chunks.length = 0
  }
}
