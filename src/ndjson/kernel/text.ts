// Text as records of one member: {"word":"…"} each word of it, {"line":"…"} each line. Records and the spans of their values are made in one go, so
// that nobody has to scan them.
import { lowest, mask4 } from './masks'
import { copyBytes } from './output'

/** What both have done: 0 rows u32 · 4 bytes written u32 · 8 where they stopped u32 · 12 line ends passed u32 · 16 all is ASCII u32 */
const done = memory.data(20, 4)
export function textDone(): usize {
  return done
}

const HEX = memory.data<u8>([0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66])
/** Of the control characters that have a short escape, its letter: b t n f r. */
const LETTERS = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0x62, 0x74, 0x6e, 0, 0x66, 0x72, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
])

/** Content of a JSON string, as JSON.stringify spells it; returns where it ends. */
function escaped(o: usize, p: usize, end: usize): usize {
  for (; p < end; p++) {
    const byte = load<u8>(p)
    if (byte == 0x22 || byte == 0x5c) {
      store<u8>(o++, 0x5c)
      store<u8>(o++, byte)
    } else if (byte >= 0x20) store<u8>(o++, byte)
    else {
      const letter = load<u8>(LETTERS + byte)
      store<u8>(o++, 0x5c)
      if (letter) store<u8>(o++, letter)
      else {
        store<u32>(o, 0x30303075) // u000
        store<u8>(o, load<u8>(HEX + (byte >> 4)), 3)
        store<u8>(o, load<u8>(HEX + (byte & 15)), 4)
        o += 5
      }
    }
  }
  return o
}

// Where the next record and its row go, and what they are like: one call at a time.
let out: usize, base: usize, head: usize, headLength: usize
let row: usize, stride: usize, value: usize

/** Writes the record of a text. `clean`: nothing of it has to be escaped. */
// @ts-ignore: decorator
@inline
function add(p: usize, end: usize, clean: bool): void {
  let o = out
  copyBytes(o, head, headLength)
  o += headLength
  if (clean) {
    copyBytes(o, p, end - p)
    o += end - p
  } else o = escaped(o, p, end)
  store<u32>(o, 0x0a7d22) // "}\n
  o += 2
  store<u32>(row, u32(out - base))
  store<u32>(row, u32(o - base), 4)
  for (let at: usize = 8; at < stride; at += 8) store<u64>(row + at, 0)
  if (value) {
    store<u32>(row + value, u32(out - base + headLength - 1))
    store<u32>(row + value, u32(o - base - 1), 4)
  }
  row += stride
  out = o + 1
}

/** Bytes of a string that must be escaped, in 16: only the top bit of each counts. */
// @ts-ignore: decorator
@inline
function needsEscape(a: v128): v128 {
  return v128.or(
    v128.or(i8x16.eq(a, i8x16.splat(0x22)), i8x16.eq(a, i8x16.splat(0x5c))), i8x16.lt_u(a, i8x16.splat(0x20)),
  )
}
/** ASCII white space. */
// @ts-ignore: decorator
@inline
function spaces(a: v128): v128 {
  return v128.or(i8x16.eq(a, i8x16.splat(0x20)), i8x16.le_u(i8x16.sub(a, i8x16.splat(9)), i8x16.splat(4)))
}

/**
 * Records of the words (`lines` 0) or the lines (1) of the text from..end, up to `most`. `names`: `{"word":"`, of `length` bytes. They are written to
 * `to`; rows to `spans`, with the value's span `field` bytes from a row's start (0: it is not wanted). Needs a record of no text for each byte and 64 bytes at
 * `to`, and reads and writes up to 64 bytes beyond. `textDone` says what came of it.
 */
export function textRecords(
  lines: i32, from: usize, end: usize, names: usize, length: usize, to: usize, spans: usize, bytesARow: usize, field: usize, most: i32,
): void {
  out = base = to
  head = names
  headLength = length
  row = spans
  stride = bytesARow
  value = field
  const last = spans + usize(most) * bytesARow
  let seen = i64x2.splat(0)
  let newlines = 0
  let stopped = end
  let start: usize = lines ? from : 0 // of the word or line that has begun; 0: between words
  let unclean: usize = from // up to here there may be bytes to escape
  for (let p = from; p < end; p += 64) {
    const a = v128.load(p), b = v128.load(p, 16), c = v128.load(p, 32), d = v128.load(p, 48)
    seen = v128.or(seen, v128.or(v128.or(a, b), v128.or(c, d)))
    const inside: u64 = end - p >= 64 ? ~0 : (u64(1) << (end - p)) - 1
    const newline = i8x16.splat(0x0a)
    const ends = inside & mask4(i8x16.eq(a, newline), i8x16.eq(b, newline), i8x16.eq(c, newline), i8x16.eq(d, newline))
    const escapes = mask4(needsEscape(a), needsEscape(b), needsEscape(c), needsEscape(d))
    let edges: u64
    if (lines) {
      edges = ends
      if (escapes & ~ends) unclean = p + 64
    } else {
      const between = mask4(spaces(a), spaces(b), spaces(c), spaces(d))
      if (escapes & ~between) unclean = p + 64
      // What is behind the end is white space: a word ends there.
      const inWord = ~between & inside
      edges = inWord ^ ((inWord << 1) | u64(start != 0))
    }
    while (edges) {
      const at = p + lowest(edges)
      edges &= edges - 1
      if (lines) {
        const stop = at > start && load<u8>(at - 1) == 0x0d ? at - 1 : at
        add(start, stop, start >= unclean)
        start = at + 1
      } else if (start) {
        add(start, at, start >= unclean)
        start = 0
      } else {
        start = at
        continue
      }
      if (row == last) {
        stopped = lines ? start : at
        newlines += i32(popcnt(stopped - p < 64 ? ends & ((u64(1) << (stopped - p)) - 1) : ends))
        finish(spans, stopped, newlines, seen)
        return
      }
    }
    newlines += i32(popcnt(ends))
  }
  if (lines ? start < end : start != 0) {
    const stop = lines && load<u8>(end - 1) == 0x0d ? end - 1 : end
    add(start, stop, start >= unclean)
  }
  finish(spans, end, newlines, seen)
}

function finish(spans: usize, stopped: usize, newlines: i32, seen: v128): void {
  store<u32>(done, u32((row - spans) / stride))
  store<u32>(done, u32(out - base), 4)
  store<u32>(done, u32(stopped), 8)
  store<u32>(done, u32(newlines), 12)
  store<u32>(done, u32(i8x16.bitmask(seen) == 0), 16)
}
