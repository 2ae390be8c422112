// Output: lines copied and rendered into a buffer that JavaScript writes out.

/** Copies in steps of 16 bytes: may write 15 bytes beyond. */
// @ts-ignore: decorator
@inline
export function copyBytes(to: usize, from: usize, length: usize): void {
  if (length > 512) {
    memory.copy(to, from, length)
    return
  }
  for (let i: usize = 0; i < length; i += 16) v128.store(to + i, v128.load(from + i))
}

/**
 * Copies the lines of the rows whose mask is 1 (`mask` 0: all), each ended by "\n". Lines that follow each other with only "\n" between
 * are copied in one piece. Returns the length: at most that of the block and one byte a row.
 */
export function gather(block: usize, spans: usize, stride: usize, from: i32, to: i32, mask: usize, out: usize): usize {
  let o = out
  let row = from
  while (row < to) {
    if (mask && load<u8>(mask + row) != 1) {
      row++
      continue
    }
    let at = spans + usize(row) * stride
    const start = load<u32>(at)
    let end = load<u32>(at, 4)
    row++
    while (row < to && (!mask || load<u8>(mask + row) == 1) && load<u32>(at + stride) == end + 1) {
      at += stride
      end = load<u32>(at, 4)
      row++
    }
    const length = usize(end - start)
    copyBytes(o, block + start, length)
    o += length
    store<u8>(o++, 0x0a)
  }
  return o - out
}

const FLAGS = memory.data<u64>([0x65736c6166, 0x65757274, 0x6c6c756e]) // false, true, null
const FLAG_LENGTHS = memory.data<u8>([5, 4, 4])

/** How many bytes `render` wrote. */
let rendered: usize = 0
export function renderedBytes(): usize {
  return rendered
}

/**
 * One line a row. A member is 16 bytes at `members`: 0 kind u32 (0 constant, 1 field, 2 flags) · 4 address u32 and 8 length u32 of `,"name":`
 * (with the value, of a constant) · 12 u32: offset of the field's span in a row, or address of the flags. Stops before a row that may not
 * fit before `limit`; returns the row where it stopped.
 */
export function render(
  block: usize, spans: usize, stride: usize, from: i32, to: i32, members: usize, count: i32, out: usize, limit: usize,
): i32 {
  let o = out
  const stop = members + (usize(count) << 4)
  let row = from
  for (; row < to; row++) {
    const spansOfRow = spans + usize(row) * stride
    const start = o
    let member = members
    for (; member < stop; member += 16) {
      const kind = load<u32>(member)
      const prefix = usize(load<u32>(member, 4)), prefixLength = usize(load<u32>(member, 8))
      let value: usize = 0, length: usize = 0
      if (kind) {
        if (kind == 1) {
          const at = spansOfRow + load<u32>(member, 12)
          const end = usize(load<u32>(at, 4))
          if (!end) continue
          value = block + load<u32>(at)
          length = block + end - value
        } else {
          const flag = usize(load<u8>(usize(load<u32>(member, 12)) + row))
          if (flag > 2) continue
          value = FLAGS + (flag << 3)
          length = load<u8>(FLAG_LENGTHS + flag)
        }
      }
      if (o + prefixLength + length + 64 > limit) break
      copyBytes(o, prefix, prefixLength)
      o += prefixLength
      if (length) {
        copyBytes(o, value, length)
        o += length
      }
    }
    if (member < stop || o + 64 > limit) {
      o = start
      break
    }
    // The comma before the first member becomes the brace.
    store<u8>(start, 0x7b)
    if (o == start) o++
    store<u16>(o, 0x0a7d)
    o += 2
  }
  rendered = o - out
  return row
}
