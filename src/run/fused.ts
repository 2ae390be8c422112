import { BeckError } from '../core/errors.ts'
import type { ToolIo } from '../core/spec.ts'
import type { Terminal } from '../cli/terminal.ts'
import { type BadRecords, DeadLetters, openSideFile, stopAtBadRecords } from '../pipeline/bad-records.ts'
import { stageContext } from '../pipeline/context.ts'
import { Output, ReaderGone } from '../pipeline/descriptor.ts'
import { countNewlines } from '../pipeline/origin.ts'
import { refuseOwnInput } from '../pipeline/own-input.ts'
import { readInputs } from '../pipeline/reader.ts'
import type { Spawn } from '../pipeline/parallel.ts'
import { addCounts, type Outcome, type RunSettings } from '../pipeline/settings.ts'
import { decodeInputs } from '../pipeline/run-stage.ts'
import { createScanner } from '../ndjson/index.ts'
import { asOperator, type Ending } from './adapters.ts'
import { Chain, type ChainRewrites, fieldsOf, groupStages, type LineSink, withSiftedFields } from './chain.ts'
import { type ChainTask, type ChainWork, compose, parallelHead } from './composite.ts'
import { type ChainStage, stageOf, type Surroundings } from './group.ts'
import type { CommandStage, LogicalPlan, PlannedStage } from './plan.ts'
import type { Rewrites } from './rewrite.ts'
import { Watch } from './watch.ts'

/** Whether a pipeline commits at checkpoints, which control frames bring. */
export const hasFrames = ({ stages: [first] }: Pick<LogicalPlan, 'stages'>): boolean =>
  first?.kind === 'command' &&
  first.name === 'consume' &&
  ['exactly-once', 'at-least-once'].some((flag) => first.args.options[flag] === true)

/** Files beside the output, clocks, tables and tasks are looked after where frames come through pipes. */
function isPlainUnderFrames(stage: PlannedStage): boolean {
  if (stage.kind !== 'command' || stage.role === 'table' || stage.settings.deadLetter !== undefined) return false
  if (stage.stage?.role === 'operator' && stage.stage.timers) return false
  return ['late-to', 'dupes-to', 'per-partition'].every((flag) => stage.args.options[flag] === undefined)
}

/** Whether all stages of a plan can run in one process. */
export function canFuse(plan: Pick<LogicalPlan, 'stages'>): boolean {
  const { stages } = plan
  const last = stages.at(-1)
  // What stands at the end commits; and a table is only watched for changes where frames come through a pipe.
  if (hasFrames(plan)) {
    if (last?.kind !== 'command' || last.name !== 'append' || !stages.every(isPlainUnderFrames)) return false
  }
  return stages.every((stage, index) => {
    if (stage.kind !== 'command' || stage.tables.length > 0) return false
    if (stage.role === 'tool' || stage.role === 'decoder') return index === 0
    if (stage.role === 'operator' || stage.role === 'table') return true
    if (stage.stage?.role === 'sink' && stage.stage.ownProcess) return false
    return (stage.role === 'encoder' || stage.role === 'sink') && index === stages.length - 1
  })
}

/** What a fused pipeline needs of the program around it. */
export interface FusedHost {
  readonly terminal: Terminal
  readonly spawn: Spawn
  readonly rewrites: Rewrites
}

/** Operators' timers run this often. */
const TIMER_MS = 20

/**
 * Runs a pipeline in this process: blocks go from stage to stage in memory. Returns the exit code of a shell with `pipefail`: that of the last stage that
 * failed; stages behind one that fails go on to their end.
 */
export async function runFused(stages: readonly CommandStage[], host: FusedHost, output?: Output): Promise<number> {
  const run = new FusedRun(stages, host, output)
  try {
    return await run.run()
  } finally {
    run.close()
  }
}

class FusedRun {
  readonly #stages: readonly CommandStage[]
  readonly #terminal: Terminal
  readonly #spawn: Spawn
  readonly #rewrites: ChainRewrites
  readonly #threads: boolean
  readonly #output: Output
  readonly #bad = new Map<number, { readonly records: BadRecords; close?(): void }>()
  readonly #counts = new Map<number, Map<string, number>>()
  readonly #endings = new Map<number, Ending>()
  /** The stages as workers get them. */
  readonly #tasks: ChainTask[] = []
  readonly #tableLetters = new Map<number, number>()
  #exit = 0
  /** A stage could not be opened: those behind it have no input. */
  #broken = false
  readonly #framed: boolean
  /** The exit code of the signal that has asked for an end. */
  #stopped = 0
  /** Only where somebody looks. */
  readonly #watch: Watch | undefined

