import {
  Kind,
  type DecimalColumn,
  type Location,
  type NumberColumn,
  type ObjectTemplate,
  type PartedLines,
  type RecordBatch,
  type TemplateValue,
  type TimeColumn,
} from '../core/batch.ts'
import type { Origin } from './scanner.ts'

/** What a scanner made of a block. */
export interface Block {
  readonly bytes: Buffer
  readonly spans: Uint32Array
  readonly stride: number
  readonly origin: Origin
  /** Bytes of the input before bytes[0]. */
  readonly offset: number
  /** Where the block's first line begins. */
  readonly first: number
}

/** The number (from 1) of the line of the input that holds bytes[at]. */
export function lineNumber(
  { bytes, origin, offset, first }: Pick<Block, 'bytes' | 'origin' | 'offset' | 'first'>,
  at: number,
): number {
  let line = origin.lineAt(offset + first)
  for (let p = bytes.indexOf(NEWLINE, first); p >= 0 && p < at; p = bytes.indexOf(NEWLINE, p + 1)) line++
  return line
}

/** The readable batch: every column from the spans, one row at a time. */
export class ReferenceBatch implements RecordBatch {
  readonly count: number
  readonly bytes: Buffer
  readonly spans: Uint32Array
  readonly stride: number
  private readonly block: Block

  constructor(block: Block, count: number) {
    this.block = block
    this.bytes = block.bytes
    this.spans = block.spans
    this.stride = block.stride
    this.count = count
  }

  partition(targets: Uint16Array, partitions: number): PartedLines {
    const lines = Array.from({ length: partitions }, (_, partition) => {
      const mask = Uint8Array.from(targets.subarray(0, this.count), (target) => Number(target === partition))
      return this.lines(mask, 0, this.count)
    })
    let end = 0
    const ends = Uint32Array.from(lines, ({ length }) => (end += length))
    return { bytes: Buffer.concat(lines), starts: ends.map((end, index) => end - lines[index]!.length), ends }
  }

  head(rows: number): RecordBatch {
    return new ReferenceBatch(this.block, Math.min(rows, this.count))
  }

  select(fields: readonly number[], mask: Uint8Array | undefined, from: number, to: number): RecordBatch {
    const spans: number[] = []
    let count = 0
    for (let row = from; row < to; row++) {
      if (mask && mask[row] !== 1) continue
      const at = row * this.stride
      for (const field of [-1, ...fields]) spans.push(...this.spans.subarray(at + 2 + 2 * field, at + 4 + 2 * field))
      count++
    }
    return new ReferenceBatch({ ...this.block, spans: Uint32Array.from(spans), stride: 2 + 2 * fields.length }, count)
  }

  get ascii(): boolean {
    return this.bytes.every((byte) => byte < 0x80)
  }

  private latin1: string | undefined
  text(): string {
    return (this.latin1 ??= this.bytes.toString('latin1'))
  }

  kinds(field: number): Uint8Array {
    return this.map(new Uint8Array(this.count), (row) => kindOf(this.fieldText(row, field)))
  }

  numbers(field: number): NumberColumn {
    const kinds = this.kinds(field)
    const values = this.map(new Float64Array(this.count).fill(NaN), (row) => {
      if (kinds[row] !== Kind.number) return NaN
      const text = this.fieldText(row, field)
      const value = Number(text)
      if (/^-?\d+$/.test(text) && !Number.isSafeInteger(value)) kinds[row] = Kind.big
      return value
    })
    return { kinds, values }
  }

  decimals(field: number): DecimalColumn {
    const kinds = this.kinds(field)
    const scales = new Uint8Array(this.count)
    const mantissas = this.map(new Float64Array(this.count), (row) => {
      if (kinds[row] !== Kind.number) return 0
      const decimal = exactDecimal(this.fieldText(row, field))
      if (!decimal) {
        kinds[row] = Kind.big
        return 0
      }
      scales[row] = decimal.scale
      return decimal.mantissa
    })
    return { kinds, mantissas, scales }
  }

  times(field: number): TimeColumn {
    const values = this.map(new Float64Array(this.count), (row) => exactTime(this.fieldText(row, field)))
    return { values, others: values.reduce((sum, time) => sum + (Number.isNaN(time) ? 1 : 0), 0) }
  }

