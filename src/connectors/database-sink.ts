import type { RecordBatch } from '../core/batch.ts'
import { BeckError } from '../core/errors.ts'
import { excerpt } from '../core/excerpt.ts'
import type { Problem } from '../core/operator.ts'
import type { Epoch, EpochSink, PipelineStart, Sink, SinkContext } from '../core/spec.ts'
import { Store } from '../log/store.ts'
import { EpochCommitter, unanswered } from '../pipeline/epoch-committer.ts'
import { expectFrames } from '../pipeline/swallowed-frames.ts'
import { type Row, RowReader, rowText, type Shape } from './rows.ts'

/** What a sink asks of a database. Whatever fails but a `RefusedRow` is a BeckError that names the database. */
export interface Database {
  /** Without passwords: for messages and the journal. */
  readonly name: string
  /** Connects, and looks at the table. */
  open(): Promise<void>
  /** What keeps records of a shape out of the table. */
  check(shape: Shape): Problem | undefined
  /** Takes a pipeline over: earlier generations commit nothing more. Its epoch there; undefined when the database does not know it. */
  claim(run: DatabaseRun): Promise<number | undefined>
  /** From now on it knows the pipeline. */
  adopt(run: DatabaseRun, epoch: number): Promise<void>
  /** Rows, and the epoch that they are, in one transaction. @throws RefusedRow, when nothing was written because of a row */
  write(rows: readonly Row[], epoch?: DatabaseRun & Epoch): Promise<void>
  close(): Promise<void>
}

/** A run of a pipeline as its table `beck_commits` has it. */
export interface DatabaseRun {
  readonly id: string
  readonly pipeline: string
  readonly generation: number
}

/** The database does not take this row. */
export class RefusedRow extends Error {
  /** Which of those given. */
  readonly index: number
  readonly hint: string | undefined
  constructor(index: number, problem: string, hint?: string) {
    super(problem)
    this.index = index
    this.hint = hint
  }
}

/** Without frames so much is written together. */
const MOST_ROWS = 5_000
const MOST_CHARS = 1 << 20

/**
 * Rows in a database. It is the truth for its own epochs: in its table `beck_commits` offsets and state change in the transaction that
 * writes the rows, and the journal follows.
 *
 *     journal: prepared 7 ─▶ database: rows + beck_commits 6 → 7 ─▶ journal: 7
 *
 * After a death between the two lines of the journal the next run asks the database (`resolve`), having raised its generation there, so
 * that an older sink that wakes up can change nothing.
 */
export class DatabaseSink implements Sink {
  readonly epochs: EpochSink
  private readonly database: Database
  private readonly keys: readonly string[]
  private readonly context: SinkContext
  private readonly reader = new RowReader()
  private readonly problems = new Map<Shape, Problem | undefined>()
  private readonly refuseWithoutFrames: () => void
  private opening: Promise<void> | undefined
  private pending: Promise<void> | undefined
  private store: Store | undefined
  /** Whose records these are; of a pipe that works partition by partition, all that have been. */
  private pipe: Pipe | undefined
  private readonly pipes = new Map<string, Pipe>()
  private rows: Row[] = []
  private chars = 0
  private written = 0

  /** @param keys columns that each record must have @param insists there must be frames */
  constructor(
    database: Database,
    { keys, insists }: { readonly keys: readonly string[]; readonly insists: boolean },
    context: SinkContext,
  ) {
    this.database = database
    this.keys = keys
    this.context = context
    this.refuseWithoutFrames = expectFrames('into', insists)
    this.epochs = {
      tasks: true,
      resolve: (pipeline) => this.resolve(pipeline),
      start: (pipeline) => this.start(pipeline),
      commit: (epoch) => this.commit(epoch),
    }
  }

  ready(): Promise<void> | undefined {
    return this.pending ?? this.open()
  }

  private open(): Promise<void> {
    return (this.opening ??= this.database.open())
  }

  private async resolve(pipeline: PipelineStart): Promise<void> {
    const { committer, run } = this.openPipe(pipeline)
    await this.open()
    const state = committer.state()
    if (!state.prepared) return
    const there = await this.database.claim(run)
    if (there === undefined) throw unanswered(state, this.database.name)
    if (there !== state.epoch && there !== state.prepared.epoch) throw this.differs(there, state.epoch, pipeline.group)
    committer.decide(there === state.prepared.epoch)
  }

