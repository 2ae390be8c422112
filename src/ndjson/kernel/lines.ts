// Lines put together from pieces: sorted ones copied out, and those of a join with a table.
import { copyBytes } from './output'

/**
 * Copies pieces one after the other. `list` holds address and length of each; those from `from` to `to` are copied while there is room up
 * to `limit`. Returns the number of the first one that was not; see `copied`.
 */
export function gatherPieces(list: usize, from: i32, to: i32, out: usize, limit: usize): i32 {
  let o = out
  let i = from
  let asked = from
  for (; i < to; i++) {
    if (i == asked) {
      asked = min(i + AT_ONCE, to)
      for (let next = i; next < asked; next++) seen += touch(load<u32>(list + (usize(next) << 3)), load<u32>(list + (usize(next) << 3), 4))
    }
    const at = list + (usize(i) << 3)
    const length = usize(load<u32>(at, 4))
    if (o + length > limit) break
    copyBytes(o, load<u32>(at), length)
    o += length
  }
  copied = o - out
  return i
}

/**
 * Pieces are all over the memory, and copying one makes the processor wait for it. So some are asked for at a time, before the first of them is copied: it waits for
 * all of them together.
 */
const AT_ONCE: i32 = 12
/** What was seen there is of use to nobody, but must look like it. */
let seen: u32 = 0
export function seenBytes(): u32 {
  return seen
}

/** A byte of each of the processor's lines that a piece is in; of long ones, which are read ahead anyway, the first ones. */
// @ts-ignore: decorator
@inline
function touch(piece: usize, length: usize): u32 {
  const end = piece + min(length, MOST_TOUCHED)
  let sum: u32 = 0
  for (let at = piece; at < end; at += 64) sum += load<u8>(at)
  return sum + load<u8>(end - 1)
}
const MOST_TOUCHED: usize = 512

/** Address and length of each of the lines from `p` to `end`, with their "\n", for `gatherOrdered`. Reads up to 15 bytes beyond. */
export function listLines(p: usize, end: usize, list: usize): void {
  const newline = i8x16.splat(0x0a)
  let start = p
  for (; p < end; p += 16) {
    let ends = i8x16.bitmask(i8x16.eq(v128.load(p), newline))
    for (; ends; ends &= ends - 1) {
      const next = p + ctz(ends) + 1
      if (next > end) return
      store<u32>(list, u32(start))
      store<u32>(list, u32(next - start), 4)
      list += 8
      start = next
    }
  }
}

/** As `gatherPieces`, of the pieces whose numbers stand at `order`. */
export function gatherOrdered(list: usize, order: usize, from: i32, to: i32, out: usize, limit: usize): i32 {
  let o = out
  let i = from
  for (; i < to; i++) {
    const at = list + (usize(load<u32>(order + (usize(i) << 2))) << 3)
    const length = usize(load<u32>(at, 4))
    if (o + length > limit) break
    copyBytes(o, load<u32>(at), length)
    o += length
  }
  copied = o - out
  return i
}

/** How many bytes the last call of a function of this file wrote. */
let copied: usize = 0
export function copiedBytes(): usize {
  return copied
}

/*
 * A table as words of 32 bits:
 *   0 number of keys · 1 firsts: per key its first row · 2 rows, by key · 3 starts: per row where its tail begins · 4 tails
 *   5 a byte per row that had a partner, or 0 · 6 whether left records without a partner are kept · 7 how many fields clash, and 8 …
 *   where their span ends are in a row of the batch
 */

/**
 * Joins rows `from` to `to` with a table in memory: a left line without its "}", then a row's tail (`,"name":"Ann"}` and a line end).
 * Returns the first row that was not done: there is no room up to `limit`, or it is one for JavaScript (a name on both sides, no object, or
 * more partners than fit).
 */
export function splice(
  block: usize,
  spans: usize,
  stride: usize,
  from: i32,
  to: i32,
  ids: usize,
  table: usize,
  out: usize,
  limit: usize,
): i32 {
  const keys = load<u32>(table)
  const firsts = usize(load<u32>(table, 4))
  const rows = usize(load<u32>(table, 8))
  const starts = usize(load<u32>(table, 12))
  const tails = usize(load<u32>(table, 16))
  const matched = usize(load<u32>(table, 20))
  const keepsLeft = load<u32>(table, 24) != 0
  const clashes = load<u32>(table, 28)
  let o = out
  let row = from
  for (; row < to; row++) {
    const id = load<u32>(ids + (usize(row) << 2))
    let first: u32 = 0
    let last: u32 = 0
    if (id < keys) {
      first = load<u32>(firsts + (usize(id) << 2))
      last = load<u32>(firsts + (usize(id) << 2), 4)
    }
    const at = spans + usize(row) * stride
    const start = block + load<u32>(at)
    let end = block + load<u32>(at, 4)
    if (first == last) {
      if (!keepsLeft) continue
      const length = end - start
      if (o + length + 1 > limit) break
      copyBytes(o, start, length)
      o += length
      store<u8>(o++, 0x0a)
      continue
    }
    let clash = false
    for (let i: u32 = 0; i < clashes; i++) clash = clash || load<u32>(at + load<u32>(table + 32 + (usize(i) << 2))) != 0
    if (clash || load<u8>(end - 1) != 0x7d) break
    do end--
    while (load<u8>(end - 1) <= 0x20)
    const length = end - start
    const before = o
    let index = first
    for (; index < last; index++) {
      const partner = usize(load<u32>(rows + (usize(index) << 2)))
      const tail = load<u32>(starts + (partner << 2))
      const size = usize(load<u32>(starts + (partner << 2), 4) - tail)
      if (o + length + size > limit) break
      copyBytes(o, start, length)
      o += length
      copyBytes(o, tails + tail, size)
      o += size
      if (matched) store<u8>(matched + partner, 1)
    }
    if (index < last) {
      o = before
      break
    }
  }
  copied = o - out
  return row
}
