import type { RecordBatch } from '../core/batch.ts'
import type {
  Collector,
  FoldingOperator,
  MergeableOperator,
  Part,
  PartOperator,
  StageContext,
} from '../core/operator.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import { BeckError } from '../core/errors.ts'
import type { FieldPath } from '../core/field-path.ts'
import type { Arguments, OperatorStage } from '../core/spec.ts'
import type { Registry } from '../cli/registry.ts'
import type { Scanned } from '../ndjson/scanner.ts'
import { stopAtBadRecords } from '../pipeline/bad-records.ts'
import { Meter, type SharedCounts } from '../pipeline/meter.ts'
import type { InputOrigin } from '../pipeline/origin.ts'
import type { BlockOperator } from '../pipeline/reader.ts'
import type { RunSettings } from '../pipeline/settings.ts'
import { Chain, type ChainRewrites, fieldsOf, groupStages, type LineSink, viewsOf } from './chain.ts'
import { type Behind, type ChainStage, stageOf, type Surroundings } from './group.ts'

/** A stage of a chain, as a worker gets it. Plain data. */
export interface ChainTask {
  readonly index: number
  readonly command: string
  readonly args: Arguments
  readonly settings: RunSettings
  /** What the table of a join came to. */
  readonly table?: unknown
  /** What it reads, where its own words do not tell. */
  readonly reads?: readonly FieldPath[]
  readonly few?: true
  /** As of `ChainStage`. */
  readonly passes?: readonly Behind[]
}

/**
 * How several stages can be run by several threads, from the first on: `count` of them, as one operator. `lines`: their output is gathered by one
 * thread, for the stages behind.
 */
export interface ParallelHead {
  readonly count: number
  readonly kind: 'stateless' | 'merge' | 'ordered' | 'lines'
}

/** What a worker is told. */
export interface ChainWork {
  readonly tasks: readonly ChainTask[]
  readonly kind: ParallelHead['kind']
  readonly rewrites: ChainRewrites
  /** `Meter.shared` of the run. */
  readonly counts?: SharedCounts | undefined
}

/**
 * Undefined: one thread is all that these stages can use.
 * @param direct what the last one gives out is written to standard output, which all threads can do
 */
export function parallelHead(stages: readonly ChainStage[], direct: boolean): ParallelHead | undefined {
  let count = 0
  while (stages[count]?.stage.parallel === 'stateless') count++
  const isWritten = (end: number): boolean => direct && end === stages.length
  const { parallel, streams } = stages[count]?.stage ?? {}
  // What a stage gives out before its end would come past the stages behind it.
  if (parallel === 'ordered' || (parallel === 'merge' && (!streams || isWritten(count + 1)))) {
    return { count: count + 1, kind: parallel }
  }
  if (count === 0) return undefined
  return { count, kind: isWritten(count) ? 'stateless' : 'lines' }
}

/** Positions in lines that were made anew are counted in finer steps, so that those of the next range of the input come after them. */
const FINER = 1024

/**
 * Stages of a chain as one operator, for the drivers that know about threads. Its counts are named by the stage's number and a space.
 */
export function compose(
  stages: readonly ChainStage[],
  kind: ParallelHead['kind'],
  rewrites: ChainRewrites,
  meter?: Meter,
): OperatorStage {
  const [group] = groupStages(stages, rewrites) as [ChainStage[]]
  return {
    role: 'operator',
    reads: fieldsOf(group),
    views: viewsOf(group),
    parallel: kind === 'lines' ? 'ordered' : kind,
    open: (context) => (kind === 'lines' ? new LinesFold() : new Composite(stages, context, rewrites, meter)),
    openPart: (context) =>
      kind === 'lines'
        ? new LineParts(stages, context, rewrites, meter)
        : new CompositeParts(stages, context, rewrites, meter),
  }
}

/** The same in a worker. */
export async function composeWork(
  { tasks, kind, rewrites, counts }: ChainWork,
  registry: Registry,
): Promise<OperatorStage> {
  const stages: ChainStage[] = []
  for (const { index, command, args, settings, table, reads, few, passes } of tasks) {
    const spec = await registry[command]?.()
    const made = await spec?.create(args)
    const stage = made?.role === 'table' ? made.stage(table) : made
    if (stage?.role !== 'operator') throw new Error(`a worker cannot run ${command}`)
    const known = { ...(few && { few }), ...(passes && { passes }) }
    stages.push({ index, stage: reads ? { ...stage, reads } : stage, settings, ...known })
  }
  return compose(stages, kind, rewrites, counts && new Meter(counts))
}

const surroundings = (context: StageContext, meter?: Meter): Surroundings => ({
  meter,
  context: ({ index, settings: { memoryBytes } }, scanner) => ({
    ...context,
    memoryBytes,
    keyTable: (fields) => scanner.keyTable(fields),
    count: (what, records) => context.count(`${index} ${what}`, records),
  }),
  bad: () => stopAtBadRecords,
})

/** Hands on to whoever is asking at the moment. */
class Current implements LineSink {
  out: Collector | undefined
  write(bytes: Uint8Array): void {
    this.out?.emit(bytes)
  }
  writeBinary(text: string): void {
    this.out?.emitText(text)
  }
  settle(): void {}
}

