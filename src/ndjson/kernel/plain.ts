// Lines of which nothing is read: only whether all are plainly right, and how many there are. As `scan`, but in one go over chunks of 64
// bytes, without a new start at each line and without spans: twice as fast.
import { escapedBytes, isSpace, lowest, mask4, prefixXor } from './masks'
import { bracketsOf, DEEP } from './scan'
import { utf8Valid } from './utf8'

/**
 * How many lines from..end are (the byte before `end` is "\n"), when `scan` would find none of them odd and nothing but one "\n" between
 * them; else -1, also when in doubt. Reads up to 64 bytes behind `end`.
 */
export function plainLines(from: usize, end: usize): i32 {
  const quote = i8x16.splat(0x22), backslash = i8x16.splat(0x5c), newline = i8x16.splat(0x0a)
  const control = i8x16.splat(0x1f)
  let open: u64 = 0 // all ones: the chunk begins in a string
  let escaped: u64 = 0 // 1: its first byte is escaped
  let depth: i32 = 0, squares: i32 = 0, hasClosed: bool = false // of the line
  let lines: i32 = 0
  let seen = i64x2.splat(0)
  if (load<u8>(from) != 0x7b) return -1

  for (let p = from; p < end; p += 64) {
    const a = v128.load(p), b = v128.load(p, 16), c = v128.load(p, 32), d = v128.load(p, 48)

    // Strings, as in `scan`.
    let quotes = mask4(i8x16.eq(a, quote), i8x16.eq(b, quote), i8x16.eq(c, quote), i8x16.eq(d, quote))
    let slashes: u64 = 0
    const sa = i8x16.eq(a, backslash), sb = i8x16.eq(b, backslash), sc = i8x16.eq(c, backslash), sd = i8x16.eq(d, backslash)
    if (v128.any_true(v128.or(v128.or(sa, sb), v128.or(sc, sd))) || escaped) {
      slashes = mask4(sa, sb, sc, sd)
      const literal = escapedBytes(slashes, escaped)
      escaped = (slashes & ~literal) >> 63
      quotes &= ~literal
    }
    const inString = prefixXor(quotes) ^ open
    open = u64(i64(inString) >> 63)
    seen = v128.or(seen, v128.or(v128.or(a, b), v128.or(c, d)))

    // Line ends, and no other control characters. In the last chunk, what is behind the end counts for nothing.
    const inside: u64 = end - p >= 64 ? ~0 : (u64(1) << (end - p)) - 1
    let newlines: u64 = 0
    const least = i8x16.min_u(i8x16.min_u(a, b), i8x16.min_u(c, d))
    if (v128.any_true(i8x16.le_u(least, control))) {
      newlines = inside & mask4(i8x16.eq(a, newline), i8x16.eq(b, newline), i8x16.eq(c, newline), i8x16.eq(d, newline))
      const controls = mask4(i8x16.le_u(a, control), i8x16.le_u(b, control), i8x16.le_u(c, control), i8x16.le_u(d, control))
      if ((controls & inside) != newlines || newlines & inString) return -1
    }
    if (slashes & ~inString & inside) return -1

    const here = ~inString & inside & mask4(bracketsOf(a), bracketsOf(b), bracketsOf(c), bracketsOf(d))
    if (!here) {
      // A line that ends here has had its last bracket before: then depth was 0 just there, which was looked at.
      if (newlines) {
        if (depth | squares || newlines & (newlines - 1)) return -1
        const at = p + lowest(newlines)
        if (!endsWell(at, end)) return -1
        lines++
        hasClosed = false
      }
      continue
    }
    const opens = here & mask4(i16x8.shl(a, 6), i16x8.shl(b, 6), i16x8.shl(c, 6), i16x8.shl(d, 6))
    const curly = mask4(i16x8.shl(a, 2), i16x8.shl(b, 2), i16x8.shl(c, 2), i16x8.shl(d, 2))
    const closes = here ^ opens

    let rest: u64 = ~0
    while (true) {
      // A piece: what of the chunk belongs to one line.
      const lineEnd = newlines & -newlines
      const piece = lineEnd ? rest & (lineEnd - 1) : rest
      const opening = opens & piece, closing = closes & piece
      const closers = i32(popcnt(closing))
      // Whether depth can be 0 before the line's end: of the closing brackets, those that end the line cannot bring it there.
      let before = closers
      if (lineEnd && lineEnd != 1) before -= i32(clz(~(closing << (64 - ctz(lineEnd)))))
      if (i32(depth ? depth : 1) <= before) {
        let level = depth
        for (let bits = opening | closing; bits; bits &= bits - 1) {
          level += opening & bits & -bits ? 1 : -1
          if (level <= 0 && (level < 0 || load<u8>(p + lowest(bits), 1) != 0x0a)) return -1
        }
      }
      depth += i32(popcnt(opening)) - closers
      squares += i32(popcnt(opening & ~curly)) - i32(popcnt(closing & ~curly))
      if (depth > DEEP) return -1
      // "}" before "{": no member, element or line can be so.
      const openCurly = opening & curly, closeCurly = closing & curly
      if (openCurly && (hasClosed || (closeCurly && ctz(closeCurly) < 63 - clz(openCurly)))) {
        for (let bits = openCurly; bits; bits &= bits - 1) {
          let q = p + lowest(bits) - 1
          while (isSpace(load<u8>(q))) q--
          if (load<u8>(q) == 0x7d) return -1
        }
      }
      hasClosed = hasClosed || closeCurly != 0
      if (!lineEnd) break
      if (depth | squares || !endsWell(p + lowest(lineEnd), end)) return -1
      lines++
      hasClosed = false
      rest = ~(lineEnd | (lineEnd - 1))
      newlines &= newlines - 1
    }
  }
  ascii = i8x16.bitmask(seen) == 0
  return ascii || utf8Valid(from, end) ? lines : -1
}

/** Whether all of the lines that the last call found plain are ASCII. */
let ascii: bool = false
export function plainAscii(): bool {
  return ascii
}

/** Whether the line that ends at `at` has "}" there, and no comma before, and the next one begins with "{". */
// @ts-ignore: decorator
@inline
function endsWell(at: usize, end: usize): bool {
  return load<u8>(at - 1) == 0x7d && load<u8>(at - 2) != 0x2c && (at + 1 == end || load<u8>(at, 1) == 0x7b)
}
