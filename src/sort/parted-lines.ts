import type { PartedLines as BatchLines } from '../core/batch.ts'
import { grownInts } from '../core/columns.ts'
import type { SpillFile, SpillHandle, StageContext } from '../core/operator.ts'

/** The system backs a page once it is used, so that a chunk which is not full costs nothing. */
const CHUNK_BYTES = 1 << 20
/** Bytes for a file are gathered up to this, and read so many at a time. */
const MOST_WRITE_BYTES = 1 << 16
const LEAST_WRITE_BYTES = 1 << 12
const READ_BYTES = 1 << 18

/** For other threads of this process. */
export interface PartedLinesState {
  /** Of each batch. */
  readonly positions: Float64Array
  /** Of the lines of each batch in each partition. */
  readonly lengths: Uint32Array
  readonly parts: readonly PartState[]
}
/** Lines of a partition: first those in memory that threads share, then those on disk. */
interface PartState {
  readonly chunks: readonly SharedArrayBuffer[]
  readonly memoryBytes: number
  readonly file: SpillHandle | undefined
}

/** The same as it grows. */
interface Part {
  readonly chunks: SharedArrayBuffer[]
  /** A view of the last one, and how much of it is used. */
  chunk: Uint8Array
  used: number
  memoryBytes: number
  file: SpillFile | undefined
  /** For the file. */
  gathered: Uint8Array
  gatheredBytes: number
}

/**
 * Lines in partitions, as they come; beyond `memoryBytes` on disk. O(1) a byte. What several threads have kept is read as one, in the order of
 * the positions of their batches (`PartStream`).
 */
export class PartedLines {
  readonly #spill: StageContext['spill']
  readonly #parts: Part[]
  readonly #writeBytes: number
  readonly #positions: number[] = []
  #lengths: Uint32Array = new Uint32Array(0)
  /** What may still be kept in memory. */
  #left: number

  /** @param memoryBytes for lines @param bufferBytes for what is gathered on its way to disk */
  constructor(spill: StageContext['spill'], partitions: number, memoryBytes: number, bufferBytes: number) {
    this.#spill = spill
    this.#writeBytes = Math.max(LEAST_WRITE_BYTES, Math.min(MOST_WRITE_BYTES, bufferBytes / partitions))
    this.#left = memoryBytes
    const none = new Uint8Array(0)
    this.#parts = Array.from({ length: partitions }, () => ({
      chunks: [],
      chunk: none,
      used: 0,
      memoryBytes: 0,
      file: undefined,
      gathered: none,
      gatheredBytes: 0,
    }))
  }

  /** Adds the lines of the batch at `position`. Positions ascend. */
  add({ bytes, starts, ends }: BatchLines, position: number): void {
    const parts = this.#parts
    const first = this.#positions.length * parts.length
    this.#positions.push(position)
    this.#lengths = grownInts(this.#lengths, first + parts.length)
    for (let index = 0; index < parts.length; index++) {
      const part = parts[index]!
      const start = starts[index]!
      const end = ends[index]!
      if (start === end) continue
      this.#lengths[first + index] = end - start
      if (part.file || this.#left < end - start) this.#toFile(part, bytes, start, end)
      else this.#keep(part, bytes, start, end)
    }
  }

  #keep(part: Part, bytes: Uint8Array, start: number, end: number): void {
    this.#left -= end - start
    part.memoryBytes += end - start
    while (start < end) {
      if (part.used === part.chunk.length) {
        const chunk = new SharedArrayBuffer(CHUNK_BYTES)
        part.chunks.push(chunk)
        part.chunk = new Uint8Array(chunk)
        part.used = 0
      }
      const size = Math.min(end - start, part.chunk.length - part.used)
      part.chunk.set(viewOf(bytes, start, size), part.used)
      part.used += size
      start += size
    }
  }

  #toFile(part: Part, bytes: Uint8Array, start: number, end: number): void {
    if (!part.file) {
      part.file = this.#spill()
      part.gathered = new Uint8Array(this.#writeBytes)
    }
    if (part.gatheredBytes + end - start > part.gathered.length) flush(part)
    if (end - start > part.gathered.length) part.file.append(viewOf(bytes, start, end - start))
    else {
      part.gathered.set(viewOf(bytes, start, end - start), part.gatheredBytes)
      part.gatheredBytes += end - start
    }
  }

  /** All of it; nothing can be added after that. */
  export(): PartedLinesState {
    for (const part of this.#parts) flush(part)
    return {
      positions: Float64Array.from(this.#positions),
      lengths: this.#lengths.slice(0, this.#positions.length * this.#parts.length),
      parts: this.#parts.map(({ chunks, memoryBytes, file }) => ({ chunks, memoryBytes, file: file?.handle })),
    }
  }
}

function flush(part: Part): void {
  if (part.gatheredBytes > 0) part.file!.append(viewOf(part.gathered, 0, part.gatheredBytes))
  part.gatheredBytes = 0
}

/** Not subarray: that of a Buffer takes three times as long. */
const viewOf = (bytes: Uint8Array, start: number, size: number): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset + start, size)

