import type { RecordBatch } from '../core/batch.ts'
import type { Problem } from '../core/operator.ts'
import { fromBinary } from '../formats/binary.ts'
import { eachMember, isEncodable } from '../formats/members.ts'
import { LineChecker } from '../ndjson/line.ts'

/** The fields of a record, each once, in their order. Records with the same fields share one object. */
export interface Shape {
  readonly names: readonly string[]
}
/** A record as a row of a table: the JSON text of each field of its shape. */
export interface Row {
  readonly shape: Shape
  readonly values: readonly string[]
}

/** A row as the record that it was. */
export const rowText = ({ shape, values }: Row): string =>
  `{${shape.names.map((name, at) => `${JSON.stringify(name)}:${values[at]}`).join(',')}}`

/** Makes rows of records: top-level fields are columns. */
export class RowReader {
  private readonly checker = new LineChecker([])
  private readonly span = new Uint32Array(2)
  private readonly shapes = new Map<string, Shape>()
  private last: Shape = { names: [] }
  private readonly names: string[] = []
  private readonly values: string[] = []

  read(batch: RecordBatch, row: number): Row | Problem {
    const { spans, stride, bytes } = batch
    const start = spans[row * stride] as number
    const problem = this.checker.check(bytes, start, spans[row * stride + 1] as number, this.span, 0)
    if (problem) return problem
    if (bytes[start] !== OPEN_OBJECT) return NO_OBJECT
    const { names, values } = this
    names.length = values.length = 0
    let half: string | undefined
    eachMember(batch.text(), start, (name, raw) => {
      names.push(name)
      values.push(raw)
      if (!isEncodable(raw)) half ??= name
    })
    if (half !== undefined) return loneSurrogate(fromBinary(half))
    const texts = batch.ascii ? [...values] : values.map(fromBinary)
    const shape = this.shapeOf(batch.ascii ? names : names.map(fromBinary))
    if (shape.names.length === texts.length) return { shape, values: texts }
    // A name that comes twice: the last value counts, as everywhere.
    const unique = new Map(names.map((name, at) => [fromBinary(name), texts[at] as string]))
    return { shape, values: [...unique.values()] }
  }

  /** Most records have the fields of the one before. */
  private shapeOf(names: readonly string[]): Shape {
    const { last } = this
    if (names.length === last.names.length && names.every((name, at) => name === last.names[at])) return last
    const unique = [...new Set(names)]
    const key = JSON.stringify(unique)
    const known = this.shapes.get(key)
    this.last = known ?? { names: unique }
    if (!known) this.shapes.set(key, this.last)
    return this.last
  }
}

const OPEN_OBJECT = 0x7b

const NO_OBJECT: Problem = {
  problem: 'the record is not an object, so it has no columns',
  column: 1,
  hint: "make it one: beck map '{value: r}'",
}

const loneSurrogate = (name: string): Problem => ({
  problem: `half a character (a lone surrogate) in "${name}", which is no text`,
})
