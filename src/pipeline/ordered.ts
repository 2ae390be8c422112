import type { Worker } from 'node:worker_threads'
import type { Collector, FoldingOperator, Part, PartOperator, StageContext } from '../core/operator.ts'
import type { OperatorStage } from '../core/spec.ts'
import type { Scanner } from '../ndjson/scanner.ts'
import { stopAtBadRecords } from './bad-records.ts'
import { type ByteSink, collectInto, openScanner, stageContext } from './context.ts'
import { Output } from './descriptor.ts'
import {
  packed,
  revive,
  taskCount,
  TaskFiles,
  tellRest,
  type Failure,
  type Spawn,
  type WorkerTask,
} from './parallel.ts'
import { isBlockOperator, readInput } from './reader.ts'
import type { Progress } from './run-stage.ts'
import type { Outcome } from './settings.ts'
import { Turns } from './turns.ts'

/**
 * Blocks of the input go to all threads, as in parallel.ts; what they make of them comes back to this one, which folds it into the
 * operator in the order of the input. Output and the first error are as with one thread, to the byte.
 *
 *     thread A   ──0──fold 0──2──fold 1, 2──4──…      the main thread works too, and folds between its tasks
 *     thread B   ────1────────3────────…
 */

/** Where the output goes. */
type LineOutput = ByteSink & {
  flush(): void
  /** Awaited before more is folded: who takes it is behind. */
  ready?(): Promise<void> | undefined
}

/** How many tasks a thread may be ahead of what is folded. */
const AHEAD = 8
/** A task whose part holds more is not worth handing over. */
const MOST_ENTRIES = 1024

interface TaskResult {
  readonly task: number
  readonly part: Part
  readonly failure?: Failure
}

/** @returns undefined, with nothing done, when one thread is better. @throws BeckError, ReaderGone */
export async function runOrdered(
  stage: OperatorStage,
  task: Omit<WorkerTask, 'turns'>,
  spawn: Spawn,
  progress?: Progress,
  output: LineOutput = new Output(),
): Promise<Outcome | undefined> {
  const { inputs, settings } = task
  const turns = new Turns()
  const work: WorkerTask = { ...task, turns: turns.shared }
  const own = new TaskRunner(stage, work, turns, progress)
  const counts = new Map<string, number>()
  const context = stageContext(own.scanner, stopAtBadRecords, counts, settings)
  const fold = new Fold(stage.open(context) as FoldingOperator, output, turns)
  const end = taskCount(inputs)
  try {
    const first = await own.run(turns.take())
    if (first.failure || first.part.entries > MOST_ENTRIES) return undefined
    fold.put(first)
    for (let worker = 1; worker < settings.workers; worker++) fold.listen(spawn(work))
    for (let next = turns.take(); next < end; next = turns.take()) {
      await fold.near(next)
      fold.put(await own.run(next))
      // Lets messages in.
      await new Promise(setImmediate)
      fold.foldReady()
    }
    await fold.finish(end)
    tellRest(inputs, turns, progress)
  } finally {
    own.close()
    turns.stop()
  }
  return { counts, deadLetters: 0 }
}

/** Takes parts as they come, from this thread and the others, and folds them in the order of their tasks. */
class Fold {
  readonly #operator: FoldingOperator
  readonly #output: LineOutput
  readonly #out: Collector
  readonly #turns: Turns
  readonly #results = new Map<number, TaskResult>()
  #workers = 0
  #broken: unknown
  #wake = (): void => {}
  /** The task to be folded next. */
  #next = 0

  constructor(operator: FoldingOperator, output: LineOutput, turns: Turns) {
    this.#operator = operator
    this.#output = output
    this.#out = collectInto(output)
    this.#turns = turns
  }

  put(result: TaskResult): void {
    this.#results.set(result.task, result)
  }

  listen(worker: Worker): void {
    this.#workers++
    worker.on('message', (result: Partial<TaskResult>) => {
      if (result.task !== undefined) this.put(result as TaskResult)
      this.#wake()
    })
    worker.once('error', (error) => {
      this.#broken ??= error
      this.#wake()
    })
    worker.once('exit', () => {
      this.#workers--
      this.#wake()
    })
  }

