// Event times: RFC 3339 strings as milliseconds since 1970. `span` is the address of the field's span in row 0, as in columns.ts.
import { isDigit } from './masks'

/** The last minute read: its 16 bytes `2026-01-01T10:00` and when it was. Neighbours mostly share it. */
const MINUTE = memory.data(16)
let minuteTime: f64 = NaN

/** Two digits at p as a number; something above 99 when they are none. */
// @ts-ignore: decorator
@inline
function two(p: usize): u32 {
  const tens = u32(load<u8>(p)) - 0x30, ones = u32(load<u8>(p, 1)) - 0x30
  return tens <= 9 && ones <= 9 ? tens * 10 + ones : 1000
}

/** Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
// @ts-ignore: decorator
@inline
function daysFromCivil(year: i32, month: i32, day: i32): i32 {
  if (month <= 2) year--
  const era = (year >= 0 ? year : year - 399) / 400
  const ofEra = year - era * 400
  const ofYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
  return era * 146097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719468
}

/** The time of `2026-01-01T10:00` at p, NaN when it is none. */
function readMinute(p: usize): f64 {
  const century = two(p), ofCentury = two(p + 2), month = two(p + 5), day = two(p + 8), hour = two(p + 11), minute = two(p + 14)
  if (load<u8>(p, 4) != 0x2d || load<u8>(p, 7) != 0x2d || load<u8>(p, 10) != 0x54 || load<u8>(p, 13) != 0x3a) return NaN
  if (century > 99 || ofCentury > 99 || month - 1 > 11 || day - 1 > 30 || hour > 23 || minute > 59) return NaN
  const year = century * 100 + ofCentury
  if (day > 28) {
    const leap = !(year & 3) && (year % 100 || !(year % 400))
    if (day > (month == 2 ? (leap ? 29 : 28) : 30 + ((month + (month >> 3)) & 1))) return NaN
  }
  return f64(daysFromCivil(year, month, day)) * 86400000 + f64(hour * 60 + minute) * 60000
}

/**
 * `"2026-01-01T10:00:00Z"` with a fraction of up to nine digits (cut down to milliseconds), and with `+01:00` in place of Z: a time per row,
 * NaN for anything else. Returns how many are NaN.
 */
export function times(block: usize, span: usize, stride: usize, rows: i32, out: usize): i32 {
  let others = 0
  for (const end = out + (usize(rows) << 3); out < end; out += 8, span += stride) {
    const at = block + load<u32>(span), stop = block + load<u32>(span, 4)
    // Quotes, the minute, the seconds and a zone; any fraction is short.
    const length = stop - at
    let time = NaN
    if (length >= 22 && length <= 37 && load<u8>(at) == 0x22) time = readTime(at + 1, stop - 1)
    if (time != time) others++
    store<f64>(out, time)
  }
  return others
}

// @ts-ignore: decorator
@inline
function readTime(p: usize, end: usize): f64 {
  if (v128.any_true(v128.xor(v128.load(p), v128.load(MINUTE)))) {
    v128.store(MINUTE, v128.load(p))
    minuteTime = readMinute(p)
  }
  const seconds = two(p + 17)
  if (load<u8>(p, 16) != 0x3a || seconds > 59) return NaN
  let time = minuteTime + f64(seconds) * 1000
  p += 19
  if (load<u8>(p) == 0x2e) {
    const start = ++p
    let thousandths: u32 = 0
    while (p < end && isDigit(load<u8>(p))) {
      if (p - start < 3) thousandths = thousandths * 10 + u32(load<u8>(p)) - 0x30
      p++
    }
    const digits = p - start
    if (digits - 1 > 8) return NaN
    if (digits == 1) thousandths *= 100
    else if (digits == 2) thousandths *= 10
    time += f64(thousandths)
  }
  if (p + 1 == end) return load<u8>(p) == 0x5a ? time : NaN
  if (p + 6 != end || load<u8>(p, 3) != 0x3a) return NaN
  const sign = load<u8>(p), hours = two(p + 1), minutes = two(p + 4)
  if ((sign != 0x2b && sign != 0x2d) || hours > 23 || minutes > 59) return NaN
  const offset = f64(hours * 60 + minutes) * 60000
  return sign == 0x2b ? time - offset : time + offset
}