class Composite implements MergeableOperator, FoldingOperator, BlockOperator {
  readonly #chain: Chain
  readonly #sink = new Current()
  readonly #last: Chain['nodes'][number]
  readonly #meter: Meter | undefined

  constructor(stages: readonly ChainStage[], context: StageContext, rewrites: ChainRewrites, meter?: Meter) {
    this.#meter = meter
    this.#chain = new Chain(stages, context, surroundings(context, meter), this.#sink, rewrites)
    this.#last = this.#chain.nodes.at(-1)!
  }
  processBatch(batch: RecordBatch, out: Collector): void {
    this.processBlock({ batch, bad: [], lines: batch.count }, NOWHERE, out)
  }
  processBlock(scanned: Scanned, origin: InputOrigin, out: Collector): void {
    this.#sink.out = out
    this.#chain.process(scanned, origin)
  }
  beginRange(position: number): void {
    this.#chain.beginAt(position * FINER)
  }
  endRange(out: Collector): void {
    this.#sink.out = out
    this.#chain.settle()
  }
  breakRange(error: unknown, out: Collector): void {
    this.#sink.out = out
    this.#chain.settleBehind(error)
  }
  onEnd(out: Collector): void {
    this.#sink.out = out
    for (const error of this.#chain.end()) throw error
  }
  endBehind(error: unknown, out: Collector): void {
    this.#sink.out = out
    const failed = error instanceof BeckError ? stageOf(error) : undefined
    if (failed !== undefined) this.#chain.end(failed)
  }
  exportState(): unknown {
    return (this.#last.operator as MergeableOperator).exportState()
  }
  mergeState(state: unknown): void {
    ;(this.#last.operator as MergeableOperator).mergeState(state)
  }
  addPart(part: Part, out: Collector): void {
    this.#sink.out = out
    const { operator, index } = this.#last
    ;(operator as FoldingOperator).addPart(part, this.#last.out)
    this.#meter?.see(index, operator.watermark)
  }
}

/** What stands in for an origin where there are no bad lines. */
const NOWHERE: InputOrigin = {
  file: '',
  base: 0,
  received: 0,
  lineAt: () => 1,
  advance() {},
  locate: () => ({ file: '', line: 1 }),
}

/** A worker's share of a chain whose last stage takes parts. */
class CompositeParts implements PartOperator, BlockOperator {
  readonly #chain: Chain
  #part: PartOperator | undefined

  constructor(stages: readonly ChainStage[], context: StageContext, rewrites: ChainRewrites, meter?: Meter) {
    const last = stages.at(-1)!
    const { openPart } = last.stage
    if (!openPart) throw new Error('a stage without parts')
    const open = (context: StageContext) => {
      const part = (this.#part = openPart.call(last.stage, context))
      return { processBatch: (batch: RecordBatch) => part.processBatch(batch) }
    }
    const parts: ChainStage = { ...last, stage: { ...last.stage, open } }
    const around = surroundings(context, meter)
    this.#chain = new Chain([...stages.slice(0, -1), parts], context, around, new Current(), rewrites)
  }
  processBatch(batch: RecordBatch): void {
    this.processBlock({ batch, bad: [], lines: batch.count }, NOWHERE)
  }
  processBlock(scanned: Scanned, origin: InputOrigin): void {
    this.#chain.process(scanned, origin)
  }
  beginRange(position: number): void {
    this.#chain.beginAt(position * FINER)
  }
  endRange(): void {
    this.#chain.settle()
  }
  breakRange(error: unknown): void {
    this.#chain.settleBehind(error)
  }
  takePart(): Part {
    return this.#part!.takePart()
  }
}

/** Lines that a worker's stages have made, for the stages behind them. */
interface Lines extends Part {
  readonly lines: Uint8Array
}

class LineParts implements PartOperator<Lines>, BlockOperator, LineSink {
  readonly #chain: Chain
  readonly #lines = new ByteBuffer(1 << 16)

  constructor(stages: readonly ChainStage[], context: StageContext, rewrites: ChainRewrites, meter?: Meter) {
    this.#chain = new Chain(stages, context, surroundings(context, meter), this, rewrites)
  }
  processBatch(batch: RecordBatch): void {
    this.processBlock({ batch, bad: [], lines: batch.count }, NOWHERE)
  }
  processBlock(scanned: Scanned, origin: InputOrigin): void {
    this.#chain.process(scanned, origin)
  }
  beginRange(position: number): void {
    this.#chain.beginAt(position * FINER)
  }
  endRange(): void {
    this.#chain.settle()
  }
  breakRange(error: unknown): void {
    this.#chain.settleBehind(error)
  }
  takePart(): Lines {
    const lines = new Uint8Array(this.#lines.view())
    this.#lines.length = 0
    return { entries: 0, lines }
  }
  write(bytes: Uint8Array): void {
    this.#lines.append(bytes)
  }
  writeBinary(text: string): void {
    this.write(Buffer.from(text, 'latin1'))
  }
  settle(): void {}
}

class LinesFold implements FoldingOperator<Lines> {
  processBatch(): void {
    throw new Error('lines come in parts')
  }
  addPart({ lines }: Lines, out: Collector): void {
    out.emit(lines)
  }
}
