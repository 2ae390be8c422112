// Small things that all use. In a bit mask, bit i speaks of byte i of a chunk of 64 bytes.

/** The four answers for 16 bytes each (0xff or 0x00 a byte; only the top bit counts) as one mask. */
// @ts-ignore: decorator
@inline
export function mask4(a: v128, b: v128, c: v128, d: v128): u64 {
  return (
    u64(u32(i8x16.bitmask(a)) | (u32(i8x16.bitmask(b)) << 16)) |
    (u64(u32(i8x16.bitmask(c)) | (u32(i8x16.bitmask(d)) << 16)) << 32)
  )
}

/** Bit i of the result is the parity of bits 0..i: from a quote up to, not including, the next one all bits are set. */
// @ts-ignore: decorator
@inline
export function prefixXor(x: u64): u64 {
  x ^= x << 1
  x ^= x << 2
  x ^= x << 4
  x ^= x << 8
  x ^= x << 16
  x ^= x << 32
  return x
}

/**
 * Bytes that the backslashes of a chunk escape. `escaped`: 1 if its first byte is, too. The next chunk's first byte is escaped if the last one is a backslash
 * that is not.
 *
 * What follows a run of backslashes is escaped if the run is odd. Adding a run's first bit to it carries to the bit after it; whether that bit's
 * place is even tells the length. (Geoff Langdale, Daniel Lemire, "Parsing gigabytes of JSON per second", 2019.)
 */
// @ts-ignore: decorator
@inline
export function escapedBytes(slashes: u64, escaped: u64): u64 {
  const even: u64 = 0x5555555555555555
  const starting = slashes & ~escaped
  const follows = (starting << 1) | escaped
  const oddStarts = starting & ~even & ~follows
  return (even ^ ((oddStarts + starting) << 1)) & follows
}

/** White space within a line. */
// @ts-ignore: decorator
@inline
export function isSpace(byte: u32): bool {
  return byte == 0x20 || byte == 0x09 || byte == 0x0d
}

// @ts-ignore: decorator
@inline
export function isDigit(byte: u32): bool {
  return byte - 0x30 <= 9
}

/** Where the lowest bit is. */
// @ts-ignore: decorator
@inline
export function lowest(mask: u64): usize {
  return usize(ctz(mask))
}

/** Whether two texts of one length are the same. May read 7 bytes beyond each. */
// @ts-ignore: decorator
@inline
export function sameBytes(a: usize, b: usize, length: usize): bool {
  let i: usize = 0
  for (; i + 8 <= length; i += 8) if (load<u64>(a + i) != load<u64>(b + i)) return false
  return i == length || (load<u64>(a + i) ^ load<u64>(b + i)) << ((8 - (length - i)) << 3) == 0
}

/** Order of two texts by their bytes: negative, 0 or positive. May read 7 bytes beyond each. */
export function compareBytes(a: usize, aLength: usize, b: usize, bLength: usize): i32 {
  const both = min(aLength, bLength)
  let i: usize = 0
  while (i + 8 <= both) {
    const x = load<u64>(a + i), y = load<u64>(b + i)
    if (x != y) return bswap<u64>(x) < bswap<u64>(y) ? -1 : 1
    i += 8
  }
  if (i < both) {
    const shift = u64(8 - (both - i)) << 3
    const x = bswap<u64>(load<u64>(a + i)) >> shift, y = bswap<u64>(load<u64>(b + i)) >> shift
    if (x != y) return x < y ? -1 : 1
  }
  return i32(aLength > bLength) - i32(aLength < bLength)
}
