import type { RecordBatch } from '../core/batch.ts'
import { BeckError } from '../core/errors.ts'
import { type FieldPath, Projection } from '../core/field-path.ts'
import type { Collector, Operator, StageContext } from '../core/operator.ts'
import type { OperatorStage } from '../core/spec.ts'
import { createScanner } from '../ndjson/index.ts'
import type { BadLine, Origin, Scanned, Scanner } from '../ndjson/scanner.ts'
import type { BadRecords } from '../pipeline/bad-records.ts'
import type { Meter } from '../pipeline/meter.ts'
import type { RunSettings } from '../pipeline/settings.ts'
import { whileCounting } from '../pipeline/spill.ts'

/** A stage of a pipeline that runs in this process. */
export interface ChainStage {
  /** Its number in the pipeline, which errors and counts carry. */
  readonly index: number
  readonly stage: OperatorStage
  readonly settings: RunSettings
  /** Its records are those before the map of this number, which is left out: they are trimmed, as the map would have made them. */
  readonly through?: number
  /** It lets so few records through that the next stage scans these for itself (few.ts). */
  readonly few?: true
  /** The planner has put it before this stage: lines that are bad for that one are refused in its name. */
  readonly aheadOf?: Behind
  /** The planner has put it before these. */
  readonly passes?: readonly Behind[]
  /** Where its records come from, as messages name it, if they are not those of the stage before. */
  readonly from?: string
}

/** A stage whose turn comes later: plain data. */
export type Behind = Pick<ChainStage, 'index' | 'settings'> & { readonly reads: readonly FieldPath[] }

/** What a chain asks its driver for, for one of its stages. */
export interface Surroundings {
  /** Counts what each stage is given, for people who watch. */
  readonly meter?: Meter | undefined
  /** @param trimmed a bad record is kept without the white space around it, as it would have come from the stage before */
  context(stage: ChainStage, scanner: Pick<Scanner, 'keyTable'>, trimmed: boolean): StageContext
  bad(stage: ChainStage): BadRecords
}

/**
 * Stages that see the same lines: all but the last only select. Lines are scanned once, for the fields of all of them; each stage gets a view of
 * the batch: the rows that the one before it has let through, its own fields first.
 *
 *     scanner: path, status, ts      filter 'r.status >= 500'       reduce count --by path
 *     row 0  │ path status ts    →   mask 0 1 0 1 …            →    rows 1, 3, … of the same bytes
 *
 * Costs a copy of the spans of the rows let through. Bytes are not touched.
 */
export class ViewGroup {
  readonly reads: readonly FieldPath[]
  readonly nodes: readonly Node[]

  /** @param end nothing of this chain comes behind */
  constructor(
    stages: readonly ChainStage[],
    scanner: Pick<Scanner, 'keyTable'>,
    around: Surroundings,
    out: Collector,
    end = false,
  ) {
    const plan = planFields(stages.map(({ stage }) => stage.reads))
    this.reads = plan.reads
    const nodes: Node[] = []
    for (let at = stages.length - 1; at >= 0; at--) {
      nodes.unshift(
        new Node(stages[at]!, { scanner, around, first: at === 0, next: nodes[0], select: plan.steps[at]!, out, end }),
      )
    }
    this.nodes = nodes
  }

  /** Takes what a scanner made of a block: rows and bad lines in the order of the input. @throws BeckError of a stage, with its index */
  process({ batch, bad }: Scanned, origin: Origin & Places): void {
    const first = this.nodes[0]!
    let from = 0
    for (const line of bad) {
      if (line.row > from) first.process(from === 0 ? batch.head(line.row) : rows(batch, from, line.row))
      from = line.row
      first.decide(batch.bytes.subarray(line.start, line.end), placeOf(batch, line, origin))
    }
    if (batch.count > from) first.process(from === 0 ? batch : rows(batch, from, batch.count))
  }
}

/** Who knows where a byte of a block stands. */
interface Places {
  locate(block: Uint8Array, at: number): { readonly file: string; readonly line: number }
}

/** One line as an input of its own, where it stands. */
function placeOf(batch: RecordBatch, line: BadLine, origin: Origin & Places): Origin {
  const { bytes } = batch
  return { file: origin.file, base: line.position, lineAt: () => origin.locate(bytes, line.start).line }
}

const rows = (batch: RecordBatch, from: number, to: number): RecordBatch =>
  batch.select(everyField(batch), undefined, from, to)

const everyField = ({ stride }: RecordBatch): number[] => Array.from({ length: (stride - 2) / 2 }, (_, field) => field)

interface NodePlace {
  readonly scanner: Pick<Scanner, 'keyTable'>
  readonly around: Surroundings
  readonly first: boolean
  readonly next: Node | undefined
  /** The fields of the next stage's view, as fields of this one's. */
  readonly select: readonly number[]
  readonly out: Collector
  readonly end: boolean
}

/** A stage of a group. */
class Node {
  readonly index: number
  readonly operator: Operator
  readonly stage: ChainStage
  /** What the stage gives to the next of the group, or to whatever is behind it. */
  readonly out: Collector
  readonly #bad: BadRecords
  readonly #next: Node | undefined
  readonly #end: boolean
  readonly #meter: Meter | undefined
  /** A single line on its way, that the scanner of the group was not happy with: each stage looks at it with its own fields. */
  #line: Origin | undefined
  #scanner: Scanner | undefined

  constructor(stage: ChainStage, { scanner, around, first, next, select, out, end }: NodePlace) {
    this.index = stage.index
    this.stage = stage
    this.#next = next
    this.#end = end
    this.#bad = around.bad(stage)
    // What a table in brackets comes to is no input of its join.
    this.#meter = stage.from === undefined ? around.meter : undefined
    try {
      this.operator = stage.stage.open(around.context(stage, scanner, !first || stage.through !== undefined))
    } catch (error) {
      throw withStage(error, stage.index)
    }
    const to = next ? this.#forwardTo(next, select) : out
    this.out = this.#meter?.counting(this.index, to) ?? to
  }

