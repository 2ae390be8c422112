// UTF-8 validation, 16 bytes a step: John Keiser, Daniel Lemire, "Validating UTF-8 in less than one instruction per byte" (2021).
// Every error shows in two neighbouring bytes, so three table look-ups (high and low nibble of the first byte, high nibble of the
// second) whose bits are ANDed leave a bit for each kind of error; only the third and fourth byte of a sequence need looking further back.

const SHORT: u8 = 1 << 0 // a lead byte, then no continuation
const LONG: u8 = 1 << 1 // ASCII, then a continuation
const OVER3: u8 = 1 << 2 // e0, then 80..9f
const LARGE: u8 = 1 << 3 // f4, then 90.. ; f5 and more
const SURROGATE: u8 = 1 << 4 // ed, then a0..
const OVER2: u8 = 1 << 5 // c0, c1
const OVER4: u8 = 1 << 6 // f0, then 80..8f ; f5 and more, then 80..8f
const TWO: u8 = 1 << 7 // two continuations: right only as third or fourth byte
const CARRY: u8 = SHORT | LONG | TWO // says nothing about the low nibble

const HIGH1 = memory.data<u8>([
  LONG, LONG, LONG, LONG, LONG, LONG, LONG, LONG,
  TWO, TWO, TWO, TWO,
  SHORT | OVER2, SHORT, SHORT | OVER3 | SURROGATE, SHORT | LARGE | OVER4,
])
const LOW1 = memory.data<u8>([
  CARRY | OVER3 | OVER2 | OVER4, CARRY | OVER2, CARRY, CARRY,
  CARRY | LARGE, CARRY | LARGE | OVER4, CARRY | LARGE | OVER4, CARRY | LARGE | OVER4,
  CARRY | LARGE | OVER4, CARRY | LARGE | OVER4, CARRY | LARGE | OVER4, CARRY | LARGE | OVER4,
  CARRY | LARGE | OVER4, CARRY | LARGE | OVER4 | SURROGATE, CARRY | LARGE | OVER4, CARRY | LARGE | OVER4,
])
const HIGH2 = memory.data<u8>([
  SHORT, SHORT, SHORT, SHORT, SHORT, SHORT, SHORT, SHORT,
  LONG | OVER2 | TWO | OVER3 | OVER4, LONG | OVER2 | TWO | OVER3 | LARGE,
  LONG | OVER2 | TWO | SURROGATE | LARGE, LONG | OVER2 | TWO | SURROGATE | LARGE,
  SHORT, SHORT, SHORT, SHORT,
])
const INDEX = memory.data<u8>([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])

/** Whether from..to is valid UTF-8. The byte at `to` and 15 more must be readable (they do not count). */
export function utf8Valid(from: usize, to: usize): bool {
  const high1 = v128.load(HIGH1), low1 = v128.load(LOW1), high2 = v128.load(HIGH2)
  const nibble = i8x16.splat(0x0f)
  let before = i64x2.splat(0)
  let errors = i64x2.splat(0)
  // The step that reaches `to` sees at least one zero byte there, and so finds a sequence that is cut off.
  for (let p = from; p <= to; p += 16) {
    let bytes = v128.load(p)
    const left = to - p
    if (left < 16) bytes = v128.and(bytes, i8x16.lt_u(v128.load(INDEX), i8x16.splat(i8(left))))
    else if (!v128.any_true(v128.and(v128.or(bytes, before), i8x16.splat(-128)))) {
      before = bytes
      continue
    }
    const one = i8x16.shuffle(before, bytes, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30)
    const two = i8x16.shuffle(before, bytes, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29)
    const three = i8x16.shuffle(before, bytes, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28)
    const pairs = v128.and(
      v128.and(i8x16.swizzle(high1, i8x16.shr_u(one, 4)), i8x16.swizzle(low1, v128.and(one, nibble))),
      i8x16.swizzle(high2, i8x16.shr_u(bytes, 4)),
    )
    // A byte must be a second continuation exactly when e0.. stands two before it or f0.. three before it.
    const third = i8x16.sub_sat_u(two, i8x16.splat(i8(0xe0 - 0x80)))
    const fourth = i8x16.sub_sat_u(three, i8x16.splat(i8(0xf0 - 0x80)))
    const must = v128.and(v128.or(third, fourth), i8x16.splat(-128))
    errors = v128.or(errors, v128.xor(must, pairs))
    before = bytes
  }
  return !v128.any_true(errors)
}
