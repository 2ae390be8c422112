// The scan: cuts a block into lines and finds where the wanted fields of each line are, 64 bytes a step.
//
//   bytes     {"a":"x{\"","b":[1]}   as it stands
//   quotes    .1.1.1....1.1.1.....   without escaped ones
//   inString  .11..11111..11......   prefix xor of the quotes: from an opening quote up to the closing one
//   brackets  1...............1.11   { } [ ] outside strings
//   colons    ....1..........1....   outside strings; looked at only until all wanted fields of the line are found
//
// A line is never refused here. Whatever is not plainly right makes it odd, and the reference decides it. Seen in every line, also
// beyond the last wanted field: a string that is open at the end, a raw control character, a backslash outside strings, unequal numbers
// of { and } or [ and ], "}" before "{", anything before or after the one object, a comma after its last member, depth near the limit,
// invalid UTF-8. In a wanted value everything is seen, so what a stage reads is always JSON.
import { find, foundAt, foundEnd, lineValid, numberEnd, skipSpace, stringEnd, valueEnd } from './grammar'
import { escapedBytes, isDigit, isSpace, lowest, mask4, prefixXor, sameBytes } from './masks'
import { utf8Valid } from './utf8'

// A wanted name (the first part of a path), 40 bytes:
//   0 mask u64, 8 tail u64: the last 8 bytes of the name with its quotes, and which of them count · 16 address u32, 20 length u32
//   24 address of its fields u32, 28 number of them u32 · 32 stamp u32: the line in which it was found last
//   36 single i32: the field when there is just one and its path ends here, else -1
// A field of a name, 12 bytes: 0 field u32 · 4 address of the rest of its path u32, 8 number of parts u32 (see `find`).
export const NAME: usize = 40
const FIELD: usize = 12

// The result: 0 rows u32 · 4 lines u32 · 8 odd lines u32 · 12 where to go on u32, 0 at the end · 16 all ASCII u32 · 20 dense u32
// (the lines are one after the other with nothing between them but one "\n") · 24 the stamp to go on with.

/** How close to the depth limit of 512 a line may come at the end of a chunk before the reference looks at it. */
export const DEEP: i32 = 512 - 64

/**
 * Scans the lines from..end (the byte before `end` is "\n"). Spans are relative to `block`. Rows are stored at `spans`, room for `most` + 1;
 * odd lines at `odd`, 12 bytes each: row, start and end of the whole line. Reads up to 64 bytes before `from` and behind `end`.
 */
