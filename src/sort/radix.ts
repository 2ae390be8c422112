/** Below this many lines digits of 8 bits are cheaper than 65,536 counters. */
const WIDE = 1 << 15

/**
 * Sorts `order[from..to)` (line numbers) by the 64-bit codes `high[line]`, `low[line]`: a stable radix sort, least digit first, which
 * skips digits that are the same everywhere. O(n) time; `spare` is as long as `order`.
 */
export function radixSort(
  order: Uint32Array,
  spare: Uint32Array,
  from: number,
  to: number,
  high: Uint32Array,
  low: Uint32Array,
): void {
  const bits = to - from < WIDE ? 8 : 16
  let source = order
  let target = spare
  for (const words of [low, high]) {
    for (let shift = 0; shift < 32; shift += bits) {
      if (!pass(source, target, from, to, words, shift, bits)) continue
      ;[source, target] = [target, source]
    }
  }
  if (source !== order) order.set(source.subarray(from, to), from)
}

const counters = { 8: new Uint32Array(1 << 8), 16: new Uint32Array(0) }

/** Returns false, and does nothing, when the digit is the same everywhere. */
function pass(
  source: Uint32Array,
  target: Uint32Array,
  from: number,
  to: number,
  words: Uint32Array,
  shift: number,
  bits: 8 | 16,
): boolean {
  if (counters[bits].length === 0) counters[bits] = new Uint32Array(1 << bits)
  const counts = counters[bits].fill(0)
  const mask = (1 << bits) - 1
  for (let index = from; index < to; index++) counts[(words[source[index]!]! >>> shift) & mask]!++
  if (counts[(words[source[from]!]! >>> shift) & mask] === to - from) return false
  let next = from
  for (let digit = 0; digit <= mask; digit++) {
    const count = counts[digit]!
    counts[digit] = next
    next += count
  }
  for (let index = from; index < to; index++) {
    const line = source[index]!
    target[counts[(words[line]! >>> shift) & mask]!++] = line
  }
  return true
}
