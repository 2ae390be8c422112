import { countLines } from '../core/count-lines.ts'
import { BeckError } from '../core/errors.ts'
import type { OperatorStage, TableReader, TableStage, ToolIo } from '../core/spec.ts'
import type { Terminal } from '../cli/terminal.ts'
import { createScanner } from '../ndjson/index.ts'
import type { BadRecords } from '../pipeline/bad-records.ts'
import type { ByteSink } from '../pipeline/context.ts'
import { ReaderGone } from '../pipeline/descriptor.ts'
import { FramedOutput, type SourceOutput, SourcePipe } from '../pipeline/framed-output.ts'
import type { Spawn } from '../pipeline/parallel.ts'
import { readInputs } from '../pipeline/reader.ts'
import { decodeInputs } from '../pipeline/run-stage.ts'
import { addCounts, type Outcome, type RunSettings } from '../pipeline/settings.ts'
import { type ByteSource, openSource } from '../pipeline/source.ts'
import type { StagePipe } from '../pipeline/stage-pipe.ts'
import { type Adapted, asOperator, type Ending } from './adapters.ts'
import { Chain, fieldsOf, groupStages, type LineSink, viewsOf, withAhead, withSiftedFields } from './chain.ts'
import { type ChainTask, type ChainWork, compose, parallelHead } from './composite.ts'
import { letsFew } from './few.ts'
import { Flow, Fork } from './fork.ts'
import type { FusedFrames } from './fused-frames.ts'
import { type ChainStage, stageOf, type Surroundings, withStage } from './group.ts'
import type { FusedHost } from './fused.ts'
import type { Line, LineStage, NextStage } from './lines.ts'
import type { CommandStage } from './plan.ts'
import { inputOfTable, Relay, type RunningLine } from './relay.ts'
import type { Rewrites } from './rewrite.ts'
import { stopAtCheckpoint } from './signals.ts'
import type { Watch } from './watch.ts'

/** What the run as a whole does for its lines. */
export interface RunAround {
  readonly terminal: Terminal
  readonly spawn: Spawn
  readonly rewrites: Rewrites
  readonly planInputs: FusedHost['planInputs']
  /** Only where somebody looks. */
  readonly watch: Watch | undefined
  readonly surroundings: Surroundings
  /** What comes out at the end. `direct`: standard output. */
  readonly sink: LineSink
  readonly direct: boolean
  readonly endings: Map<number, Ending>
  /** Has this closed when the run is over: then others can have its memory. */
  closeAtEnd(one: { close(): void }): void
  countsOf(index: number): Map<string, number>
  badOf(index: number, settings: RunSettings): BadRecords
  /** Bad records of a table that are kept already. */
  keptLetters(index: number, records: number): void
  /** Tells people of an error of a stage: the one that it names, else this one. */
  fail(error: unknown, index: number): Promise<void>
  hasFailed(index: number): boolean
  /** Nobody reads any more what these stages write: they have ended, and have nothing to say. */
  leave(indices: readonly number[]): void
  /** A signal has asked for an end. */
  stop(exit: number): void
  readonly stopped: boolean
  /** A stage has failed. */
  readonly failed: boolean
}

/** Operators' timers run this often. */
const TIMER_MS = 20

/** Why a pipe that delivers exactly once does not lead into a run, and the way to go. */
const NO_FRAMES = [
  'beck run commits for pipelines that begin in its text, and takes no part in others',
  `put all of it into the text: beck run 'consume clicks --group g --exactly-once | … | append good'\nor each stage into the pipe: beck consume clicks --group g --exactly-once | beck map … | beck append good`,
] as const

/** Where a line begins and ends, if not at files or standard input, and standard output. */
export interface LineEnds {
  readonly input?: ByteSource | undefined
  readonly to?: StagePipe | undefined
  /** What takes the table that the line makes, at its end. */
  readonly reader?: ChainStage | undefined
}

