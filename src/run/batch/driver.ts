import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { BeckError, errorTable, Exit } from '../../core/errors.ts'
import { partName } from '../../pipeline/output-folder.ts'
import { type Failure, revive } from '../../pipeline/parallel.ts'
import type { JobFolder } from './job-folder.ts'
import type { StageStats } from '../stats.ts'
import type { BatchPlan } from './plan.ts'
import type { Split } from './splits.ts'
import { letterName, OUT, type TaskCounts, type TaskOrder } from './task.ts'
import type { Attempted, TaskWorker } from './workers.ts'

export interface DriverOptions {
  readonly workers: readonly TaskWorker[]
  /** How often a task may be tried. */
  readonly attempts: number
  /** Whether what takes much longer than the others is tried once more beside. */
  readonly speculate: boolean
  /** The job can be resumed. */
  readonly lasting: boolean
  /** Counts what goes out of stages. */
  readonly counting: boolean
  /** Called when something has changed. */
  readonly progress?: (phases: readonly PhaseCounts[]) => void
}

/** How far a phase of a job is, and what it came to. */
export interface PhaseCounts {
  readonly phase: 'map' | 'reduce'
  readonly tasks: number
  done: number
  running: number
  /** Attempts that came to nothing: workers that died, errors that may pass, the slower of two. */
  retried: number
  /** Done by an earlier driver. */
  resumed: number
  records: number
  bytes: number
  ms: number
  /** In the order in which a task runs them. */
  readonly stages: StageStats[]
}

/** A task in the driver's eyes. */
interface Task {
  readonly name: string
  readonly number: number
  readonly order: Omit<TaskOrder, 'folder'>
  /** Attempts that have failed. */
  failed: number
  readonly running: Map<string, { readonly worker: TaskWorker; readonly since: number }>
  done: boolean
}

/** A straggler takes more than twice as long as the middle one of those that are done, and longer than this. */
const STRAGGLER_MS = 1000
const STRAGGLER_FACTOR = 2
const LOOK_MS = 200
/** How long a worker without a task waits before it looks again. */
const WAIT_MS = 5

/** Thrown where a signal has ended a job. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals
  constructor(signal: NodeJS.Signals) {
    super(signal)
    this.signal = signal
  }
}

/**
 * Runs the tasks of a job: map tasks, then reduce tasks. Each attempt writes a folder of its own; the first that is complete counts, by being
 * renamed. What fails because of the data fails the job; what fails because of its worker is done again.
 */
export class BatchDriver {
  readonly phases: PhaseCounts[] = []
  readonly #plan: BatchPlan
  readonly #splits: readonly Split[]
  readonly #folder: JobFolder
  readonly #options: DriverOptions
  readonly #counts: TaskCounts[] = []
  #running: Phase | undefined

  constructor(plan: BatchPlan, splits: readonly Split[], folder: JobFolder, options: DriverOptions) {
    this.#plan = plan
    this.#splits = splits
    this.#folder = folder
    this.#options = options
  }

  /** The file of a result: of the output, or of what the rest of the pipeline reads. */
  result(index: number): string {
    return this.#folder.result(this.#resultTask(index), OUT)
  }

  /** The folder of it. */
  resultFolder(index: number): string {
    return this.#folder.result(this.#resultTask(index), '.')
  }

  /** Lets a result appear. */
  publish(index: number): void {
    this.#folder.publish(this.#resultTask(index), OUT, partName(index))
  }

  #resultTask(index: number): string {
    return taskName(this.#plan.partitions === undefined ? 'map' : 'reduce', index)
  }

  /**
   * Runs all tasks. A bad record ends the input of a job that cannot be resumed there, as in a pipe: what comes before it gets to the end, and
   * its error is returned.
   * @param onResult called for each result in order, as soon as it and all before it are there
   * @throws BeckError
   */
  async run(onResult: (index: number) => void): Promise<unknown> {
    const { map, reduce, partitions, merges, rewrites } = this.#plan
    const { lasting, counting } = this.#options
    const maps = this.#splits.map((input, number) =>
      newTask('map', number, { stages: map, input, partitions, state: merges, lasting, counting, number, rewrites }),
    )
    const { count, error } = await this.#phase('map', maps, partitions === undefined ? onResult : () => {})
    if (partitions === undefined) return error
    // What a reducer gives out at its end comes when all of them have ended well.
    const reduces = Array.from({ length: partitions }, (_, number) => {
      const input = maps.slice(0, count).map(({ name }) => this.#folder.result(name, partName(number)))
      return newTask('reduce', number, {
        stages: reduce,
        input,
        partitions: undefined,
        state: false,
        lasting,
        counting,
        number,
        rewrites,
      })
    })
    const reduced = await this.#phase('reduce', reduces, () => {})
    for (let index = 0; index < reduced.count; index++) onResult(index)
    return error ?? reduced.error
  }

