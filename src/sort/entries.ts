import { Pieces, SLACK } from '../ndjson/heap.ts'
import { Arena, storeHeap } from './arena.ts'
import { grown, Keys } from './keys.ts'
import type { Cursor } from './runs.ts'

/** What an entry and a key cost beside their bytes, the room for sorting them included. */
const ENTRY_BYTES = 16
const KEY_BYTES = 24
/** How many entries are copied out in one call of the kernel, and how many bytes at most. */
const LIST = 1 << 13
const PIECE = 1 << 18

/** Entries in memory: a payload, and a key that many of them may share. */
export class Entries {
  count = 0
  readonly keys = new Keys()
  readonly payloads = new Arena()
  places = new Uint32Array(1024)
  lengths = new Uint32Array(1024)
  #keyOf = new Uint32Array(1024)
  /** Some entries share a key: entry and key numbers are not the same. */
  #shares = false

  /** Bytes held, the numbers beside them included. */
  get bytes(): number {
    return this.payloads.bytes + this.count * ENTRY_BYTES + this.keys.arena.bytes + this.keys.count * KEY_BYTES
  }

  /** A payload of `length` at `place` of the arena. */
  add(key: number, place: number, length: number): void {
    const entry = this.count++
    if (entry === this.places.length) {
      this.places = grown(this.places, 2 * entry)
      this.lengths = grown(this.lengths, 2 * entry)
      this.#keyOf = grown(this.#keyOf, 2 * entry)
    }
    this.places[entry] = place
    this.lengths[entry] = length
    this.#keyOf[entry] = key
    if (key !== entry) this.#shares = true
  }

  keyOf(entry: number): number {
    return this.#keyOf[entry]!
  }

  /** Entry numbers in the order of their keys, stable. Where keys are shared they alone are sorted; the entries are counted. */
  sort(): Uint32Array {
    const keyOrder = this.keys.sort()
    if (!this.#shares && this.keys.count === this.count) return keyOrder
    const { count } = this
    const ranks = new Uint32Array(this.keys.count)
    let rank = 0
    for (let at = 1; at < keyOrder.length; at++) {
      if (this.keys.compare(keyOrder[at - 1]!, keyOrder[at]!) !== 0) rank++
      ranks[keyOrder[at]!] = rank
    }
    const next = new Uint32Array(rank + 2)
    const keyOf = this.#keyOf
    for (let entry = 0; entry < count; entry++) next[ranks[keyOf[entry]!]! + 1]!++
    for (let at = 1; at < next.length; at++) next[at]! += next[at - 1]!
    const order = new Uint32Array(count)
    for (let entry = 0; entry < count; entry++) order[next[ranks[keyOf[entry]!]!]!++] = entry
    return order
  }

  /** Forgets everything, and keeps the memory for more. */
  clear(): void {
    this.count = 0
    this.#shares = false
    this.keys.clear()
    this.payloads.clear()
  }
  /** Gives the memory back. The entries are of no use after that. */
  free(): void {
    this.clear()
    this.keys.arena.free()
    this.payloads.free()
    this.places = this.lengths = this.#keyOf = new Uint32Array(0)
  }
}

/** The entries in order. */
export class EntriesCursor implements Cursor {
  readonly #entries: Entries
  readonly #order: Uint32Array
  #at = -1
  keyStart = 0
  keyEnd = 0
  start = 0
  end = 0

  /** The first `limit` of them. */
  constructor(entries: Entries, limit = Infinity) {
    this.#entries = entries
    this.#order = entries.sort().subarray(0, Math.min(entries.count, limit))
  }

  get key(): Uint8Array {
    return this.#entries.keys.arena.memory
  }
  get bytes(): Uint8Array {
    return this.#entries.payloads.memory
  }

  advance(): boolean {
    if (++this.#at >= this.#order.length) return false
    const { keys, places, lengths } = this.#entries
    const entry = this.#order[this.#at]!
    const key = this.#entries.keyOf(entry)
    this.keyStart = keys.starts[key]!
    this.keyEnd = this.keyStart + keys.lengths[key]!
    this.start = places[entry]!
    this.end = this.start + lengths[entry]!
    return true
  }

  /** All payloads, gathered by the kernel: instead of `advance`. */
  drain(emit: (lines: Uint8Array) => void): void {
    const { places, lengths } = this.#entries
    const order = this.#order
    const heap = storeHeap()
    const pieces = new Pieces(heap, this)
    const list = pieces.allocate(8 * LIST)
    const out = pieces.allocate(PIECE + 2 * SLACK)
    for (let from = 0; from < order.length; from += LIST) {
      const n = Math.min(LIST, order.length - from)
      for (let i = 0, at = list >> 2; i < n; i++) {
        const entry = order[from + i]!
        heap.u32[at++] = places[entry]!
        heap.u32[at++] = lengths[entry]!
      }
      for (let done = 0; done < n;) {
        done = heap.kernel.gatherPieces(list, done, n, out, out + PIECE)
        const size = heap.kernel.copiedBytes()
        if (size > 0) emit(heap.bytes.subarray(out, out + size))
        else {
          // Longer than a piece: as it stands.
          const entry = order[from + done++]!
          emit(heap.bytes.subarray(places[entry]!, places[entry]! + lengths[entry]!))
        }
      }
    }
    pieces.release(list)
    pieces.release(out)
  }
}
