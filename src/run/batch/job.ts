import { constants } from 'node:os'
import type { Reading } from '../../cli/board.ts'
import type { Host } from '../../cli/main.ts'
import type { Terminal } from '../../cli/terminal.ts'
import { BeckError, Exit } from '../../core/errors.ts'
import { ENDING, onSignals } from '../../core/signals.ts'
import { formatSize, parseSize } from '../../core/size.ts'
import type { Arguments, OperatorStage } from '../../core/spec.ts'
import { openSideFile, stopAtBadRecords } from '../../pipeline/bad-records.ts'
import { Output } from '../../pipeline/descriptor.ts'
import { refuseOwnInput } from '../../pipeline/own-input.ts'
import { openAll } from '../../pipeline/source.ts'
import { canFuse, runFused } from '../fused.ts'
import { type CommandStage, type LogicalPlan, planPipeline, type PlanSettings } from '../plan.ts'
import { chooseRewrites, rewritePlan, type Rewrites, type RewrittenPlan } from '../rewrite.ts'
import { type StageStats, writeStats } from '../stats.ts'
import { type JobSource, parsePipeline } from '../text.ts'
import { BatchDriver, copyOut, Interrupted, type PhaseCounts } from './driver.ts'
import { JobFolder, type JobHeader } from './job-folder.ts'
import { type BatchPlan, planBatch, type TaskStage } from './plan.ts'
import { cutInputs, type JobInput, piecesOf } from './splits.ts'
import { mergedStates } from './states.ts'
import { TaskWorker } from './workers.ts'

/** What `run --mode parallel` is told beside the text. */
export interface BatchOptions {
  readonly workers: number
  readonly out: string | undefined
  readonly splitBytes: number | undefined
  readonly memoryBytes: number
  readonly attempts: number
  readonly speculate: boolean
  readonly stats: boolean
  readonly tmp: string
  /** Names of rewrites that are switched off. */
  readonly without: readonly string[]
}

/** A worker is kept busy by several tasks, so that all of them end together; none is so small that its start counts. */
const TASKS_PER_WORKER = 4
const SMALLEST_SPLIT = 4 << 20
const LARGEST_SPLIT = 256 << 20
/** Each has a folder, and a line in the journal. */
const MOST_TASKS = 10_000

/** @throws BeckError usage, bad-option */
export function batchOptions(
  options: Arguments['options'],
  common: { workers: number; memoryBytes: number; tmp: string },
): BatchOptions {
  const attempts = Number(options['attempts'] ?? 4)
  if (!Number.isInteger(attempts) || attempts < 1) {
    throw new BeckError('bad-option', {
      option: '--attempts',
      problem: `"${String(options['attempts'])}" is not a number of attempts`,
      hint: 'write --attempts 4',
    })
  }
  return {
    ...common,
    out: options['out'] as string | undefined,
    splitBytes: options['split'] === undefined ? undefined : parseSize(options['split'] as string, '--split', 1),
    attempts,
    speculate: options['speculate'] === true,
    stats: options['stats'] === 'json',
    without: (options['without'] ?? []) as readonly string[],
  }
}

/** Refuses what would cut the inputs into no end of tasks, as a number that was meant as MiB. @throws BeckError bad-option */
function checkTasks(inputs: readonly JobInput[], splitBytes: number): void {
  const tasks = inputs.reduce((sum, input) => sum + piecesOf(input, splitBytes), 0)
  if (tasks <= Math.max(MOST_TASKS, inputs.length)) return
  const enough = formatSize(2 ** Math.ceil(Math.log2(Math.max(leastSplit(inputs), SMALLEST_SPLIT))))
  throw new BeckError('bad-option', {
    option: '--split',
    problem: `${formatSize(splitBytes)} would make ${tasks} tasks; at most ${MOST_TASKS} make sense`,
    hint: `write --split ${enough.replace(' ', '')}, or leave it out`,
  })
}

/** Smaller pieces are too many. */
const leastSplit = (inputs: readonly JobInput[]): number =>
  inputs.reduce((sum, { size, whole }) => sum + (whole ? 0 : size), 0) / MOST_TASKS