/** Runs a line from its first stage, which reads something, to the ends of all its forks. */
export class LineRun implements RunningLine {
  readonly #around: RunAround
  readonly #line: Line
  /** The main one is the one that people see read. */
  readonly #watch: Watch | undefined
  /** The stages as workers get them. */
  readonly #tasks: ChainTask[] = []
  /** Where the records of the line's own stages go. */
  #out: LineSink
  #fork: Fork | undefined
  /** At the end of the line, and of forks of it. */
  readonly #relays: Relay[] = []
  /** All that is run beside this. */
  readonly #beside: Promise<void>[] = []
  /** Of the line's own stages and those of its forks. */
  readonly #endings = new Map<number, Ending>()
  readonly #indices: number[] = []
  /** Errors are told one after the other. */
  #telling: Promise<void> = Promise.resolve()
  readonly #ends: LineEnds
  /** The pipe at the end of the line's own stages, and how control frames get there. */
  #pipe: StagePipe | undefined
  #frames: FramedOutput | undefined
  /** Control frames go through the line's own stages. */
  #framed: FusedFrames | undefined

  constructor(line: Line, around: RunAround, ends: LineEnds = {}) {
    this.#line = line
    this.#around = around
    this.#ends = ends
    this.#out = around.sink
    const isFirst = !ends.reader && !ends.to && !ends.input && !line.isTable
    this.#watch = isFirst ? around.watch : undefined
  }

