import type { RecordBatch } from './batch.ts'
import type { ErrorCode } from './errors.ts'
import type { FieldPath } from './field-path.ts'
import type { MergeableOperator, Operator, PartOperator, Problem, SideOperator, StageContext } from './operator.ts'

/**
 * A command's spec: the single source of its help, docs page, completion, fused stage and example tests.
 * One command, one file in `commands/`, one spec.
 */
export interface CommandSpec {
  readonly name: string
  /** One line, for lists. No full stop. */
  readonly summary: string
  /** What it does in a few sentences, for help and the docs page. */
  readonly description?: string
  /** Positional arguments before the files, as `EXPRESSION` or `AGGREGATES`. */
  readonly program?: readonly Argument[]
  /** How many words before the files are the program, where its first word decides that (`from regex PATTERN`). Default: all of `program`. */
  programWords?(first: string | undefined): number
  /** Whether `[FILE…]` follow. */
  readonly files: boolean
  readonly options: readonly OptionSpec[]
  /** Groups of options every command of that kind has: `dead-letter`, `strict` … (src/cli/common-options.ts). */
  readonly common: readonly CommonOption[]
  /** Its workers are processes: it uses no thread beside the main one. */
  readonly threads?: false
  readonly cost: { readonly time: string; readonly memory: string }
  readonly errors?: readonly ErrorCode[]
  readonly examples: readonly Example[]
  /**
   * Of commands whose `create` opens something, or says nothing about what they do: `first` begins a pipeline (it reads no records),
   * `last` ends one (it gives none out).
   */
  readonly place?: 'first' | 'last'
  /** Checks the arguments and makes the stage. Called once per worker. @throws BeckError usage */
  create(args: Arguments): Stage | Promise<Stage>
  /** What other threads run for a sink: its `parts`, made again from their plan. */
  createParts?(plan: unknown): PartStage
}

export interface Argument {
  readonly name: string
  readonly description: string
  readonly optional?: boolean
  readonly variadic?: boolean
  /** What to do when more words follow than the command takes. */
  readonly tooMany?: string
  /** The command line of another program: options in it are not ours. */
  readonly own?: boolean
  /** Words that completion offers. The command itself refuses others. */
  readonly choices?: readonly string[]
}

/** `--by KEYS`: `flag` is "by", `value` "KEYS" (none: a switch), `short` "b". */
export interface OptionSpec {
  readonly flag: string
  readonly value?: string
  readonly short?: string
  readonly description: string
  /** Shown in the help; the command itself applies it. */
  readonly default?: string
  /** May be given several times; the value is then a list. */
  readonly repeat?: boolean
  /** Words that completion offers and that are the only ones allowed. */
  readonly choices?: readonly string[]
  /** Values that are followed by one more word: `--emit every 5s`. */
  readonly moreAfter?: readonly string[]
  /** Says how to run, not what comes out: with or without it, a stage in an exactly-once pipe goes on with the state that it has. */
  readonly runOnly?: boolean
  /** With it the command uses no thread beside the main one. */
  readonly oneThread?: true
}

/** Options that mean the same in every command that has them. */
export type CommonOption = 'input' | 'args' | 'workers' | 'memory' | 'tmp' | 'store'

/** Every example runs in the tests: `command` in a shell where `beck` is on the PATH, in a folder with `fixtures/`. */
export interface Example {
  readonly says: string
  readonly command: string
  /** Standard output, when it is worth showing. Compared exactly. */
  readonly output?: string
}

/** What was typed, after the command line's own checks. */
export interface Arguments {
  readonly program: readonly string[]
  readonly files: readonly string[]
  readonly options: Readonly<Record<string, string | boolean | readonly string[] | undefined>>
  /** `--arg name=value`. */
  readonly args: Readonly<Record<string, string>>
}

/** What a command is, for the driver and for the planner. */
export type Stage =
  /** Records in, records out. */
  | OperatorStage
  /** A table read whole first, then records in, records out. */
  | TableStage
  /** Two inputs of records, read side by side or one after the other. */
  | PairStage
  /** Records in, records out in partitions: to files, or through a process each. */
  | PartitionStage
  /** Bytes of some other format in, records out (`from`). */
  | DecoderStage
  /** Records in, text for people or other programs out (`to`). */
  | EncoderStage
  /** Records in, kept somewhere (`append`). */
  | SinkStage
  /** Lines in, through another program, lines out (`via`). */
  | ProcessStage
  /** Does its own input and output (`topic list`, `replay` …). */
  | ToolStage
  /** A pipeline of other commands (`run`, `explain`). */
  | JobStage

