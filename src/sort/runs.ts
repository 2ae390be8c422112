import { ByteBuffer } from '../core/byte-buffer.ts'
import type { SpillFile } from '../core/operator.ts'
import { Pieces, SLACK } from '../ndjson/heap.ts'
import { storeHeap } from './arena.ts'
import { word } from './keys.ts'

/*
 * A run on disk is a sequence of entries in order:
 *
 *     ┌────────────┬────────────────┬─────┬─────────┐
 *     │ key length │ payload length │ key │ payload │   lengths: 32 bits, little endian
 *     └────────────┴────────────────┴─────┴─────────┘
 *
 * In a grouped run payloads of equal keys follow each other in one entry, up to a limit: lines that only have to come out again are
 * copied in large pieces and their keys are compared once.
 *
 * In a run of references the payloads are lines of the input, and here is where they stand there (64 bits) and their length (32).
 */
const HEADER = 8
const REFERENCE = 12
const HIGH = 2 ** 32
const WRITE_BYTES = 1 << 18
const GROUP_BYTES = 1 << 16

/** Entries in order, one at a time: the current one's key and payload are spans, valid until the next `advance`. */
export interface Cursor {
  /** Goes on to the next (the first) entry; false at the end. */
  advance(): boolean
  readonly key: Uint8Array
  readonly keyStart: number
  readonly keyEnd: number
  readonly bytes: Uint8Array
  readonly start: number
  readonly end: number
  /** All payloads, one after the other, in pieces that are valid until `emit` returns: instead of `advance`, where there is a faster way. */
  drain?(emit: (lines: Uint8Array) => void): void
}

/** Lines of the input, by where they stand there. */
export interface Lines {
  /** Makes room for one. */
  reserve(length: number): void
  /** Its address in the store, valid until the next call. */
  find(position: number, length: number): number
}

/** Writes the entries of one run, which come in order. */
export class RunWriter {
  readonly file: SpillFile
  readonly #grouped: boolean
  readonly #buffer = new ByteBuffer(WRITE_BYTES + (WRITE_BYTES >> 2))
  /** Where the header of the group that may still grow is in the buffer; -1: none. */
  #group = -1

  constructor(file: SpillFile, grouped: boolean) {
    this.file = file
    this.#grouped = grouped
  }

