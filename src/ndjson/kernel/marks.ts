// Marks: where the brackets, line ends and colons of some bytes are, without a branch that data could lead astray: twice as fast as a walk.
//
//   bytes    {"a":"x{","b":[1]}↵{"a":2}↵   as it stands
//   colons   ....1........1........1...    outside strings; a bit each, in the order of the bytes
//   places   0, 14, 16, 17, 18, 19, 25, 26  of { } [ ] outside strings, and of control characters: line ends, in good data
//
// Looked for are the bytes that equal 0x7f when bits 1, 2 and 5 are set: brackets, and Y _ y DEL, which no JSON has outside strings. Whoever reads the
// places compares their bytes.
import { escapedBytes, lowest, mask4, prefixXor } from './masks'

/** All ones: the next byte is in a string. */
let open: u64 = 0
/** 1: the next byte is escaped. */
let escaped: u64 = 0
/** Something that `scan` must look at: a line end in a string, a backslash outside. */
let isOdd: bool = false
let seen: v128 = i64x2.splat(0)

/** Begins anew, outside strings. */
export function beginMarks(): void {
  open = 0
  escaped = 0
  isOdd = false
  seen = i64x2.splat(0)
}

export function marksAreOdd(): bool {
  return isOdd
}

/** Whether all bytes were ASCII. */
export function marksAreAscii(): bool {
  return !i8x16.bitmask(seen)
}

/** How many places a chunk has mostly at most. */
const USUAL: usize = 6

/**
 * Stores the colons of from..to, of whole chunks of 64 bytes unless `to` is `end`, at `colons`, and the places at `places`; returns where these end. There is
 * room for `to - from` places and 64 more. Reads up to 64 bytes behind `end`.
 */
export function mark(from: usize, to: usize, end: usize, colons: usize, places: usize): usize {
  const quote = i8x16.splat(0x22), backslash = i8x16.splat(0x5c), colon = i8x16.splat(0x3a)
  const control = i8x16.splat(0x1f), three = i8x16.splat(0x26), all = i8x16.splat(0x7f)
  let inside: u64 = open, high = seen, odd: u64 = 0
  for (let p = from; p < to; p += 64, colons += 8) {
    const a = v128.load(p), b = v128.load(p, 16), c = v128.load(p, 32), d = v128.load(p, 48)

    let quotes = mask4(i8x16.eq(a, quote), i8x16.eq(b, quote), i8x16.eq(c, quote), i8x16.eq(d, quote))
    let slashes: u64 = 0
    const sa = i8x16.eq(a, backslash), sb = i8x16.eq(b, backslash), sc = i8x16.eq(c, backslash), sd = i8x16.eq(d, backslash)
    if (i8x16.bitmask(v128.or(v128.or(sa, sb), v128.or(sc, sd))) | i32(escaped)) {
      slashes = mask4(sa, sb, sc, sd)
      const literal = escapedBytes(slashes, escaped)
      escaped = (slashes & ~literal) >> 63
      quotes &= ~literal
    }
    const inString = prefixXor(quotes) ^ inside
    inside = u64(i64(inString) >> 63)
    high = v128.or(high, v128.or(v128.or(a, b), v128.or(c, d)))

    const brackets = mask4(
      i8x16.eq(v128.or(a, three), all), i8x16.eq(v128.or(b, three), all),
      i8x16.eq(v128.or(c, three), all), i8x16.eq(v128.or(d, three), all),
    )
    let controls = mask4(i8x16.le_u(a, control), i8x16.le_u(b, control), i8x16.le_u(c, control), i8x16.le_u(d, control))
    let outside = ~inString
    if (end - p < 64) {
      const known = (u64(1) << (end - p)) - 1
      outside &= known
      controls &= known
      slashes &= known
    }
    odd |= (controls & inString) | (slashes & ~inString)
    store<u64>(
      colons,
      outside & mask4(i8x16.eq(a, colon), i8x16.eq(b, colon), i8x16.eq(c, colon), i8x16.eq(d, colon)),
    )
    let bits = (brackets & outside) | controls
    const count = usize(popcnt(bits))
    store<u32>(places, u32(p + lowest(bits)))
    bits &= bits - 1
    store<u32>(places, u32(p + lowest(bits)), 4)
    bits &= bits - 1
    store<u32>(places, u32(p + lowest(bits)), 8)
    bits &= bits - 1
    store<u32>(places, u32(p + lowest(bits)), 12)
    bits &= bits - 1
    store<u32>(places, u32(p + lowest(bits)), 16)
    bits &= bits - 1
    store<u32>(places, u32(p + lowest(bits)), 20)
    bits &= bits - 1
    if (count > USUAL) for (let at = places + 24; bits; at += 4, bits &= bits - 1) store<u32>(at, u32(p + lowest(bits)))
    places += count << 2
  }
  open = inside
  seen = high
  isOdd = isOdd || odd != 0
  return places
}