export interface OperatorStage {
  readonly role: 'operator'
  /** The fields to extract; a batch's field index is the index here. */
  readonly reads: readonly FieldPath[]
  open(context: StageContext): Operator | MergeableOperator
  /**
   * 'stateless': batches may be processed by several workers. 'merge': the operator is a MergeableOperator. 'ordered': it is a
   * FoldingOperator, and workers run what `openPart` gives. Default: one worker.
   */
  readonly parallel?: 'stateless' | 'merge' | 'ordered'
  /** With 'merge': it gives out records also before its end. */
  readonly streams?: boolean
  openPart?(context: StageContext): PartOperator
  /** What several threads run in its place, where all inputs are files; it is made of what some of the records told. */
  readonly sampled?: SampledStage
  /**
   * `snapshot` and `restore` of the operator hold all that it knows. Without it, and unless 'stateless', exactly-once pipes are refused.
   * true: a snapshot holds everything, each time. 'changes': only when asked for the whole, else what changed. 'appends': always just what
   * was added, as a log; it is never asked for the whole (`sort`: its records).
   */
  readonly snapshots?: boolean | 'changes' | 'appends'
  /** Why exactly-once pipes are refused, and what to write in its place. */
  readonly noFrames?: readonly [why: string, way: string]
  /** The key fields by which records are put together: only such stages can work partition by partition. */
  readonly keys?: readonly string[]
  /** Asks for onTimer, so the input must be read without blocking the thread. In an exactly-once pipe it is called at barriers. */
  readonly timers?: boolean
  /** Records are best given to it few at a time: blocks of a pipe or file have at most so many bytes. */
  readonly blockBytes?: number
  /** What it forwards are records of its input, in their order, and it emits nothing else. */
  readonly selects?: boolean
  /** It selects by comparing fields and nothing else, so that it may do so earlier. */
  readonly sifts?: boolean
  /**
   * What comes out for one key has nothing to do with the records of others. All records of a key may be dropped before it where they fit these
   * (src/expression/sift.ts), so that it would not have refused them.
   */
  readonly apart?: readonly string[]
  /** The same, but records of all keys have to come to it, for their time: `wanted`, an option that nobody writes, says which keys matter. */
  readonly wantsKeys?: boolean
  /** How many views of a batch it works with, the batch itself among them: memory is kept for them. Default: 1. */
  readonly views?: number
  /** Bad lines are not its business: it hands them on. */
  readonly passesBad?: boolean
  /** It looks at its fields alone, never at a record as a whole. */
  readonly fieldsOnly?: boolean
  /** It makes of each record one that has these fields of it and no other members, and refuses none: member → field. */
  readonly renames?: ReadonlyMap<string, FieldPath>
}

/** @see OperatorStage.sampled */
export interface SampledStage<Sample = unknown> {
  /** Whether several threads are of use for so many bytes. */
  suits(bytes: number, context: Pick<StageContext, 'memoryBytes'>): boolean
  /** Sees some records from all over the input, of the fields that the stage reads. */
  open(context: Pick<StageContext, 'keyTable' | 'memoryBytes' | 'workers'>): {
    processBatch(batch: RecordBatch): void
    /** What was learnt, for an input of so many bytes: plain data. */
    end(bytes: number): Sample
  }
  /** Called once per worker. */
  stage(sample: Sample): OperatorStage
}

/** A stage that reads a table whole before its input: what is in the table decides what the input is read for. */
export interface TableStage<Table = unknown> {
  readonly role: 'table'
  /** A file, or `topic:NAME`. */
  readonly table: string
  /** `--store`, for a topic. */
  readonly store: string | undefined
  /** The fields to extract from the table. */
  readonly reads: readonly FieldPath[]
  /** As of `OperatorStage`, for the input. The table is read once, by one thread. */
  readonly parallel?: 'stateless' | 'merge'
  readonly streams?: boolean
  readonly selects?: boolean
  open(context: StageContext): TableReader<Table>
  /** The stage for the input; called once per worker. */
  stage(table: Table): OperatorStage
}
export interface TableReader<Table> {
  processBatch(batch: RecordBatch): void
  /** What was read, as `structuredClone` takes it. Large arrays stand on a SharedArrayBuffer, so that workers share them. */
  end(): Table
}

