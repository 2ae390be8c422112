// Sorted runs of lines as one.

// A run, 16 bytes: where its next position is and where those at hand end (u32 each), and the same for its lines.
const RUN: usize = 16
// An entry of the heap, 16 bytes: 0 position f64 · 8 the run's number u32.
const ENTRY: usize = 16

/** What `mergeLines` returns where no run needs anything. */
const FULL: i32 = -1, DONE: i32 = -2

/** How many bytes the last call wrote. */
let merged: usize = 0
export function mergedBytes(): usize {
  return merged
}

// @ts-ignore: decorator
@inline
function before(a: usize, b: usize): bool {
  const x = load<f64>(a), y = load<f64>(b)
  return x < y || (x == y && load<u32>(a, 8) < load<u32>(b, 8))
}

/** Puts the entry at `at` where it belongs: the least one is on top. */
export function sinkRun(heap: usize, count: i32, at: i32): void {
  const position = load<f64>(heap + usize(at) * ENTRY), run = load<u32>(heap + usize(at) * ENTRY, 8)
  while (true) {
    let child = 2 * at + 1
    if (child >= count) break
    let place = heap + usize(child) * ENTRY
    if (child + 1 < count && before(place + ENTRY, place)) {
      child++
      place += ENTRY
    }
    const other = load<f64>(place)
    if (other > position || (other == position && load<u32>(place, 8) > run)) break
    store<f64>(heap + usize(at) * ENTRY, other)
    store<u32>(heap + usize(at) * ENTRY, load<u32>(place, 8), 8)
    at = child
  }
  store<f64>(heap + usize(at) * ENTRY, position)
  store<u32>(heap + usize(at) * ENTRY, run, 8)
}

/**
 * Copies lines in the order of their positions while there is room up to `limit`, 15 bytes beyond which may be written. Returns the run that
 * needs more of what it has on disk, `FULL` (if nothing was written, the next line is longer than the room) or `DONE`. The top of the heap
 * may be a run whose position JavaScript has just put there.
 */
export function mergeLines(runs: usize, heap: usize, count: i32, out: usize, limit: usize): i32 {
  let o = out
  let result = DONE
  const newline = i8x16.splat(0x0a)
  if (count) sinkRun(heap, count, 0)
  while (count) {
    const number = load<u32>(heap, 8)
    const run = runs + usize(number) * RUN
    const position = usize(load<u32>(run))
    const line = usize(load<u32>(run, 8)), end = usize(load<u32>(run, 12))
    // Copied up to the first "\n", 16 bytes at a time.
    let p = line, q = o
    let length: usize = 0
    while (p < end && q + 16 <= limit) {
      const bytes = v128.load(p)
      v128.store(q, bytes)
      const ends = i8x16.bitmask(i8x16.eq(bytes, newline))
      if (ends) {
        length = p + ctz(ends) + 1 - line
        break
      }
      p += 16
      q += 16
    }
    if (!length || line + length > end) {
      // Cut off here, or by the room that is left.
      result = p < end && !length ? FULL : i32(number)
      break
    }
    o += length
    store<u32>(run, u32(position + 8))
    store<u32>(run, u32(line + length), 8)
    if (position + 8 == usize(load<u32>(run, 4))) {
      result = i32(number)
      break
    }
    store<f64>(heap, load<f64>(position, 8))
    sinkRun(heap, count, 0)
  }
  merged = o - out
  return result
}
