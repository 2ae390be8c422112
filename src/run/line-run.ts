import { countLines } from '../core/count-lines.ts'
import { BeckError } from '../core/errors.ts'
import type { OperatorStage, TableReader, TableStage, ToolIo } from '../core/spec.ts'
import type { Terminal } from '../cli/terminal.ts'
import { createScanner } from '../ndjson/index.ts'
import type { BadRecords } from '../pipeline/bad-records.ts'
import { ReaderGone } from '../pipeline/descriptor.ts'
import type { Spawn } from '../pipeline/parallel.ts'
import { readInputs } from '../pipeline/reader.ts'
import { decodeInputs } from '../pipeline/run-stage.ts'
import { addCounts, type Outcome, type RunSettings } from '../pipeline/settings.ts'
import { type Adapted, asOperator, type Ending } from './adapters.ts'
import { Chain, fieldsOf, groupStages, type LineSink, withAhead, withSiftedFields } from './chain.ts'
import { type ChainTask, type ChainWork, compose, parallelHead } from './composite.ts'
import { Flow, Fork } from './fork.ts'
import { type ChainStage, stageOf, type Surroundings, withStage } from './group.ts'
import type { FusedHost } from './fused.ts'
import type { Line, LineStage } from './lines.ts'
import type { CommandStage } from './plan.ts'
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
  /** Commits come with control frames, to the sink of the last stage. */
  readonly framed: boolean
  /** A signal has asked for an end. */
  stop(exit: number): void
  isStopped(): boolean
}

/** Operators' timers run this often. */
const TIMER_MS = 20

/** Runs a line from its first stage, which reads something, to the ends of all its forks. */
export class LineRun {
  readonly #around: RunAround
  readonly #line: Line
  /** The main one is the one that people see read. */
  readonly #watch: Watch | undefined
  /** The stages as workers get them. */
  readonly #tasks: ChainTask[] = []
  /** Where the records of the line's own stages go. */
  #out: LineSink
  #fork: Fork | undefined
  /** Errors are told one after the other. */
  #telling: Promise<void> = Promise.resolve()
  /** What takes the table that this line makes, at its end. */
  readonly #reader: ChainStage | undefined

  constructor(line: Line, around: RunAround, reader?: ChainStage) {
    this.#line = line
    this.#around = around
    this.#out = around.sink
    this.#reader = reader
    this.#watch = reader ? undefined : around.watch
  }

