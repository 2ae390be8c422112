import type { RecordBatch } from '../core/batch.ts'
import { type TimeReader, timeReader } from '../core/time.ts'

const reader: TimeReader = timeReader()

/** Event times of all rows from a field; NaN where there is none that can be read. */
export function timesOf(batch: RecordBatch, field: number): Float64Array {
  const column = batch.times(field)
  if (column.others === 0) return column.values
  const times = new Float64Array(batch.count)
  const { bytes, spans, stride } = batch
  const at = 2 + 2 * field
  for (let row = 0; row < batch.count; row++) {
    const start = spans[row * stride + at] as number
    const end = spans[row * stride + at + 1] as number
    times[row] = rfc3339(bytes, start, end)
    if (Number.isNaN(times[row])) times[row] = timeOfJson(Buffer.from(bytes.subarray(start, end)).toString('utf8'))
  }
  return times
}

/** The time that a JSON text means; NaN when none. */
export function timeOfJson(text: string): number {
  const first = text.charAt(0)
  if (first === '"') return reader.string(JSON.parse(text) as string)
  if (/^[-\d]$/.test(first)) return reader.numberText(text)
  return NaN
}

const two = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) - 48) * 10 + ((bytes[at + 1] as number) - 48)
/** Days before each month of a common year. */
const BEFORE = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]

/** `"2026-01-31T10:00:00.123Z"`, with or without the fraction; anything else, also a date that needs checking, is NaN: read it slowly. */
function rfc3339(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  // Shapes: 22 bytes "YYYY-MM-DDThh:mm:ssZ", 26 with three digits of fraction.
  if (
    (length !== 22 && length !== 26) ||
    bytes[end - 2] !== 0x5a ||
    bytes[start + 5] !== 0x2d ||
    bytes[start + 11] !== 0x54
  )
    return NaN
  for (let i = start + 1; i < end - 2; i++) {
    const c = bytes[i] as number
    const p = i - start
    const want = p === 5 || p === 8 ? 0x2d : p === 11 ? 0x54 : p === 14 || p === 17 ? 0x3a : p === 20 ? 0x2e : 0
    if (want ? c !== want : c < 48 || c > 57) return NaN
  }
  const year = two(bytes, start + 1) * 100 + two(bytes, start + 3)
  const month = two(bytes, start + 6)
  const day = two(bytes, start + 9)
  const [hour, minute, second] = [two(bytes, start + 12), two(bytes, start + 15), two(bytes, start + 18)]
  if (year < 1600 || month < 1 || month > 12 || day < 1 || day > 28 || hour > 23 || minute > 59 || second > 59)
    return NaN
  const leap = month > 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 1 : 0
  const y = year - 1
  const days =
    y * 365 +
    Math.floor(y / 4) -
    Math.floor(y / 100) +
    Math.floor(y / 400) +
    (BEFORE[month - 1] as number) +
    leap +
    day -
    719163
  const ms = length === 26 ? two(bytes, start + 21) * 10 + (bytes[start + 23] as number) - 48 : 0
  return days * 86_400_000 + hour * 3_600_000 + minute * 60_000 + second * 1000 + ms
}
