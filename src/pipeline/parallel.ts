import { closeSync, openSync } from 'node:fs'
import type { Worker } from 'node:worker_threads'
import { BeckError, type ErrorCode } from '../core/errors.ts'
import type { EndRound, MergeableOperator, SharedEndOperator } from '../core/operator.ts'
import type { Arguments, OperatorStage, Stage } from '../core/spec.ts'
import { DeadLetters, openSideFile, stopAtBadRecords } from './bad-records.ts'
import { type ByteSink, collectInto, openScanner, stageContext } from './context.ts'
import { Output, ReaderGone } from './descriptor.ts'
import { WORTH_A_WORKER_BYTES } from './large-files.ts'
import { RangeOrigin } from './origin.ts'
import { isBlockOperator, readInput } from './reader.ts'
import type { Progress } from './run-stage.ts'
import { addCounts, type Outcome, type RunSettings } from './settings.ts'
import { FileRange, lineStart, rangeableSize } from './source.ts'
import { withWhole } from './spill.ts'
import { TurnOutput, Turns } from './turns.ts'

/** The bytes of a task. Large enough that a turn costs nothing, small enough that uneven cores end together. */
const TASK_BYTES = 2 << 20

export interface InputFile {
  readonly file: string
  readonly size: number
  /** Bytes of all inputs before this one, and the number of its first task. */
  readonly base: number
  readonly firstTask: number
  readonly taskBytes: number
}

/** What a worker thread gets. Plain data. */
export interface WorkerTask {
  readonly command: string
  readonly args: Arguments
  readonly settings: RunSettings
  readonly inputs: readonly InputFile[]
  readonly turns: SharedArrayBuffer
  /** What the table of a `TableStage` came to. */
  readonly table?: unknown
  /** What a sample of the inputs told: see OperatorStage.sampled. */
  readonly sample?: unknown
  /** Takes part in this instead of reading. */
  readonly round?: EndRound
  /** Several stages as one: what `composeWork` of src/run takes. */
  readonly chain?: unknown
  /** Of a sink: the plan of its `PartStage`, where parts are told, and the thread's number and memory, in which they stand. */
  readonly parts?: {
    readonly plan: unknown
    readonly slots: SharedArrayBuffer
    readonly thread: number
    readonly memory: WebAssembly.Memory
  }
}
/** What it answers with. */
export interface WorkerResult {
  readonly counts: [string, number][]
  readonly deadLetters: number
  readonly state?: unknown
  readonly failure?: Failure
}
/** An error that crosses threads. */
export type Failure =
  | { readonly kind: 'beck'; readonly code: ErrorCode; readonly facts: BeckError['facts'] }
  | { readonly kind: 'reader gone' }
  | { readonly kind: 'bug'; readonly error: unknown }

/** Starts a thread of this program that calls `runWorker` with the task. */
export type Spawn = (task: WorkerTask) => Worker

/** The inputs in ranges, if they are all regular files and worth a second thread. */
export function planInputs(
  files: readonly string[],
  taskBytes = TASK_BYTES,
  worthBytes = WORTH_A_WORKER_BYTES,
): InputFile[] | undefined {
  const inputs: InputFile[] = []
  let base = 0
  let firstTask = 0
  for (const file of files) {
    const size = rangeableSize(file)
    if (size === undefined) return undefined
    inputs.push({ file, size, base, firstTask, taskBytes })
    base += size
    firstTask += Math.ceil(size / taskBytes)
  }
  return base >= worthBytes ? inputs : undefined
}

/**
 * Runs an operator on several threads, this one among them. Output and the first error are as with one thread, to the byte.
 * @throws BeckError, ReaderGone
 */
