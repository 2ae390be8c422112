import type { RecordBatch } from '../core/batch.ts'
import type { SpillFile, SpillHandle } from '../core/operator.ts'
import { storedBytes } from './arena.ts'
import { eachEntry, Entries, EntriesCursor, type EntriesState } from './entries.ts'
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
  /** Entries that went to disk since `added` was called last; undefined while nobody asks. */
  #added: EntriesState[] | undefined
  /** The first of the entries in memory that `added` has not given out. */
  #next = 0

  constructor(options: ExternalSorterOptions) {
    this.#options = { ...options, memoryBytes: storedBytes(options.memoryBytes) }
  }

  /** How often what was held has gone to disk. */
  generation = 0

  get spilled(): boolean {
    return this.#levels.length > 0
  }

  /**
   * Takes a copy of a block that payloads are in; `add` them before the next call. What was held before may go to disk: then
   * `generation` changes, and keys have to be given anew.
   */
  place(bytes: Uint8Array, start: number, end: number): number {
    const { memoryBytes } = this.#options
    if (this.#entries.bytes + end - start > SHARE * memoryBytes && this.#entries.count > 0) this.#spill()
    return this.#entries.payloads.place(bytes, start, end)
  }

  /** Takes a copy of a key, for one payload or many. */
  key(key: Uint8Array, start: number, end: number): number {
    return this.#entries.keys.add(key, start, end)
  }

  /** A payload at `place`. */
  add(key: number, place: number, length: number): void {
    this.#entries.add(key, place, length)
  }

  /** The lines of a batch, placed at `place`, each with the number of its key. */
  addLines(batch: RecordBatch, place: number, keys: Uint32Array): void {
    this.#entries.addLines(batch, place, keys)
  }

  /** Copies a payload with a key of its own. */
  insert(key: Uint8Array, keyStart: number, keyEnd: number, payload: Uint8Array, start: number, end: number): void {
    const place = this.place(payload, start, end)
    this.add(this.key(key, keyStart, keyEnd), place, end - start)
  }

  /**
   * The entries that have come since the last call, in their order, for a log that `restore` reads. The first call must come before the
   * first entry: from then on they are remembered until they are asked for, also where they have gone to disk.
   */
  added(): readonly EntriesState[] {
    const added = this.#added ?? []
    if (this.#entries.count > this.#next) added.push(this.#entries.export(this.#next))
    this.#next = this.#entries.count
    this.#added = []
    return added
  }

  /** Takes up what `added` has given. */
  restore(added: Iterable<EntriesState>): void {
    const remembers = this.#added !== undefined
    this.#added = undefined
    for (const entries of added) eachEntry(entries, (...entry) => this.insert(...entry))
    this.#next = this.#entries.count
    if (remembers) this.#added = []
  }

  /** All entries as runs on disk, in their order, for another thread's sorter. This one is of no use after that. */
  handOver(): SpillHandle[] {
    if (this.#entries.count > 0) this.#spill()
    this.#entries.free()
    return this.#levels.reverse().flatMap((runs) => runs.map(({ handle }) => handle))
  }
  /** Takes up what another sorter has handed over, before anything else. */
  takeOver(runs: readonly SpillFile[]): void {
    for (const run of runs) this.#keep(0, run)
  }

  /** Everything in order. Call it once. */
  sorted(): Cursor {
    if (!this.spilled) return new EntriesCursor(this.#entries)
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

  /** Begins anew, with all of its memory: after everything has been read. */
  clear(): void {
    this.#entries.clear()
    this.#levels.length = 0
    this.generation++
  }

  #mostRuns(): number {
    return Math.max(2, Math.min(MOST_RUNS, Math.floor(this.#options.memoryBytes / 2 / LEAST_BUFFER_BYTES)))
  }

  /** A run whose entries come in order already; to be ended by `endRun`. Of equal keys those of earlier runs come first. */
  beginRun(): RunWriter {
    const file = this.#options.spill()
    return new RunWriter(file, this.#options.grouped)
  }
  endRun(run: RunWriter): void {
    run.end()
    this.#keep(0, run.file)
  }

  #spill(): void {
    if (this.#added && this.#entries.count > this.#next) this.#added.push(this.#entries.export(this.#next))
    this.#next = 0
    this.#keep(0, this.#write(new EntriesCursor(this.#entries)))
    this.#entries.clear()
    this.generation++
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
    const run = this.beginRun()
    while (cursor.advance()) run.write(cursor)
    run.end()
    return run.file
  }

  #cursor(runs: readonly SpillFile[]): Cursor {
    const share = Math.floor(this.#options.memoryBytes / 2 / runs.length)
    const buffer = Math.max(LEAST_BUFFER_BYTES, Math.min(BUFFER_BYTES, share))
    return new MergeCursor(runs.map((run) => new RunReader(run, buffer)))
  }
}