  process(batch: RecordBatch): void {
    this.#meter?.add(this.index, batch.count)
    try {
      whileCounting(() => this.operator.processBatch(batch, this.out, 0))
    } catch (error) {
      throw withStage(error, this.index)
    }
    this.#meter?.see(this.index, this.operator.watermark)
  }

  /** A line of which the group's scanner says that it is bad: it may be so for a later stage only, which it may never reach. */
  decide(line: Uint8Array, origin: Origin): void {
    const { stage, settings, aheadOf } = this.stage
    this.#scanner ??= aloneScanner(stage.reads, settings)
    const { batch, bad } = scanAlone(this.#scanner, line, origin)
    this.#line = origin
    try {
      const [problem] = bad
      if (problem && !stage.passesBad) {
        const first = aheadOf && this.#badFor(aheadOf, line, origin)
        if (aheadOf && first) this.#reject(line, origin, first, aheadOf.index)
        else this.#reject(line, origin, problem, this.stage.through ?? this.index)
      } else if (problem) this.#hand(line, origin, problem)
      else if (batch.count > 0) this.process(batch)
    } finally {
      this.#line = undefined
    }
  }

  /** Whether a line is bad for a stage behind this one. */
  #badFor({ reads, settings }: Behind, line: Uint8Array, origin: Origin): BadLine | undefined {
    const scanner = aloneScanner(reads, settings)
    try {
      return scanAlone(scanner, line, origin).bad[0]
    } finally {
      scanner.close()
    }
  }

  close(): void {
    this.#scanner?.close()
  }

  /** A bad line to the next stage. One that works elsewhere does not know where the line comes from. */
  #hand(line: Uint8Array, origin: Origin, problem: BadLine): void {
    if (this.#next) this.#next.decide(line, origin)
    else if (this.#end) this.#pass(line, origin, problem)
    else this.#emit(line)
  }

  /** A bad line to stages that are elsewhere, but whose fields are known: it may be bad for this one alone. */
  #pass(line: Uint8Array, origin: Origin, problem: BadLine): void {
    const { passes = [] } = this.stage
    if (passes.length === 0) return this.#reject(line, origin, problem, this.index + 1)
    for (const behind of passes) {
      const bad = this.#badFor(behind, line, origin)
      if (bad) return this.#reject(line, origin, bad, behind.index)
    }
    this.#emit(line)
  }

  #emit(line: Uint8Array): void {
    this.out.emit(Buffer.concat([line, Buffer.from('\n')]))
  }

  #reject(line: Uint8Array, origin: Origin, problem: BadLine, index: number): void {
    try {
      this.#bad.reject(() => ({ file: origin.file, line: origin.lineAt(0) }), line, problem)
    } catch (error) {
      throw withStage(error, index)
    }
  }

  #forwardTo(next: Node, fields: readonly number[]): Collector {
    const same = (batch: RecordBatch): boolean =>
      batch.stride === 2 + 2 * fields.length && fields.every((field, index) => field === index)
    const notHere = (): never => {
      throw new Error(`${this.stage.settings.stage.name} selects records and emits others`)
    }
    return {
      forward: (batch, mask, from = 0, to = batch.count) => {
        if (this.#line) {
          const lines = batch.lines(mask, from, to)
          if (lines.length > 0) next.decide(new Uint8Array(lines), this.#line)
          return
        }
        if (!mask && from === 0 && to === batch.count && same(batch)) return next.process(batch)
        const view = batch.select(fields, mask, from, to)
        if (view.count > 0) next.process(view)
      },
      emit: notHere,
      emitText: notHere,
    }
  }
}

/** A scanner for single lines. */
const aloneScanner = (reads: readonly FieldPath[], { strict, maxLineBytes, scanner }: RunSettings): Scanner =>
  createScanner({ reads, strict, maxLineBytes, apart: true }, scanner)

/** A line as an input of its own. */
function scanAlone(scanner: Scanner, line: Uint8Array, origin: Origin): Scanned {
  scanner.begin(origin)
  let at = 0
  for (let room = scanner.room(); line.length - at > room.length; room = scanner.room()) {
    room.set(line.subarray(at, at + room.length))
    at += room.length
    scanner.scan(room.length, false)
  }
  scanner.room().set(line.subarray(at))
  return scanner.scan(line.length - at, true)
}

/** Marks an error with the stage that it came from: the innermost says it first. */
export function withStage(error: unknown, index: number): unknown {
  if (!(error instanceof BeckError) || error.facts['stage'] !== undefined) return error
  return new BeckError(error.code, { ...error.facts, stage: index }, { cause: error })
}
/** The number of the stage that an error came from. */
export const stageOf = (error: BeckError): number | undefined => error.facts['stage'] as number | undefined

/**
 * The fields that the scanner of a group extracts, and per stage which fields of its view the next one's is made of. A view has the stage's own
 * fields in front, in its own order, then what later stages need.
 */
export function planFields(reads: readonly (readonly FieldPath[])[]): {
  reads: readonly FieldPath[]
  steps: readonly (readonly number[])[]
} {
  const layouts = reads.map((_, stage) => {
    const layout = new Projection()
    for (const fields of reads.slice(stage)) for (const path of fields) layout.add(path)
    return layout
  })
  const steps = layouts.map((layout, stage) => (layouts[stage + 1]?.paths ?? []).map((path) => layout.add(path)))
  return { reads: layouts[0]?.paths ?? [], steps }
}
