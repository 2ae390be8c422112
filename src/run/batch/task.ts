import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import type { Registry } from '../../cli/registry.ts'
import { countLines } from '../../core/count-lines.ts'
import { atFile, BeckError, Exit } from '../../core/errors.ts'
import type { MergeableOperator } from '../../core/operator.ts'
import type { DecoderStage, OperatorStage, PartitionStage, Stage } from '../../core/spec.ts'
import { createScanner } from '../../ndjson/index.ts'
import { type BadRecords, DeadLetters, stopAtBadRecords } from '../../pipeline/bad-records.ts'
import { stageContext } from '../../pipeline/context.ts'
import { Output } from '../../pipeline/descriptor.ts'
import { Meter } from '../../pipeline/meter.ts'
import { CountedOrigin, RangeOrigin } from '../../pipeline/origin.ts'
import { partName } from '../../pipeline/output-folder.ts'
import { type Failure, packed } from '../../pipeline/parallel.ts'
import { readInput, readInputs } from '../../pipeline/reader.ts'
import { writtenTexts } from '../../pipeline/run-stage.ts'
import type { RunSettings } from '../../pipeline/settings.ts'
import {
  Chain,
  type ChainRewrites,
  fieldsOf,
  groupStages,
  type LineSink,
  withAhead,
  viewsOf,
  withSiftedFields,
} from '../chain.ts'
import { type ChainStage, stageOf, type Surroundings } from '../group.ts'
import type { TaskStage } from './plan.ts'
import { checkUnchanged, openSplit, type Split } from './splits.ts'
import { namedSpills, packState, STATE } from './states.ts'

/** An attempt at a task. Plain data. */
export interface TaskOrder {
  readonly stages: readonly TaskStage[]
  /** A piece of the job's input, or files that map tasks have made. */
  readonly input: Split | readonly string[]
  /** Of this attempt alone. Gets `out`, or a file a partition, and what is told of in `letterName`. */
  readonly folder: string
  /** How many partitions the last stage writes. */
  readonly partitions: number | undefined
  /** Writes the state of the last stage, in place of what it would give out. */
  readonly state: boolean
  /** Of the task: its records come before those of the next. */
  readonly number: number
  /** The job can be resumed: files are synced, and a bad record is a failure. Else the input ends there, as in a pipe. */
  readonly lasting: boolean
  /** Counts what goes out of each stage, too. */
  readonly counting: boolean
  readonly rewrites: ChainRewrites
}

/** What a task that is done has to tell. Plain data. */
export interface TaskCounts {
  /** Lines read, bad ones too, and bytes written. */
  readonly records: number
  readonly bytes: number
  /** What stages counted, by their index: "late: dropped" → 3. */
  readonly counted: readonly (readonly [index: number, what: string, records: number])[]
  /** Bad records kept, by the index of the stage. */
  readonly letters: readonly (readonly [index: number, records: number])[]
  readonly ms: number
  /** Good records, by stage: by their index in the text. None come into what makes them of another format; `out` where it is counted and is records. */
  readonly stages: readonly (readonly [index: number, into: number | null, out?: number])[]
}
/** `ended`: by a bad record, where that ends the input; everything before it is done. */
export type TaskAnswer = { readonly done: TaskCounts; readonly ended?: Failure } | { readonly failure: Failure }

/** The result of a task without partitions. */
export const OUT = 'out'
/** The bad records that a stage has kept. */
export const letterName = (index: number): string => `letters-${index}`

/** Does what is ordered. @throws BeckError */
export async function runTask(order: TaskOrder, registry: Registry): Promise<TaskAnswer> {
  const run = new TaskRun(order)
  try {
    return await run.run(registry)
  } finally {
    run.close()
  }
}

class TaskRun {
  readonly #order: TaskOrder
  readonly #files: TaskFile[] = []
  /** Whose memory the worker's next task can have. */
  readonly #closing: { close(): void }[] = []
  readonly #bad = new Map<number, BadRecords>()
  readonly #counts = new Map<number, Map<string, number>>()
  readonly #meter: Meter
  readonly #surroundings: Surroundings
  #records = 0

