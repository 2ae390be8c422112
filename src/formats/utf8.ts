import { isUtf8 } from 'node:buffer'
import type { Problem } from '../core/operator.ts'

/** Says where bytes that are not UTF-8 go wrong. Costs O(n log n): only for errors. */
export function utf8Problem(bytes: Uint8Array): Problem {
  // The longest valid prefix; a cut inside a character only looks invalid, so up to 3 bytes more are tried.
  const valid = (end: number): boolean =>
    [0, 1, 2, 3].some((more) => end + more <= bytes.length && isUtf8(bytes.subarray(0, end + more)))
  let low = 0
  let high = bytes.length
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (valid(middle)) low = middle
    else high = middle - 1
  }
  while (low > 0 && !isUtf8(bytes.subarray(0, low))) low--
  return {
    problem: `byte 0x${(bytes[low] ?? 0).toString(16).padStart(2, '0')} is not valid UTF-8`,
    column: low + 1,
    hint: 'convert the file first, for example with: iconv -f latin1 -t utf8 FILE | beck from …',
  }
}