export function scan(
  block: usize, from: usize, end: usize, names: usize, nameCount: i32, fieldCount: i32, strict: bool,
  spans: usize, most: i32, oddLines: usize, result: usize,
): void {
  const quote = i8x16.splat(0x22), backslash = i8x16.splat(0x5c), newline = i8x16.splat(0x0a), colon = i8x16.splat(0x3a)
  const control = i8x16.splat(0x1f)
  const stride: usize = 8 + (usize(fieldCount) << 3)
  const firstOdd = oddLines
  // A strict line is looked at to its end: of duplicate names the last one wins.
  const enough = strict && nameCount ? i32.MAX_VALUE : nameCount
  let row = spans, rows: i32 = 0, lines: i32 = 0, dense: bool = true
  let stamp = load<u32>(result, 24) + 1
  let seen = i64x2.splat(0)

  for (let p = from; ; ) {
    // A line, in chunks from its first byte on: chunks of one line after the other look alike, which the branch predictor likes.
    const lineStart = p
    let open: u64 = 0 // all ones: the chunk begins in a string
    let escaped: u64 = 0 // 1: its first byte is escaped
    let found: i32 = 0, depth: i32 = 0, squares: i32 = 0
    let zeroAt: usize = 0 // where depth was back at 0 first
    let isOdd: bool = false, isHigh: bool = false, hasClosed: bool = false, hasEscapes: bool = false
    let lineEnd: u64 = 0 // the bit of "\n"
    clearFields(row, stride)

    while (true) {
      const a = v128.load(p), b = v128.load(p, 16), c = v128.load(p, 32), d = v128.load(p, 48)

      let quotes = mask4(i8x16.eq(a, quote), i8x16.eq(b, quote), i8x16.eq(c, quote), i8x16.eq(d, quote))
      let slashes: u64 = 0
      const sa = i8x16.eq(a, backslash), sb = i8x16.eq(b, backslash), sc = i8x16.eq(c, backslash), sd = i8x16.eq(d, backslash)
      if (v128.any_true(v128.or(v128.or(sa, sb), v128.or(sc, sd))) || escaped) {
        slashes = mask4(sa, sb, sc, sd)
        hasEscapes = true
        const literal = escapedBytes(slashes, escaped)
        escaped = (slashes & ~literal) >> 63
        quotes &= ~literal
      }
      const inString = prefixXor(quotes) ^ open
      open = u64(i64(inString) >> 63)

      const any = v128.or(v128.or(a, b), v128.or(c, d))
      seen = v128.or(seen, any)
      isHigh = isHigh || i8x16.bitmask(any) != 0

      // Control characters: mostly none, else the line's end. `piece` is what of the chunk belongs to the line.
      let piece: u64 = ~0
      const least = i8x16.min_u(i8x16.min_u(a, b), i8x16.min_u(c, d))
      if (v128.any_true(i8x16.le_u(least, control))) {
        const newlines = mask4(i8x16.eq(a, newline), i8x16.eq(b, newline), i8x16.eq(c, newline), i8x16.eq(d, newline))
        lineEnd = newlines & -newlines
        piece = lineEnd | (lineEnd - 1)
        let controls = piece & ~newlines &
          mask4(i8x16.le_u(a, control), i8x16.le_u(b, control), i8x16.le_u(c, control), i8x16.le_u(d, control))
        while (controls) {
          if ((inString & controls & -controls) || !isSpace(load<u8>(p + lowest(controls)))) isOdd = true
          controls &= controls - 1
        }
        if (inString & lineEnd) isOdd = true // an open string
      }
      if (slashes & piece & ~inString) isOdd = true

      const here = piece & ~inString & mask4(bracketsOf(a), bracketsOf(b), bracketsOf(c), bracketsOf(d))
      let candidates: u64 = 0
      if (found < enough) {
        candidates = piece & ~inString & mask4(i8x16.eq(a, colon), i8x16.eq(b, colon), i8x16.eq(c, colon), i8x16.eq(d, colon))
      }
      if (here == 1 && p == lineStart && load<u8>(p) == 0x7b) depth = 1 // the usual beginning, done quickly
      else if (here) {
        const opens = here & mask4(i16x8.shl(a, 6), i16x8.shl(b, 6), i16x8.shl(c, 6), i16x8.shl(d, 6))
        const curly = mask4(i16x8.shl(a, 2), i16x8.shl(b, 2), i16x8.shl(c, 2), i16x8.shl(d, 2))
        const closes = here ^ opens
        const closers = i32(popcnt(closes))
        // Whether depth can be 0 before the line's end: of the closing brackets, those that end the line cannot bring it there.
        let before = closers
        if (lineEnd) before -= i32(clz(~(closes << (64 - ctz(lineEnd)))))
        if (candidates != 0 || i32(depth ? depth : 1) <= before) {
          let level = depth, start: u64 = 1, top: u64 = 0
          for (let bits = here; bits; bits &= bits - 1) {
            const at = bits & -bits
            if (level == 1) top |= at - start
            level += opens & at ? 1 : -1
            if (!level && !zeroAt) zeroAt = p + lowest(at)
            start = at
          }
          if (level == 1) top |= -start
          candidates &= top
        }
        depth += i32(popcnt(opens)) - closers
        squares += i32(popcnt(opens & ~curly)) - i32(popcnt(closes & ~curly))
        if (depth > DEEP) isOdd = true
        // "}" before "{": no member, element or line can be so.
        const openCurly = opens & curly, closeCurly = closes & curly
        if (openCurly && (hasClosed || (closeCurly && ctz(closeCurly) < 63 - clz(openCurly)))) {
          for (let bits = openCurly; bits; bits &= bits - 1) {
            let q = p + lowest(bits) - 1
            while (isSpace(load<u8>(q))) q--
            if (load<u8>(q) == 0x7d && q >= lineStart) isOdd = true
          }
        }
        hasClosed = hasClosed || closeCurly != 0
      } else if (depth != 1) candidates = 0

      while (candidates) {
        const at = p + lowest(candidates)
        candidates &= candidates - 1
        let tail = load<u64>(at - 8), nameEnd = at
        if (tail >> 56 != 0x22) {
          while (isSpace(load<u8>(nameEnd - 1))) nameEnd--
          tail = load<u64>(nameEnd - 8)
        }
        let name = names
        const stop = names + usize(nameCount) * NAME
        for (; name < stop; name += NAME) {
          if ((tail & load<u64>(name)) == load<u64>(name, 8)) {
            const length = usize(load<u32>(name, 20))
            if (length <= 8 || sameBytes(nameEnd - length, load<u32>(name, 16), length - 8)) break
          }
        }
        if (name == stop) {
          if (hasEscapes && nameHasEscape(nameEnd)) isOdd = true
          continue
        }
        if (load<u8>(nameEnd - usize(load<u32>(name, 20)) - 1) == 0x5c) isOdd = true // an escaped quote: a longer name ends like this one
        if (load<u32>(name, 32) != stamp) {
          store<u32>(name, stamp, 32)
          found++
        }
        let value = at + 1
        if (load<u8>(value) <= 0x20) value = skipSpace(value)
        const single = load<i32>(name, 36)
        if (single >= 0) {
          const stop = wantedEnd(value)
          if (!stop || !endsMember(stop)) isOdd = true
          const span = row + 8 + (usize(single) << 3)
          store<u32>(span, u32(value - block))
          store<u32>(span, u32(stop - block), 4)
        } else if (!storePaths(name, value, row + 8, block, strict)) isOdd = true
        if (found == enough) break
      }

      if (lineEnd) break
      p += 64
    }

    lines++
    const lineStop = p + lowest(lineEnd)
    let start = lineStart, stop = lineStop
    while (start < stop && isSpace(load<u8>(start))) start++
    while (start < stop && isSpace(load<u8>(stop - 1))) stop--
    if (start != lineStart || stop != lineStop || start == stop) dense = false
    if (start != stop) {
      // One object and nothing else, without a comma after the last member.
      if (depth | squares || load<u8>(start) != 0x7b || load<u8>(stop - 1) != 0x7d || (zeroAt && zeroAt != stop - 1) || load<u8>(stop - 2) == 0x2c) isOdd = true
      if (!isOdd && isHigh) isOdd = !utf8Valid(start, stop)
      if (!isOdd && strict) isOdd = !lineValid(start, stop)
      if (isOdd) {
        store<u32>(oddLines, rows)
        store<u32>(oddLines, u32(lineStart - block), 4)
        store<u32>(oddLines, u32(lineStop - block), 8)
        oddLines += 12
      }
      store<u32>(row, u32(start - block))
      store<u32>(row, u32(stop - block), 4)
      row += stride
      rows++
    }
    stamp++
    p = lineStop + 1
    if (p == end || rows == most) {
      store<u32>(result, rows)
      store<u32>(result, lines, 4)
      store<u32>(result, u32((oddLines - firstOdd) / 12), 8)
      store<u32>(result, p == end ? 0 : u32(p), 12)
      store<u32>(result, u32(!i8x16.bitmask(seen)), 16)
      store<u32>(result, u32(dense), 20)
      store<u32>(result, stamp, 24)
      return
    }
  }
}

