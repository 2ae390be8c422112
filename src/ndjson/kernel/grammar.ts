// The grammar of RFC 8259, byte by byte. Every function takes where a value begins and returns where it ends, or 0 when it is not
// JSON. No end is passed: a line always ends in "\n", which no rule here steps over.
import { isDigit, isSpace, sameBytes } from './masks'

/** As MAX_DEPTH in line.ts. */
const MAX_DEPTH: i32 = 512

export function skipSpace(p: usize): usize {
  while (isSpace(load<u8>(p))) p++
  return p
}

/** The string whose opening quote is at p. Escapes are checked; UTF-8 is checked by line. */
export function stringEnd(p: usize): usize {
  p++
  while (true) {
    const bytes = v128.load(p)
    const stops = i8x16.bitmask(
      v128.or(
        v128.or(i8x16.eq(bytes, i8x16.splat(0x22)), i8x16.eq(bytes, i8x16.splat(0x5c))),
        i8x16.le_u(bytes, i8x16.splat(0x1f)),
      ),
    )
    if (!stops) {
      p += 16
      continue
    }
    p += ctz(stops)
    const stop = load<u8>(p)
    if (stop == 0x22) return p + 1
    if (stop != 0x5c) return 0 // a raw control character, or the end of the line
    p = escapeEnd(p)
    if (!p) return 0
  }
}

/** The escape whose backslash is at p. */
function escapeEnd(p: usize): usize {
  const letter = load<u8>(p + 1)
  switch (letter) {
    case 0x22: // "
    case 0x5c: // \
    case 0x2f: // /
    case 0x62: // b
    case 0x66: // f
    case 0x6e: // n
    case 0x72: // r
    case 0x74: // t
      return p + 2
    case 0x75: { // u
      for (let i: usize = 2; i < 6; i++) {
        const digit = load<u8>(p + i)
        if (!isDigit(digit) && u32(digit | 0x20) - 0x61 > 5) return 0
      }
      return p + 6
    }
    default:
      return 0
  }
}

export function numberEnd(p: usize): usize {
  if (load<u8>(p) == 0x2d) p++
  const first = load<u8>(p)
  if (!isDigit(first)) return 0
  p++
  if (first != 0x30) while (isDigit(load<u8>(p))) p++
  if (load<u8>(p) == 0x2e) {
    p++
    if (!isDigit(load<u8>(p))) return 0
    while (isDigit(load<u8>(p))) p++
  }
  if ((load<u8>(p) | 0x20) == 0x65) {
    p++
    const sign = load<u8>(p)
    if (sign == 0x2b || sign == 0x2d) p++
    if (!isDigit(load<u8>(p))) return 0
    while (isDigit(load<u8>(p))) p++
  }
  return endsHere(p) ? p : 0
}

/** What may follow a number or a word: , } ] white space, the end of the line. */
// @ts-ignore: decorator
@inline
export function endsHere(p: usize): bool {
  const next = u32(load<u8>(p))
  return next == 0x2c || (next | 0x20) == 0x7d || isSpace(next) || next == 0x0a
}

function wordEnd(p: usize): usize {
  const four = load<u32>(p)
  if (four == 0x65757274 || four == 0x6c6c756e) p += 4 // true, null
  else if (four == 0x736c6166 && load<u8>(p + 4) == 0x65) p += 5 // fals, e
  else return 0
  return endsHere(p) ? p : 0
}

/** Any value; `depth` containers are open around it. Recursive: the depth limit bounds the stack. */
export function valueEnd(p: usize, depth: i32): usize {
  const first = load<u8>(p)
  if (first == 0x22) return stringEnd(p)
  if (first != 0x7b && first != 0x5b) return isDigit(first) || first == 0x2d ? numberEnd(p) : wordEnd(p)
  if (depth == MAX_DEPTH) return 0
  const close: u8 = first + 2 // { → }, [ → ]
  p = skipSpace(p + 1)
  if (load<u8>(p) == close) return p + 1
  while (true) {
    if (close == 0x7d) {
      p = nameEnd(p)
      if (!p) return 0
    }
    p = valueEnd(p, depth + 1)
    if (!p) return 0
    p = skipSpace(p)
    const next = load<u8>(p)
    if (next == close) return p + 1
    if (next != 0x2c) return 0
    p = skipSpace(p + 1)
  }
}

/** A member's name with its colon: returns where the value begins. */
function nameEnd(p: usize): usize {
  if (load<u8>(p) != 0x22) return 0
  p = stringEnd(p)
  if (!p) return 0
  p = skipSpace(p)
  return load<u8>(p) == 0x3a ? skipSpace(p + 1) : 0
}

/** Whether from..to, without white space around, is exactly one value. */
export function lineValid(from: usize, to: usize): bool {
  return valueEnd(from, 0) == to
}

/** Where `find` found the value; 0 where the path leads nowhere. */
export let foundAt: usize = 0
export let foundEnd: usize = 0

/**
 * Follows a path into the value at p: `parts` parts of 12 bytes at `path`: address and length of the name with its quotes, and the
 * index that it also is, or -1. False: odd (malformed, or a name with escapes), the reference must decide. Costs what it steps over;
 * `last` looks on for a later duplicate.
 */
export function find(p: usize, path: usize, parts: i32, depth: i32, last: bool): bool {
  foundAt = 0
  for (let part = 0; part < parts; part++, path += 12, depth++) {
    const first = load<u8>(p)
    let at: usize = 0
    if (first == 0x7b || first == 0x5b) {
      const object = first == 0x7b
      const close: u8 = first + 2
      const name = usize(load<u32>(path)), length = usize(load<u32>(path + 4))
      let index = load<i32>(path + 8)
      p = skipSpace(p + 1)
      if (load<u8>(p) != close) {
        while (true) {
          let here: bool
          if (object) {
            const start = p
            p = load<u8>(p) == 0x22 ? stringEnd(p) : 0
            if (!p) return false
            if (hasBackslash(start, p)) return false
            here = p - start == length && sameBytes(start, name, length)
            p = skipSpace(p)
            if (load<u8>(p) != 0x3a) return false
            p = skipSpace(p + 1)
          } else here = index-- == 0
          if (here) at = p
          if (here && !last) break
          p = valueEnd(p, depth + 1)
          if (!p) return false
          p = skipSpace(p)
          const next = load<u8>(p)
          if (next == close) break
          if (next != 0x2c) return false
          p = skipSpace(p + 1)
        }
      }
    } else if (!valueEnd(p, depth)) return false
    if (!at) return true
    p = at
  }
  const end = valueEnd(p, depth)
  if (!end || !endsHere(skipSpace(end))) return false
  foundAt = p
  foundEnd = end
  return true
}

export function hasBackslash(p: usize, end: usize): bool {
  for (; p < end; p += 16) {
    let hits = i8x16.bitmask(i8x16.eq(v128.load(p), i8x16.splat(0x5c)))
    if (hits) return p + ctz(hits) < end
  }
  return false
}
