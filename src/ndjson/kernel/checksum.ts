// The checksum of the store (CRC-32 as in zlib, PNG and Ethernet) of long texts, without tables: the idea of "Chorba" (S. Russell, arXiv
// 2412.16398). Modulo the CRC's polynomial P, which is over bits, P(x) = 0 implies P(x^128) = 0; so what holds for bits
//
//     x^300 + x^155 + x^117 + x^89 + 1 = 0
//
// holds for words of 16 bytes, too: a word can be taken away if it is added (xor) to the words 145, 183, 211 and 300 places behind it. All
// words but the last 300 are taken away so; the CRC of what those have become is that of the whole text.
//
//     word i of the text, with all that was added to it:   h(i) = m(i) ^ h(i-145) ^ h(i-183) ^ h(i-211) ^ h(i-300)

const WORD: usize = 16
const A: usize = 145 * WORD, B: usize = 183 * WORD, C: usize = 211 * WORD, D: usize = 300 * WORD
/** Words that are worked out before the last 300 are moved to the front: all this stays in the first-level cache. */
const ROUND: i32 = 1024

/**
 * Makes a short text of the one from..end, at `out`, so that `crc32(short, 0xffffffff)` is the CRC of the whole, begun with `crc`. Returns
 * its length: 300 words and the odd bytes at the end. Wants at least 300 words, and at `out` room for 1,324.
 */
export function fold(from: usize, end: usize, crc: i32, out: usize): i32 {
  memory.fill(out, 0, D)
  let left = i32((end - from) / WORD) - 300
  let p = from
  // What was before the text, and 32 ones where nothing was.
  let first = i32x4.replace_lane(i32x4.splat(0), 0, ~crc)
  while (left > 0) {
    const count = left < ROUND ? left : ROUND
    let h = out
    for (const stop = h + usize(count) * WORD; h < stop; h += WORD, p += WORD) {
      const added = v128.xor(v128.xor(v128.load(h, D - A), v128.load(h, D - B)), v128.load(h, D - C))
      v128.store(h, v128.xor(v128.xor(v128.load(p), first), v128.xor(added, v128.load(h))), D)
      first = i32x4.splat(0)
    }
    memory.copy(out, h, D)
    left -= count
  }
  // To the last 300 words only those are added that were taken away.
  const known = out + D
  for (let h = out; h < known; h += WORD, p += WORD) {
    let word = v128.xor(v128.xor(v128.load(p), first), v128.load(h))
    if (h + D - A < known) word = v128.xor(word, v128.load(h, D - A))
    if (h + D - B < known) word = v128.xor(word, v128.load(h, D - B))
    if (h + D - C < known) word = v128.xor(word, v128.load(h, D - C))
    v128.store(h, word) // nobody looks back so far any more
    first = i32x4.splat(0)
  }
  memory.copy(known, p, end - p)
  return i32(D + end - p)
}