  /** Resolves when it has ended, with all that is behind it. What goes wrong is told. */
  async run(): Promise<void> {
    const { input, to } = this.#ends
    const { stages, next } = this.#line
    const relay = next && this.#relayTo(next, stages.length > 0, this.#ends)
    if (!next || stages.length > 0) {
      this.#pipe = relay?.pipe ?? to
      if (this.#pipe) {
        const frames = (this.#frames = new FramedOutput(this.#pipe))
        this.#out = into(frames)
      }
      try {
        await this.#own()
      } finally {
        if (this.#line.framed && this.#around.failed) this.#pipe?.failStart()
        for (const { pipe } of this.#relays) pipe?.close()
        if (!relay) to?.close()
        input?.close()
      }
    }
    await Promise.all(this.#beside)
  }

  /** Begins to run the stage behind the line's own ones, and whatever is behind that. */
  #relayTo(next: NextStage, before: boolean, ends: LineEnds): Relay {
    const run = (line: Line, its: LineEnds): LineRun => new LineRun(line, this.#around, its)
    const relay = new Relay(next, this.#around, before, ends, run)
    this.#relays.push(relay)
    this.#beside.push(relay.run())
    return relay
  }

  /** The line's own stages, and its forks. */
  async #own(): Promise<void> {
    const { stages, framed } = this.#line
    const { input } = this.#ends
    const [first] = stages
    const { role } = first?.stage ?? {}
    const sourced = role === 'tool' || role === 'decoder' ? first : undefined
    try {
      const opened = await this.#open({ ...this.#line, stages: sourced ? stages.slice(1) : stages }, this.#tasks)
      await this.#openForks()
      if (opened.broken) await this.#through(this.#chain(opened.stages), async () => {})
      else if (sourced) await this.#fromSource(sourced, opened.stages)
      else if (input && framed) await this.#fromFrames(input, opened.stages)
      else if (input && opened.stages.length === 0) await this.#fromBytes(input)
      else if (!(await this.#inParallel(first?.stage, opened.stages))) await this.#alone(first?.stage, opened.stages)
    } catch (error) {
      if (error instanceof ReaderGone) this.#around.leave(this.#indices)
      else await this.#around.fail(error, first?.index ?? 0)
    }
  }

  /** Makes what is only made when it runs; a table is read here, whole. `broken`: a stage could not be opened: those behind it have no input. */
  async #open(line: Line, tasks: ChainTask[]): Promise<{ stages: ChainStage[]; broken: boolean }> {
    const { endings, terminal, rewrites, watch } = this.#around
    this.#indices.push(...line.stages.map(({ index }) => index))
    const made: ChainStage[] = []
    const known: ChainTask[] = []
    let broken = false
    for (const lineStage of line.stages) {
      const { index, stage, table: inner } = lineStage
      const { spec, args, settings } = stage
      try {
        const opened = stage.stage ?? (await spec.create(args))
        const adapted =
          inner && opened.role === 'table'
            ? await this.#withTable(lineStage, opened, inner)
            : await asOperator(opened, settings, this.#around.countsOf(index), terminal, this.#isEnd(line, index))
        if (adapted.ending) {
          endings.set(index, adapted.ending)
          this.#endings.set(index, adapted.ending)
        }
        this.#around.keptLetters(index, adapted.deadLetters ?? 0)
        made.push({ index, stage: adapted.stage, settings: adapted.settings })
        known.push({ index, command: stage.name, args, settings: adapted.settings, table: adapted.table })
      } catch (error) {
        // In a shell the stages behind it see an empty input.
        if (!(error instanceof TableFailed)) await this.#around.fail(error, index)
        made.length = 0
        broken = true
      }
    }
    const opened = withSiftedFields(withAhead(made, (at) => !broken && line.stages[at]!.stage.ahead === true))
    for (const [at, task] of known.entries()) {
      const { passes, stage } = opened[at] ?? {}
      tasks.push({ ...task, ...(passes && stage && { passes, reads: stage.reads }) })
    }
    watch?.count(groupStages(opened, rewrites).flatMap((group) => group.map(({ index }) => index)))
    const { reader } = this.#ends
    if (reader && line.isTable && line.forks.length === 0) opened.push(reader)
    return { stages: opened, broken }
  }

  /** Nothing of this process takes what comes out of a stage of a line. */
  #isEnd({ stages, next, forks, isTable }: Line, index: number): boolean {
    return stages.at(-1)?.index === index && !next && forks.length === 0 && !isTable && !this.#ends.to
  }

  /** Reads a join's table from its pipeline in brackets. @throws TableFailed, which has been told */
  async #withTable(of: LineStage, stage: TableStage, line: Line): Promise<Adapted> {
    const { index } = of
    const { settings } = of.stage
    let reader: TableReader<unknown> | undefined
    const open: OperatorStage['open'] = (context) => {
      const opened = (reader = stage.open(context))
      return { processBatch: (batch) => opened.processBatch(batch) }
    }
    const end = {
      index,
      settings,
      from: 'the table in brackets',
      stage: { role: 'operator', reads: stage.reads, open },
    } as const
    await new LineRun(line, this.#around, { reader: end, input: inputOfTable(of) }).run()
    if (!reader || this.#around.hasFailed(index)) throw new TableFailed()
    const table = reader.end()
    return { stage: stage.stage(table), settings, table }
  }

  async #openForks(): Promise<void> {
    const { forks } = this.#line
    if (forks.length === 0) return
    this.#fork = new Fork(await this.#flows(forks), true)
    this.#out = this.#fork
  }

  async #flows(lines: readonly Line[]): Promise<Flow[]> {
    const flows: Flow[] = []
    for (const line of lines) {
      const { stages, broken } = await this.#open(line, [])
      const fork = line.forks.length > 0 ? new Fork(await this.#flows(line.forks), false) : undefined
      const pipe = line.next && this.#relayTo(line.next, true, line.isTable ? this.#ends : {}).pipe
      const out = fork ?? (pipe ? into(pipe) : line.isTable ? this.#out : this.#around.sink)
      const tell = (error: unknown): void => {
        const last = line.stages.at(-1)?.index ?? 0
        this.#telling = this.#telling.then(() => this.#around.fail(error, last))
      }
      let chain: Chain | undefined
      let closed = broken
      try {
        chain = this.#chain(stages, out)
      } catch (error) {
        tell(error)
        closed = true
      }
      flows.push(new Flow(chain, { out, fork, pipe, closed, tell }))
    }
    return flows
  }

  /**
   * Lets all threads work on the first stages; the others follow in this one. Returns false, with nothing done, where one thread does as well. Output and
   * errors are the same.
   */
  async #inParallel(first: CommandStage | undefined, stages: readonly ChainStage[]): Promise<boolean> {
    const { rewrites, spawn } = this.#around
    if (!first || first.args.files.length === 0) return false
    const { args } = first
    const direct = this.#around.direct && !this.#fork && !this.#pipe
    const head = rewrites.threads ? parallelHead(stages, direct) : undefined
    const workers = Math.min(...stages.slice(0, head?.count ?? 0).map(({ settings }) => settings.workers))
    // Dead letters of several stages would have to wait for their turn.
    const plain = stages.every(({ stage, settings }) => settings.deadLetter === undefined && !stage.timers)
    if (!head || workers < 2 || !plain || this.#fork?.isTimed) return false
    const { planInputs, runParallel } = await import('../pipeline/parallel.ts')
    const inputs = (this.#around.planInputs ?? planInputs)(args.files)
    if (!inputs) return false
    const few = rewrites.fuse && letsFew(stages, inputs)
    /** The first stage is the filter. */
    const told = <Stage extends { readonly few?: true }>(list: readonly Stage[]): Stage[] =>
      list.slice(0, head.count).map((one, at) => (few && at === 0 ? { ...one, few } : one))
    const tail = this.#chain(stages.slice(head.count))
    const into = tail?.entry ?? this.#out
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
      flush: () => (tail ?? this.#out).settle(),
      ready: () => this.#ready(),
    }
    const settings = { ...stages[0]!.settings, workers }
    const chain: ChainWork = {
      tasks: told(this.#tasks),
      kind: head.kind,
      rewrites,
      counts: this.#around.watch?.meter.shared,
    }
    const task = { command: 'run', args, settings, inputs, chain }
    const stage = compose(told(stages), head.kind, rewrites, this.#around.watch?.meter)
    let worked = true
    const before = this.#around.watch?.meter.now
    await this.#through(tail, async () => {
      let outcome: Outcome | undefined
      if (stage.parallel === 'ordered') {
        const { runOrdered } = await import('../pipeline/ordered.ts')
        outcome = await runOrdered(stage, task, spawn, this.#watch?.reads, output)
        worked = outcome !== undefined
      } else {
        try {
          outcome = await runParallel(stage, task, spawn, this.#watch?.reads, output)
        } catch (error) {
          // What the stages behind would get of the input up to a bad record is found out in order.
          if (stage.parallel === 'stateless' || written || !(error instanceof BeckError)) throw error
          worked = false
        }
      }
      for (const [name, records] of outcome?.counts ?? []) {
        const at = name.indexOf(' ')
        addCounts(this.#around.countsOf(Number(name.slice(0, at))), [[name.slice(at + 1), records]])
      }
      if (worked) return
      if (before) this.#around.watch?.meter.goBack(before)
      throw new NotParallel()
    }).catch((error: unknown) => {
      if (!(error instanceof NotParallel)) throw error
    })
    return worked
  }

  /** One thread. */
  async #alone(first: CommandStage | undefined, stages: readonly ChainStage[]): Promise<void> {
    const { input } = this.#ends
    const { rewrites, surroundings } = this.#around
    const [group] = groupStages(stages, rewrites) as [ChainStage[]]
    const { strict, maxLineBytes, scanner: which } = group[0]!.settings
    const scanner = createScanner({ reads: fieldsOf(group), strict, maxLineBytes, stages: viewsOf(group) }, which)
    const chain = new Chain(stages, scanner, surroundings, this.#out, rewrites)
    this.#around.closeAtEnd(scanner)
    this.#around.closeAtEnd(chain)
    await this.#through(chain, () =>
      readInputs(scanner, first?.args.files ?? [], () => {}, {
        open: (file, timers) => (input && file === '-' ? input : openSource(file, timers)),
        maxLineBytes,
        noFrames: NO_FRAMES,
        bad: surroundings.bad(stages[0]!),
        // Who looks on wants to see also what an input that pauses has brought.
        timers:
          this.#watch !== undefined ||
          this.#relays.length > 0 ||
          this.#ends.to !== undefined ||
          this.#fork?.isTimed === true ||
          stages.some(({ stage }) => stage.timers === true),
        ...(this.#watch && { afterBlock: this.#watch.reads }),
        turn: () => this.#ready(),
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
  #chain(stages: readonly ChainStage[], out = this.#out): Chain | undefined {
    const { surroundings, rewrites } = this.#around
    if (stages.length === 0) return undefined
    const chain = new Chain(stages, undefined, surroundings, out, rewrites)
    this.#around.closeAtEnd(chain)
    return chain
  }

  /** Records that a first stage makes of something else. */
  async #fromSource({ index, stage: first }: LineStage, stages: readonly ChainStage[]): Promise<void> {
    const chain = this.#chain(stages)
    this.#around.watch?.count([index])
    const into = chain?.entry ?? this.#out
    const settle = (): void => (chain ?? this.#out).settle()
    const count = (lines: Uint8Array): void => this.#around.watch?.meter.gave(index, countLines(lines))
    const { framed } = this.#line
    await this.#through(chain, async () => {
      const stage = first.stage ?? (await first.spec.create(first.args))
      if (stage.role === 'tool') {
        const frames = framed ? { frames: await this.#framesInto(chain, index) } : {}
        return stage.run({ ...this.#toolIo(into, settle, count), ...frames })
      }
      if (stage.role !== 'decoder') throw new Error(`${first.name} is no source`)
      const { settings } = first
      return decodeInputs(stage, first.args.files, {
        settings,
        bad: this.#around.badOf(index, settings),
        write: (lines) => {
          count(lines)
          into.write(lines)
        },
        flush: settle,
        turn: () => this.#ready(),
        live: this.#watch !== undefined || this.#relays.length > 0 || this.#ends.to !== undefined,
        progress: this.#watch?.reads,
        ...(into.readText && {
          readText: (kind, text) => {
            const counts = into.readText?.(kind, text)
            this.#around.watch?.meter.gave(index, counts?.records ?? 0)
            return counts
          },
        }),
      })
    })
  }

  /** Takes records and control frames for the line's own stages, and hands them on. @param source counted by its records */
  async #framesInto(chain: Chain | undefined, source?: number): Promise<SourceOutput> {
    const { watch } = this.#around
    const pipe = this.#pipe
    const wrote = (records: number): void => void (source !== undefined && watch?.meter.gave(source, records))
    if (!chain && pipe) return new SourcePipe(pipe, this.#around, wrote)
    const last = this.#line.stages.at(-1) as LineStage
    const sink = this.#endings.get(last.index)?.sink?.()
    const to = this.#frames
    const end = sink ? { sink } : to && pipe && { to, ready: () => pipe.ready() }
    if (!chain || !end) throw new Error('control frames that nobody takes')
    const { FusedFrames } = await import('./fused-frames.ts')
    return (this.#framed = new FusedFrames(chain, end, this.#around, wrote))
  }

  /** Records and control frames out of a pipe. */
  async #fromFrames(input: ByteSource, stages: readonly ChainStage[]): Promise<void> {
    const chain = this.#chain(stages)
    const { pumpFrames } = await import('./fused-frames.ts')
    await this.#through(chain, async () => pumpFrames(input, await this.#framesInto(chain)))
  }

  /** Bytes out of a pipe, for whatever is behind. */
  async #fromBytes(input: ByteSource): Promise<void> {
    const block = Buffer.allocUnsafeSlow(1 << 16)
    await this.#through(undefined, async () => {
      for (;;) {
        await this.#ready()
        const n = await input.read(block)
        if (n === 0) return
        this.#check()
        this.#out.write(block.subarray(0, n))
        this.#out.settle()
      }
    })
  }

  #toolIo(into: LineSink, settle: () => void, count: (lines: Uint8Array) => void): ToolIo {
    // What a source has written is worked off at once: it may wait, and commits what it has written.
    const write = (text: Uint8Array | string): boolean => {
      this.#check()
      const bytes = typeof text === 'string' ? Buffer.from(text) : text
      count(bytes)
      into.write(bytes)
      settle()
      return true
    }
    const settleBehind = (): Promise<void> => this.settled()
    const more = this.#watch && { behind: this.#watch.behind }
    const writeBehind = async (bytes: Uint8Array): Promise<boolean> => {
      write(bytes)
      await this.#ready()
      return true
    }
    const ready = (): Promise<void> | undefined => this.#ready()
    return { ...this.#around.terminal.toolIo(), write, writeBehind, ready, settleBehind, ...more }
  }

  async settled(): Promise<void> {
    await this.#ready()
    for (const relay of this.#relays) await relay.settled()
    await this.#idle()
  }

  /** What sinks hold goes out, or to the disk; a promise where they wait for others. */
  #idle(): Promise<void> | undefined {
    const idle = [...this.#endings.values()].flatMap(({ onIdle }) => onIdle?.() ?? [])
    return idle.length > 0 ? Promise.all(idle).then(() => {}) : undefined
  }

  /** Sinks that wait for others are given no more than they can take. @throws BeckError */
  #ready(): Promise<void> | undefined {
    let all = this.#ends.to?.ready()
    for (const { pipe } of this.#relays) all = both(all, pipe?.ready())
    for (const [index, { ready }] of this.#endings) {
      const one = ready?.()
      if (!one) continue
      const told = one.catch((error: unknown) => {
        throw withStage(error, index)
      })
      all = both(all, told)
    }
    return all
  }

  /** Reads to the end, and ends the stages; those behind one that fails all the same. */
  async #through(chain: Chain | undefined, read: () => Promise<void>): Promise<void> {
    const { framed } = this.#line
    const timed = chain?.nodes.filter(({ stage }) => stage.stage.timers) ?? []
    const tick = (): void => {
      try {
        if (this.#broke) return
        const now = Date.now()
        for (const { operator, out } of timed) operator.onTimer?.(now, out)
        chain?.settle()
        this.#fork?.tick(now)
      } catch (error) {
        this.#broke = { error }
      }
    }
    const timer = (timed.length > 0 || this.#fork?.isTimed) && setInterval(tick, TIMER_MS)
    let failed = -1
    const stop = framed ? stopAtCheckpoint((code) => this.#around.stop(code)) : undefined
    try {
      await read()
      this.#check()
    } catch (error) {
      if (error instanceof NotParallel) throw error
      if (error instanceof ReaderGone) {
        // Who reads only the beginning of one output ends the others there, too.
        if (this.#fork) await this.#finish()
        throw error
      }
      const first = this.#line.stages[0]?.index ?? 0
      failed = (error instanceof BeckError ? stageOf(error) : undefined) ?? first
      await this.#around.fail(error, failed)
    } finally {
      clearInterval(timer as NodeJS.Timeout)
      stop?.()
    }
    // With frames, the last barrier has said whether this end is the end of all.
    if (framed) {
      const unfinished = this.#around.failed ? this.#framed?.unfinished(failed) : undefined
      for (const error of unfinished ?? []) await this.#around.fail(error, 0)
      return
    }
    for (const error of chain?.end(failed) ?? []) await this.#around.fail(error, 0)
    await this.#finish()
  }

  /** Ends what is behind the line's own stages. @throws ReaderGone */
  async #finish(): Promise<void> {
    try {
      if (this.#fork) this.#fork.end()
      else this.#out.settle()
    } finally {
      for (const [index, { finish }] of this.#endings) {
        try {
          await finish?.()
        } catch (error) {
          await this.#around.fail(error, index)
        }
      }
      await this.#telling
    }
  }

  /** What a timer has thrown has nobody to go to: it is thrown at the next block, or at the end. */
  #broke: { readonly error: unknown } | undefined
  #check(): void {
    if (this.#broke) throw this.#broke.error
  }
}

/** What is written goes into a pipe. */
const into = (output: ByteSink): LineSink => ({
  write: (bytes) => output.write(bytes),
  writeBinary: (text) => output.writeBinary(text),
  settle() {},
})

const both = (a: Promise<void> | undefined, b: Promise<void> | undefined): Promise<void> | undefined =>
  a && b ? Promise.all([a, b]).then(() => {}) : (a ?? b)

/** Thrown to unwind when one thread does as well; nothing has been written. */
class NotParallel extends Error {}

/** A table could not be read; why has been told. */
class TableFailed extends Error {}
