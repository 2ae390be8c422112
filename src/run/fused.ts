import { BeckError } from '../core/errors.ts'
import type { Terminal } from '../cli/terminal.ts'
import { type BadRecords, DeadLetters, openSideFile, stopAtBadRecords } from '../pipeline/bad-records.ts'
import { stageContext } from '../pipeline/context.ts'
import { Output } from '../pipeline/descriptor.ts'
import { refuseOwnInput } from '../pipeline/own-input.ts'
import type { InputFile, Spawn } from '../pipeline/parallel.ts'
import { badInEpoch } from '../pipeline/run-stage.ts'
import type { RunSettings } from '../pipeline/settings.ts'
import type { ByteSource } from '../pipeline/source.ts'
import type { StageOutput } from '../pipeline/stage-io.ts'
import type { Ending } from './adapters.ts'
import type { LineSink } from './chain.ts'
import type { FramedInput } from './framed-input.ts'
import { stageOf, type Surroundings } from './group.ts'
import type { RunAround } from './around.ts'
import { LineRun } from './line-run.ts'
import { hasFrames, type Lines, linesOf } from './lines.ts'
import type { CommandStage, LogicalPlan, PlannedStage } from './plan.ts'
import type { Rewrites } from './rewrite.ts'
import { stageStats, type TakeStats } from './stats.ts'
import { Watch } from './watch.ts'

/** Whether all stages of a plan can run in one process. */
export const canFuse = (plan: Pick<LogicalPlan, 'stages'>): boolean => whyNotFused(plan) === undefined

/**
 * In words, what keeps the stages of a plan from being in one process.
 * @param where `table`: who reads it decides about its control frames; `stage`: other processes send some, and take them at its end
 */
export function whyNotFused(plan: Pick<LogicalPlan, 'stages'>, where?: 'table' | 'stage'): string | undefined {
  const { stages } = plan
  const last = stages.at(-1)
  const framed = where === 'stage' || hasFrames(plan)
  if (framed) {
    // What stands at the end commits. Partitions would have to be kept apart.
    if (!where && (last?.kind !== 'command' || last.role !== 'sink')) {
      return `${last?.name ?? ''} at the end of an exactly-once pipeline does not commit`
    }
    for (const stage of stages) {
      if (stage.kind === 'command' && stage.args.options['per-partition'] !== undefined)
        return `${stage.name} --per-partition runs tasks of its own`
    }
  }
  for (const [index, stage] of stages.entries()) {
    const within = stage.kind === 'tee' ? stage.branches : stage.tables
    const why = within.map((part) => whyNotFused(part, stage.kind === 'tee' ? undefined : 'table')).find(Boolean)
    if (why) return why
    if (stage.kind === 'tee') continue
    if (stage.tables.some(hasFrames) && !framed) {
      return `the table of ${stage.name} delivers exactly once, and the pipeline does not`
    }
    const standsAlone = stage.role === 'tool' ? index > 0 : stage.role === 'sink' && index < stages.length - 1
    if (standsAlone || stage.role === 'job') return `${stage.name} stands alone`
  }
  return undefined
}

/** What a fused pipeline needs of the program around it. */
export interface FusedHost {
  readonly terminal: Terminal
  readonly spawn: Spawn
  readonly rewrites: Rewrites
  /** Which inputs are cut for several threads, and how. Default: large files, as every command does it. */
  readonly planInputs?: (files: readonly string[]) => InputFile[] | undefined
  /** Told at the end what the stages did. */
  readonly stats?: TakeStats | undefined
  /** In place of standard input. */
  readonly input?: ByteSource
  /** Standard input brings control frames. */
  readonly framed?: FramedInput | undefined
}

/**
 * Runs a pipeline in this process: blocks go from stage to stage in memory. Returns the exit code of a shell with `pipefail`: that of the last stage that
 * failed; stages behind one that fails go on to their end.
 */
export async function runFused(stages: readonly PlannedStage[], host: FusedHost, output?: Output): Promise<number> {
  const run = new FusedRun(stages, host, output)
  try {
    return await run.run()
  } finally {
    await run.close()
  }
}

class FusedRun implements RunAround {
  readonly terminal: Terminal
  readonly spawn: Spawn
  readonly rewrites: Rewrites
  readonly planInputs: FusedHost['planInputs']
  readonly watch: Watch | undefined
  readonly output: StageOutput
  readonly sink: LineSink
  readonly direct: boolean
  readonly surroundings: Surroundings
  readonly endings = new Map<number, Ending>()
  readonly framed: FramedInput | undefined
  readonly #lines: Lines
  readonly #input: ByteSource | undefined
  readonly #bad = new Map<number, { readonly records: BadRecords; close?(): void }>()
  readonly #counts = new Map<number, Map<string, number>>()
  readonly #tableLetters = new Map<number, number>()
  readonly #failed = new Set<number>()
  readonly #left = new Set<number>()
  readonly #closing: { close(): void }[] = []
  readonly #stats: FusedHost['stats']
  #exit = 0
  /** The stage whose exit code that is. */
  #failedAt = -1
  /** The exit code of the signal that has asked for an end. */
  #stopped = 0