  constructor(order: TaskOrder) {
    this.#order = order
    this.#meter = new Meter(order.stages.length, { out: order.counting })
    this.#surroundings = {
      meter: this.#meter,
      context: (stage, scanner, trimmed) =>
        stageContext(scanner, this.#surroundings.bad(stage), this.#countsOf(stage.index), stage.settings, trimmed),
      bad: ({ index, settings }) => this.#badOf(index, settings),
    }
  }

  async run(registry: Registry): Promise<TaskAnswer> {
    const started = performance.now()
    const { stages, folder } = this.#order
    atFile(folder, () => mkdirSync(folder))
    const made: Stage[] = []
    for (const { command, args } of stages) {
      const load = registry[command]
      if (!load) throw new Error(`there is no command ${command}`)
      made.push(await (await load()).create(args))
    }
    const decoder = made[0]?.role === 'decoder' ? made[0] : undefined
    const opened: ChainStage[] = []
    for (const [at, stage] of made.entries()) {
      if (at > 0 || !decoder) opened.push(await this.#chainStage(at, stages[at]!, stage))
    }
    // Groups are made before the exchange that stands before them in the text.
    const textIndexes = opened.map(({ index }) => stages[index]!.index)
    const chained = withSiftedFields(withAhead(opened, (at) => textIndexes[at]! > (textIndexes[at + 1] ?? Infinity)))
    const last = chained.at(-1)
    if (this.#order.state && last) chained[chained.length - 1] = { ...last, stage: this.#stating(last.stage) }
    // The last stage of a task of partitions, or of a state, writes its files itself.
    const sink = this.#order.partitions === undefined && !this.#order.state ? this.#file(OUT) : undefined
    const out: LineSink = sink ? { ...bound(sink.output), settle() {} } : nothing
    let ended: BeckError | undefined
    try {
      if (decoder) await this.#decode(decoder.open, chained, out)
      else await this.#read(chained, out)
    } catch (error) {
      ended = this.#endedBy(error, made)
    }
    for (const file of this.#files) file.finish()
    const textIndex = (at: number): number => stages[at]!.index
    const done: TaskCounts = {
      records: this.#records,
      bytes: this.#files.reduce((sum, { size }) => sum + size, 0),
      counted: [...this.#counts].flatMap(([at, counts]) =>
        [...counts].map(([what, records]) => [textIndex(at), what, records] as const),
      ),
      letters: [...this.#bad].map(([at, { count }]) => [textIndex(at), count] as const),
      ms: Math.round(performance.now() - started),
      stages: this.#stagesDone(chained, decoder !== undefined),
    }
    return ended ? { done, ended: packed(ended) } : { done }
  }

  /** What each stage was given and gave. A map that was left out has the records of what reads through it. */
  #stagesDone(chained: readonly ChainStage[], decodes: boolean): TaskCounts['stages'] {
    const { stages, state, counting } = this.#order
    const through = new Map(
      groupStages(chained, this.#order.rewrites)
        .flat()
        .flatMap((stage) => (stage.through === undefined ? [] : [[stage.through, stage.index] as const])),
    )
    return stages.map(({ index }, at) => {
      const left = through.get(at)
      const into = this.#meter.in(left ?? at)
      if (decodes && at === 0) return [index, null, this.#records]
      if (!counting || (state && at === stages.length - 1)) return [index, into]
      return [index, into, left === undefined ? this.#meter.out(at) : into]
    })
  }

  /** A bad record that ends the input. Stages that give out nothing before their end have nothing to give out then. @throws what else it was */
  #endedBy(error: unknown, made: readonly Stage[]): BeckError {
    if (!(error instanceof BeckError)) throw error
    const at = stageOf(error) ?? 0
    const { stages, lasting } = this.#order
    // What stands behind the task's stages may be said to have failed (filters that were put first).
    const told = new BeckError(error.code, { ...error.facts, stage: stages[at]?.index ?? stages.at(-1)!.index + 1 })
    const stage = made[at]
    if (!stage) throw told
    const streams = stage.role === 'decoder' || ('parallel' in stage && stage.parallel === 'stateless')
    if (lasting || error.exit !== Exit.data || !streams) throw told
    return told
  }

  /** Reads, and ends the stages; those behind one that fails all the same. @throws what the first of them has thrown */
  async #through(chain: Chain | undefined, read: () => Promise<void>): Promise<void> {
    let failed: number | undefined
    let first: unknown
    try {
      await read()
    } catch (error) {
      if (!(error instanceof BeckError)) throw error
      failed = stageOf(error) ?? (chain?.nodes[0]?.index ?? 1) - 1
      first = error
    }
    for (const error of chain?.end(failed) ?? []) first ??= error
    if (first !== undefined) throw first
  }

  /** @param index among the stages of the task, which may stand in another order than in the text */
  async #chainStage(index: number, { settings }: TaskStage, stage: Stage): Promise<ChainStage> {
    if (stage.role === 'operator') return { index, stage, settings }
    if (stage.role === 'table') {
      const { readTable } = await import('../../pipeline/table.ts')
      const { table, rest } = await readTable(stage, settings)
      return { index, stage: stage.stage(table), settings: rest }
    }
    if (stage.role === 'partitions') return { index, stage: this.#writing(stage, index), settings }
    throw new Error(`a task cannot run a ${stage.role}`)
  }

  /** A stage of partitions as the end of a chain: a file each, also of those without records. */
  #writing({ reads, partitions, open }: PartitionStage, at: number): OperatorStage {
    return {
      role: 'operator',
      reads,
      open: (context) => {
        const partitioner = open(context)
        return {
          processBatch: (batch) => partitioner.processBatch(batch),
          onEnd: () => {
            let current = -1
            let file: TaskFile | undefined
            const goTo = (partition: number): void => {
              while (current < partition) {
                file?.finish()
                file = this.#file(partName(++current))
              }
            }
            partitioner.onEnd((partition, lines) => {
              goTo(partition)
              file!.output.write(lines)
              if (this.#order.counting) this.#meter.gave(at, countLines(lines))
            })
            goTo(partitions - 1)
          },
        }
      },
    }
  }

  /** A stage whose state is the result. */
  #stating(stage: OperatorStage): OperatorStage {
    return {
      role: 'operator',
      reads: stage.reads,
      open: (context) => {
        const spill = namedSpills(this.#order.folder)
        const operator = stage.open({ ...context, spill }) as MergeableOperator
        return {
          processBatch: (batch, out, port) => operator.processBatch(batch, out, port),
          onEnd: () => this.#file(STATE).output.write(packState(operator)),
        }
      },
    }
  }

  /** Positions of records: those of a task come before those of the next. */
  get #base(): number {
    return this.#order.number * MOST_BYTES_OF_A_TASK
  }

  /** Records, of a piece of the input or of files of other tasks. */
  async #read(stages: readonly ChainStage[], out: LineSink): Promise<void> {
    const { input, rewrites } = this.#order
    const group = groupStages(stages, rewrites)[0] as ChainStage[]
    const { strict, maxLineBytes, scanner: which } = group[0]!.settings
    const scanner = createScanner({ reads: fieldsOf(group), strict, maxLineBytes, stages: viewsOf(group) }, which)
    const chain = new Chain(stages, scanner, this.#surroundings, out, rewrites)
    this.#closing.push(scanner, chain)
    chain.beginAt(this.#base)
    const settings: Parameters<typeof readInput>[4] = {
      maxLineBytes,
      bad: this.#surroundings.bad(stages[0]!),
      takeBlock: (scanned, origin) => {
        this.#records += scanned.batch.count + scanned.bad.length
        chain.process(scanned, origin)
      },
    }
    await this.#through(chain, async () => {
      if (!('input' in input)) return readInputs(scanner, input, () => {}, settings)
      const split = openSplit(input)
      try {
        const { file, whole } = input.input
        // A packed file has other lines than what is in it.
        const origin = whole
          ? new CountedOrigin(file, this.#base)
          : new RangeOrigin(file, split.start, this.#base - split.start)
        await readInput(scanner, split.source, origin, () => {}, settings)
      } finally {
        split.close()
      }
      checkUnchanged(input.input)
    })
  }

  /** Another format, always a piece of the input. */
  async #decode(open: DecoderStage['open'], stages: readonly ChainStage[], out: LineSink): Promise<void> {
    const { input, rewrites } = this.#order
    if (!('input' in input)) throw new Error('what tasks write are records')
    const [{ settings }] = this.#order.stages as [TaskStage]
    const { file } = input.input
    const chain = stages.length > 0 ? new Chain(stages, undefined, this.#surroundings, out, rewrites) : undefined
    if (chain) this.#closing.push(chain)
    chain?.beginAt(this.#base)
    const into = chain?.entry ?? out
    const written = writtenTexts((lines) => out.write(lines), settings)
    await this.#through(chain, async () => {
      const split = openSplit(input)
      try {
        const bad = this.#badOf(0, settings)
        // Counted when it is told, by reading what comes before.
        const before = (): number => new RangeOrigin(file, split.start, 0).lineAt(0) - 1
        const decoder = open({
          reject: (line, bytes, problem) => bad.reject(() => ({ file, line: before() + line }), bytes, problem),
          rejectPart: (line, part, problem, last) =>
            bad.stops ? bad.reject(() => ({ file, line: before() + line }), part, problem) : bad.keepPiece(part, last),
          maxLineBytes: settings.maxLineBytes,
          readText: (kind, text) => {
            const counts = into.readText ? into.readText(kind, text) : written(kind, text)
            this.#records += counts?.records ?? 0
            return counts
          },
          fail: (line, { problem, column, hint }) => {
            throw new BeckError('bad-input', { place: `${file}:${before() + line}:${column ?? 1}`, problem, hint })
          },
        })
        const emit = (lines: Uint8Array | string): void => {
          const bytes = typeof lines === 'string' ? Buffer.from(lines) : lines
          this.#records += countLines(bytes)
          into.write(bytes)
        }
        const block = Buffer.allocUnsafeSlow(INPUT_BLOCK)
        for (;;) {
          let filled = split.source.read(block)
          if (typeof filled !== 'number') filled = await filled
          if (filled === 0) break
          decoder.push(block.subarray(0, filled), emit)
        }
        decoder.endFile(emit)
      } finally {
        split.close()
      }
      checkUnchanged(input.input)
    })
  }

  #countsOf(index: number): Map<string, number> {
    const counts = this.#counts.get(index) ?? new Map<string, number>()
    this.#counts.set(index, counts)
    return counts
  }
  #badOf(index: number, { deadLetter }: RunSettings): BadRecords {
    if (deadLetter === undefined) return stopAtBadRecords
    const known = this.#bad.get(index)
    if (known) return known
    const letters = this.#file(letterName(this.#order.stages[index]!.index))
    const records = new DeadLetters((bytes) => letters.output.write(bytes))
    this.#bad.set(index, records)
    return records
  }
  #file(name: string): TaskFile {
    const file = new TaskFile(join(this.#order.folder, name), this.#order.lasting)
    this.#files.push(file)
    return file
  }

  close(): void {
    for (const file of this.#files) file.close()
    for (const one of this.#closing) one.close()
  }
}

const INPUT_BLOCK = 1 << 18
/** Of records between its stages, too. Numbers of positions stay exact for some hundred thousand tasks. */
const MOST_BYTES_OF_A_TASK = 2 ** 36

const bound = (output: Output): Pick<LineSink, 'write' | 'writeBinary'> => ({
  write: (bytes) => output.write(bytes),
  writeBinary: (text) => output.writeBinary(text),
})

/** A chain without anything behind it: its last stage writes files. */
const nothing: LineSink = {
  write() {},
  writeBinary() {},
  settle() {},
}

/** A file of an attempt. */
class TaskFile {
  readonly output: Output
  readonly #path: string
  readonly #lasting: boolean
  #fd: number
  size = 0

  constructor(path: string, lasting: boolean) {
    this.#path = path
    this.#lasting = lasting
    this.#fd = atFile(path, () => openSync(path, 'wx', 0o666))
    this.output = new Output(this.#fd, path)
  }

  /** Everything is written. Doing it twice is doing it once. @throws BeckError disk-full, file */
  finish(): void {
    if (this.#fd < 0) return
    this.output.flush()
    atFile(this.#path, () => {
      this.size = fstatSync(this.#fd).size
      if (this.#lasting) fsyncSync(this.#fd)
    })
    this.close()
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd)
    this.#fd = -1
  }
}