  /** Ends the job: `run` throws `Interrupted`. */
  interrupt(signal: NodeJS.Signals): void {
    this.#running?.fail(new Interrupted(signal))
  }

  /** What the stages have counted, by their index in the text. */
  counted(): Map<number, Map<string, number>> {
    const all = new Map<number, Map<string, number>>()
    for (const { counted } of this.#counts) {
      for (const [index, what, records] of counted) {
        const counts = all.get(index) ?? new Map<string, number>()
        all.set(index, counts.set(what, (counts.get(what) ?? 0) + records))
      }
    }
    return all
  }

  /** The bad records that a stage has kept, as files in the order of the input, and how many they are. */
  letters(index: number): { readonly files: string[]; readonly records: number } {
    const tasks = [
      ...this.#splits.map((_, number) => taskName('map', number)),
      ...Array.from({ length: this.#plan.partitions ?? 0 }, (_, number) => taskName('reduce', number)),
    ]
    const files = tasks.map((name) => this.#folder.result(name, letterName(index))).filter((file) => existsSync(file))
    const kept = this.#counts.flatMap(({ letters }) => letters).filter(([of]) => of === index)
    return { files, records: kept.reduce((sum, [, records]) => sum + records, 0) }
  }

  /** Returns how many of the tasks count, and why not all. @throws BeckError */
  async #phase(
    phase: PhaseCounts['phase'],
    tasks: readonly Task[],
    onResult: (index: number) => void,
  ): Promise<{ count: number; error?: unknown }> {
    const run = new Phase(phase, tasks, this.#folder, this.#options, (counts) => this.#counts.push(counts), onResult)
    this.#running = run
    this.phases.push(run.counts)
    const shown = setInterval(() => this.#options.progress?.(this.phases), LOOK_MS)
    try {
      return await run.run()
    } finally {
      clearInterval(shown)
    }
  }
}

/** Tasks that do not depend on each other. */
class Phase {
  readonly counts: PhaseCounts
  readonly #tasks: readonly Task[]
  readonly #folder: JobFolder
  readonly #options: DriverOptions
  readonly #onCounts: (counts: TaskCounts) => void
  readonly #onResult: (index: number) => void
  readonly #waiting: Task[] = []
  readonly #took: number[] = []
  #handed = 0
  /** Tasks from here on are of no interest: the input has ended before them. */
  #end: number
  #error: unknown
  /** Ends the job. */
  #failure: { readonly error: unknown } | undefined

  constructor(
    phase: PhaseCounts['phase'],
    tasks: readonly Task[],
    folder: JobFolder,
    options: DriverOptions,
    onCounts: (counts: TaskCounts) => void,
    onResult: (index: number) => void,
  ) {
    const none = { done: 0, running: 0, retried: 0, resumed: 0, records: 0, bytes: 0, ms: 0 }
    this.counts = { phase, tasks: tasks.length, ...none, stages: [] }
    this.#tasks = tasks
    this.#folder = folder
    this.#options = options
    this.#onCounts = onCounts
    this.#onResult = onResult
    this.#end = tasks.length
  }

  async run(): Promise<{ count: number; error?: unknown }> {
    for (const task of this.#tasks) {
      const done = this.#folder.done(task.name)
      if (!done) {
        this.#waiting.push(task)
        continue
      }
      this.#told(task, done)
      this.counts.resumed++
    }
    this.#handOn()
    await Promise.all(this.#options.workers.map((worker) => this.#work(worker)))
    if (this.#failure) throw this.#failure.error
    return { count: this.#end, error: this.#error }
  }

  /** One worker's share. */
  async #work(worker: TaskWorker): Promise<void> {
    while (!this.#failure && this.counts.done < this.#end) {
      const task = this.#next()
      if (!task) {
        // Another worker may die, or be slow.
        await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
        continue
      }
      const attempt = this.#folder.attempt(task.name)
      task.running.set(attempt, { worker, since: performance.now() })
      this.counts.running++
      const attempted = await worker.run({ ...task.order, folder: attempt })
      task.running.delete(attempt)
      this.counts.running--
      try {
        this.#settle(task, attempt, attempted)
        this.#handOn()
      } catch (error) {
        this.fail(error)
      }
    }
  }

  /** Ends the phase: `run` throws this. */
  fail(error: unknown): void {
    this.#failure ??= { error }
    for (const { running } of this.#tasks) for (const { worker } of running.values()) worker.stop()
  }

  #next(): Task | undefined {
    const at = this.#waiting.findIndex(({ number }) => number < this.#end)
    if (at >= 0) return this.#waiting.splice(at, 1)[0]
    return this.#options.speculate ? straggler(this.#tasks.slice(0, this.#end), this.#took) : undefined
  }

  /** @throws BeckError when that ends the job */
  #settle(task: Task, attempt: string, attempted: Attempted): void {
    if (task.done || this.#failure || task.number >= this.#end) {
      // The slower one of two, or of no interest.
      this.#folder.discard(attempt)
      this.counts.retried++
      return
    }
    if ('done' in attempted) {
      this.#folder.finish(task.name, attempt, attempted.done)
      this.#told(task, attempted.done)
      for (const { worker } of task.running.values()) worker.stop()
      if (attempted.ended) this.#endAt(task.number + 1, revive(attempted.ended))
      return
    }
    this.#folder.discard(attempt)
    const error = 'failure' in attempted ? revive(attempted.failure) : undefined
    if ('failure' in attempted && isFinal(attempted.failure)) throw error
    this.counts.retried++
    if (task.running.size > 0) return
    if (++task.failed >= this.#options.attempts) throw givenUp(task, attempted, error)
    this.#waiting.unshift(task)
  }

  /** The input ends with a bad record. Of several the first one counts, so what lies before it goes on. */
  #endAt(end: number, error: unknown): void {
    this.#end = end
    this.#error = error
    this.counts.done = this.#tasks.slice(0, end).filter(({ done }) => done).length
  }

  #told(task: Task, counts: TaskCounts): void {
    task.done = true
    this.counts.done++
    this.counts.records += counts.records
    this.counts.bytes += counts.bytes
    this.counts.ms += counts.ms
    this.#took.push(counts.ms)
    for (const [at, [index, into, out]] of counts.stages.entries()) {
      const before = this.counts.stages[at]
      this.counts.stages[at] = {
        stage: index + 1,
        name: task.order.stages[at]!.command,
        ...(into !== null && { in: (before?.in ?? 0) + into }),
        ...(out !== undefined && { out: (before?.out ?? 0) + out }),
      }
    }
    this.#onCounts(counts)
  }

  #handOn(): void {
    while (this.#handed < this.#end && this.#tasks[this.#handed]!.done) this.#onResult(this.#handed++)
  }
}

function newTask(phase: PhaseCounts['phase'], number: number, order: Task['order']): Task {
  return { name: taskName(phase, number), number, order, failed: 0, running: new Map(), done: false }
}

/** The data, or what the job was told to do, is wrong: another attempt would end alike. So would one on a full disk. */
function isFinal(failure: Failure): boolean {
  if (failure.kind !== 'beck') return false
  const { exit } = errorTable[failure.code]
  return (
    exit === Exit.data ||
    exit === Exit.usage ||
    ['disk-full', 'spill-full', 'no-such-file', 'file', 'input-changed'].includes(failure.code)
  )
}

function givenUp({ name, failed }: Task, attempted: Attempted, error: unknown): unknown {
  if (error instanceof BeckError) return error
  const why = 'lost' in attempted ? `its worker ${attempted.lost}` : (error as Error).message
  return new BeckError('process', {
    command: name,
    problem: `failed ${failed} times; the last time ${why}`,
    hint: 'allow more attempts with --attempts N, or smaller tasks with --split SIZE',
  })
}

/** A task that runs alone and for so long that another worker may well be faster. */
function straggler(tasks: readonly Task[], took: readonly number[]): Task | undefined {
  const middle = took.toSorted((a, b) => a - b)[took.length >> 1]
  if (middle === undefined) return undefined
  const patience = Math.max(STRAGGLER_MS, STRAGGLER_FACTOR * middle)
  const now = performance.now()
  return tasks.find(({ done, running }) => {
    const [only] = running.values()
    return !done && running.size === 1 && only !== undefined && now - only.since > patience
  })
}

const taskName = (phase: 'map' | 'reduce', number: number): string => `${phase}-${String(number).padStart(5, '0')}`

/** Writes a file to where it is wanted. @throws ReaderGone, BeckError */
export function copyOut(file: string, output: { write(bytes: Uint8Array): void; flush(): void }): void {
  const fd = openSync(file, 'r')
  try {
    const piece = Buffer.allocUnsafeSlow(1 << 20)
    for (let n = readSync(fd, piece); n > 0; n = readSync(fd, piece)) output.write(piece.subarray(0, n))
    output.flush()
  } finally {
    closeSync(fd)
  }
}
