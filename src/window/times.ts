import { Kind, type RecordBatch } from '../core/batch.ts'
import { formatFieldPath, type FieldPath } from '../core/field-path.ts'
import type { Problem } from '../core/operator.ts'
import type { TimeReader } from '../core/time.ts'

/** The event times of a batch's rows, NaN where there is none. O(rows). */
export class TimeColumn {
  readonly #field: number
  readonly #reader: TimeReader
  readonly #plain: boolean
  #times = new Float64Array(0)
  /** Whether `read` surely found a time in every row. */
  allRead = false

  /** @param plain strings may be RFC 3339 (no `--time-format`) */
  constructor(field: number, reader: TimeReader, plain: boolean) {
    this.#field = field
    this.#reader = reader
    this.#plain = plain
  }

  /** A view, valid until the next call or the next batch. */
  read(batch: RecordBatch): Float64Array {
    const { values, others } = this.#plain ? batch.times(this.#field) : { values: undefined, others: batch.count }
    this.allRead = values !== undefined && others === 0
    if (values && this.allRead) return values
    if (this.#times.length < batch.count) this.#times = new Float64Array(batch.count + (batch.count >> 1))
    const times = this.#times
    if (values) times.set(values)
    else times.fill(NaN, 0, batch.count)
    this.#readOthers(batch, times)
    return times
  }

  #readOthers(batch: RecordBatch, times: Float64Array): void {
    const { values, kinds } = batch.numbers(this.#field)
    for (let row = 0; row < batch.count; row++) {
      if (!Number.isNaN(times[row])) continue
      const kind = kinds[row]
      if (kind === Kind.number) times[row] = this.#reader.number(values[row] as number)
      else if (kind === Kind.big) times[row] = this.#reader.numberText(this.#json(batch, row))
      else if (kind === Kind.string) times[row] = this.#reader.string(JSON.parse(this.#json(batch, row)) as string)
    }
  }

  #json({ bytes, spans, stride }: RecordBatch, row: number): string {
    const at = row * stride + 2 + 2 * this.#field
    return Buffer.from(bytes.subarray(spans[at], spans[at + 1])).toString()
  }

  /** What is wrong with a row whose time is NaN. @param option that names the field */
  problem(batch: RecordBatch, row: number, path: FieldPath, option = '--time'): Problem {
    const { spans, stride } = batch
    const at = row * stride + 2 + 2 * this.#field
    const name = formatFieldPath(path)
    if (spans[at + 1] === 0) {
      return {
        problem: `the record has no ${name}, which is to be its time`,
        hint: `name the field of the time with ${option}`,
      }
    }
    return {
      problem: `${name} is not a time`,
      column: (spans[at] as number) - (spans[row * stride] as number) + 1,
      hint: 'describe other formats with --time-format, as in "%d/%m/%Y %H:%M:%S"; keep bad records with --dead-letter FILE',
    }
  }
}
