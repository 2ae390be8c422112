import type { RecordBatch } from '../core/batch.ts'
import type { KeptInput } from '../core/operator.ts'
import { Pieces, SLACK } from '../ndjson/heap.ts'
import { Arena, storeHeap } from './arena.ts'
import { grown, Keys } from './keys.ts'
import type { Cursor } from './runs.ts'

/** What an entry and a key cost beside their bytes, the room for sorting them included. */
const ENTRY_BYTES = 16
const KEY_BYTES = 24
/** Room for so many entries to begin with. */
const FIRST = 1 << 10
/** How many entries are copied out in one call of the kernel, and how many bytes at most. */
const LIST = 1 << 13
const PIECE = 1 << 18

/** Entries on their way through a file: keys and payloads, one after the other. */
export interface EntriesState {
  readonly keys: Uint8Array
  readonly keyLengths: Uint32Array
  readonly payloads: Uint8Array
  readonly lengths: Uint32Array
}

/** Where the first line of a block stands in an input that can be read again; the others follow each other, as in the block. */
export interface BlockOrigin {
  readonly input: KeptInput
  readonly position: number
}

/** Each of the entries, as `insert` of ExternalSorter takes it. */
export function eachEntry(
  { keys, keyLengths, payloads, lengths }: EntriesState,
  take: (key: Uint8Array, keyStart: number, keyEnd: number, payload: Uint8Array, start: number, end: number) => void,
): void {
  let [keyAt, at] = [0, 0]
  for (const [entry, keyLength] of keyLengths.entries()) {
    const length = lengths[entry]!
    take(keys, keyAt, keyAt + keyLength, payloads, at, at + length)
    keyAt += keyLength
    at += length
  }
}

/** Entries in memory: a payload, and a key that many of them may share. */
export class Entries {
  count = 0
  readonly keys = new Keys()
  readonly payloads = new Arena()
  /** Per entry where its payload is, and how long that is. */
  spans = new Uint32Array(2 * FIRST)
  #keyOf = new Uint32Array(FIRST)
  /** Some entries share a key: entry and key numbers are not the same. */
  #shares = false
  /** Of the blocks that payloads are in: the first entry, and where the block is. Undefined: some of them cannot be read again. */
  #origins: { readonly first: number; readonly place: number; readonly origin: BlockOrigin }[] | undefined = []

  /** Bytes held, the numbers beside them included. */
  get bytes(): number {
    return this.payloads.bytes + this.count * ENTRY_BYTES + this.keys.arena.bytes + this.keys.count * KEY_BYTES
  }