/** A stage of two inputs: port 0 is the command's own, port 1 the table. */
export interface PairStage {
  readonly role: 'pair'
  readonly table: string
  readonly store: string | undefined
  readonly reads: readonly [left: readonly FieldPath[], right: readonly FieldPath[]]
  /** The topic of the table is followed. */
  readonly follow?: boolean
  /** `table first`: one after the other. `together`: whichever has something, and of two the one that the operator asks for. */
  readonly reading: 'table first' | 'together'
  /** `snapshot` and `restore` of the operator hold all that it knows, of both inputs. Without it exactly-once pipes are refused. */
  readonly snapshots?: OperatorStage['snapshots']
  /** Key tables belong to one input: a context each. */
  open(left: StageContext, right: StageContext): PairOperator
  /** The left input alone, for another thread: the operator takes what comes of it with `takeSide`, between the two inputs' ends and `onEnd`. */
  openLeft?(context: StageContext): SideOperator
}
export interface PairOperator<Side = unknown> extends Operator {
  /** All of an input, as a `SideOperator` has handed it over. */
  takeSide?(port: 0 | 1, side: Side): void
  /** Which input to go on with when both have something: the one whose time is behind. */
  next?(): 0 | 1
  /** The input has ended, and nothing more of the table matters: one that is followed need not go on. */
  readonly isDone?: boolean
  /** This input has ended, the other may go on. */
  onEndOf?(port: number, out: import('./operator.ts').Collector): void
}

/** A stage whose output comes in partitions, each to a file of its own or through a process of its own. */
export interface PartitionStage {
  readonly role: 'partitions'
  readonly reads: readonly FieldPath[]
  readonly partitions: number
  /** Files `part-00000.ndjson` … in this folder; without it, the output of the processes goes to standard output in order. */
  readonly folder: string | undefined
  /** A line for the shell that reads a partition on its standard input. */
  readonly exec: string | undefined
  open(context: StageContext): Partitioner
}
export interface Partitioner {
  processBatch(batch: import('./batch.ts').RecordBatch): void
  /** Hands out lines, partition after partition. */
  onEnd(write: (partition: number, lines: Uint8Array) => void): void
}

/** Turns bytes into records. Pure: chunks may be cut anywhere. */
export interface Decoder {
  /** Takes the next bytes of the current file, and emits whole lines of NDJSON. */
  push(chunk: Uint8Array, emit: Emit): void
  /** The current file ended. A new file follows or nothing. */
  endFile(emit: Emit): void
}
/** Lines of NDJSON, each ended by "\n", UTF-8 in a Buffer or as a JavaScript string. Bytes are used or copied before this returns. */
export type Emit = (lines: Uint8Array | string) => void

export interface DecoderStage {
  readonly role: 'decoder'
  open(context: DecoderContext): Decoder
}
export interface DecoderContext {
  /** A bad line: throws, or keeps `bytes` in the dead letters and goes on. Everything before it must have been emitted. */
  reject(line: number, bytes: Uint8Array, problem: Problem): void
  /**
   * The same for a line longer than `maxLineBytes`, which comes in parts: without dead letters the first one throws, else all are kept, and
   * the `last` one completes the line.
   */
  rejectPart(line: number, part: Uint8Array, problem: import('./operator.ts').Problem, last: boolean): void
  /** A longer line is bad. */
  readonly maxLineBytes: number
  /**
   * Makes and emits records of lines of text, where there is a fast way: as `Scanner.readText` says. Undefined: nothing was done. Everything before it
   * must have been emitted.
   */
  readText?(kind: 'word' | 'line', text: Uint8Array): { readonly lineEnds: number } | undefined
  /** The input cannot be read on (a header that is wrong, brackets that do not match): always throws, naming the place. */
  fail(line: number, problem: Problem): never
}

/** Turns records into text. */
export interface Encoder {
  processBatch(batch: RecordBatch, write: (text: Uint8Array | string) => void): void
  onEnd?(write: (text: Uint8Array | string) => void): void
  /** A bad record ends the command: what is still held back must be written first. */
  onStop?(write: (text: Uint8Array | string) => void): void
}
export interface EncoderStage {
  readonly role: 'encoder'
  readonly reads: readonly FieldPath[]
  open(context: StageContext & { readonly terminal?: { readonly columns: number; readonly color: boolean } }): Encoder
}

