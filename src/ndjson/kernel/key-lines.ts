// Lines about keys: a key's parts, whole numbers and times between fixed texts. The results of aggregates, mostly.
import { copyBytes } from './output'

// A piece of the template, 16 bytes: 0 kind u32 (0 text, 1 part of the key, 2 whole number, 3 time) · 4 address u32, 8 length u32 of a text;
// 8 how many parts keys have u32, 12 which one u32.
const PART: u32 = 1, WHOLE: u32 = 2

/** No number or time is longer, and a copied text writes no more than this beyond its end. */
const ROOM: usize = 32
const SAFE: f64 = 9007199254740991
/** From 0000-03-01T00:00:00.000Z, where the count of days begins, to the end of the year 9999. */
const FIRST_TIME: f64 = -62162035200000, LAST_TIME: f64 = 253402300799999
const NULL: u32 = 0x6c6c756e

/** How many bytes the last call of `keyLines` wrote. */
let written: usize = 0
export function keyLinesBytes(): usize {
  return written
}

/**
 * Writes a line for each of the rows `from`..`to`, `width` doubles each: the key's id, and the numbers in the order of the template; NaN is
 * null. Stops before a row that may not fit before `limit`, or has a number that is for JavaScript; returns the row where it stopped.
 */
export function keyLines(
  table: usize, rows: usize, width: i32, from: i32, to: i32, pieces: usize, count: i32, out: usize, limit: usize,
): i32 {
  const texts = usize(load<u32>(table, 20))
  const stop = pieces + (usize(count) << 4)
  let o = out
  let row = from
  for (; row < to; row++) {
    const start = o
    let number = rows + (usize(row * width) << 3)
    const entry = usize(load<u32>(texts + (usize(u32(load<f64>(number))) << 2)))
    let piece = pieces
    for (; piece < stop; piece += 16) {
      const kind = load<u32>(piece)
      if (kind <= PART) {
        let text = usize(load<u32>(piece, 4)), length = usize(load<u32>(piece, 8))
        if (kind == PART) {
          text = entry + 8
          const parts = length
          length = load<u32>(entry, 4)
          if (parts > 1) {
            const end = text + length
            for (let skip = load<u32>(piece, 12); skip; skip--) while (load<u8>(text++) != 0x0a);
            length = 0
            while (text + length < end && load<u8>(text + length) != 0x0a) length++
          }
        }
        if (o + length + ROOM > limit) break
        copyBytes(o, text, length)
        o += length
        continue
      }
      number += 8
      const value = load<f64>(number)
      if (o + ROOM > limit) break
      if (kind == WHOLE) {
        if (value != value) {
          store<u32>(o, NULL)
          o += 4
          continue
        }
        if (!(abs(value) <= SAFE) || floor(value) != value) break
        o = writeWhole(o, value)
      } else {
        if (!(value >= FIRST_TIME && value <= LAST_TIME)) break
        writeTime(o, value)
        o += 24
      }
    }
    if (piece < stop) {
      o = start
      break
    }
  }
  written = o - out
  return row
}

function writeWhole(o: usize, value: f64): usize {
  if (value < 0) store<u8>(o++, 0x2d)
  let rest = u64(abs(value))
  let digits: usize = 1
  for (let power: u64 = 10; rest >= power; power *= 10) digits++
  const end = o + digits
  for (let p = end - 1; p >= o; p--) {
    store<u8>(p, u8(0x30 + rest % 10))
    rest /= 10
  }
  return end
}

// @ts-ignore: decorator
@inline
function writeTwo(o: usize, value: u32): void {
  const tens = value / 10
  store<u16>(o, u16((0x30 + tens) | ((0x30 + value - tens * 10) << 8)))
}

/** The hours written lately, each in the place of its lowest bits: 16 bytes `2026-01-01T10:`, of which 14 count, and which it is. */
const HOURS: i32 = 64
const hourTexts = memory.data(64 * 16, 16)
const hourNumbers = memory.data(64 * 4, 4)
/** So that no hour is 0, which is none. */
const SOME_HOUR: i32 = 1 << 30

/** `2026-01-01T10:00:00.000Z` */
function writeTime(o: usize, time: f64): void {
  const hour = i32(floor(time / 3600000))
  const place = usize(hour & (HOURS - 1))
  const text = hourTexts + (place << 4)
  if (load<i32>(hourNumbers + (place << 2)) != hour + SOME_HOUR) {
    store<i32>(hourNumbers + (place << 2), hour + SOME_HOUR)
    writeHour(text, hour)
  }
  v128.store(o, v128.load(text))
  let rest = u32(time - f64(hour) * 3600000)
  const minute = rest / 60000
  rest -= minute * 60000
  const second = rest / 1000
  rest -= second * 1000
  writeTwo(o + 14, minute)
  store<u8>(o, 0x3a, 16)
  writeTwo(o + 17, second)
  store<u8>(o, 0x2e, 19)
  const tenths = rest / 10
  writeTwo(o + 20, tenths)
  store<u8>(o, u8(0x30 + rest - tenths * 10), 22)
  store<u8>(o, 0x5a, 23)
}

/** `2026-01-01T10:` of an hour since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
function writeHour(o: usize, hour: i32): void {
  const shifted = u32(hour + 719468 * 24), days = shifted / 24
  const era = days / 146097, ofEra = days - era * 146097
  const yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36524 - ofEra / 146096) / 365
  const ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
  const fromMarch = (5 * ofYear + 2) / 153
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9
  const year = yearOfEra + era * 400 + u32(month <= 2)
  writeTwo(o, year / 100)
  writeTwo(o + 2, year % 100)
  store<u8>(o, 0x2d, 4)
  writeTwo(o + 5, month)
  store<u8>(o, 0x2d, 7)
  writeTwo(o + 8, ofYear - (153 * fromMarch + 2) / 5 + 1)
  store<u8>(o, 0x54, 10)
  writeTwo(o + 11, shifted - days * 24)
  store<u8>(o, 0x3a, 13)
}