export async function runParallel(
  stage: OperatorStage,
  task: Omit<WorkerTask, 'turns'>,
  spawn: Spawn,
  progress?: Progress,
  output?: ByteSink & { flush(): void },
): Promise<Outcome> {
  const { deadLetter, keepDeadLetters, inputs } = task.settings
  if (deadLetter !== undefined && !keepDeadLetters) openSideFile(deadLetter, inputs).close()
  const turns = new Turns()
  const work: WorkerTask = { ...task, turns: turns.shared }
  const workers = Array.from({ length: task.settings.workers - 1 }, () => listen(spawn(work), turns))
  const ours = await workThrough(stage, work, turns, progress)
  const results = [ours.result, ...(await Promise.all(workers))]

  tellRest(task.inputs, turns, progress)
  const failure = results.find((result) => result.failure)?.failure
  if (failure) throw revive(failure)
  // Threads that were stopped drop what they hold back: that must never look like success.
  if (!turns.isAt(taskCount(task.inputs))) throw new Error('threads were stopped before all output was written')
  if (stage.parallel === 'merge') {
    const operator = ours.operator as MergeableOperator
    for (const { state } of results.slice(1)) operator.mergeState(state)
    // Other threads write to standard output alone.
    if (!output && sharesEnd(operator)) await (await import('./end-rounds.ts')).runRounds(operator, work, spawn)
    const rest = output ?? new Output()
    operator.onEnd?.(collectInto(rest))
    rest.flush()
  }
  const counts = new Map<string, number>()
  for (const result of results) addCounts(counts, result.counts)
  return { counts, deadLetters: results.reduce((sum, result) => sum + result.deadLetters, 0) }
}

/** Tells what other threads have read since this one told. */
export function tellRest(inputs: readonly InputFile[], turns: Turns, progress: Progress | undefined): void {
  const { file, size } = inputs[inputs.length - 1] as InputFile
  progress?.({ name: file, size, consumed: () => size }, turns.takeCount())
}

/** A worker thread's whole life: its share of the tasks, and what it found. */
export async function runWorker(command: Stage, task: WorkerTask): Promise<WorkerResult> {
  if (command.role === 'pair') return (await import('./pair-parallel.ts')).workOnLeft(command, task)
  const whole = command.role === 'table' ? command.stage(task.table) : command
  const sampled = whole.role === 'operator' && 'sample' in task ? whole.sampled?.stage(task.sample) : undefined
  const stage = sampled ?? whole
  if (stage.role !== 'operator') throw new Error(`a worker cannot run ${task.command}`)
  if (task.round) return (await import('./end-rounds.ts')).joinRound(stage, task, task.round)
  if (stage.parallel === 'ordered') {
    await (await import('./ordered.ts')).workOrdered(stage, task)
    return { counts: [], deadLetters: 0 }
  }
  const { operator, result } = await workThrough(stage, task, new Turns(task.turns))
  return stage.parallel === 'merge' && !result.failure
    ? { ...result, state: (operator as MergeableOperator).exportState() }
    : result
}