  equalsString(field: number, constant: Uint8Array): Uint8Array {
    const wanted = `"${Buffer.from(constant).toString('latin1')}"`
    return this.map(new Uint8Array(this.count), (row) => {
      const text = this.fieldText(row, field)
      if (!text.startsWith('"')) return 0
      return text.includes('\\') ? 2 : text === wanted ? 1 : 0
    })
  }

  lines(mask: Uint8Array | undefined, from: number, to: number): Uint8Array {
    const parts: Uint8Array[] = []
    for (let row = from; row < to; row++) {
      if (mask && mask[row] !== 1) continue
      const at = row * this.stride
      parts.push(this.bytes.subarray(this.spans[at], this.spans[at + 1]), NEWLINE)
    }
    return Buffer.concat(parts)
  }

  render(template: ObjectTemplate, from: number, to: number): Uint8Array {
    const members = template.members.map(({ name, value }) => ({
      prefix: Buffer.from(`${JSON.stringify(name)}:`).toString('latin1'),
      value,
    }))
    let text = ''
    for (let row = from; row < to; row++) {
      const parts: string[] = []
      for (const { prefix, value } of members) {
        const json = this.templateValue(value, row)
        if (json !== undefined) parts.push(prefix + json)
      }
      text += `{${parts.join(',')}}\n`
    }
    return Buffer.from(text, 'latin1')
  }

  private templateValue(value: TemplateValue, row: number): string | undefined {
    if (value.kind === 'field') return this.fieldText(row, value.field) || undefined
    if (value.kind === 'flags') return FLAG_TEXTS[value.flags[row] as number]
    return Buffer.from(value.json).toString('latin1')
  }

  position(row: number): number {
    return this.block.origin.base + this.block.offset + this.lineStart(row)
  }

  locate(row: number): Location {
    return { file: this.block.origin.file, line: lineNumber(this.block, this.lineStart(row)) }
  }

  private lineStart(row: number): number {
    return this.spans[row * this.stride] as number
  }

  /** The raw text of a field, latin1; "" where it is missing. */
  private fieldText(row: number, field: number): string {
    const at = row * this.stride + 2 + 2 * field
    return this.bytes.toString('latin1', this.spans[at], this.spans[at + 1])
  }

  private map<Column extends Uint8Array | Float64Array>(column: Column, value: (row: number) => number): Column {
    for (let row = 0; row < this.count; row++) column[row] = value(row)
    return column
  }
}

const NEWLINE = Buffer.from('\n')

/** What `TemplateValue` flags are written as. */
export const FLAG_TEXTS: readonly (string | undefined)[] = ['false', 'true', 'null', undefined]

const KIND_BY_FIRST: Readonly<Record<string, Kind>> = {
  '': Kind.missing,
  n: Kind.null,
  f: Kind.false,
  t: Kind.true,
  '"': Kind.string,
  '[': Kind.array,
  '{': Kind.object,
}
const kindOf = (text: string): Kind => KIND_BY_FIRST[text.charAt(0)] ?? Kind.number

/** A number's text as mantissa / 10^scale with the digits as written (1.50 is 150 / 10^2); undefined when `DecimalColumn` cannot hold it. */
export function exactDecimal(text: string): { mantissa: number; scale: number } | undefined {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text)
  if (!match) return undefined
  const [, sign, whole = '', fraction = ''] = match
  const digits = (whole + fraction).replace(/^0+/, '')
  if (fraction.length > 22 || digits.length > 16 || BigInt(digits) > 2n ** 53n) return undefined
  const mantissa = Number(digits)
  return { mantissa: sign && mantissa ? -mantissa : mantissa, scale: fraction.length }
}

/** The time of an RFC 3339 string's JSON text, as `RecordBatch.times` has it; NaN for everything else. */
export function exactTime(text: string): number {
  const match = /^"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))"$/.exec(text)
  if (!match) return NaN
  const [, local, fraction = '', sign, hours, minutes] = match
  const time = Date.parse(`${local}Z`)
  // Date takes February 30th and hour 24 for the day after.
  if (Number.isNaN(time) || !new Date(time).toISOString().startsWith(local as string)) return NaN
  const offset = sign === undefined ? 0 : Number(`${sign}1`) * (Number(hours) * 60 + Number(minutes)) * 60_000
  return time + Number(fraction.slice(0, 3).padEnd(3, '0')) - offset
}
