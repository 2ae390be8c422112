// Columns: one pass over the rows for one field. `span` is the address of the field's span in row 0, `stride` the bytes of a row.
// What a span holds is valid JSON: the scan saw to that.
import { hasBackslash } from './grammar'
import { isDigit, sameBytes } from './masks'

const MISSING: u8 = 0, NUMBER: u8 = 4, STRING: u8 = 5, BIG: u8 = 8 // as Kind in core/batch.ts

// @ts-ignore: decorator
@inline
function kindOf(first: u32): u8 {
  if (first == 0x22) return STRING
  if (first - 0x2d <= 12) return NUMBER
  return first == 0x74 ? 3 : first == 0x66 ? 2 : first == 0x6e ? 1 : first == 0x5b ? 6 : 7
}

export function kinds(block: usize, span: usize, stride: usize, rows: i32, out: usize): void {
  for (let end = out + usize(rows); out < end; out++, span += stride) {
    store<u8>(out, load<u32>(span, 4) ? kindOf(load<u8>(block + load<u32>(span))) : MISSING)
  }
}

/** 10^0 .. 10^22: the powers of ten that a double holds exactly. */
const POWERS = memory.data<f64>([
  1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
])
const EXACT: u64 = (<u64>1) << 53

/** So many digits, or digits and a point, are exact as an integer: the common numbers, read without further ado. */
const SHORT: usize = 15

// The longer number read last: its digits as an integer, how many of them count (no leading zeros), how many stand behind the point.
let mantissa: u64 = 0
let significant: i32 = 0
let fraction: i32 = 0
let negative: bool = false

/** Reads sign, digits and point; returns where the exponent begins, or `end`. More than 19 digits overflow the mantissa. */
function readDigits(p: usize, end: usize): usize {
  negative = load<u8>(p) == 0x2d
  if (negative) p++
  let sum: u64 = 0, digit: u32 = 0
  const start = p
  while (p < end && (digit = u32(load<u8>(p)) - 0x30) <= 9) {
    sum = sum * 10 + digit
    p++
  }
  let digits = i32(p - start)
  fraction = 0
  if (p < end && load<u8>(p) == 0x2e) {
    const point = ++p
    while (p < end && (digit = u32(load<u8>(p)) - 0x30) <= 9) {
      sum = sum * 10 + digit
      p++
    }
    fraction = i32(p - point)
    digits += fraction
  }
  if (digits > 19) {
    // Leading zeros do not count.
    let q = start
    while (q < p && (load<u8>(q) == 0x30 || load<u8>(q) == 0x2e)) {
      if (load<u8>(q) == 0x30) digits--
      q++
    }
  }
  significant = digits
  mantissa = sum
  return p
}

/**
 * Doubles, correctly rounded (William Clinger, "How to read floating point numbers accurately", 1990: a mantissa and a power of ten that
 * are both exact need one rounding). Rows that this does not settle are listed at `odd`, 4 bytes each; returns how many.
 */
export function numbers(block: usize, span: usize, stride: usize, rows: i32, outKinds: usize, values: usize, odd: usize): i32 {
  const firstOdd = odd
  for (let row = 0; row < rows; row++, span += stride, outKinds++, values += 8) {
    const at = usize(load<u32>(span)), stop = usize(load<u32>(span, 4))
    const kind = stop ? kindOf(load<u8>(block + at)) : MISSING
    store<u8>(outKinds, kind)
    if (kind != NUMBER) {
      store<f64>(values, NaN)
      continue
    }
    // As in `decimals`; kept apart because a function with three results would cost as much as the loop.
    const start = block + at, end = block + stop
    const minus = usize(load<u8>(start) == 0x2d)
    let p = start + minus, sum: u64 = 0, digit: u32 = 0, scale: usize = 0
    while (p < end && (digit = u32(load<u8>(p)) - 0x30) <= 9) {
      sum = sum * 10 + digit
      p++
    }
    if (p < end && load<u8>(p) == 0x2e) {
      scale = ++p
      while (p < end && (digit = u32(load<u8>(p)) - 0x30) <= 9) {
        sum = sum * 10 + digit
        p++
      }
      scale = p - scale
    }
    if (p == end && p - start - minus <= SHORT) {
      const value = f64(sum) / load<f64>(POWERS + (scale << 3))
      store<f64>(values, minus ? -value : value)
    } else if (!longNumber(start, end, outKinds, values)) {
      store<u32>(odd, row)
      odd += 4
    }
  }
  return i32(odd - firstOdd) >> 2
}

