import type { SpillFile } from '../core/operator.ts'
import { type Heap, Pieces, SLACK } from '../ndjson/heap.ts'
import { storeHeap } from './arena.ts'

/** What is handed on at a time. */
export const PIECE_BYTES = 1 << 18
/** Of a run's lines; an eighth of that for its positions. Less where there are many runs. */
const MOST_BUFFER_BYTES = 1 << 17
const LEAST_BUFFER_BYTES = 1 << 12
/** As kernel/merge.ts draws them. */
const RUN_BYTES = 16
const ENTRY_BYTES = 16
const FULL = -1
const DONE = -2

/** A part of a file. */
export interface Extent {
  readonly file: SpillFile
  readonly start: number
  readonly end: number
}
/** Lines and their numbers, which ascend: eight bytes each, and text. */
export interface RunExtents {
  readonly positions: Extent
  readonly lines: Extent
}

/** A part of a file, read piece by piece into the kernel's memory. */
class Reader {
  readonly #heap: Heap
  readonly #pieces: Pieces
  readonly #extent: Extent
  #next: number
  #buffer: number
  #size: number

  constructor(heap: Heap, pieces: Pieces, extent: Extent, size: number) {
    this.#heap = heap
    this.#pieces = pieces
    this.#extent = extent
    this.#next = extent.start
    this.#size = size
    this.#buffer = pieces.allocate(size + SLACK)
  }

  /** Keeps what stands at `at`..`end`, and adds to it: the places where it stands now. */
  more(at: number, end: number): [at: number, end: number] {
    const kept = end - at
    const old = this.#buffer
    if (kept > this.#size >> 1) {
      this.#size *= 2
      this.#buffer = this.#pieces.allocate(this.#size + SLACK)
    }
    const { bytes } = this.#heap
    bytes.copyWithin(this.#buffer, at, end)
    if (this.#buffer !== old) this.#pieces.release(old)
    const from = this.#buffer + kept
    const wanted = Math.min(this.#size - kept, this.#extent.end - this.#next)
    this.#extent.file.read(bytes.subarray(from, from + wanted), this.#next)
    this.#next += wanted
    return [this.#buffer, from + wanted]
  }
}

/** Runs of lines as one, in the order of their numbers: the kernel merges. O(log runs) a line. */
export class RunsMerge {
  readonly #heap = storeHeap()
  readonly #pieces = new Pieces(this.#heap, this)
  readonly #runs: readonly { readonly positions: Reader; readonly lines: Reader }[]
  readonly #states: number
  readonly #order: number
  #count: number

  constructor(runs: readonly RunExtents[], memoryBytes: number) {
    const share = Math.max(LEAST_BUFFER_BYTES, Math.min(MOST_BUFFER_BYTES, memoryBytes / 2 / Math.max(1, runs.length)))
    const size = 2 ** Math.floor(Math.log2(share))
    this.#states = this.#pieces.allocateZeroed(RUN_BYTES * (runs.length + 1))
    this.#order = this.#pieces.allocate(ENTRY_BYTES * (runs.length + 1))
    this.#runs = runs.map(({ positions, lines }) => ({
      positions: new Reader(this.#heap, this.#pieces, positions, size >> 3),
      lines: new Reader(this.#heap, this.#pieces, lines, size),
    }))
    this.#count = runs.length
    for (let run = 0; run < runs.length; run++) {
      const entry = this.#order + ENTRY_BYTES * run
      const position = this.#fill(run) as number // no run is empty
      this.#heap.f64[entry >>> 3] = position
      this.#heap.u32[(entry >>> 2) + 2] = run
    }
    for (let at = (runs.length >> 1) - 1; at >= 0; at--) this.#heap.kernel.sinkRun(this.#order, runs.length, at)
  }

  /** Reads more of a run; its next position, or undefined at its end. */
  #fill(run: number): number | undefined {
    const { positions, lines } = this.#runs[run]!
    const at = (this.#states + RUN_BYTES * run) >>> 2
    const word = (index: number): number => this.#heap.u32[at + index]!
    const [next, end] = positions.more(word(0), word(1))
    if (next === end) return undefined
    const [line, linesEnd] = lines.more(word(2), word(3))
    this.#heap.u32.set([next, end, line, linesEnd], at)
    return this.#heap.f64[next >>> 3]!
  }

  /** All lines, in pieces that are valid until `emit` returns. Call it once. */
  drain(emit: (lines: Uint8Array) => void): void {
    const heap = this.#heap
    let size = PIECE_BYTES
    let out = this.#pieces.allocate(size)
    for (;;) {
      const run = heap.kernel.mergeLines(this.#states, this.#order, this.#count, out, out + size)
      const length = heap.kernel.mergedBytes()
      if (length > 0) emit(heap.bytes.subarray(out, out + length))
      if (run === DONE) return
      if (run === FULL) {
        if (length > 0) continue
        this.#pieces.release(out)
        size *= 2
        out = this.#pieces.allocate(size)
        continue
      }
      // The run is on top of the heap.
      const position = this.#fill(run)
      if (position !== undefined) heap.f64[this.#order >>> 3] = position
      else {
        const last = this.#order + ENTRY_BYTES * --this.#count
        heap.bytes.copyWithin(this.#order, last, last + ENTRY_BYTES)
      }
    }
  }
}