/** Runs a pipeline in tasks. Returns the exit code; undefined where it cannot be cut into tasks, and need not. @throws BeckError */
export async function runBatch(
  planned: LogicalPlan,
  args: Readonly<Record<string, string>>,
  options: BatchOptions,
  host: Host,
  terminal: Terminal,
): Promise<number | undefined> {
  const cut = await planTasks(planned, options.without, options.out)
  if ('why' in cut) return undefined
  const { plan } = cut
  const refused = await refuseOwn(planned, options.out, terminal)
  if (refused !== undefined) return refused
  const header: JobHeader = {
    beck: host.version,
    text: planned.source.text,
    name: planned.source.name,
    args,
    cwd: process.cwd(),
    store: process.env['BECK_STORE'],
    inputs: plan.inputs,
    splitBytes: splitSize(plan.inputs, options),
    without: options.without,
  }
  const folder = options.out === undefined ? JobFolder.temporary(options.tmp) : JobFolder.create(options.out, header)
  return new BatchJob(plan, header, folder, options, host, terminal).run()
}

/** Tells people of a stage that would write over what it reads, and returns its exit code. */
async function refuseOwn(
  { stages }: LogicalPlan,
  out: string | undefined,
  terminal: Terminal,
): Promise<number | undefined> {
  for (const stage of stages) {
    if (stage.kind !== 'command') continue
    const { inputs, deadLetter } = stage.settings
    try {
      if (out === undefined) refuseOwnInput(inputs, 1)
      if (deadLetter !== undefined) refuseOwnInput(inputs, deadLetter)
    } catch (error) {
      await terminal.error(`beck ${stage.name}`, error)
      return Exit.usage
    }
  }
  return undefined
}

/** Goes on with the job of a folder. Returns the exit code. @param shared options of all stages @throws BeckError */
export async function resumeBatch(
  out: string,
  options: BatchOptions,
  shared: NonNullable<PlanSettings['options']>,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const resumed = JobFolder.resume(out)
  if (!resumed) {
    terminal.news(`beck run: ${out} is complete`)
    return 0
  }
  const { folder, header } = resumed
  try {
    if (header.beck !== host.version) {
      throw new BeckError('file', {
        file: out,
        problem: `has a job of beck ${header.beck}; this is ${host.version}`,
        hint: 'go on with that version, or start again in a new folder',
      })
    }
    folder.enter(header.cwd)
    if (header.store !== undefined) process.env['BECK_STORE'] = header.store
    const source: JobSource = { name: header.name, text: header.text }
    const settings = { registry: host.registry, env: process.env, args: header.args, options: shared }
    const planned = await planPipeline(source, parsePipeline(source), settings)
    const { plan } = (await planTasks(planned, header.without, out)) as { plan: BatchPlan }
    for (const [index, input] of header.inputs.entries()) {
      const now = plan.inputs[index]
      if (now?.file === input.file && now.size === input.size && now.modifiedMs === input.modifiedMs) continue
      throw new BeckError('input-changed', {
        file: input.file,
        when: 'since the job began',
        hint: 'start the job again, in a new folder',
      })
    }
    return await new BatchJob(plan, header, folder, { ...options, out }, host, terminal).run()
  } finally {
    folder.close()
  }
}

/** The tasks of a pipeline, and the pipeline that was cut; or why one process does it all. @throws BeckError usage, where files of tasks were asked for */
export async function planTasks(
  planned: LogicalPlan,
  without: readonly string[],
  out: string | undefined,
): Promise<{ readonly plan: BatchPlan; readonly rewritten: RewrittenPlan } | { readonly why: string }> {
  const rewrites = chooseRewrites(without)
  // Groups before the exchange are the tasks' business.
  const rewritten = await rewritePlan(planned, { ...rewrites, partial: false })
  const cut = planBatch(rewritten.plan, rewrites)
  const why = 'why' in cut ? cut.why : whyNot(cut.plan, out)
  if (why === undefined) return { plan: (cut as { plan: BatchPlan }).plan, rewritten }
  if (out === undefined) return { why }
  throw new BeckError('usage', {
    problem: `this pipeline cannot be cut into tasks: ${why}`,
    hint: 'it reads files, named in its first stage; without --out, one process does it all',
  })
}

function whyNot({ rest }: BatchPlan, out: string | undefined): string | undefined {
  const last = rest.at(-1)
  if (last && !canFuse({ stages: rest }))
    return `${rest.find(({ role }) => role === 'tool')?.name ?? last.name} stands alone`
  if (out !== undefined && last?.output.records === 'none') return `nothing of what ${last.name} does would be in --out`
  return undefined
}