  constructor(stages: readonly CommandStage[], { terminal, spawn, rewrites }: FusedHost, output: Output | undefined) {
    this.#spawn = spawn
    this.#rewrites = rewrites
    this.#threads = rewrites.threads
    this.#stages = stages
    this.#framed = hasFrames({ stages })
    this.#terminal = terminal
    this.#output = output ?? new Output()
    const names = stages.map(({ name }) => name)
    const board = terminal.board(output !== undefined || stages.at(-1)!.output.records === 'none')
    this.#watch = board && new Watch(names, board)
  }

  async run(): Promise<number> {
    const [first] = this.#stages as [CommandStage]
    const sourced = first.role === 'tool' || first.role === 'decoder'
    for (const { settings } of this.#stages) refuseOwnInput(settings.inputs, 1)
    if (this.#stages.length > 1 && this.#stages.at(-1)!.spec.place === 'last') {
      // A sink that knows no store waits for the first line of its pipe to name one; here it is the first stage's.
      const { storeFolder } = await import('../log/store.ts')
      process.env['BECK_STORE'] ||= storeFolder(this.#framed ? (first.args.options['store'] as string) : undefined)
    }
    try {
      const stages = await this.#open(sourced ? this.#stages.slice(1) : this.#stages, sourced ? 1 : 0)
      if (this.#broken) await this.#through(this.#chain(stages), async () => {})
      else await (sourced ? this.#fromSource(first, stages) : this.#fromRecords(first, stages))
    } catch (error) {
      if (error instanceof ReaderGone) return 0
      await this.#fail(error, 0)
    }
    for (const [index, stage] of this.#stages.entries()) this.#report(stage, index)
    return this.#exit
  }

  /** Makes what is only made when it runs; a table is read here, whole. */
  async #open(stages: readonly CommandStage[], from: number): Promise<ChainStage[]> {
    const made: ChainStage[] = []
    const tasks: ChainTask[] = []
    for (const [at, { spec, args, settings, ...stage }] of stages.entries()) {
      const index = from + at
      try {
        const opened = stage.stage ?? (await spec.create(args))
        const adapted = await asOperator(opened, settings, this.#context(index), this.#terminal)
        if (adapted.ending) this.#endings.set(index, adapted.ending)
        this.#tableLetters.set(index, adapted.deadLetters ?? 0)
        made.push({ index, stage: adapted.stage, settings: adapted.settings })
        tasks.push({ index, command: stage.name, args, settings: adapted.settings, table: adapted.table })
      } catch (error) {
        // In a shell the stages behind it see an empty input.
        await this.#fail(error, index)
        made.length = 0
        this.#broken = true
      }
    }
    const opened = withSiftedFields(made)
    for (const [at, task] of tasks.entries()) {
      const reads = opened[at]?.stage.passesBad ? opened[at].stage.reads : undefined
      this.#tasks.push({ ...task, ...(reads && { reads }) })
    }
    this.#watch?.count(groupStages(opened, this.#rewrites).flatMap((group) => group.map(({ index }) => index)))
    return opened
  }

  #context(index: number): Map<string, number> {
    const counts = this.#counts.get(index) ?? new Map<string, number>()
    this.#counts.set(index, counts)
    return counts
  }

  /** Records from files or standard input. */
  async #fromRecords(first: CommandStage, stages: readonly ChainStage[]): Promise<void> {
    if (!(await this.#inParallel(first, stages))) await this.#alone(first, stages)
  }

  /**
   * Lets all threads work on the first stages; the others follow in this one. Returns false, with nothing done, where one thread does as well. Output and
   * errors are the same.
   */
  async #inParallel({ args }: CommandStage, stages: readonly ChainStage[]): Promise<boolean> {
    const head = this.#threads ? parallelHead(stages) : undefined
    const workers = Math.min(...stages.slice(0, head?.count ?? 0).map(({ settings }) => settings.workers))
    // Dead letters of several stages would have to wait for their turn.
    const plain = stages.every(({ stage, settings }) => settings.deadLetter === undefined && !stage.timers)
    if (!head || workers < 2 || !plain) return false
    const { planInputs, runParallel } = await import('../pipeline/parallel.ts')
    const inputs = planInputs(args.files)
    if (!inputs) return false
    const tail = this.#chain(stages.slice(head.count))
    const into = tail?.entry ?? this.#sink
    let written = false
    const output = {
      write(bytes: Uint8Array) {
        written = true
        into.write(bytes)
      },
      writeBinary(text: string) {
        written = true
        into.writeBinary(text)
      },
      flush: () => (tail ?? this.#sink).settle(),
    }
    const settings = { ...stages[0]!.settings, workers }
    const chain: ChainWork = {
      tasks: this.#tasks.slice(0, head.count),
      kind: head.kind,
      rewrites: this.#rewrites,
      counts: this.#watch?.meter.shared,
    }
    const task = { command: 'run', args, settings, inputs, chain }
    const stage = compose(stages.slice(0, head.count), head.kind, this.#rewrites, this.#watch?.meter)
    let worked = true
    await this.#through(tail, async () => {
      let outcome: Outcome | undefined
      if (stage.parallel === 'ordered') {
        const { runOrdered } = await import('../pipeline/ordered.ts')
        outcome = await runOrdered(stage, task, this.#spawn, this.#watch?.reads, output)
        worked = outcome !== undefined
      } else {
        try {
          outcome = await runParallel(stage, task, this.#spawn, this.#watch?.reads, output)
        } catch (error) {
          // What the stages behind would get of the input up to a bad record is found out in order.
          if (stage.parallel === 'stateless' || written || !(error instanceof BeckError)) throw error
          worked = false
        }
      }
      for (const [name, records] of outcome?.counts ?? []) {
        const at = name.indexOf(' ')
        addCounts(this.#context(Number(name.slice(0, at))), [[name.slice(at + 1), records]])
      }
      if (!worked) throw new NotParallel()
    }).catch((error: unknown) => {
      if (!(error instanceof NotParallel)) throw error
    })
    return worked
  }

  /** One thread. */
  async #alone({ args }: CommandStage, stages: readonly ChainStage[]): Promise<void> {
    const [group] = groupStages(stages, this.#rewrites) as [ChainStage[]]
    const { strict, maxLineBytes, scanner: which } = group[0]!.settings
    const scanner = createScanner({ reads: fieldsOf(group), strict, maxLineBytes, stages: group.length }, which)
    const chain = new Chain(stages, scanner, this.#surroundings, this.#sink, this.#rewrites)
    await this.#through(chain, () =>
      readInputs(scanner, args.files, () => {}, {
        maxLineBytes,
        bad: this.#surroundings.bad(stages[0]!),
        // Who looks on wants to see also what an input that pauses has brought.
        timers: this.#watch !== undefined || stages.some(({ stage }) => stage.timers),
        ...(this.#watch && { afterBlock: this.#watch.reads }),
        onIdle: () => this.#idle(),
        beforeWait: () => chain.settle(),
        takeBlock: (scanned, origin) => {
          this.#check()
          chain.process(scanned, origin)
        },
      }),
    )
  }

  /** Stages whose input is handed to them. */
  #chain(stages: readonly ChainStage[]): Chain | undefined {
    return stages.length > 0 ? new Chain(stages, undefined, this.#surroundings, this.#sink, this.#rewrites) : undefined
  }

  /** Records that a first stage makes of something else. */
  async #fromSource(first: CommandStage, stages: readonly ChainStage[]): Promise<void> {
    const chain = this.#chain(stages)
    this.#watch?.count([0])
    const into = chain?.entry ?? this.#sink
    const settle = (): void => (chain ? chain.settle() : this.#sink.settle())
    await this.#through(chain, async () => {
      const stage = first.stage ?? (await first.spec.create(first.args))
      if (stage.role === 'tool') return stage.run({ ...this.#toolIo(into, settle), ...(await this.#frames(chain)) })
      if (stage.role !== 'decoder') throw new Error(`${first.name} is no source`)
      const { settings } = first
      const bad = this.#badOf(0, settings)
      return decodeInputs(stage, first.args.files, {
        settings,
        bad,
        write: (lines) => {
          this.#countFirst(lines)
          into.write(lines)
        },
        flush: settle,
        progress: this.#watch?.reads,
        ...(into.readText && {
          readText: (kind, text) => {
            const counts = into.readText?.(kind, text)
            this.#watch?.meter.add(0, counts?.records ?? 0)
            return counts
          },
        }),
      })
    })
  }

  /** Where the first stage writes control frames, if it does. */
  async #frames(chain: Chain | undefined): Promise<Pick<ToolIo, 'frames'>> {
    const sink = this.#endings.get(this.#stages.length - 1)?.sink?.()
    if (!this.#framed || !chain || !sink) return {}
    const { FusedFrames } = await import('./fused-frames.ts')
    const wrote = (records: number): void => this.#watch?.meter.add(0, records)
    return { frames: new FusedFrames(chain, sink, () => this.#stopped > 0, wrote) }
  }

  #toolIo(into: LineSink, settle: () => void): ToolIo {
    // What a source has written is worked off at once: it may wait, and commits what it has written.
    const write = (text: Uint8Array | string): boolean => {
      this.#check()
      const bytes = typeof text === 'string' ? Buffer.from(text) : text
      this.#countFirst(bytes)
      into.write(bytes)
      settle()
      return true
    }
    const more = this.#watch && { behind: this.#watch.behind }
    return { ...this.#terminal.toolIo(), write, writeBehind: async (bytes) => write(bytes), ...more }
  }

  /** Lines that the first stage has made. */
  #countFirst(lines: Uint8Array): void {
    this.#watch?.meter.add(0, countNewlines(lines, 0, lines.length))
  }

  /** Reads to the end, and ends the stages; those behind one that fails all the same. */
  async #through(chain: Chain | undefined, read: () => Promise<void>): Promise<void> {
    const timed = chain?.nodes.filter(({ stage }) => stage.stage.timers) ?? []
    const timer =
      timed.length > 0 &&
      setInterval(() => {
        try {
          if (this.#broke) return
          for (const { operator, out } of timed) operator.onTimer?.(Date.now(), out)
          chain?.settle()
        } catch (error) {
          this.#broke = { error }
        }
      }, TIMER_MS)
    let failed = -1
    const stop = this.#framed ? stopAtCheckpoint((code) => (this.#stopped = code)) : undefined
    try {
      await read()
      this.#check()
    } catch (error) {
      if (error instanceof ReaderGone || error instanceof NotParallel) throw error
      failed = (error instanceof BeckError ? stageOf(error) : undefined) ?? 0
      await this.#fail(error, failed)
    } finally {
      clearInterval(timer as NodeJS.Timeout)
      stop?.()
    }
    // With frames, the last barrier has said whether this end is the end of all.
    if (this.#framed) {
      if (this.#stopped && this.#exit === 0) this.#exit = this.#stopped
      return
    }
    for (const error of chain?.end(failed) ?? []) await this.#fail(error, 0)
    this.#sink.settle()
  }

  /** What a timer has thrown has nobody to go to: it is thrown at the next block, or at the end. */
  #broke: { readonly error: unknown } | undefined
  #check(): void {
    if (this.#broke) throw this.#broke.error
  }

  #idle(): void {
    for (const { onIdle } of this.#endings.values()) onIdle?.()
  }

  readonly #sink: LineSink = {
    write: (bytes) => this.#output.write(bytes),
    writeBinary: (text) => this.#output.writeBinary(text),
    settle: () => this.#output.flush(),
  }

  get #surroundings(): Surroundings {
    const bad: Surroundings['bad'] = ({ index, settings }) => this.#badOf(index, settings)
    return {
      meter: this.#watch?.meter,
      context: (stage, scanner, trimmed) =>
        stageContext(scanner, bad(stage), this.#context(stage.index), stage.settings, trimmed),
      bad,
    }
  }
  #badOf(index: number, settings: RunSettings): BadRecords {
    const known = this.#bad.get(index)
    if (known) return known.records
    const opened = openBad(settings)
    this.#bad.set(index, opened)
    return opened.records
  }

  /** Tells people, and remembers the exit code of the stage furthest to the right. */
  #failedAt = -1
  async #fail(error: unknown, index: number): Promise<void> {
    const at = (error instanceof BeckError ? stageOf(error) : undefined) ?? index
    const name = this.#stages[at]?.name ?? 'run'
    this.#endings.get(at)?.onFailure?.(error)
    await this.#terminal.error(`beck ${name}`, error)
    if (at < this.#failedAt) return
    this.#failedAt = at
    this.#exit = error instanceof BeckError ? error.exit : 70
  }

  #report({ name, words }: CommandStage, index: number): void {
    if (words.includes('--quiet') || words.includes('-q')) return
    const deadLetters = (this.#bad.get(index)?.records.count ?? 0) + (this.#tableLetters.get(index) ?? 0)
    this.#terminal.report(`beck ${name}`, { counts: this.#counts.get(index) ?? new Map<string, number>(), deadLetters })
  }

  close(): void {
    this.#watch?.close()
    this.#terminal.clear()
    for (const { close } of this.#endings.values()) close?.()
    for (const { close } of this.#bad.values()) close?.()
  }
}

/** The first Ctrl-C (or SIGTERM) asks for an end at the next checkpoint, the second one is that of any program. Returns what ends it. */
function stopAtCheckpoint(ask: (code: number) => void): () => void {
  const signals = ['SIGINT', 'SIGTERM'] as const
  let isAsked = false
  const asked = (signal: NodeJS.Signals, number: number): void => {
    if (isAsked) {
      stop()
      process.kill(process.pid, signal)
    }
    isAsked = true
    ask(128 + number)
  }
  const stop = (): void => {
    for (const signal of signals) process.off(signal, asked)
  }
  for (const signal of signals) process.on(signal, asked)
  return stop
}

/** Thrown to unwind when one thread does as well; nothing has been written. */
class NotParallel extends Error {}

function openBad({ deadLetter, keepDeadLetters, inputs }: RunSettings): { records: BadRecords; close?(): void } {
  if (deadLetter === undefined) return { records: stopAtBadRecords }
  const file = openSideFile(deadLetter, inputs, keepDeadLetters)
  return { records: new DeadLetters(file.write), close: file.close }
}