  /** @throws ReaderGone */
  async run(): Promise<void> {
    const { stages } = this.#line
    const [first] = stages as [LineStage]
    const sourced = first.stage.role === 'tool' || first.stage.role === 'decoder'
    try {
      const opened = await this.#open({ ...this.#line, stages: sourced ? stages.slice(1) : stages }, this.#tasks)
      await this.#openForks()
      if (opened.broken) await this.#through(this.#chain(opened.stages), async () => {})
      else if (sourced) await this.#fromSource(first, opened.stages)
      else if (!(await this.#inParallel(first.stage, opened.stages))) await this.#alone(first.stage, opened.stages)
    } catch (error) {
      if (error instanceof ReaderGone) throw error
      await this.#around.fail(error, first.index)
    }
  }

  /** Makes what is only made when it runs; a table is read here, whole. `broken`: a stage could not be opened: those behind it have no input. */
  async #open(line: Line, tasks: ChainTask[]): Promise<{ stages: ChainStage[]; broken: boolean }> {
    const { endings, terminal, rewrites, watch } = this.#around
    const made: ChainStage[] = []
    const known: ChainTask[] = []
    let broken = false
    for (const { index, stage, table: inner } of line.stages) {
      const { spec, args, settings } = stage
      try {
        const opened = stage.stage ?? (await spec.create(args))
        const adapted =
          inner && opened.role === 'table'
            ? await this.#withTable(index, opened, settings, inner)
            : await asOperator(opened, settings, this.#around.countsOf(index), terminal)
        if (adapted.ending) endings.set(index, adapted.ending)
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
      const reads = opened[at]?.stage.passesBad ? opened[at].stage.reads : undefined
      tasks.push({ ...task, ...(reads && { reads }) })
    }
    watch?.count(groupStages(opened, rewrites).flatMap((group) => group.map(({ index }) => index)))
    if (line.isTable && line.forks.length === 0) opened.push(this.#reader!)
    return { stages: opened, broken }
  }

  /** Reads a join's table from its pipeline in brackets. @throws TableFailed, which has been told */
  async #withTable(index: number, stage: TableStage, settings: RunSettings, line: Line): Promise<Adapted> {
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
    await new LineRun(line, this.#around, end).run()
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
      const out = fork ?? this.#around.sink
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
      flows.push(new Flow(chain, { out, fork, closed, tell }))
    }
    return flows
  }

  /**
   * Lets all threads work on the first stages; the others follow in this one. Returns false, with nothing done, where one thread does as well. Output and
   * errors are the same.
   */
  async #inParallel({ args }: CommandStage, stages: readonly ChainStage[]): Promise<boolean> {
    const { rewrites, spawn } = this.#around
    const head = rewrites.threads ? parallelHead(stages, this.#around.direct && !this.#fork) : undefined
    const workers = Math.min(...stages.slice(0, head?.count ?? 0).map(({ settings }) => settings.workers))
    // Dead letters of several stages would have to wait for their turn.
    const plain = stages.every(({ stage, settings }) => settings.deadLetter === undefined && !stage.timers)
    if (!head || workers < 2 || !plain || this.#fork?.isTimed) return false
    const { planInputs, runParallel } = await import('../pipeline/parallel.ts')
    const inputs = (this.#around.planInputs ?? planInputs)(args.files)
    if (!inputs) return false
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
    }
    const settings = { ...stages[0]!.settings, workers }
    const chain: ChainWork = {
      tasks: this.#tasks.slice(0, head.count),
      kind: head.kind,
      rewrites,
      counts: this.#around.watch?.meter.shared,
    }
    const task = { command: 'run', args, settings, inputs, chain }
    const stage = compose(stages.slice(0, head.count), head.kind, rewrites, this.#around.watch?.meter)
    let worked = true
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
      if (!worked) throw new NotParallel()
    }).catch((error: unknown) => {
      if (!(error instanceof NotParallel)) throw error
    })
    return worked
  }

  /** One thread. */
  async #alone({ args }: CommandStage, stages: readonly ChainStage[]): Promise<void> {
    const { rewrites, surroundings } = this.#around
    const [group] = groupStages(stages, rewrites) as [ChainStage[]]
    const { strict, maxLineBytes, scanner: which } = group[0]!.settings
    const scanner = createScanner({ reads: fieldsOf(group), strict, maxLineBytes, stages: group.length }, which)
    const chain = new Chain(stages, scanner, surroundings, this.#out, rewrites)
    this.#around.closeAtEnd(scanner)
    this.#around.closeAtEnd(chain)
    await this.#through(chain, () =>
      readInputs(scanner, args.files, () => {}, {
        maxLineBytes,
        bad: surroundings.bad(stages[0]!),
        // Who looks on wants to see also what an input that pauses has brought.
        timers:
          this.#watch !== undefined ||
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
    const count = (lines: Uint8Array): void => this.#around.watch?.meter.add(index, countLines(lines))
    await this.#through(chain, async () => {
      const stage = first.stage ?? (await first.spec.create(first.args))
      if (stage.role === 'tool') {
        return stage.run({ ...this.#toolIo(into, settle, count), ...(await this.#frames(index, chain)) })
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
        progress: this.#watch?.reads,
        ...(into.readText && {
          readText: (kind, text) => {
            const counts = into.readText?.(kind, text)
            this.#around.watch?.meter.add(index, counts?.records ?? 0)
            return counts
          },
        }),
      })
    })
  }

  /** Where the first stage writes control frames, if it does. */
  async #frames(index: number, chain: Chain | undefined): Promise<Pick<ToolIo, 'frames'>> {
    const { framed, endings, watch } = this.#around
    const last = this.#line.stages.at(-1) as LineStage
    const sink = endings.get(last.index)?.sink?.()
    if (!framed || !chain || !sink) return {}
    const { FusedFrames } = await import('./fused-frames.ts')
    const wrote = (records: number): void => watch?.meter.add(index, records)
    return { frames: new FusedFrames(chain, sink, () => this.#around.isStopped(), wrote) }
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
    const settleBehind = (): void => {
      this.#idle()?.catch((error: unknown) => (this.#broke = { error }))
    }
    const more = this.#watch && { behind: this.#watch.behind }
    const writeBehind = async (bytes: Uint8Array): Promise<boolean> => {
      write(bytes)
      await this.#ready()
      return true
    }
    return { ...this.#around.terminal.toolIo(), write, writeBehind, settleBehind, ...more }
  }

  /** What sinks hold goes out, or to the disk; a promise where they wait for others. */
  #idle(): Promise<void> | undefined {
    const idle = [...this.#around.endings.values()].flatMap(({ onIdle }) => onIdle?.() ?? [])
    return idle.length > 0 ? Promise.all(idle).then(() => {}) : undefined
  }

  /** Sinks that wait for others are given no more than they can take. @throws BeckError */
  #ready(): Promise<void> | undefined {
    let all: Promise<void> | undefined
    for (const [index, { ready }] of this.#around.endings) {
      const one = ready?.()
      if (!one) continue
      const told = one.catch((error: unknown) => {
        throw withStage(error, index)
      })
      const before = all
      all = before ? before.then(() => told) : told
    }
    return all
  }

  /** Reads to the end, and ends the stages; those behind one that fails all the same. */
  async #through(chain: Chain | undefined, read: () => Promise<void>): Promise<void> {
    const { framed } = this.#around
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
      const [first] = this.#line.stages as [LineStage]
      failed = (error instanceof BeckError ? stageOf(error) : undefined) ?? first.index
      await this.#around.fail(error, failed)
    } finally {
      clearInterval(timer as NodeJS.Timeout)
      stop?.()
    }
    // With frames, the last barrier has said whether this end is the end of all.
    if (framed) return
    for (const error of chain?.end(failed) ?? []) await this.#around.fail(error, 0)
    await this.#finish()
  }

  /** Ends what is behind the line's own stages. @throws ReaderGone */
  async #finish(): Promise<void> {
    try {
      if (this.#fork) this.#fork.end()
      else this.#out.settle()
    } finally {
      for (const [index, { finish }] of this.#around.endings) {
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

/** Thrown to unwind when one thread does as well; nothing has been written. */
class NotParallel extends Error {}

/** A table could not be read; why has been told. */
class TableFailed extends Error {}