/** { } [ ] are 0x7b 0x7d 0x5b 0x5d: curly and square differ in bit 5 alone, and only an opening one has bit 1. */
// @ts-ignore: decorator
@inline
export function bracketsOf(bytes: v128): v128 {
  const curly = v128.or(bytes, i8x16.splat(0x20))
  return v128.or(i8x16.eq(curly, i8x16.splat(0x7b)), i8x16.eq(curly, i8x16.splat(0x7d)))
}

// @ts-ignore: decorator
@inline
function clearFields(row: usize, stride: usize): void {
  for (let at: usize = 8; at < stride; at += 8) store<u64>(row + at, 0)
}

/** Where the value at p ends; 0 when it is not one. The usual ones without a loop. */
// @ts-ignore: decorator
@inline
export function wantedEnd(p: usize): usize {
  const first = load<u8>(p)
  if (first == 0x22) {
    // The closing quote, when it comes within 16 bytes and before any backslash or control character.
    const bytes = v128.load(p, 1)
    const ends = i8x16.bitmask(
      v128.or(
        v128.or(i8x16.eq(bytes, i8x16.splat(0x22)), i8x16.eq(bytes, i8x16.splat(0x5c))),
        i8x16.le_u(bytes, i8x16.splat(0x1f)),
      ),
    )
    const end = p + 1 + ctz(ends)
    return ends && load<u8>(end) == 0x22 ? end + 1 : stringEnd(p)
  }
  if (isDigit(first)) {
    // Digits, perhaps with one point among them, within 16 bytes.
    const others = ~u32(i8x16.bitmask(i8x16.le_u(i8x16.sub(v128.load(p), i8x16.splat(0x30)), i8x16.splat(9))))
    let end = ctz(others)
    if (first != 0x30 || end == 1) {
      if (load<u8>(p + end) == 0x2e) {
        const second = ctz(others & (others - 1))
        if (second > end + 1) end = second
      }
      if (end < 16) {
        const next = load<u8>(p + end)
        if (next == 0x2c || next == 0x7d) return p + end
      }
    }
    return numberEnd(p)
  }
  return valueEnd(p, 1)
}