/** Bytes of a task's piece of a file. @throws BeckError bad-option */
export function splitSize(
  inputs: readonly JobInput[],
  { splitBytes, workers }: Pick<BatchOptions, 'splitBytes' | 'workers'>,
): number {
  if (splitBytes !== undefined) {
    checkTasks(inputs, splitBytes)
    return splitBytes
  }
  const bytes = inputs.reduce((sum, { size }) => sum + size, 0)
  const usual = Math.min(Math.max(Math.ceil(bytes / (workers * TASKS_PER_WORKER)), SMALLEST_SPLIT), LARGEST_SPLIT)
  return Math.max(usual, Math.ceil(2 * leastSplit(inputs)))
}

/** No more workers than there are tasks for. */
export const workerCount = (workers: number, splits: number, { partitions }: BatchPlan): number =>
  Math.min(workers, Math.max(splits, partitions ?? 0))

/** A job from its first task to its result. */
class BatchJob {
  readonly #plan: BatchPlan
  readonly #folder: JobFolder
  readonly #options: BatchOptions
  readonly #rewrites: Rewrites
  readonly #host: Host
  readonly #terminal: Terminal
  readonly #driver: BatchDriver
  readonly #workers: readonly TaskWorker[]
  /** What ran once, behind the tasks. */
  #restStats: { readonly ms: number; readonly stages: readonly StageStats[] } | undefined