  private async start(pipeline: PipelineStart): Promise<void> {
    const name = `${pipeline.group} ${pipeline.generation}`
    const known = this.pipes.get(name)
    const pipe = known ?? this.openPipe(pipeline)
    this.pipe = pipe
    if (known) return
    this.pipes.set(name, pipe)
    await this.open()
    const { epoch, sink } = pipe.committer.state()
    const there = await this.database.claim(pipe.run)
    if (there === undefined && (epoch === 0 || sink?.name !== this.database.name)) {
      return this.database.adopt(pipe.run, epoch)
    }
    if (there !== epoch) throw this.differs(there, epoch, pipeline.group)
  }

  private openPipe(pipeline: PipelineStart): Pipe {
    this.store ??= Store.open(pipeline.store, { say: this.context.say })
    const committer = new EpochCommitter(this.store, pipeline)
    const { group, generation } = pipeline
    return { committer, run: { id: committer.state().id, pipeline: group, generation } }
  }

  private differs(there: number | undefined, epoch: number, group: string): BeckError {
    const what = there === undefined ? 'does not know this pipeline' : `has committed up to its epoch ${there}`
    return new BeckError('fenced', {
      problem: `${this.database.name} ${what}, and the store up to epoch ${epoch}: one of the two was replaced, or restored from a backup`,
      hint: `restore what belongs together; or begin anew with an empty table: beck pipeline reset ${group} --execute, and beck group reset ${group} --to earliest --execute`,
    })
  }

  processBatch(batch: RecordBatch): void {
    if (!this.pipe && this.written === 0) this.refuseWithoutFrames()
    for (let at = 0; at < batch.count; at++) {
      const row = this.reader.read(batch, at)
      const problem = 'shape' in row ? this.check(row) : row
      if (problem) this.context.reject(batch, at, problem)
      else this.add(row as Row)
    }
  }

  private check({ shape, values }: Row): Problem | undefined {
    if (!this.problems.has(shape)) this.problems.set(shape, this.database.check(shape))
    const problem = this.problems.get(shape)
    if (problem) return problem
    for (const key of this.keys) {
      const value = values[shape.names.indexOf(key)]
      if (value === undefined || value === 'null') return { problem: `the key "${key}" is missing` }
    }
    return undefined
  }

  private add(row: Row): void {
    this.rows.push(row)
    this.written++
    if (this.pipe) return
    for (const value of row.values) this.chars += value.length
    if (this.rows.length >= MOST_ROWS || this.chars >= MOST_CHARS) void this.flush()
  }

  /** Without frames: writes what has come, in a transaction of its own. */
  private flush(): Promise<void> | undefined {
    const { rows } = this
    if (this.pipe || rows.length === 0) return this.pending
    this.rows = []
    this.chars = 0
    const before = this.pending
    const writing = (async () => {
      await before
      await this.open()
      try {
        await this.database.write(rows)
      } catch (error) {
        if (!(error instanceof RefusedRow)) throw error
        await this.database.write(rows.slice(0, error.index))
        throw this.refused(error, rows)
      }
    })()
    writing.catch(() => {}) // thrown where it is awaited
    return (this.pending = writing)
  }

  private refused({ message, index, hint }: RefusedRow, rows: readonly Row[]): BeckError {
    const record = Buffer.from(rows[index] ? rowText(rows[index]) : '')
    return new BeckError('refused', { target: this.database.name, problem: message, excerpt: excerpt(record), hint })
  }

  private async commit(epoch: Epoch): Promise<void> {
    const { pipe, rows, database } = this
    if (!pipe) throw new Error('a commit before the start')
    this.rows = []
    if (!pipe.committer.prepare(epoch, { name: database.name })) return
    try {
      await database.write(rows, { ...pipe.run, ...epoch, epoch: epoch.sourceEpoch ?? epoch.epoch })
    } catch (error) {
      if (!(error instanceof RefusedRow)) throw error // what has become of it, the database knows
      pipe.committer.decide(false)
      throw this.refused(error, rows)
    }
    pipe.committer.decide(true)
  }

  onIdle(): Promise<void> | undefined {
    return this.flush()
  }
  onTimer(): void {}

  async onEnd(): Promise<void> {
    if (!this.pipe) this.refuseWithoutFrames()
    await this.open()
    await this.flush()
    if (this.context.terminal.stderr) this.context.count(`written to ${this.database.name}:`, this.written)
  }

  async close(): Promise<void> {
    this.store?.close()
    await this.database.close()
  }
}

interface Pipe {
  readonly committer: EpochCommitter
  readonly run: DatabaseRun
}