/** A stage that keeps records somewhere instead of passing them on. Read without blocking the thread, so that it knows pauses. */
export interface SinkStage {
  readonly role: 'sink'
  readonly reads: readonly FieldPath[]
  /** What it has kept it writes to standard output, where somebody may read it. */
  readonly passes?: boolean
  open(context: SinkContext): Sink
  /** For long files: what any thread can do with a block. Only with a sink that has `addPart`. */
  readonly parts?: PartStage
}
/** The part of a sink's work that needs no order: blocks of the input are made into parts, which the sink takes in the order of the input. */
export interface PartStage {
  readonly reads: readonly FieldPath[]
  /** Plain data, from which another thread makes this stage again. */
  readonly plan: unknown
  /** Undefined: the sink must see the records themselves. What a part points to holds until the next call. */
  makePart(batch: RecordBatch): SinkPart | undefined
}
/** What a sink needs to know of the records of a block: its own numbers, and the bytes that it keeps. */
export interface SinkPart {
  readonly numbers: readonly number[] | Float64Array
  readonly pieces: readonly Uint8Array[]
}
export interface Sink {
  processBatch(batch: import('./batch.ts').RecordBatch): void
  /** Awaited before more is read: a sink that is behind makes its input wait. */
  ready?(): Promise<void> | undefined
  /** Takes what `makePart` has made of a batch, as if it were the batch. */
  addPart?(part: SinkPart): void
  /** The input pauses: what was held back for being written together is kept now. Also before the error of a bad record. */
  onIdle(): void | Promise<void>
  onTimer(now: import('./operator.ts').ProcessingTime): void
  onEnd(): void | Promise<void>
  /** Always called at last, also after an error. */
  close(): void | Promise<void>
  /** For pipes that deliver exactly once. Without it they are refused. */
  readonly epochs?: EpochSink
}
/** A sink that commits output, offsets and state together, an epoch at a time. Between commits it keeps what it was given to itself. */
export interface EpochSink {
  /** It commits several sources as one, as a join of two pipes has them. */
  readonly joined?: boolean
  /** `start` may come again between two epochs: what follows belongs to that pipeline, new or known. */
  readonly tasks?: boolean
  /** Says in the journal what has become of an epoch that an earlier run has prepared. @throws BeckError fenced, usage */
  resolve(pipeline: PipelineStart): void | Promise<void>
  /** Before the first record. @throws BeckError fenced, usage */
  start(pipeline: PipelineStart): void | Promise<void>
  /** All records since the last commit belong to this epoch. Doing it twice is doing it once. @throws BeckError fenced */
  commit(epoch: Epoch): void | Promise<void>
}
/** Where a pipeline stands when its run begins. */
export interface PipelineStart {
  readonly store: string
  readonly group: string
  readonly generation: number
  readonly epoch: number
  readonly level: 'exactly-once' | 'at-least-once'
  readonly stages: readonly string[]
  /** Some stage goes by the clock, and wants barriers also where no records come. */
  readonly ticks?: boolean
  /** Further sources, of a join of two pipes: pipelines of their own, committed with the first as one. */
  readonly others?: readonly Omit<PipelineStart, 'store' | 'level' | 'others'>[]
}
export interface Epoch {
  /** Of the stream: one more for each. */
  readonly epoch: number
  /** Of the first source, where that is another: behind a join. */
  readonly sourceEpoch?: number
  readonly offsets: Readonly<Record<string, number>>
  readonly handles: readonly unknown[]
  readonly others?: readonly (Omit<Epoch, 'sourceEpoch' | 'others'> & { readonly group: string })[]
}
export interface SinkContext extends StageContext {
  /** A line for people on stderr. */
  say(line: string): void
  readonly terminal: { readonly stderr: boolean }
}

/** Another program as a stage. */
export interface ProcessStage {
  readonly role: 'process'
  readonly command: string
  readonly words: readonly string[]
  /** It answers each line with a line, so that one run of it serves all epochs. */
  readonly lines: boolean
}

export interface ToolStage {
  readonly role: 'tool'
  run(io: ToolIo): Promise<void>
}
export interface ToolIo {
  /** Standard output: short writes, EAGAIN and EPIPE are handled. Returns false when the reader has gone. */
  write(bytes: Uint8Array | string): boolean
  /** The same beside this thread; nothing else may be written, and the bytes must hold, until it resolves. */
  writeBehind(bytes: Uint8Array): Promise<boolean>
  /** Awaited before more is written: stages behind, in this process, are not so far yet. */
  ready?(): Promise<void> | undefined
  /** Where the stages behind are in this process: what came of all that was written is out, or on the disk, when it resolves. */
  settleBehind?(): Promise<void>
  /** A line for people on stderr. */
  say(line: string): void
  /** For people who watch: so many records are there that are not read yet. Undefined where nobody does. */
  behind?(records: number): void
  /** The same: so many records have been written, but not with `write`. */
  wrote?(records: number): void
  readonly terminal: { readonly stdout: boolean; readonly stderr: boolean; readonly columns: number }
  /** The stages behind a source, where they are in this process and take its control frames. */
  readonly frames?: import('../pipeline/framed-output.ts').SourceOutput
}

/** What the command line runs with all that it knows of the other commands. */
export interface JobStage {
  readonly role: 'job'
  readonly action: 'run' | 'explain'
  /** A pipeline, or the name of a file of one. */
  readonly job: string
  readonly args: Arguments
}
