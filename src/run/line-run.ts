import { countLines } from '../core/count-lines.ts'
import { BeckError } from '../core/errors.ts'
import { stopAtCheckpoint } from '../core/signals.ts'
import type { ToolIo } from '../core/spec.ts'
import { createScanner } from '../ndjson/index.ts'
import type { ByteSink } from '../pipeline/context.ts'
import { ReaderGone } from '../pipeline/descriptor.ts'
import { FramedOutput, type SourceOutput, SourcePipe } from '../pipeline/framed-output.ts'
import { readInputs } from '../pipeline/reader.ts'
import { decodeInputs } from '../pipeline/run-stage.ts'
import { type ByteSource, openSource } from '../pipeline/source.ts'
import type { StagePipe } from '../pipeline/stage-pipe.ts'
import type { LineEnds, RunAround } from './around.ts'
import { Chain, fieldsOf, groupStages, type LineSink, viewsOf } from './chain.ts'
import type { ChainTask } from './composite.ts'
import { Flow, Fork } from './fork.ts'
import type { FusedFrames } from './fused-frames.ts'
import { type ChainStage, stageOf, withStage } from './group.ts'
import { NotParallel, runInParallel } from './line-parallel.ts'
import type { Line, LineStage, NextStage } from './lines.ts'
import { Opening } from './opening.ts'
import type { CommandStage } from './plan.ts'
import { Relay, type RunLine, type RunningLine } from './relay.ts'
import type { Watch } from './watch.ts'

/** Operators' timers run this often. */
const TIMER_MS = 20

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
  readonly #opening: Opening
  /** Errors are told one after the other. */
  #telling: Promise<void> = Promise.resolve()
  readonly #ends: LineEnds
  /** The pipe at the end of the line's own stages, and how control frames get there, or out. */
  #pipe: StagePipe | undefined
  #frames: FramedOutput | undefined
  /** Control frames go through the line's own stages. */
  #framed: FusedFrames | undefined

  constructor(line: Line, around: RunAround, ends: LineEnds = {}) {
    this.#line = line
    this.#around = around
    this.#ends = ends
    this.#opening = new Opening(around, ends, this.#beginLine)
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
      const output = this.#pipe ?? (this.#line.framed ? this.#around.output : undefined)
      if (output) {
        const frames = (this.#frames = new FramedOutput(output))
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

  readonly #beginLine: RunLine = (line, ends) => new LineRun(line, this.#around, ends)

  /** Begins to run the stage behind the line's own ones, and whatever is behind that. */
  #relayTo(next: NextStage, before: boolean, ends: LineEnds): Relay {
    const relay = new Relay(next, this.#around, before, ends, this.#beginLine)
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
      const opened = await this.#opening.open(
        { ...this.#line, stages: sourced ? stages.slice(1) : stages },
        this.#tasks,
      )
      await this.#openForks()
      if (opened.broken) await this.#through(this.#chain(opened.stages), async () => {})
      else if (sourced) await this.#fromSource(sourced, opened.stages)
      else if (input && framed) await this.#fromFrames(input, opened.stages)
      else if (input && opened.stages.length === 0) await this.#fromBytes(input)
      else if (!(await this.#inParallel(first?.stage, opened.stages))) await this.#alone(first?.stage, opened.stages)
    } catch (error) {
      if (error instanceof ReaderGone) this.#around.leave(this.#opening.indices)
      else await this.#around.fail(error, first?.index ?? 0)
    }
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
      const { stages, broken } = await this.#opening.open(line, [])
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

  #inParallel(first: CommandStage | undefined, stages: readonly ChainStage[]): Promise<boolean> {
    return runInParallel(first, stages, {
      around: this.#around,
      tasks: this.#tasks,
      progress: this.#watch?.reads,
      direct: this.#around.direct && !this.#fork && !this.#pipe,
      timed: this.#fork?.isTimed === true,
      out: this.#out,
      chain: (tail) => this.#chain(tail),
      ready: () => this.#ready(),
      through: (tail, read) => this.#through(tail, read),
    })
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
    const sink = this.#opening.endings.get(last.index)?.sink?.()
    const to = this.#frames
    const end = sink ? { sink } : to && { to, ready: () => pipe?.ready() }
    if (!chain || !end) throw new Error('control frames that nobody takes')
    const { FusedFrames } = await import('./fused-frames.ts')
    return (this.#framed = new FusedFrames(chain, end, this.#around, wrote))
  }

  /** Records and control frames out of a pipe. */
  async #fromFrames(input: ByteSource, stages: readonly ChainStage[]): Promise<void> {
    const chain = this.#chain(stages)
    const { pumpFrames } = await import('./fused-frames.ts')
    const fromOutside = input === this.#around.framed?.source ? stages[0]?.settings.stage.name : undefined
    await this.#through(chain, async () => pumpFrames(input, await this.#framesInto(chain), fromOutside))
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
    const idle = [...this.#opening.endings.values()].flatMap(({ onIdle }) => onIdle?.() ?? [])
    return idle.length > 0 ? Promise.all(idle).then(() => {}) : undefined
  }

  /** Sinks that wait for others are given no more than they can take. @throws BeckError */
  #ready(): Promise<void> | undefined {
    let all = this.#ends.to?.ready()
    for (const { pipe } of this.#relays) all = both(all, pipe?.ready())
    for (const [index, { ready }] of this.#opening.endings) {
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
    // A pipe of the shell ends with its processes.
    const stop = framed && !this.#around.framed ? stopAtCheckpoint((code) => this.#around.stop(code)) : undefined
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
      for (const [index, { finish }] of this.#opening.endings) {
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