  constructor(stages: readonly PlannedStage[], host: FusedHost, to: Output | undefined) {
    const { terminal } = host
    this.terminal = terminal
    this.spawn = host.spawn
    this.rewrites = host.rewrites
    this.planInputs = host.planInputs
    this.framed = host.framed
    this.#input = host.framed?.source ?? host.input
    this.#lines = linesOf(stages, host.framed !== undefined)
    const output = (this.output = to ?? new Output())
    this.direct = to === undefined
    this.sink = {
      write: (bytes) => output.write(bytes),
      writeBinary: (text) => output.writeBinary(text),
      settle: () => output.flush(),
    }
    const last = stages.at(-1)
    const board = terminal.board(to !== undefined || (last?.kind === 'command' && last.output.records === 'none'))
    const { all, line } = this.#lines
    const out = host.stats !== undefined || terminal.tellsOut
    const first = line.stages[0] ?? line.next?.stage
    this.watch = board || out ? new Watch(all, board, first?.index ?? 0, out) : undefined
    this.#stats = host.stats
    this.surroundings = {
      meter: this.watch?.meter,
      context: (stage, scanner, trimmed) =>
        stageContext(scanner, this.surroundings.bad(stage), this.countsOf(stage.index), stage.settings, trimmed),
      bad: ({ index, settings }) => this.badOf(index, settings),
    }
  }

  async run(): Promise<number> {
    const { all, line } = this.#lines
    const [first] = all as [CommandStage]
    for (const [index, { settings }] of all.entries()) {
      try {
        refuseOwnInput(settings.inputs, 1)
      } catch (error) {
        await this.fail(error, index)
        return this.#exit
      }
    }
    if ((all.length > 1 || this.framed) && all.some(({ spec }) => spec.place === 'last')) {
      // A sink that knows no store waits for the first line of its pipe to name one; here it is the first stage's.
      const { storeFolder } = await import('../log/store.ts')
      const named = this.framed?.store ?? (line.framed ? (first.args.options['store'] as string) : undefined)
      process.env['BECK_STORE'] ||= storeFolder(named)
    }
    await new LineRun(line, this, { input: this.#input }).run()
    if (this.#stopped && this.#exit === 0) this.#exit = this.#stopped
    for (const [index, stage] of all.entries()) if (!this.#left.has(index)) this.#report(stage, index)
    return this.#exit
  }

  stop(exit: number): void {
    this.#stopped = exit
  }
  get stopped(): boolean {
    return this.#stopped > 0
  }
  get failed(): boolean {
    return this.#failed.size > 0
  }

  leave(indices: readonly number[]): void {
    for (const index of indices) this.#left.add(index)
  }

  closeAtEnd(one: { close(): void }): void {
    this.#closing.push(one)
  }

  countsOf(index: number): Map<string, number> {
    const counts = this.#counts.get(index) ?? new Map<string, number>()
    this.#counts.set(index, counts)
    return counts
  }

  badOf(index: number, settings: RunSettings): BadRecords {
    const known = this.#bad.get(index)
    if (known) return known.records
    const opened = openBad(settings)
    this.#bad.set(index, opened)
    return opened.records
  }

  keptLetters(index: number, records: number): void {
    this.#tableLetters.set(index, records)
  }

  /** Tells people, and remembers the exit code of the stage furthest to the right. */
  async fail(error: unknown, index: number): Promise<void> {
    const at = (error instanceof BeckError ? stageOf(error) : undefined) ?? index
    this.#failed.add(at)
    const name = this.#lines.all[at]?.name ?? 'run'
    try {
      await this.endings.get(at)?.onFailure?.(error)
    } catch (other) {
      // What came before the bad record could not be kept, either.
      await this.terminal.error(`beck ${name}`, other)
    }
    const isLast = at === this.#lines.all.length - 1
    const badEnd = this.#lines.line.framed && isLast && error instanceof BeckError && error.code === 'bad-record'
    await this.terminal.error(`beck ${name}`, badEnd ? badInEpoch(error) : error)
    if (at < this.#failedAt) return
    this.#failedAt = at
    this.#exit = error instanceof BeckError ? error.exit : 70
  }

  hasFailed(index: number): boolean {
    return this.#failed.has(index)
  }

  #report({ name, words }: CommandStage, index: number): void {
    if (words.includes('--quiet') || words.includes('-q')) return
    const deadLetters = (this.#bad.get(index)?.records.count ?? 0) + (this.#tableLetters.get(index) ?? 0)
    this.terminal.report(`beck ${name}`, { counts: this.#counts.get(index) ?? new Map<string, number>(), deadLetters })
  }

  async close(): Promise<void> {
    this.watch?.close()
    this.terminal.clear()
    if (this.watch) this.#stats?.(stageStats(this.#lines, this.watch.readings()))
    for (const { close } of this.endings.values()) await close?.()
    for (const { close } of this.#bad.values()) close?.()
    for (const one of this.#closing) one.close()
  }
}

function openBad({ deadLetter, keepDeadLetters, inputs }: RunSettings): { records: BadRecords; close?(): void } {
  if (deadLetter === undefined) return { records: stopAtBadRecords }
  const file = openSideFile(deadLetter, inputs, keepDeadLetters)
  return { records: new DeadLetters(file.write), close: file.close }
}
