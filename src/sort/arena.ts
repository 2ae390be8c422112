import { Heap, Pieces, SLACK } from '../ndjson/heap.ts'

/** Pieces have at most this size, the first ones less, so that growing never copies and little costs little. */
const CHUNK = 1 << 24
const FIRST = 1 << 16
/** What the stores of a thread may hold together. Addresses have 32 bits. */
const MOST_STORED_BYTES = 2.5 * (1 << 30)

/** What a stage may hold in the store, of its memory. Several sorters divide it. */
export const storedBytes = (memoryBytes: number): number => Math.min(memoryBytes, MOST_STORED_BYTES)

let shared: Heap | undefined
/**
 * The memory of all arenas of a thread, where the kernel can copy from it: another one than the scanner's, whose views must stay as they
 * are while a batch is worked on. Views of this one are good until the next `place`.
 */
export const storeHeap = (): Heap => (shared ??= new Heap())

/** Bytes in the store, named by their address. Written in order, forgotten all at once. */
export class Arena {
  readonly #heap = storeHeap()
  readonly #pieces = new Pieces(this.#heap, this)
  readonly #chunks: { readonly address: number; readonly size: number }[] = []
  #current = -1
  #at = 0
  #end = 0
  bytes = 0

  /** Where addresses point into. */
  get memory(): Buffer {
    return this.#heap.bytes
  }

  /** Takes a copy, in one piece; `from` may be in the store itself. */
  place(from: Uint8Array, start: number, end: number): number {
    const size = end - start
    if (this.#at + size > this.#end) {
      // Room may be made by growing, and then a view of the store is one no more.
      const inside = from.buffer === this.memory.buffer ? from.byteOffset : undefined
      this.#next(size)
      if (inside !== undefined) {
        start += inside
        end += inside
        from = this.memory
      }
    }
    const address = this.#at
    const { memory } = this
    if (size > 64) memory.set(start === 0 && end === from.length ? from : from.subarray(start, end), address)
    else for (let p = 0; p < size; p++) memory[address + p] = from[start + p]!
    this.#at += size
    this.bytes += size
    return address
  }

  #next(size: number): void {
    let chunk = this.#chunks[++this.#current]
    while (chunk && chunk.size < size) chunk = this.#chunks[++this.#current]
    if (!chunk) {
      const usual = this.#chunks.length < 4 ? FIRST << (2 * this.#chunks.length) : CHUNK
      // The heap gives powers of two: all of it is used.
      const whole = 2 ** Math.ceil(Math.log2(Math.max(size + SLACK, usual)))
      chunk = { address: this.#pieces.allocate(whole), size: whole - SLACK }
      this.#chunks.push(chunk)
    }
    this.#at = chunk.address
    this.#end = chunk.address + chunk.size
  }

  /** Forgets everything, and keeps the memory for more. */
  clear(): void {
    this.#current = -1
    this.#at = this.#end = this.bytes = 0
  }
  /** Gives the memory back to the other arenas. */
  free(): void {
    this.clear()
    for (const { address } of this.#chunks.splice(0)) this.#pieces.release(address)
  }
}
