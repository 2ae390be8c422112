import type { Worker } from 'node:worker_threads'
import type { FoldingOperator, Part, PartOperator, StageContext } from '../core/operator.ts'
import type { OperatorStage } from '../core/spec.ts'
import type { Scanner } from '../ndjson/scanner.ts'
import { stopAtBadRecords } from './bad-records.ts'
import { collectInto, openScanner, stageContext } from './context.ts'
import { Output } from './descriptor.ts'
import { packed, revive, taskCount, TaskFiles, type Failure, type Spawn, type WorkerTask } from './parallel.ts'
import { readInput } from './reader.ts'
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

/** How far threads may be ahead of what is folded. */
const AHEAD = 32
/** A block whose part holds more is not worth handing over. */
const MOST_ENTRIES = 512

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
): Promise<Outcome | undefined> {
  const { inputs, settings } = task
  const turns = new Turns()
  const results = new Map<number, TaskResult>()
  const own = new TaskRunner(stage, { ...task, turns: turns.shared }, progress)
  const counts = new Map<string, number>()
  const output = new Output()
  const out = collectInto(output)
  const operator = stage.open(stageContext(own.scanner, stopAtBadRecords, counts, settings)) as FoldingOperator
  const end = taskCount(inputs)
  let workers: Worker[] = []
  let gone = 0
  let broken: unknown
  let wake = (): void => {}
  let folded = 0
  const fold = (): void => {
    for (let next = results.get(folded); next; next = results.get(folded)) {
      results.delete(folded)
      operator.addPart(next.part, out)
      if (next.failure) {
        output.flush()
        throw revive(next.failure)
      }
      turns.pass(folded++)
    }
    output.flush()
  }
  try {
    const first = await own.run(turns.take())
    if (first.failure || first.part.entries > MOST_ENTRIES) return undefined
    results.set(0, first)
    workers = Array.from({ length: settings.workers - 1 }, () => {
      const worker = spawn({ ...task, turns: turns.shared })
      worker.on('message', (result: Partial<TaskResult>) => {
        if (result.task !== undefined) results.set(result.task, result as TaskResult)
        wake()
      })
      worker.once('error', (error) => {
        broken = error
        wake()
      })
      worker.once('exit', () => {
        gone++
        wake()
      })
      return worker
    })
    const message = async (): Promise<void> => {
      await new Promise<void>((resolve) => (wake = resolve))
      if (broken !== undefined) throw broken
    }
    for (let next = turns.take(); next < end; next = turns.take()) {
      while (next - folded > AHEAD && !results.has(folded)) await message()
      results.set(next, await own.run(next))
      // Lets messages in.
      await new Promise(setImmediate)
      fold()
    }
    for (fold(); folded < end; fold()) {
      if (gone === workers.length && !results.has(folded)) throw new Error('a worker thread ended early')
      await message()
    }
  } finally {
    own.close()
    turns.stop()
  }
  operator.onEnd?.(out)
  output.flush()
  return { counts, deadLetters: 0 }
}

/** A worker thread's share. Its last message is surely received: it ends when all is folded. */
export async function workOrdered(stage: OperatorStage, task: WorkerTask): Promise<void> {
  const { parentPort } = process.getBuiltinModule('node:worker_threads')
  const turns = new Turns(task.turns)
  const runner = new TaskRunner(stage, task)
  const end = taskCount(task.inputs)
  try {
    for (let next = turns.take(); next < end; next = turns.take()) {
      await turns.near(next, AHEAD)
      if (turns.stopped) return
      const result = await runner.run(next)
      parentPort?.postMessage(result)
      if (result.failure) break
    }
    await turns.reach(end)
  } finally {
    runner.close()
  }
}

/** Makes parts of tasks. */
class TaskRunner {
  readonly scanner: Scanner
  readonly #task: WorkerTask
  readonly #files: TaskFiles
  readonly #operator: PartOperator
  readonly #progress: Progress | undefined

  constructor(stage: OperatorStage, task: WorkerTask, progress?: Progress) {
    this.#task = task
    this.#progress = progress
    this.#files = new TaskFiles(task.inputs)
    this.scanner = openScanner(stage.reads, task.settings)
    const context: StageContext = stageContext(this.scanner, stopAtBadRecords, new Map(), task.settings)
    if (!stage.openPart) throw new Error('a stage without parts')
    this.#operator = stage.openPart(context)
  }

  async run(task: number): Promise<TaskResult> {
    const { source, origin } = this.#files.open(task)
    let failure: Failure | undefined
    try {
      await readInput(this.scanner, source, origin, (batch) => this.#operator.processBatch(batch), {
        maxLineBytes: this.#task.settings.maxLineBytes,
        bad: stopAtBadRecords,
        ...(this.#progress && { afterBlock: this.#progress }),
      })
    } catch (error) {
      failure = packed(error)
    }
    return { task, part: this.#operator.takePart(), ...(failure && { failure }) }
  }

  close(): void {
    this.#files.close()
  }
}