async function workThrough(
  stage: OperatorStage,
  { inputs, settings }: WorkerTask,
  turns: Turns,
  progress?: Progress,
): Promise<{ operator: ReturnType<OperatorStage['open']>; result: WorkerResult }> {
  const letters = settings.deadLetter === undefined ? undefined : openSideFile(settings.deadLetter, [], true)
  const output = new TurnOutput(turns, letters?.write)
  const bad = letters ? new DeadLetters(output.writeLetter) : stopAtBadRecords
  const counts = new Map<string, number>()
  const scanner = openScanner(stage.reads, settings, { stages: stage.views ?? 1 })
  const operator = stage.open(stageContext(scanner, bad, counts, settings))
  const out = collectInto(output)
  const block = isBlockOperator(operator) ? operator : undefined
  const end = taskCount(inputs)
  let failure: Failure | undefined
  let read = 0
  const files = new TaskFiles(inputs)
  try {
    for (let task = turns.take(); task < end && !turns.stopped; task = turns.take()) {
      output.begin(task)
      const { source, origin } = files.open(task)
      block?.beginRange(origin.base)
      const before = read
      await readInput(scanner, source, origin, (batch) => operator.processBatch(batch, out, 0), {
        maxLineBytes: settings.maxLineBytes,
        bad,
        ...(block && { takeBlock: (scanned, at) => block.processBlock(scanned, at, out) }),
        afterBlock: (at, records) => {
          turns.count(records)
          read = before + origin.received
          progress?.(at, turns.takeCount())
        },
      })
      block?.endRange(out)
      await output.finish()
    }
    await output.drain()
  } catch (thrown) {
    // What this thread writes is for what it reads.
    let error = withWhole(thrown, read / bytesOf(inputs))
    try {
      block?.breakRange(thrown, out)
    } catch (earlier) {
      // Of a stage behind, at a record before.
      error = earlier
    }
    if (error instanceof ReaderGone) turns.stop()
    if (error instanceof ReaderGone || (await output.fail())) failure = packed(error)
  } finally {
    files.close()
    letters?.close()
  }
  const result = { counts: [...counts], deadLetters: bad.count, ...(failure && { failure }) }
  return { operator, result }
}

const sharesEnd = (operator: MergeableOperator): operator is SharedEndOperator => 'nextRound' in operator

/** Of all inputs. */
export const bytesOf = (inputs: readonly InputFile[]): number => inputs.reduce((sum, { size }) => sum + size, 0)

/** How many tasks the inputs make. */
export function taskCount(inputs: readonly InputFile[]): number {
  const last = inputs[inputs.length - 1] as InputFile
  return last.firstTask + Math.ceil(last.size / last.taskBytes)
}

/** Opens the bytes of tasks. Tasks come in ascending order, so one file is open at a time. */
export class TaskFiles {
  readonly #inputs: readonly InputFile[]
  #open: { input: InputFile; fd: number } | undefined
  constructor(inputs: readonly InputFile[]) {
    this.#inputs = inputs
  }
  open(task: number): { source: FileRange; origin: RangeOrigin } {
    const input = this.#inputs.findLast(({ firstTask }) => firstTask <= task) as InputFile
    if (this.#open?.input !== input) {
      this.close()
      this.#open = { input, fd: openSync(input.file, 'r') }
    }
    const { fd } = this.#open
    // Both ends move on to the next line start, so every line belongs to exactly one task.
    const at = (task - input.firstTask) * input.taskBytes
    const start = lineStart(fd, at, input.size)
    const end = lineStart(fd, Math.min(at + input.taskBytes, input.size), input.size)
    return { source: new FileRange(fd, input, start, end), origin: new RangeOrigin(input.file, start, input.base) }
  }
  close(): void {
    if (this.#open) closeSync(this.#open.fd)
    this.#open = undefined
  }
}

/** Settles when the worker has answered; a worker that dies before stops the run. */
export function listen(worker: Worker, turns: Turns): Promise<WorkerResult> {
  return new Promise((resolve) => {
    let answered = false
    const died = (error: unknown): void => {
      // Whoever has answered may end: others still wait for their turn to write.
      if (answered) return
      turns.stop()
      resolve({ counts: [], deadLetters: 0, failure: { kind: 'bug', error } })
    }
    worker.once('message', (result: WorkerResult) => {
      answered = true
      resolve(result)
    })
    worker.once('error', died)
    worker.once('exit', () => died(new Error('a worker thread ended early')))
  })
}

export function packed(error: unknown): Failure {
  if (error instanceof BeckError) return { kind: 'beck', code: error.code, facts: error.facts }
  return error instanceof ReaderGone ? { kind: 'reader gone' } : { kind: 'bug', error }
}
export function revive(failure: Failure): unknown {
  if (failure.kind === 'beck') return new BeckError(failure.code, failure.facts)
  return failure.kind === 'reader gone' ? new ReaderGone() : failure.error
}
