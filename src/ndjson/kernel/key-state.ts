// What a key table of intern.ts holds, on its way out and in, and in order.
import { copyBytes } from './output'

/** Bytes of the texts of the ids from..to. */
export function textBytes(table: usize, from: u32, to: u32): f64 {
  const texts = usize(load<u32>(table, 20))
  let bytes: f64 = 0
  for (let id = from; id < to; id++) bytes += f64(load<u32>(usize(load<u32>(texts + (usize(id) << 2))), 4))
  return bytes
}

/**
 * Writes the texts of the ids from..to, without the "\n" between parts, to `out`, and the end of each part, plus `base`, to `ends`. May write
 * 15 bytes beyond.
 */
export function exportKeys(table: usize, from: u32, to: u32, parts: i32, out: usize, ends: usize, base: u32): usize {
  const texts = usize(load<u32>(table, 20))
  let o = out
  for (let id = from; id < to; id++) {
    const entry = usize(load<u32>(texts + (usize(id) << 2)))
    const length = usize(load<u32>(entry, 4))
    if (parts == 1) {
      copyBytes(o, entry + 8, length)
      o += length
    } else {
      for (let p = entry + 8, end = p + length; p < end; p++) {
        const byte = load<u8>(p)
        if (byte == 0x0a) {
          store<u32>(ends, u32(o - out) + base)
          ends += 4
        } else store<u8>(o++, byte)
      }
    }
    store<u32>(ends, u32(o - out) + base)
    ends += 4
  }
  return o - out
}

/** Spans of `count` texts that stand one after the other, from their ends: both less `base`. */
export function spansOfEnds(ends: usize, count: i32, base: u32, spans: usize): void {
  let start: u32 = 0
  for (let i = 0; i < count; i++, ends += 4, spans += 8) {
    const end = load<u32>(ends) - base
    store<u32>(spans, start)
    store<u32>(spans, end, 4)
    start = end
  }
}

/** Digits of 11 bits: six of them make a double. */
const DIGIT_BITS: u32 = 11
const DIGITS: i32 = 6
const VALUES: usize = 2048

/** All ids in the order of their positions: see `orderOf`. */
export function order(table: usize, ids: usize, scratch: usize, counts: usize): void {
  orderOf(load<u32>(table, 24), load<u32>(table, 12), ids, scratch, counts)
}

/**
 * The numbers below `size` in the order of their positions, at `ids`. A radix sort: of doubles that are not negative the bits are in order,
 * too. Those with one position stay in order. `scratch` has room for as many ids, and at `counts` there is room for 2048 × 6 × 4 bytes.
 * O(size).
 */
export function orderOf(positions: usize, size: u32, ids: usize, scratch: usize, counts: usize): void {
  memory.fill(counts, 0, (usize(DIGITS) * VALUES) << 2)
  let last: u64 = 0, sorted = true
  for (let id: u32 = 0; id < size; id++) {
    store<u32>(ids + (usize(id) << 2), id)
    const bits = load<u64>(positions + (usize(id) << 3))
    sorted = sorted && bits >= last
    last = bits
    for (let digit = 0; digit < DIGITS; digit++) {
      const count = counts + ((usize(digit) * VALUES + digitOf(bits, digit)) << 2)
      store<u32>(count, load<u32>(count) + 1)
    }
  }
  if (sorted) return
  let from = ids, to = scratch
  for (let digit = 0; digit < DIGITS; digit++) {
    const column = counts + ((usize(digit) * VALUES) << 2)
    // A digit that all share moves nothing.
    if (load<u32>(column + (digitOf(last, digit) << 2)) == size) continue
    let start: u32 = 0
    for (let count = column, end = column + (VALUES << 2); count < end; count += 4) {
      const here = load<u32>(count)
      store<u32>(count, start)
      start += here
    }
    for (let at = from, end = from + (usize(size) << 2); at < end; at += 4) {
      const id = load<u32>(at)
      const count = column + (digitOf(load<u64>(positions + (usize(id) << 3)), digit) << 2)
      const place = load<u32>(count)
      store<u32>(count, place + 1)
      store<u32>(to + (usize(place) << 2), id)
    }
    const swap = from
    from = to
    to = swap
  }
  if (from != ids) memory.copy(ids, from, usize(size) << 2)
}

// @ts-ignore: decorator
@inline
function digitOf(bits: u64, digit: i32): usize {
  return usize(bits >> u64(u32(digit) * DIGIT_BITS)) & (VALUES - 1)
}
