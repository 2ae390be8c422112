import type { RecordBatch } from '../core/batch.ts'
import { formatFieldPath, type FieldPath } from '../core/field-path.ts'
import type { Problem, StageContext } from '../core/operator.ts'
import type { Encoder } from '../core/spec.ts'
import { LineChecker } from '../ndjson/line.ts'
import { fromBinary, toBinary } from './binary.ts'
import { eachMember, isEncodable } from './members.ts'

/** These first records decide which columns there are (and how wide) and are held until then: so many, or so many bytes. */
export const FIRST_RECORDS = 1000
const FIRST_BYTES = 4 * 1024 * 1024

/** The raw JSON text of each column (binary); undefined where the record has no such field. */
export type Row = readonly (string | undefined)[]

/** Lays rows out as text (binary). */
export interface RowFormat {
  /** The names of the columns, and the rows held so far. Called once, before any `row`. */
  begin(columns: readonly string[], first: readonly Row[]): string
  row(row: Row): string
}

/** What the columns are: those that the user named. */
export interface Columns {
  /** `index`: which of `reads` it is. */
  readonly fields: readonly { readonly name: string; readonly index: number }[]
  readonly reads: readonly FieldPath[]
}

/** What is kept back where the user named the columns: nothing, or for their widths the first records, or what arrived first. */
export type Hold = 'nothing' | 'first batch' | 'first records'

/** Turns records into rows. Memory is bounded by the first records. */
export class RowEncoder implements Encoder {
  private readonly columns: Columns | undefined
  private readonly format: RowFormat
  private readonly context: StageContext
  private readonly checker = new LineChecker([])
  private readonly span = new Uint32Array(2)
  /** Index of each column by its name. */
  private readonly index = new Map<string, number>()
  private readonly names: string[] = []
  /** Until the columns are settled. */
  private held: Row[] | undefined = []
  private heldBytes = 0
  private readonly hold: Hold

  constructor(format: RowFormat, columns: Columns | undefined, hold: Hold, context: StageContext) {
    this.format = format
    this.columns = columns
    this.context = context
    this.hold = columns ? hold : 'first records'
    if (columns) this.names = columns.fields.map(({ name }) => toBinary(name))
  }

  processBatch(batch: RecordBatch, write: (text: Uint8Array) => void): void {
    let text = ''
    const flush = (): void => {
      if (text !== '') write(Buffer.from(text, 'latin1'))
      text = ''
    }
    if (this.held && this.hold === 'nothing') text += this.settle()
    for (let row = 0; row < batch.count; row++) {
      const cells = this.columns ? this.named(batch, row, this.columns) : this.all(batch, row)
      if (!Array.isArray(cells)) {
        flush()
        this.context.reject(batch, row, cells as Problem)
      } else if (!this.held) text += this.format.row(cells)
      else {
        this.held.push(cells)
        this.heldBytes += this.lineBytes(batch, row)
        if (this.held.length === FIRST_RECORDS || this.heldBytes > FIRST_BYTES) text += this.settle()
      }
      if (text.length > EMIT_CHARS) flush()
    }
    if (this.held && this.hold === 'first batch' && batch.count > 0) text += this.settle()
    flush()
  }

  onEnd(write: (text: Uint8Array) => void): void {
    if (this.held) write(Buffer.from(this.settle(), 'latin1'))
  }

  onStop(write: (text: Uint8Array) => void): void {
    this.onEnd(write)
  }

  /** The columns are known from here on. */
  private settle(): string {
    const rows = this.held ?? []
    this.held = undefined
    return this.names.length > 0 ? this.format.begin(this.names, rows) : ''
  }

  private lineBytes({ spans, stride }: RecordBatch, row: number): number {
    return (spans[row * stride + 1] as number) - (spans[row * stride] as number)
  }

  /** The columns that the user named. */
  private named(batch: RecordBatch, row: number, { fields, reads }: Columns): Row | Problem {
    const { spans, stride, bytes } = batch
    const text = batch.text()
    const at = row * stride
    const first = bytes[spans[at] as number]
    if (first !== OPEN_OBJECT && !(first === OPEN_ARRAY && reads.some(([part]) => typeof part === 'number')))
      return NO_OBJECT
    const cells: (string | undefined)[] = []
    for (const { name, index } of fields) {
      const span = at + 2 + 2 * index
      const end = spans[span + 1] as number
      const raw = end === 0 ? undefined : text.slice(spans[span], end)
      if (raw !== undefined && !isEncodable(raw)) return loneSurrogate(name)
      cells.push(raw)
    }
    return cells
  }

  /** All fields: the record is parsed whole. */
  private all(batch: RecordBatch, row: number): Row | Problem {
    const { spans, stride, bytes } = batch
    const start = spans[row * stride] as number
    const problem = this.checker.check(bytes, start, spans[row * stride + 1] as number, this.span, 0)
    if (problem) return problem
    if (bytes[start] !== OPEN_OBJECT) return NO_OBJECT
    const cells: (string | undefined)[] = []
    const known = this.names.length
    let wrong: Problem | undefined
    let next = 0
    eachMember(batch.text(), start, (name, raw) => {
      // Most records have the fields of the one before, in the same order.
      let column = this.names[next] === name ? next : this.index.get(name)
      if (column === undefined) {
        if (!this.held) return void (wrong ??= unknownField(name, this.names))
        column = this.names.push(name) - 1
        this.index.set(name, column)
      }
      next = column + 1
      while (cells.length < column) cells.push(undefined)
      cells[column] = raw
      if (!isEncodable(raw)) wrong ??= loneSurrogate(name)
    })
    if (wrong) for (const name of this.names.splice(known)) this.index.delete(name)
    return wrong ?? cells
  }
}

const EMIT_CHARS = 64 * 1024
const OPEN_OBJECT = 0x7b
const OPEN_ARRAY = 0x5b

const NO_OBJECT: Problem = {
  problem: 'the record is not an object, so it has no columns',
  column: 1,
  hint: "make it one: beck map '{value: r}'",
}

const unknownField = (name: string, names: readonly string[]): Problem => {
  const all = [...names, name].map((each) => formatFieldPath([fromBinary(each)]))
  return {
    problem: `the field "${fromBinary(name)}" is in none of the first ${FIRST_RECORDS} records, so there is no column for it`,
    hint: `name the columns: --columns '${all.length > 20 ? `${all.at(-1)},…` : all.join(',')}'`,
  }
}

const loneSurrogate = (name: string): Problem => ({
  problem: `half a character (a lone surrogate) in "${name}", which is no text`,
  hint: 'keep such records apart with --dead-letter FILE, or the JSON with beck to json',
})
