import type { KeyTable, RecordBatch } from './batch.ts'
import type { FieldPath } from './field-path.ts'

/** Milliseconds since the Unix epoch, by the clock of the events. */
export type EventTime = number & { readonly brand?: 'event time' }
/** Milliseconds since the Unix epoch, by the wall clock. */
export type ProcessingTime = number & { readonly brand?: 'processing time' }

/** Where an operator's records go. */
export interface Collector {
  /** Passes on the rows `from`..`to` whose mask is 1 (all without a mask), unchanged. */
  forward(batch: RecordBatch, mask?: Uint8Array, from?: number, to?: number): void
  /** Emits whole records, each ended by "\n". The bytes are used or copied before this returns. */
  emit(lines: Uint8Array): void
  /** The same for a latin1 ("binary") string: char codes are bytes. */
  emitText(lines: string): void
  /**
   * Emits a record with this one member for each word of a text: what stands between ASCII white space. False: that cannot be done at once, and nothing
   * was done. All else that was emitted comes first.
   */
  emitWords?(member: string, text: Uint8Array): boolean
}

/**
 * The one interface of commands, fused pipelines and tests. Synchronous; knows nothing of processes, files, clocks or exit
 * codes: clock and randomness come from the `StageContext`, waiting belongs to sources and sinks.
 */
export interface Operator<Delta = unknown> {
  /** Handles one batch of input `port` (0 = left). Must not keep `batch` after returning. 'done' stops upstream (head, limit). */
  processBatch(batch: RecordBatch, out: Collector, port: number): void | 'done'
  onWatermark?(watermark: EventTime, out: Collector): void
  /** Where it is in event time, for people who watch. */
  readonly watermark?: EventTime
  onTimer?(now: ProcessingTime, out: Collector): void
  onEnd?(out: Collector): void
  /**
   * Everything (`whole`), or what changed since the last snapshot or `restore`, which may be everything, too (see `OperatorStage.snapshots`).
   * As V8's serializer takes it; it is written before the operator goes on. And back, in order: one at a time is in memory. `restore` comes
   * before the first record wherever snapshots will be taken, with nothing where nothing was kept.
   */
  snapshot?(whole: boolean): Delta
  /**
   * Asked before that: what has happened since the last one cannot be told as changes, so it has to be everything. `seal`: what comes now
   * stands for all that was said since the last such answer, is kept for good, and later snapshots know nothing of it: for what has gone
   * to disk.
   */
  mustSnapshotWhole?(): boolean | 'seal'
  restore?(deltas: Iterable<Delta>): void
  /**
   * How many it holds of what, in an order of its own, as of the last snapshot; and, before `restore`, room for so many, so that it need not grow
   * while they come. Called while the files are read.
   */
  sizes?(): readonly number[]
  makeRoom?(sizes: readonly number[]): void
}

/** An operator whose work can be split over workers and put together again. State is what `structuredClone` takes. */
export interface MergeableOperator<State = unknown> extends Operator {
  exportState(): State
  /** Takes in what another worker saw. Records are ordered by `RecordBatch.position`, so any order of merges gives the same result. */
  mergeState(state: State): void
}

/**
 * One whose work after the last record can be shared, too: rounds of numbered tasks, whose output leaves in the order of their numbers.
 * `onEnd` does the same in one thread.
 */
export interface SharedEndOperator<State = unknown> extends MergeableOperator<State> {
  /** The next round, once what all threads have come to in the one before is merged. Undefined: nothing is left to share, `onEnd` follows. */
  nextRound(): EndRound | undefined
  /** In another thread, instead of any record: takes part in a round. */
  joinRound(round: EndRound): void
  /** Does a task but for its output, which the result writes when it is the task's turn. */
  endTask(task: number): ((out: Collector) => void) | undefined
  /** What this thread's tasks have come to. */
  leaveRound(): unknown
  mergeRound(state: unknown): void
}
/** Plain data, as `structuredClone` takes it. */
export interface EndRound {
  readonly tasks: number
  /** Tasks have output: they take turns. */
  readonly writes: boolean
  readonly plan: unknown
}

/** What a worker makes of a block of the input. Plain data, as `structuredClone` takes it. */
export interface Part {
  /** How much it holds: parts that are nearly as large as their blocks are not worth a second thread. */
  readonly entries: number
}
/** Makes parts of blocks, each without knowing what came before it. */
export interface PartOperator<Own extends Part = Part> {
  processBatch(batch: RecordBatch): void
  /** What has come since the last call. */
  takePart(): Own
}
/** An operator that can also be fed parts, in the order of the input: then it does what it would have done with the records. */
export interface FoldingOperator<Own extends Part = Part> extends Operator {
  addPart(part: Own, out: Collector): void
}

/** One input of an operator of two, read by another thread. */
export interface SideOperator<State = unknown> {
  processBatch(batch: RecordBatch): void
  /** At the end of the input: all of it, as `structuredClone` takes it. */
  handOver(): State
}

/** What is wrong with a record, in words; `column` counts bytes from 1, of the line. */
export interface Problem {
  readonly problem: string
  readonly column?: number
  readonly hint?: string
}

/** What a stage gets from its driver. */
export interface StageContext {
  /**
   * A record that cannot be processed. Throws `BeckError('bad-record')`, or keeps the line in the dead letters and counts it; then the
   * operator goes on with the next row. Call it in row order, after emitting everything before that row.
   */
  reject(batch: RecordBatch, row: number, problem: Problem): void
  /** Dense ids for the values of some of the stage's fields (indices into its `reads`). */
  keyTable(fields: readonly number[]): KeyTable
  now(): ProcessingTime
  /** A file of records beside the output (`--late-to FILE`), opened at once and empty if nothing is written. Lines end in "\n". */
  sideFile(file: string): { write(lines: Uint8Array): void }
  /** A line on stderr when the stage ends: "late: dropped 3 records". Counted over all workers. */
  count(what: string, records: number): void
  /** Bytes that all workers of this stage may hold before they spill. */
  readonly memoryBytes: number
  readonly workers: number
  /** Reads records again that were kept as lines: these fields of them. For operators that share their end. */
  lineReader?(reads: readonly FieldPath[]): LineReader
  /** The input that is being read, if lines of it can be read again. Only for stages that say that they want that (`SideOperator`). */
  input?(): KeptInput | undefined
  /** New scratch space on disk, under `--tmp`; or that of another thread of this process, which must not use it any more. */
  spill(handle?: SpillHandle): SpillFile
}

/** A regular file that is open until the process ends. Its bytes at `position - base` are those at that position of the input. */
export interface KeptInput {
  readonly name: string
  readonly fd: number
  readonly base: number
}

/** Makes batches of lines that were good before. */
export interface LineReader {
  keyTable(fields: readonly number[]): KeyTable
  /** @param fill fills some of `into` and says how much; 0 is the end */
  read(fill: (into: Uint8Array) => number, take: (batch: RecordBatch) => void): void
}

/** Scratch space on disk, for what does not fit `memoryBytes`. It is gone when the process is, however that ends. */
export interface SpillFile {
  /** Bytes appended so far. */
  readonly size: number
  /** Unbuffered: gather small pieces first. @throws BeckError spill-full, file */
  append(bytes: Uint8Array): void
  /** Fills `into` with what stands at `at`; returns how much there was (less only at the end). */
  read(into: Uint8Array, at: number): number
  /** Gives the space back. */
  close(): void
  /** For another thread of this process: see `StageContext.spill`. */
  readonly handle: SpillHandle
}
export interface SpillHandle {
  readonly fd: number
  readonly size: number
}
