/**
 * Growing lists of integers (ranks, offsets) as the gaps between them: a byte each where the gap is below 255, else 255 and the
 * gap as four bytes, little endian. `5 6 9` after `4` is `00 00 02`.
 */

/** Encodes `values[from..to)`, which grow; `before` is less than the first. */
export function encodeGaps(values: ArrayLike<number>, from: number, to: number, before: number): Uint8Array {
  let bytes = new Uint8Array(to - from + 64)
  let at = 0
  let last = before
  for (let i = from; i < to; i++) {
    const value = values[i] as number
    const gap = value - last - 1
    last = value
    if (at + 5 > bytes.length) {
      const more = new Uint8Array(2 * bytes.length)
      more.set(bytes)
      bytes = more
    }
    if (gap < 255) bytes[at++] = gap
    else {
      bytes[at] = 255
      bytes[at + 1] = gap
      bytes[at + 2] = gap >>> 8
      bytes[at + 3] = gap >>> 16
      bytes[at + 4] = gap >>> 24
      at += 5
    }
  }
  return bytes.subarray(0, at)
}

/** Decodes `count` values into `into`; returns the position after them. @throws RangeError when the bytes end too soon */
export function decodeGaps(bytes: Uint8Array, at: number, before: number, into: Float64Array | Uint32Array): number {
  let last = before
  for (let i = 0; i < into.length; i++) {
    if (at >= bytes.length) throw new RangeError('gaps end too soon')
    let gap = bytes[at++] as number
    if (gap === 255) {
      if (at + 4 > bytes.length) throw new RangeError('gaps end too soon')
      gap =
        ((bytes[at] as number) |
          ((bytes[at + 1] as number) << 8) |
          ((bytes[at + 2] as number) << 16) |
          ((bytes[at + 3] as number) << 24)) >>>
        0
      at += 4
    }
    last += gap + 1
    into[i] = last
  }
  return at
}