  /** Folds what can be. @throws BeckError the failure of a task, after what came before it */
  foldReady(): void {
    for (let next = this.#results.get(this.#next); next; next = this.#results.get(this.#next)) {
      this.#results.delete(this.#next)
      this.#operator.addPart(next.part, this.#out)
      if (next.failure) {
        const error = revive(next.failure)
        if (isBlockOperator(this.#operator)) this.#operator.endBehind?.(error, this.#out)
        this.#output.flush()
        throw error
      }
      this.#turns.pass(this.#next++)
    }
    this.#output.flush()
  }

  /** Waits until a task is not too far ahead. */
  async near(task: number): Promise<void> {
    for (this.foldReady(); task - this.#next > AHEAD; this.foldReady()) await this.#message()
    await this.#output.ready?.()
  }

  /** Folds all tasks up to `end`, and ends the operator. */
  async finish(end: number): Promise<void> {
    for (this.foldReady(); this.#next < end; this.foldReady()) await this.#message()
    this.#operator.onEnd?.(this.#out)
    this.#output.flush()
  }

  async #message(): Promise<void> {
    if (this.#workers === 0) throw new Error('a worker thread ended early')
    await new Promise<void>((resolve) => (this.#wake = resolve))
    if (this.#broken !== undefined) throw this.#broken
  }
}

/** A worker thread's share. Its last message is surely received: it ends when all is folded. */
export async function workOrdered(stage: OperatorStage, task: WorkerTask): Promise<void> {
  const { parentPort } = process.getBuiltinModule('node:worker_threads')
  const turns = new Turns(task.turns)
  const runner = new TaskRunner(stage, task, turns)
  const end = taskCount(task.inputs)
  try {
    for (let next = turns.take(); next < end; next = turns.take()) {
      if (!(await turns.near(next, AHEAD))) return
      const result = await runner.run(next)
      parentPort?.postMessage(result)
      if (result.failure) break
    }
    await turns.reach(end)
  } finally {
    runner.close()
  }
}

/** Parts are taken, not emitted. */
const nowhere: Collector = { forward() {}, emit() {}, emitText() {} }

/** Makes parts of tasks. */
class TaskRunner {
  readonly scanner: Scanner
  readonly #task: WorkerTask
  readonly #files: TaskFiles
  readonly #operator: PartOperator
  readonly #turns: Turns
  readonly #progress: Progress | undefined

  constructor(stage: OperatorStage, task: WorkerTask, turns: Turns, progress?: Progress) {
    this.#task = task
    this.#turns = turns
    this.#progress = progress
    this.#files = new TaskFiles(task.inputs)
    this.scanner = openScanner(stage.reads, task.settings, { stages: stage.views ?? 1 })
    const context: StageContext = stageContext(this.scanner, stopAtBadRecords, new Map(), task.settings)
    if (!stage.openPart) throw new Error('a stage without parts')
    this.#operator = stage.openPart(context)
  }

  async run(task: number): Promise<TaskResult> {
    const { source, origin } = this.#files.open(task)
    const block = isBlockOperator(this.#operator) ? this.#operator : undefined
    let failure: Failure | undefined
    try {
      block?.beginRange(origin.base)
      await readInput(this.scanner, source, origin, (batch) => this.#operator.processBatch(batch), {
        maxLineBytes: this.#task.settings.maxLineBytes,
        bad: stopAtBadRecords,
        ...(block && { takeBlock: (scanned, at) => block.processBlock(scanned, at, nowhere) }),
        afterBlock: (at, records) => {
          this.#turns.count(records)
          this.#progress?.(at, this.#turns.takeCount())
        },
      })
      block?.endRange(nowhere)
    } catch (error) {
      failure = packed(error)
      try {
        block?.breakRange(error, nowhere)
      } catch (earlier) {
        // Of a stage behind, at a record before.
        failure = packed(earlier)
      }
    }
    return { task, part: this.#operator.takePart(), ...(failure && { failure }) }
  }

  close(): void {
    this.#files.close()
  }
}