  constructor(
    plan: BatchPlan,
    header: JobHeader,
    folder: JobFolder,
    options: BatchOptions,
    host: Host,
    terminal: Terminal,
  ) {
    this.#folder = folder
    this.#options = options
    this.#rewrites = chooseRewrites(header.without)
    this.#host = host
    this.#terminal = terminal
    const splits = cutInputs(plan.inputs, header.splitBytes)
    const count = workerCount(options.workers, splits.length, plan)
    this.#plan = withMemory(plan, Math.floor(options.memoryBytes / count))
    this.#workers = Array.from({ length: count }, () => new TaskWorker(host.command))
    const board = terminal.board(options.out !== undefined)
    this.#driver = new BatchDriver(this.#plan, splits, folder, {
      workers: this.#workers,
      attempts: options.attempts,
      speculate: options.speculate,
      lasting: options.out !== undefined,
      // Who goes on with a job may ask what it did before.
      counting: options.stats || options.out !== undefined,
      ...(board && { progress: (phases) => board.show(() => phases.map(shown)) }),
    })
  }

  async run(): Promise<number> {
    const release = onSignals(ENDING, (signal) => {
      release()
      this.#driver.interrupt(signal)
    })
    try {
      for (const worker of this.#workers) worker.start()
      return await this.#run(release)
    } catch (error) {
      const interrupted = error instanceof Interrupted
      const exit = interrupted ? 128 + constants.signals[error.signal] : await this.#fail(error)
      const { out } = this.#options
      // What is wrong with the data stays wrong, and an input that has changed is another one.
      const changed = error instanceof BeckError && error.code === 'input-changed'
      if (out !== undefined && exit > Exit.usage && !changed) {
        this.#terminal.news(`beck run: stopped; go on with: beck run --resume ${out}`)
      }
      return exit
    } finally {
      release()
      for (const worker of this.#workers) worker.stop()
      this.#terminal.clear()
      this.#folder.close()
    }
  }

  /** @param release gives signals back: where there are no tasks, they end this process at once, which leaves nothing half */
  async #run(release: () => void): Promise<number> {
    const { out } = this.#options
    const { rest } = this.#plan
    const output = new Output()
    const direct = rest.length === 0 && out === undefined
    const results: string[] = []
    const error = await this.#driver.run((index) => {
      results.push(this.#plan.merges ? this.#driver.resultFolder(index) : this.#driver.result(index))
      if (direct) copyOut(this.#driver.result(index), output)
    })
    release()
    this.#writeLetters()
    for (const stage of this.#stages()) this.#report(stage)
    let exit = error === undefined ? 0 : await this.#fail(error)
    this.#terminal.clear()
    if (rest.length > 0) exit = (await this.#runRest(results)) || exit
    else if (out !== undefined) results.forEach((_, index) => this.#driver.publish(index))
    if (exit === 0) this.#folder.succeed()
    if (this.#options.stats) writeStats({ phases: this.#driver.phases, rest: this.#restStats })
    return exit
  }

  /** The part of the pipeline that needs all records in one place. */
  async #runRest(results: readonly string[]): Promise<number> {
    const [first, ...more] = this.#plan.rest as [CommandStage, ...CommandStage[]]
    const stages = [this.#plan.merges ? merged(first, results) : reading(first, results), ...more]
    const { out } = this.#options
    // Another program is given no files.
    const input = first.role === 'process' ? { input: openAll(results) } : {}
    const began = performance.now()
    const { map, reduce, merges } = this.#plan
    // The tasks' last stage is the first here, where its states are put together.
    const before = Math.max(...[...map, ...reduce].map(({ index }) => index)) + (merges ? 0 : 1)
    const stats = (stages: readonly StageStats[]): void => {
      const numbered = stages.map((one) => ({ ...one, stage: one.stage + before }))
      this.#restStats = { ms: Math.round(performance.now() - began), stages: numbered }
    }
    const surroundings = {
      terminal: this.#terminal,
      spawn: this.#host.spawn,
      rewrites: this.#rewrites,
      ...input,
      stats: this.#options.stats ? stats : undefined,
    }
    if (out === undefined) return runFused(stages, surroundings)
    const name = partOf(stages.at(-1) as CommandStage)
    return this.#folder.write(name, (fd, path) => runFused(stages, surroundings, new Output(fd, path)))
  }

  /** One stage of the text each, as often as tasks do parts of its work. */
  #stages(): readonly TaskStage[] {
    return [...new Map([...this.#plan.map, ...this.#plan.reduce].map((stage) => [stage.index, stage])).values()]
  }

  #report({ index, command }: TaskStage): void {
    const counts = this.#driver.counted().get(index) ?? new Map<string, number>()
    this.#terminal.report(`beck ${command}`, { counts, deadLetters: this.#driver.letters(index).records })
  }

  /** The bad records of all tasks, in the order of the input. */
  #writeLetters(): void {
    for (const { index, settings } of this.#stages()) {
      if (settings.deadLetter === undefined) continue
      const letters = openSideFile(settings.deadLetter, settings.inputs, settings.keepDeadLetters)
      try {
        const file = { write: letters.write, flush() {} }
        for (const path of this.#driver.letters(index).files) copyOut(path, file)
      } finally {
        letters.close()
      }
    }
  }

  async #fail(error: unknown): Promise<number> {
    if (!(error instanceof BeckError)) throw error
    const { stage } = error.facts
    const failed = this.#stages().find(({ index }) => index === stage)
    // A filter that was put first speaks for the stage behind it.
    const behind = stage === undefined ? undefined : this.#plan.rest[0]?.name
    await this.#terminal.error(`beck ${failed?.command ?? behind ?? 'run'}`, error)
    return error.exit
  }
}

/** A stage with the files of tasks as its input. */
const reading = (stage: CommandStage, files: readonly string[]): CommandStage => ({
  ...stage,
  args: { ...stage.args, files },
  settings: { ...stage.settings, inputs: files },
})

/** A stage that begins where the states of all tasks end. */
function merged(stage: CommandStage, folders: readonly string[]): CommandStage {
  const settings = { ...stage.settings, inputs: [], workers: 1 }
  const source = mergedStates(stage.stage as OperatorStage, settings, folders, stopAtBadRecords)
  return { ...stage, role: 'tool', stage: source, settings }
}

/** Tasks that run at once share the memory. */
function withMemory(plan: BatchPlan, memoryBytes: number): BatchPlan {
  const shared = (stages: readonly TaskStage[]): readonly TaskStage[] =>
    stages.map((stage) => ({
      ...stage,
      settings: { ...stage.settings, memoryBytes: Math.min(stage.settings.memoryBytes, memoryBytes) },
    }))
  return { ...plan, map: shared(plan.map), reduce: shared(plan.reduce) }
}

const partOf = ({ role, args }: CommandStage): string =>
  role === 'encoder' ? `part-00000.${args.program[0] ?? 'txt'}` : 'part-00000.ndjson'

const shown = ({ phase, records, tasks: all, done, running, retried }: PhaseCounts): Reading => ({
  name: phase,
  records,
  tasks: { all, done, running, retried },
})