/** The lines of a partition, from all threads, in the order of their batches. */
export class PartStream {
  readonly #cursors: readonly PartCursor[]
  #current: PartCursor | undefined

  constructor(states: readonly PartedLinesState[], partition: number, spill: StageContext['spill']) {
    this.#cursors = states.map((state) => new PartCursor(state, partition, spill))
  }

  /** Fills some of `into` and says how much; 0 is the end. */
  fill(into: Uint8Array): number {
    let at = 0
    while (at < into.length) {
      const current = (this.#current ??= this.#first())
      if (!current) break
      at += current.read(into, at)
      if (current.left > 0) continue
      current.next()
      this.#current = undefined
    }
    return at
  }

  /** Whoever has the batch that comes first. */
  #first(): PartCursor | undefined {
    let first: PartCursor | undefined
    for (const cursor of this.#cursors) {
      if (cursor.left > 0 && !(first && first.position < cursor.position)) first = cursor
    }
    return first
  }

  /** Gives the space of its files back. */
  close(): void {
    for (const cursor of this.#cursors) cursor.close()
  }
}

/** Those of a thread. */
class PartCursor {
  readonly #state: PartedLinesState
  readonly #partition: number
  readonly #part: PartState
  readonly #file: SpillFile | undefined
  #batch = -1
  /** Bytes of the current batch that are to be read; 0 once `next` has found nothing more. */
  left = 0
  /** How far all is read. */
  #at = 0
  /** A part of the file, and where it begins there. */
  #buffer = new Uint8Array(0)
  #bufferAt = 0
  #buffered = 0

  constructor(state: PartedLinesState, partition: number, spill: StageContext['spill']) {
    this.#state = state
    this.#partition = partition
    this.#part = state.parts[partition]!
    this.#file = this.#part.file && spill(this.#part.file)
    this.next()
  }

  get position(): number {
    return this.#state.positions[this.#batch]!
  }

  /** Goes on to the next batch that has lines. */
  next(): void {
    const { positions, lengths, parts } = this.#state
    while (this.left === 0 && ++this.#batch < positions.length) {
      this.left = lengths[this.#batch * parts.length + this.#partition]!
    }
  }

  /** Copies some of the current batch to `at`. Returns how much. */
  read(into: Uint8Array, at: number): number {
    const { chunks, memoryBytes } = this.#part
    let size = Math.min(this.left, into.length - at)
    if (this.#at < memoryBytes) {
      const start = this.#at % CHUNK_BYTES
      size = Math.min(size, CHUNK_BYTES - start, memoryBytes - this.#at)
      into.set(new Uint8Array(chunks[Math.floor(this.#at / CHUNK_BYTES)]!, start, size), at)
    } else {
      let start = this.#at - memoryBytes - this.#bufferAt
      if (start === this.#buffered) {
        if (this.#buffer.length === 0) this.#buffer = new Uint8Array(READ_BYTES)
        this.#bufferAt += start
        start = 0
        this.#buffered = this.#file!.read(this.#buffer, this.#bufferAt)
      }
      size = Math.min(size, this.#buffered - start)
      into.set(viewOf(this.#buffer, start, size), at)
    }
    this.#at += size
    this.left -= size
    return size
  }

  close(): void {
    this.#file?.close()
  }
}