  /** A payload of `length` at `place` of the arena. */
  add(key: number, place: number, length: number): void {
    const entry = this.count++
    if (entry === this.#keyOf.length) this.#grow(Math.max(FIRST, 2 * entry))
    this.spans[2 * entry] = place
    this.spans[2 * entry + 1] = length
    this.#keyOf[entry] = key
    if (key !== entry) this.#shares = true
  }

  /** The same for the lines of a batch, which stand one after the other from `place` on, with `keys` as numbers per row. */
  addLines(batch: RecordBatch, place: number, keys: Uint32Array): void {
    const { count, stride } = batch
    const from = batch.spans
    if (this.count + count > this.#keyOf.length) this.#grow(2 * (this.count + count))
    const { spans } = this
    this.#keyOf.set(keys.subarray(0, count), this.count)
    for (let row = 0, at = 0, to = 2 * this.count; row < count; row++, at += stride, to += 2) {
      const length = from[at + 1]! - from[at]! + 1
      spans[to] = place
      spans[to + 1] = length
      place += length
    }
    this.count += count
    this.#shares = true
  }

  #grow(size: number): void {
    this.spans = grown(this.spans, 2 * size)
    this.#keyOf = grown(this.#keyOf, size)
  }

  /** The entries that come next are in a block at `place`. */
  beginBlock(place: number, origin: BlockOrigin | undefined): void {
    if (origin) this.#origins?.push({ first: this.count, place, origin })
    else this.#origins = undefined
  }

  /** The inputs that all entries can be read from again, and where each entry stands there; undefined where they cannot. */
  positions(): { readonly inputs: readonly KeptInput[]; readonly positions: Float64Array } | undefined {
    const origins = this.#origins
    if (!origins) return undefined
    const positions = new Float64Array(this.count)
    for (const [index, { first, place, origin }] of origins.entries()) {
      const end = origins[index + 1]?.first ?? this.count
      for (let entry = first; entry < end; entry++) {
        positions[entry] = origin.position + this.spans[2 * entry]! - place
      }
    }
    return { inputs: [...new Set(origins.map(({ origin }) => origin.input))], positions }
  }

  keyOf(entry: number): number {
    return this.#keyOf[entry]!
  }

  /** Entry numbers in the order of their keys, stable. Where keys are shared they alone are sorted; the entries are counted. */
  sort(): Uint32Array {
    if (!this.#shares && this.keys.count === this.count) return this.keys.sort()
    const { next, ranks } = this.#ranks()
    const keyOf = this.#keyOf
    const order = new Uint32Array(this.count)
    for (let entry = 0; entry < order.length; entry++) order[next[ranks[keyOf[entry]!]!]!++] = entry
    return order
  }

  /** The spans of the payloads in the order of their keys. */
  sortedSpans(): Uint32Array {
    const { spans } = this
    const sorted = new Uint32Array(2 * this.count)
    if (this.#shares || this.keys.count !== this.count) {
      // Straight to where they belong: jumping about in memory is what this costs.
      const { next, ranks } = this.#ranks()
      const keyOf = this.#keyOf
      for (let entry = 0, at = 0; at < sorted.length; entry++, at += 2) {
        const to = 2 * next[ranks[keyOf[entry]!]!]!++
        sorted[to] = spans[at]!
        sorted[to + 1] = spans[at + 1]!
      }
    } else {
      let to = 0
      for (const entry of this.keys.sort()) {
        sorted[to++] = spans[2 * entry]!
        sorted[to++] = spans[2 * entry + 1]!
      }
    }
    return sorted
  }

  /** The rank of each key, and where the entries of each rank begin. */
  #ranks(): { next: Uint32Array; ranks: Uint32Array } {
    const keyOrder = this.keys.sort()
    const ranks = new Uint32Array(this.keys.count)
    let rank = 0
    for (let at = 1; at < keyOrder.length; at++) {
      if (this.keys.compare(keyOrder[at - 1]!, keyOrder[at]!) !== 0) rank++
      ranks[keyOrder[at]!] = rank
    }
    const next = new Uint32Array(rank + 2)
    const keyOf = this.#keyOf
    for (let entry = 0; entry < this.count; entry++) next[ranks[keyOf[entry]!]! + 1]!++
    for (let at = 1; at < next.length; at++) next[at]! += next[at - 1]!
    return { next, ranks }
  }

  /** The entries from `from` on, in the order in which they came, as `structuredClone` takes them. */
  export(from: number): EntriesState {
    const { keys, spans, count } = this
    const keyLengths = new Uint32Array(count - from)
    const lengths = new Uint32Array(count - from)
    let [keyBytes, bytes] = [0, 0]
    for (let entry = from; entry < count; entry++) {
      keyBytes += keyLengths[entry - from] = keys.lengths[this.#keyOf[entry]!]!
      bytes += lengths[entry - from] = spans[2 * entry + 1]!
    }
    const state = { keys: new Uint8Array(keyBytes), keyLengths, payloads: new Uint8Array(bytes), lengths }
    ;[keyBytes, bytes] = [0, 0]
    for (let entry = from; entry < count; entry++) {
      const key = keys.starts[this.#keyOf[entry]!]!
      state.keys.set(keys.arena.memory.subarray(key, key + keyLengths[entry - from]!), keyBytes)
      const place = spans[2 * entry]!
      state.payloads.set(this.payloads.memory.subarray(place, place + lengths[entry - from]!), bytes)
      keyBytes += keyLengths[entry - from]!
      bytes += lengths[entry - from]!
    }
    return state
  }

  /** Forgets everything, and keeps the memory for more. */
  clear(): void {
    this.count = 0
    this.#shares = false
    this.#origins = []
    this.keys.clear()
    this.payloads.clear()
  }
  /** Forgets everything, and gives the memory back. */
  free(): void {
    this.clear()
    this.keys.arena.free()
    this.payloads.free()
    this.spans = this.#keyOf = new Uint32Array(0)
  }
}

/** The entries in order. */
export class EntriesCursor implements Cursor {
  readonly #entries: Entries
  readonly #limit: number
  #order: Uint32Array | undefined
  #at = -1
  keyStart = 0
  keyEnd = 0
  start = 0
  end = 0

  /** The first `limit` of them. */
  constructor(entries: Entries, limit = Infinity) {
    this.#entries = entries
    this.#limit = Math.min(limit, entries.count)
  }

  get key(): Uint8Array {
    return this.#entries.keys.arena.memory
  }
  get bytes(): Uint8Array {
    return this.#entries.payloads.memory
  }

  get order(): Uint32Array {
    return (this.#order ??= this.#entries.sort())
  }
  /** The number of the current entry. */
  get entry(): number {
    return this.order[this.#at]!
  }

  advance(): boolean {
    if (++this.#at >= this.#limit) return false
    const { keys, spans } = this.#entries
    const { entry } = this
    const key = this.#entries.keyOf(entry)
    this.keyStart = keys.starts[key]!
    this.keyEnd = this.keyStart + keys.lengths[key]!
    this.start = spans[2 * entry]!
    this.end = this.start + spans[2 * entry + 1]!
    return true
  }

  /** All payloads, gathered by the kernel: instead of `advance`. */
  drain(emit: (lines: Uint8Array) => void): void {
    const spans = this.#entries.sortedSpans()
    const heap = storeHeap()
    const pieces = new Pieces(heap, this)
    const list = pieces.allocate(8 * LIST)
    const out = pieces.allocate(PIECE + 2 * SLACK)
    for (let from = 0; from < this.#limit; from += LIST) {
      const n = Math.min(LIST, this.#limit - from)
      heap.u32.set(spans.subarray(2 * from, 2 * (from + n)), list / 4)
      for (let done = 0; done < n;) {
        done = heap.kernel.gatherPieces(list, done, n, out, out + PIECE)
        const size = heap.kernel.copiedBytes()
        if (size > 0) emit(heap.bytes.subarray(out, out + size))
        else {
          // Longer than a piece: as it stands.
          const at = 2 * (from + done++)
          emit(heap.bytes.subarray(spans[at]!, spans[at]! + spans[at + 1]!))
        }
      }
    }
    pieces.release(list)
    pieces.release(out)
  }
}