  write({ key, keyStart, keyEnd, bytes, start, end }: Omit<Cursor, 'advance' | 'drain'>): void {
    const buffer = this.#buffer
    if (this.#group >= 0 && this.#continues(key, keyStart, keyEnd)) {
      const length = buffer.length - this.#group - HEADER - (keyEnd - keyStart)
      if (length + end - start <= GROUP_BYTES) {
        buffer.copy(bytes, start, end)
        setUint32(buffer.bytes, this.#group + 4, length + end - start)
        return
      }
    }
    if (buffer.length >= WRITE_BYTES) this.#flush()
    if (this.#grouped) this.#group = buffer.length
    buffer.uint32(keyEnd - keyStart)
    buffer.uint32(end - start)
    buffer.copy(key, keyStart, keyEnd)
    buffer.copy(bytes, start, end)
  }

  /** An entry of a run of references. */
  refer({ key, keyStart, keyEnd }: CursorKey, position: number, length: number): void {
    const buffer = this.#buffer
    if (buffer.length >= WRITE_BYTES) this.#flush()
    buffer.uint32(keyEnd - keyStart)
    buffer.uint32(REFERENCE)
    buffer.copy(key, keyStart, keyEnd)
    buffer.uint32(position % HIGH)
    buffer.uint32(Math.floor(position / HIGH))
    buffer.uint32(length)
  }

  #continues(key: Uint8Array, keyStart: number, keyEnd: number): boolean {
    const { bytes } = this.#buffer
    const at = this.#group + HEADER
    const length = keyEnd - keyStart
    if (getUint32(bytes, this.#group) !== length) return false
    for (let p = 0; p < length; p++) if (bytes[at + p] !== key[keyStart + p]) return false
    return true
  }

  #flush(): void {
    this.file.append(this.#buffer.view())
    this.#buffer.length = 0
    this.#group = -1
  }

  end(): void {
    this.#flush()
  }
}

/** Reads a run again, into the store: there the kernel can look at its entries, too. */
export class RunReader implements Cursor {
  readonly #file: SpillFile
  readonly #heap = storeHeap()
  readonly #pieces = new Pieces(this.#heap, this)
  #at = 0
  #buffer: number
  #size: number
  keyStart = 0
  keyEnd = 0
  start = 0
  end = 0
  /** Addresses: where the next entry is, and where those that have been read end. */
  #next: number
  #filled: number
  readonly #lines: Lines | undefined

  /** @param lines of a run of references: then `locate` comes before the payload is looked at */
  constructor(file: SpillFile, bufferBytes: number, lines?: Lines) {
    this.#file = file
    this.#lines = lines
    this.#size = bufferBytes
    this.#buffer = this.#next = this.#filled = this.#pieces.allocate(bufferBytes + SLACK)
  }

  get key(): Uint8Array {
    return this.#heap.bytes
  }
  get bytes(): Uint8Array {
    return this.#heap.bytes
  }

  advance(): boolean {
    this.#need(HEADER)
    if (this.#filled - this.#next < HEADER) {
      this.#file.close()
      this.#pieces.release(this.#buffer)
      return false
    }
    const { bytes } = this.#heap
    const keyLength = getUint32(bytes, this.#next)
    const length = getUint32(bytes, this.#next + 4)
    this.#need(HEADER + keyLength + length)
    this.keyStart = this.#next + HEADER
    this.keyEnd = this.start = this.keyStart + keyLength
    this.end = this.#next = this.start + length
    if (this.#lines) this.#lines.reserve(getUint32(this.#heap.bytes, this.start + 8))
    return true
  }

  /** Has the payload at hand, until the next one of the same lines. */
  locate(): void {
    if (!this.#lines) return
    const { bytes } = this.#heap
    const at = this.#next - REFERENCE
    const length = getUint32(bytes, at + 8)
    this.start = this.#lines.find(getUint32(bytes, at) + HIGH * getUint32(bytes, at + 4), length)
    this.end = this.start + length
  }

  /** Has the next `size` bytes in the buffer, if the file has them. */
  #need(size: number): void {
    const rest = this.#filled - this.#next
    if (rest >= size) return
    const old = this.#buffer
    if (size > this.#size) {
      this.#size = size + (size >> 2)
      this.#buffer = this.#pieces.allocate(this.#size + SLACK)
    }
    const { bytes } = this.#heap
    bytes.copyWithin(this.#buffer, this.#next, this.#filled)
    if (this.#buffer !== old) this.#pieces.release(old)
    this.#next = this.#buffer
    this.#filled = this.#buffer + rest
    const n = this.#file.read(bytes.subarray(this.#filled, this.#buffer + this.#size), this.#at)
    this.#at += n
    this.#filled += n
  }
}

const getUint32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
function setUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}

export type CursorKey = Pick<Cursor, 'key' | 'keyStart' | 'keyEnd'>

interface Source {
  readonly cursor: RunReader
  /** Order among equal keys: of the run that was written first. */
  readonly rank: number
  /** The first eight bytes of the key. */
  high: number
  low: number
}

/** Several runs as one, in order; of equal keys those of earlier runs first. O(log runs) an entry. */
export class MergeCursor implements Cursor {
  /** A binary heap, the least on top. */
  readonly #heap: Source[] = []
  #top: RunReader | undefined
  #started = false

  constructor(cursors: readonly RunReader[]) {
    cursors.forEach((cursor, rank) => {
      const source: Source = { cursor, rank, high: 0, low: 0 }
      if (!cursor.advance()) return
      readWords(source)
      this.#heap.push(source)
    })
    for (let at = (this.#heap.length >> 1) - 1; at >= 0; at--) this.#sink(at)
  }

  get key(): Uint8Array {
    return this.#top!.key
  }
  get keyStart(): number {
    return this.#top!.keyStart
  }
  get keyEnd(): number {
    return this.#top!.keyEnd
  }
  get bytes(): Uint8Array {
    return this.#top!.bytes
  }
  get start(): number {
    return this.#top!.start
  }
  get end(): number {
    return this.#top!.end
  }

  advance(): boolean {
    const heap = this.#heap
    if (this.#started && heap.length > 0) {
      const top = heap[0]!
      if (top.cursor.advance()) readWords(top)
      else {
        const last = heap.pop()!
        if (heap.length > 0) heap[0] = last
      }
      this.#sink(0)
    }
    this.#started = true
    this.#top = heap[0]?.cursor
    this.#top?.locate()
    return heap.length > 0
  }

  #sink(at: number): void {
    const heap = this.#heap
    const source = heap[at]
    if (!source) return
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, source)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = source
  }
}

function readWords(source: Source): void {
  const { key, keyStart, keyEnd } = source.cursor
  source.high = word(key, keyStart, keyEnd - keyStart)
  source.low = word(key, keyStart + 4, keyEnd - keyStart - 4)
}

function before(a: Source, b: Source): boolean {
  if (a.high !== b.high) return a.high < b.high
  if (a.low !== b.low) return a.low < b.low
  const order = compareKeys(a.cursor, b.cursor, 8)
  return order !== 0 ? order < 0 : a.rank < b.rank
}

/** Order of the keys of two cursors, the first `skip` bytes known to be equal. */
export function compareKeys(a: CursorKey, b: CursorKey, skip = 0): number {
  const aLength = a.keyEnd - a.keyStart
  const bLength = b.keyEnd - b.keyStart
  const { key: aKey, keyStart: aStart } = a
  const { key: bKey, keyStart: bStart } = b
  const { bytes, kernel } = storeHeap()
  if (aKey === bytes && bKey === bytes) return kernel.compareBytes(aStart, aLength, bStart, bLength)
  const both = Math.min(aLength, bLength)
  for (let p = skip; p < both; p++) {
    const difference = aKey[aStart + p]! - bKey[bStart + p]!
    if (difference !== 0) return difference
  }
  return aLength - bLength
}
