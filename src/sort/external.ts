import type { RecordBatch } from '../core/batch.ts'
import type { KeptInput, SpillFile, SpillHandle } from '../core/operator.ts'
import { storedBytes } from './arena.ts'
import { type BlockOrigin, eachEntry, Entries, EntriesCursor, type EntriesState } from './entries.ts'
import { areNear, BLOCK_BYTES, InputLines } from './input-lines.ts'
import { MergeCursor, RunReader, RunWriter, type Cursor } from './runs.ts'

export interface ExternalSorterOptions {
  /** What may be held before a run is spilled, and for the buffers of the merge. */
  readonly memoryBytes: number
  readonly spill: () => SpillFile
  /** Payloads of equal keys may be put together: the consumer only copies them. */
  readonly grouped: boolean
}

interface Run {
  readonly file: SpillFile
  /** Payloads are not in the file, but lines of these. */
  readonly inputs?: readonly KeptInput[]
}
/** A run for another thread of this process. */
export interface RunHandle extends SpillHandle {
  readonly inputs?: readonly KeptInput[]
}

/** Of the memory, for entries; the rest is for sorting them and for the block at hand. */
const SHARE = 0.8
const BUFFER_BYTES = 1 << 20
const LEAST_BUFFER_BYTES = 1 << 15
const MOST_RUNS = 256
/** So many times the memory goes to disk before lines are read again from inputs: that stays in the system's memory, and is quicker to read. */
const WHOLE_SHARES = 4
/** Of the memory, for blocks of inputs that are read again; so many of them there must be for each such run. */
const AGAIN_SHARE = 0.375
const BLOCKS_PER_RUN = 8

/**
 * Sorts entries by the bytes of their keys, stable; beyond its memory in sorted runs on disk, merged at the end. No key may begin
 * another one. O(n) in memory, where keys differ early; O(n log runs) beyond.
 */
export class ExternalSorter {
  readonly #options: ExternalSorterOptions
  readonly #entries = new Entries()
  /** Runs by how often they were merged; earlier ones first, and those of higher levels before all of lower ones. */
  readonly #levels: Run[][] = []
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
   * `generation` changes, and keys have to be given anew. With an origin payloads are lines, and perhaps read from there again in place of
   * going to disk.
   */
  place(bytes: Uint8Array, start: number, end: number, origin?: BlockOrigin): number {
    const { memoryBytes } = this.#options
    if (this.#entries.bytes + end - start > SHARE * memoryBytes && this.#entries.count > 0) this.#spill()
    const place = this.#entries.payloads.place(bytes, start, end)
    this.#entries.beginBlock(place, origin)
    return place
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
  handOver(): RunHandle[] {
    if (this.#entries.count > 0) this.#spill()
    this.#entries.free()
    return this.#levels.reverse().flatMap((runs) => runs.map(({ file, ...run }) => ({ ...run, ...file.handle })))
  }
  /** Takes up what another sorter has handed over, before anything else. */
  takeOver(runs: readonly Run[]): void {
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
    this.#keep(0, { file: run.file })
  }

  #spill(): void {
    if (this.#added && this.#entries.count > this.#next) this.#added.push(this.#entries.export(this.#next))
    this.#next = 0
    this.#keep(0, this.#spilledEntries())
    this.#entries.clear()
    this.generation++
  }

  #spilledEntries(): Run {
    const cursor = new EntriesCursor(this.#entries)
    const again = this.#mayRefer() ? this.#entries.positions() : undefined
    if (!again || !areNear(cursor.order, again.positions, this.#entries.payloads.bytes)) return this.#write(cursor)
    const run = this.beginRun()
    while (cursor.advance()) run.refer(cursor, again.positions[cursor.entry]!, cursor.end - cursor.start)
    run.end()
    return { file: run.file, inputs: again.inputs }
  }

  /** Whether it is worth it, and there would be blocks enough for one more run that has its lines elsewhere. */
  #mayRefer(): boolean {
    const { grouped, memoryBytes } = this.#options
    const runs = this.#levels.flat()
    if (grouped || runs.reduce((sum, { file }) => sum + file.size, 0) < WHOLE_SHARES * memoryBytes) return false
    const referring = runs.filter(({ inputs }) => inputs).length + 1
    return referring * BLOCKS_PER_RUN * BLOCK_BYTES <= AGAIN_SHARE * memoryBytes
  }

  /** A level that is full becomes one run of the next. */
  #keep(level: number, run: Run): void {
    const runs = (this.#levels[level] ??= [])
    runs.push(run)
    if (runs.length >= this.#mostRuns()) this.#keep(level + 1, this.#merge(runs.splice(0)))
  }

  #merge(runs: readonly Run[]): Run {
    return this.#write(this.#cursor(runs))
  }

  #write(cursor: Cursor): Run {
    const run = this.beginRun()
    while (cursor.advance()) run.write(cursor)
    run.end()
    return { file: run.file }
  }

  #cursor(runs: readonly Run[]): Cursor {
    const { memoryBytes } = this.#options
    // By their positions, each once.
    const inputs = new Map(runs.flatMap((run) => run.inputs ?? []).map((input) => [input.base, input]))
    const again = inputs.size > 0 ? new InputLines([...inputs.values()], AGAIN_SHARE * memoryBytes) : undefined
    const share = Math.floor((memoryBytes * (again ? 0.5 - AGAIN_SHARE : 0.5)) / runs.length)
    const buffer = Math.max(LEAST_BUFFER_BYTES, Math.min(BUFFER_BYTES, share))
    return new MergeCursor(runs.map((run) => new RunReader(run.file, buffer, run.inputs && again)))
  }
}
