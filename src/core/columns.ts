/** A typed array that grows: at least `size` long, new entries `fill`. Written to also where it is zero: see `Heap.allocateZeroed`. */
export function grownFloats(array: Float64Array, size: number, fill = 0): Float64Array {
  if (array.length >= size) return array
  const larger = new Float64Array(capacity(size))
  larger.set(array)
  larger.fill(fill, array.length)
  return larger
}

/** The same for unsigned integers of 32 bits. */
export function grownInts(array: Uint32Array, size: number, fill = 0): Uint32Array {
  if (array.length >= size) return array
  const larger = new Uint32Array(capacity(size))
  larger.set(array)
  larger.fill(fill, array.length)
  return larger
}

/** Room for a power of two of entries, so that growing one by one costs each entry a copy or two. */
const capacity = (size: number): number => Math.max(16, 2 ** Math.ceil(Math.log2(size)))

/** The same for bytes. */
export function grownBytes(array: Uint8Array, size: number): Uint8Array {
  if (array.length >= size) return array
  const larger = new Uint8Array(capacity(size))
  larger.set(array)
  return larger
}

/** 0, 1, 2 … below `count`. */
export function upTo(count: number): Uint32Array {
  const result = new Uint32Array(count)
  for (let index = 0; index < count; index++) result[index] = index
  return result
}

/** The values at some indices. (`Float64Array.from` with a function takes ten times as long.) */
export function picked(values: Float64Array, indices: Uint32Array): Float64Array {
  const result = new Float64Array(indices.length)
  for (let at = 0; at < indices.length; at++) result[at] = values[indices[at]!]!
  return result
}

/** The same in the narrowest array that holds all of them, where they are whole numbers; -0 is 0. */
export function packed(values: Float64Array, indices: Uint32Array): Float64Array | Int32Array | Uint8Array {
  const picks = picked(values, indices)
  let bits = 0
  for (let at = 0; at < picks.length; at++) {
    const value = picks[at]!
    const whole = value | 0
    if (whole !== value) return picks
    bits |= whole
  }
  return bits >= 0 && bits <= 0xff ? new Uint8Array(picks) : new Int32Array(picks)
}

/** What `make` makes of each index. (As `Array.from` would, without its iterator.) */
export function mapped<T>(indices: Uint32Array, make: (index: number) => T): T[] {
  const result: T[] = []
  for (let at = 0; at < indices.length; at++) result.push(make(indices[at]!))
  return result
}
