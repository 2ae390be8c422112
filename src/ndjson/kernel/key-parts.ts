// The keys of a table (intern.ts) in partitions by their hash, for what does not fit the memory.
import { plain } from './intern'
import { copyBytes } from './output'

// A partition, 28 bytes: 0 keys u32 · 4 bytes of their texts u32 · where to write 8 texts, 12 ends, 16 positions, 20 ids (u32 each) ·
// 24 the end of the text before u32.
const PARTITION: usize = 28
/** Not chosen: JavaScript knows the canonical text. */
const ODD: u8 = 0xff

/** A hash of 32 bits at a time, finished as MurmurHash3 is: ../key-parts.ts has the same one. May read 7 bytes beyond. */
// @ts-ignore: decorator
@inline
function hashOf(p: usize, end: usize): u32 {
  let hash: u32 = 0x811c9dc5
  for (; p + 4 <= end; p += 4) hash = mixed(hash, load<u32>(p))
  // Zeros beyond the end; shifted twice: by 32 would be not at all.
  const missing = u32(p + 4 - end) << 2
  hash = mixed(hash, (load<u32>(p) << missing) << missing >> missing >> missing)
  hash = (hash ^ (hash >> 16)) * 0x85ebca6b
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35
  return hash ^ (hash >> 16)
}

// @ts-ignore: decorator
@inline
function mixed(hash: u32, word: u32): u32 {
  hash = (hash ^ word) * 0x9e3779b1
  return hash ^ (hash >> 15)
}

/**
 * The partition of each of the ids from..to, a byte each at `chosen`; counts keys and bytes. Returns how many are left to JavaScript, since
 * they are no canonical text at a glance.
 */
export function chooseParts(table: usize, from: u32, to: u32, parts: i32, shift: u32, mask: u32, chosen: usize, partitions: usize): i32 {
  const texts = usize(load<u32>(table, 20))
  let odd: i32 = 0
  for (let id = from; id < to; id++, chosen++) {
    const entry = usize(load<u32>(texts + (usize(id) << 2)))
    const length = load<u32>(entry, 4)
    const p = entry + 8, end = p + length
    if (!plain(p, end)) {
      store<u8>(chosen, ODD)
      odd++
      continue
    }
    const number = (hashOf(p, end) >> shift) & mask
    store<u8>(chosen, u8(number))
    const partition = partitions + usize(number) * PARTITION
    store<u32>(partition, load<u32>(partition) + 1)
    store<u32>(partition, load<u32>(partition, 4) + length - parts + 1, 4)
  }
  return odd
}

/** Copies keys, positions and ids to where their partitions are. May write 15 bytes beyond the texts of each. */
export function scatterKeys(table: usize, from: u32, to: u32, parts: i32, chosen: usize, partitions: usize): void {
  const texts = usize(load<u32>(table, 20)), positions = usize(load<u32>(table, 24))
  for (let id = from; id < to; id++, chosen++) {
    const entry = usize(load<u32>(texts + (usize(id) << 2)))
    const length = usize(load<u32>(entry, 4))
    const partition = partitions + usize(load<u8>(chosen)) * PARTITION
    const out = usize(load<u32>(partition, 8))
    let ends = usize(load<u32>(partition, 12)), before = load<u32>(partition, 24)
    if (parts == 1) {
      copyBytes(out, entry + 8, length)
      store<u32>(partition, u32(out + length), 8)
      before += u32(length)
    } else {
      let o = out
      for (let p = entry + 8, end = p + length; p < end; p++) {
        const byte = load<u8>(p)
        if (byte == 0x0a) {
          store<u32>(ends, before + u32(o - out))
          ends += 4
        } else store<u8>(o++, byte)
      }
      store<u32>(partition, u32(o), 8)
      before += u32(o - out)
    }
    store<u32>(ends, before)
    store<u32>(partition, u32(ends + 4), 12)
    store<u32>(partition, before, 24)
    const position = usize(load<u32>(partition, 16))
    store<f64>(position, load<f64>(positions + (usize(id) << 3)))
    store<u32>(partition, u32(position + 8), 16)
    const place = usize(load<u32>(partition, 20))
    store<u32>(place, id)
    store<u32>(partition, u32(place + 4), 20)
  }
}
