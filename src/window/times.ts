import { Kind, type RecordBatch } from '../core/batch.ts'
import { excerpt } from '../core/excerpt.ts'
import { formatFieldPath, type FieldPath } from '../core/field-path.ts'
import type { Problem } from '../core/operator.ts'
import type { TimeReader } from '../core/time.ts'

/** The event times of a batch's rows, NaN where there is none. O(rows). */
export class TimeColumn {
  readonly #field: number
  readonly #reader: TimeReader
  readonly #plain: boolean
  #times = new Float64Array(0)
  /** The last minute read, as its 16 bytes `2026-01-01T10:00` and as a time: neighbours mostly share it. */
  readonly #minute = new Uint8Array(16)
  #minuteTime = NaN

  /** @param plain strings may be RFC 3339 (no `--time-format`) */
  constructor(field: number, reader: TimeReader, plain: boolean) {
    this.#field = field
    this.#reader = reader
    this.#plain = plain
  }

  /** A view, valid until the next call. */
  read(batch: RecordBatch): Float64Array {
    const { count, bytes, spans, stride } = batch
    if (this.#times.length < count) this.#times = new Float64Array(count + (count >> 1))
    const times = this.#times
    let others = false
    for (let row = 0, at = 2 + 2 * this.#field; row < count; row++, at += stride) {
      const start = spans[at] as number
      const length = (spans[at + 1] as number) - start
      const time = this.#plain && (length === 26 || length === 22) ? this.#rfc3339(bytes, start + 1, length - 2) : NaN
      times[row] = time
      if (Number.isNaN(time)) others = true
    }
    if (others) this.#readOthers(batch, times)
    return times
  }

  /**
   * `2026-01-01T10:00:00Z` (20 bytes) or `2026-01-01T10:00:00.000Z` (24), the spellings that nearly all files have. Anything about them
   * that is not plainly right is NaN, and `TimeReader` decides.
   */
  #rfc3339(bytes: Uint8Array, at: number, length: number): number {
    if (bytes[at + length - 1] !== 0x5a || bytes[at + 16] !== 0x3a) return NaN
    const minute = this.#minute
    let same = 15
    while (same >= 0 && bytes[at + same] === minute[same]) same--
    if (same >= 0) {
      for (let index = 0; index < 16; index++) minute[index] = bytes[at + index] as number
      this.#minuteTime = readMinute(bytes, at)
    }
    const seconds = two(bytes, at + 17)
    if (!(seconds < 60)) return NaN
    if (length === 20) return this.#minuteTime + seconds * 1000
    const hundredths = two(bytes, at + 20)
    const last = (bytes[at + 22] as number) - 48
    if (bytes[at + 19] !== 0x2e || !(last >= 0 && last <= 9)) return NaN
    return this.#minuteTime + seconds * 1000 + hundredths * 10 + last
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

  /** What is wrong with a row whose time is NaN. */
  problem(batch: RecordBatch, row: number, path: FieldPath): Problem {
    const { spans, stride } = batch
    const at = row * stride + 2 + 2 * this.#field
    const name = formatFieldPath(path)
    if (spans[at + 1] === 0) {
      return {
        problem: `the record has no ${name}, which is to be its time`,
        hint: 'name the field of the time with --time',
      }
    }
    return {
      problem: `${name} is not a time: ${excerpt(batch.bytes, spans[at] as number, spans[at + 1] as number)}`,
      column: (spans[at] as number) - (spans[row * stride] as number) + 1,
      hint: 'describe other formats with --time-format, as in "%d/%m/%Y %H:%M:%S"; keep bad records with --dead-letter FILE',
    }
  }
}

const two = (bytes: Uint8Array, at: number): number => {
  const tens = (bytes[at] as number) - 48
  const ones = (bytes[at + 1] as number) - 48
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : NaN
}

/** The time of `2026-01-01T10:00`, NaN when something is unusual. */
function readMinute(bytes: Uint8Array, at: number): number {
  if (bytes[at + 4] !== 0x2d || bytes[at + 7] !== 0x2d || bytes[at + 10] !== 0x54 || bytes[at + 13] !== 0x3a) return NaN
  const year = two(bytes, at) * 100 + two(bytes, at + 2)
  const month = two(bytes, at + 5)
  const day = two(bytes, at + 8)
  const hour = two(bytes, at + 11)
  const minute = two(bytes, at + 14)
  // Days beyond the 28th and years below 100, which Date takes for 19xx, are left to the reader.
  if (!(year >= 100 && month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour <= 23 && minute <= 59)) return NaN
  const time = Date.UTC(year, month - 1, day, hour, minute)
  return day > 28 && new Date(time).getUTCDate() !== day ? NaN : time
}