/** The same for any number. False: not settled. */
function longNumber(start: usize, end: usize, outKind: usize, value: usize): bool {
  let p = readDigits(start, end)
  let exponent = -fraction
  let settled = significant <= 19
  if (p == end && !exponent) {
    // An integer of up to 19 digits is rounded once, by the conversion.
    if (mantissa >= EXACT || !settled) store<u8>(outKind, BIG)
  } else {
    if (p != end) {
      p++ // e
      const sign = load<u8>(p)
      if (sign == 0x2d || sign == 0x2b) p++
      if (end - p > 8) settled = false
      let power: i32 = 0
      while (p < end) power = power * 10 + (i32(load<u8>(p++)) - 0x30)
      exponent += sign == 0x2d ? -power : power
    }
    settled = settled && mantissa <= EXACT && exponent >= -22 && exponent <= 22
  }
  if (!settled) return false
  let result = f64(mantissa)
  if (exponent < 0) result /= load<f64>(POWERS + (usize(-exponent) << 3))
  else if (exponent) result *= load<f64>(POWERS + (usize(exponent) << 3))
  store<f64>(value, negative ? -result : result)
  return true
}

/** Mantissa and scale of each number; what does not fit becomes BIG. */
export function decimals(block: usize, span: usize, stride: usize, rows: i32, outKinds: usize, mantissas: usize, scales: usize): void {
  for (let row = 0; row < rows; row++, span += stride, outKinds++, mantissas += 8, scales++) {
    const at = usize(load<u32>(span)), stop = usize(load<u32>(span, 4))
    let kind = stop ? kindOf(load<u8>(block + at)) : MISSING
    let value: f64 = 0
    let scale: usize = 0
    if (kind == NUMBER) {
      const start = block + at, end = block + stop
      const minus = usize(load<u8>(start) == 0x2d)
      let p = start + minus, sum: u64 = 0, digit: u32 = 0
      while (p < end && (digit = u32(load<u8>(p)) - 0x30) <= 9) {
        sum = sum * 10 + digit
        p++
      }
      if (p < end && load<u8>(p) == 0x2e) {
        scale = ++p
        while (p < end && (digit = u32(load<u8>(p)) - 0x30) <= 9) {
          sum = sum * 10 + digit
          p++
        }
        scale = p - scale
      }
      if (p != end || p - start - minus > SHORT) {
        p = readDigits(start, end)
        sum = mantissa
        scale = usize(fraction)
        if (p != end || significant > 19 || sum > EXACT || scale > 22) {
          kind = BIG
          sum = scale = 0
        }
      }
      value = f64(minus ? -i64(sum) : i64(sum))
    }
    store<u8>(outKinds, kind)
    store<f64>(mantissas, value)
    store<u8>(scales, u8(scale))
  }
}

/** Per row whether the string is the `length` bytes at `wanted` (quotes included, no escapes among them): 1 yes, 0 no, 2 it has escapes. */
export function equalsString(block: usize, span: usize, stride: usize, rows: i32, wanted: usize, length: usize, out: usize): void {
  for (let row = 0; row < rows; row++, span += stride, out++) {
    const at = block + load<u32>(span), end = block + load<u32>(span, 4)
    let answer: u8 = 0
    if (end != block && load<u8>(at) == 0x22) {
      if (end - at == length && sameBytes(at, wanted, length)) answer = 1
      else if (hasBackslash(at, end)) answer = 2
    }
    store<u8>(out, answer)
  }
}

/** Whether the valid JSON text from p to end is a number of the plainest kind: see `plain` in intern.ts. */
export function plainNumber(p: usize, end: usize): bool {
  if (load<u8>(p) == 0x2d) p++
  const length = end - p
  if (length > 15) return false
  if (length == 1) return load<u8>(p) != 0x30 || load<u8>(p - 1) != 0x2d // not -0
  let point = false
  for (let q = p; q < end; q++) {
    const byte = load<u8>(q)
    if (byte == 0x2e) point = true
    else if (!isDigit(byte)) return false
  }
  return !point || load<u8>(end - 1) != 0x30
}
