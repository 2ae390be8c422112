import type { SpillFile } from '../core/operator.ts'
import { Entries } from './entries.ts'
import { MergeCursor, RunReader, RunWriter, type Cursor } from './runs.ts'

export interface ExternalSorterOptions {
  /** What may be held before a run is spilled, and for the buffers of the merge. */
  readonly memoryBytes: number
  readonly spill: () => SpillFile
  /** Payloads of equal keys may be put together: the consumer only copies them. */
  readonly grouped: boolean
}

/** Of the memory, for entries; the rest is for sorting them and for the block at hand. */
const SHARE = 0.8
const BUFFER_BYTES = 1 << 20
const LEAST_BUFFER_BYTES = 1 << 15
const MOST_RUNS = 256

/**
 * Sorts entries by the bytes of their keys, stable; beyond its memory in sorted runs on disk, merged at the end. No key may begin
 * another one. O(n) in memory, where keys differ early; O(n log runs) beyond.
 */
export class ExternalSorter {
  readonly #options: ExternalSorterOptions
  readonly #entries = new Entries()
  /** Runs by how often they were merged; earlier ones first, and those of higher levels before all of lower ones. */
  readonly #levels: SpillFile[][] = []

  constructor(options: ExternalSorterOptions) {
    this.#options = options
  }

  get spilled(): boolean {
    return this.#levels.length > 0
  }

  /** Takes a copy of a block that payloads are in; `add` them before the next call. */
  place(bytes: Uint8Array, start: number, end: number): number {
    if (this.#entries.bytes + end - start > SHARE * this.#options.memoryBytes && this.#entries.count > 0) this.#spill()
    return this.#entries.place(bytes, start, end)
  }

  /** A payload at `place`; the key is copied. */
  add(key: Uint8Array, keyStart: number, keyEnd: number, place: number, length: number): void {
    this.#entries.add(key, keyStart, keyEnd, place, length)
  }

  /** Everything in order. Call it once. */
  sorted(): Cursor {
    if (!this.spilled) {
      this.#entries.sort()
      return new MemoryCursor(this.#entries)
    }
    if (this.#entries.count > 0) this.#spill()
    this.#entries.free()
    const most = this.#mostRuns()
    // Highest level first: those are the oldest.
    let runs = this.#levels.reverse().flat()
    while (runs.length > most) {
      // The last ones are the smallest.
      const together = Math.min(most, runs.length - most + 1)
      runs = [...runs.slice(0, -together), this.#merge(runs.slice(-together))]
    }
    return this.#cursor(runs)
  }

  #mostRuns(): number {
    return Math.max(2, Math.min(MOST_RUNS, Math.floor(this.#options.memoryBytes / 2 / LEAST_BUFFER_BYTES)))
  }

  #spill(): void {
    this.#entries.sort()
    const cursor = new MemoryCursor(this.#entries)
    this.#keep(0, this.#write(cursor))
    this.#entries.clear()
  }

  /** A level that is full becomes one run of the next. */
  #keep(level: number, run: SpillFile): void {
    const runs = (this.#levels[level] ??= [])
    runs.push(run)
    if (runs.length >= this.#mostRuns()) this.#keep(level + 1, this.#merge(runs.splice(0)))
  }

  #merge(runs: readonly SpillFile[]): SpillFile {
    return this.#write(this.#cursor(runs))
  }

  #write(cursor: Cursor): SpillFile {
    const file = this.#options.spill()
    const writer = new RunWriter(file, this.#options.grouped)
    while (cursor.advance()) writer.write(cursor)
    writer.end()
    return file
  }

  #cursor(runs: readonly SpillFile[]): Cursor {
    const share = Math.floor(this.#options.memoryBytes / 2 / runs.length)
    const buffer = Math.max(LEAST_BUFFER_BYTES, Math.min(BUFFER_BYTES, share))
    return new MergeCursor(runs.map((run) => new RunReader(run, buffer)))
  }
}

class MemoryCursor implements Cursor {
  readonly #entries: Entries
  #at = -1
  key: Uint8Array = new Uint8Array(0)
  keyStart = 0
  keyEnd = 0
  bytes: Uint8Array = new Uint8Array(0)
  start = 0
  end = 0

  constructor(entries: Entries) {
    this.#entries = entries
  }
  advance(): boolean {
    const entries = this.#entries
    if (++this.#at >= entries.count) return false
    const entry = entries.order[this.#at]!
    this.key = entries.keyChunk(entry)
    this.keyStart = entries.keyStart(entry)
    this.keyEnd = this.keyStart + entries.keyLength(entry)
    this.bytes = entries.chunk(entry)
    this.start = entries.start(entry)
    this.end = this.start + entries.length(entry)
    return true
  }
}
