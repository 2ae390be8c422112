// Records with the members that are expected, in their order: those of a join mostly are as the one before.
import { skipSpace, valueEnd } from './grammar'
import { sameBytes } from './masks'
import { copyBytes } from './output'

// A member, 20 bytes: 0 address u32 and 4 length u32 of its name with quotes · 8 what becomes of it u32 (0 kept, 1 left out, 2 renamed) ·
// 12 address u32 and 16 length u32 of the comma and its new name.
const MEMBER: usize = 20
const DROP: u32 = 1, RENAME: u32 = 2

/** Whether the line at p is an object with just these members, in this order, spelt so. What is no JSON has none. */
export function hasMembers(p: usize, members: usize, count: i32): bool {
  if (load<u8>(p) != 0x7b) return false
  p = skipSpace(p + 1)
  for (let i = 0; i < count; i++, members += MEMBER) {
    const value = valueOf(p, members, i)
    if (!value) return false
    p = valueEnd(value, 1)
    if (!p) return false
    p = skipSpace(p)
  }
  return load<u8>(p) == 0x7d
}

/** Where the value of the member begins that should be next at p; 0 when it is another one. */
// @ts-ignore: decorator
@inline
function valueOf(p: usize, member: usize, index: i32): usize {
  if (index) {
    if (load<u8>(p) != 0x2c) return 0
    p = skipSpace(p + 1)
  }
  const length = usize(load<u32>(member, 4))
  if (!sameBytes(p, load<u32>(member), length)) return 0
  p = skipSpace(p + length)
  return load<u8>(p) == 0x3a ? skipSpace(p + 1) : 0
}

/**
 * What the record at p, if it has just these members, adds to another one: `,"name":"Ann"}` and a line end, at `out`. Returns its length, or 0
 * for another record. May write 15 bytes beyond.
 */
export function tailOf(p: usize, members: usize, count: i32, out: usize): usize {
  if (load<u8>(p) != 0x7b) return 0
  p = skipSpace(p + 1)
  let o = out
  for (let i = 0; i < count; i++, members += MEMBER) {
    const value = valueOf(p, members, i)
    if (!value) return 0
    const end = valueEnd(value, 1)
    if (!end) return 0
    const action = load<u32>(members, 8)
    if (action != DROP) {
      let from = i ? skipSpace(p + 1) : p
      if (action == RENAME) {
        const length = usize(load<u32>(members, 16))
        copyBytes(o, load<u32>(members, 12), length)
        o += length
        from += usize(load<u32>(members, 4))
      } else store<u8>(o++, 0x2c)
      copyBytes(o, from, end - from)
      o += end - from
    }
    p = skipSpace(end)
  }
  if (load<u8>(p) != 0x7d) return 0
  store<u16>(o, 0x0a7d)
  return o + 2 - out
}
