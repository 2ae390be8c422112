/** From so many entries on, digits of 16 bits pay for their larger counters. */
const MANY = 1 << 15

let spare = new Uint32Array(0)

/**
 * Sorts the entries `order[from..to]` by (high[entry], low[entry]), stable. Radix sort from the least significant digit; digits in which
 * all entries agree are skipped. O(n) a digit.
 */
export function sortWords(order: Uint32Array, from: number, to: number, high: Uint32Array, low: Uint32Array): void {
  const n = to - from
  if (spare.length < n) spare = new Uint32Array(n + (n >> 1))
  const bits = n >= MANY ? 16 : 8
  let source: Uint32Array = order.subarray(from, to)
  let target: Uint32Array = spare.subarray(0, n)
  for (const words of [low, high]) {
    for (let shift = 0; shift < 32; shift += bits) {
      if (!pass(source, target, n, words, shift, bits)) continue
      const swapped = source
      source = target
      target = swapped
    }
  }
  if (source.byteOffset !== order.byteOffset + 4 * from || source.buffer !== order.buffer) order.set(source, from)
}

const counters = new Uint32Array(1 << 16)

/** One digit; false when all entries agree in it and nothing was moved. */
function pass(
  source: Uint32Array,
  target: Uint32Array,
  n: number,
  words: Uint32Array,
  shift: number,
  bits: number,
): boolean {
  const mask = (1 << bits) - 1
  const count = counters.subarray(0, mask + 1)
  count.fill(0)
  for (let i = 0; i < n; i++) count[(words[source[i]!]! >>> shift) & mask]!++
  if (count[(words[source[0]!]! >>> shift) & mask] === n) return false
  let sum = 0
  for (let digit = 0; digit <= mask; digit++) {
    const here = count[digit]!
    count[digit] = sum
    sum += here
  }
  for (let i = 0; i < n; i++) {
    const entry = source[i]!
    target[count[(words[entry]! >>> shift) & mask]!++] = entry
  }
  return true
}