/** Whether a member's value may end at p: , or } follow. */
// @ts-ignore: decorator
@inline
export function endsMember(p: usize): bool {
  const next = load<u8>(p)
  if (next == 0x2c || next == 0x7d) return true
  const after = load<u8>(skipSpace(p))
  return after == 0x2c || after == 0x7d
}

/** Whether a wanted name ends right before the colon at `at`. */
// @ts-ignore: decorator
@inline
export function nameAt(at: usize, name: usize): bool {
  if ((load<u64>(at - 8) & load<u64>(name)) != load<u64>(name, 8)) return false
  const length = usize(load<u32>(name, 20))
  return (length <= 8 || sameBytes(at - length, load<u32>(name, 16), length - 8)) && load<u8>(at - length - 1) != 0x5c
}

/** Whether the name that ends at `end` (a quote) has an escape in it: then it may be one of the wanted ones in disguise. */
function nameHasEscape(end: usize): bool {
  let p = end - 1 // the closing quote
  if (load<u8>(p) != 0x22) return true
  while (true) {
    p--
    const byte = load<u8>(p)
    if (byte == 0x22) return load<u8>(p - 1) == 0x5c
    if (byte == 0x5c) return true
    if (byte < 0x20) return true
  }
}

/** Stores the spans of all fields below a name. False: odd. */
export function storePaths(name: usize, value: usize, spans: usize, block: usize, last: bool): bool {
  let field = usize(load<u32>(name, 24))
  const stop = field + usize(load<u32>(name, 28)) * FIELD
  for (; field < stop; field += FIELD) {
    const span = spans + (usize(load<u32>(field)) << 3)
    store<u64>(span, 0)
    if (!find(value, load<u32>(field, 4), load<i32>(field, 8), 1, last)) return false
    if (foundAt) {
      store<u32>(span, u32(foundAt - block))
      store<u32>(span, u32(foundEnd - block), 4)
    }
  }
  return true
}
