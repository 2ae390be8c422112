// Key tables: texts to dense ids, open addressing with linear probing.
//
// Key of one field: its JSON text. Of several: their texts with "\n" between, which no JSON text of a line contains. Missing: null.
// Keys are equal as JSON values. A text is plain when it is its own canonical text (core/key.ts) at a glance; another spelling is
// canonicalised in JavaScript once and then has its own slot with the same id.
//
// Table, 48 bytes: 0 slots u32 · 4 mask u32 · 8 used u32 · 12 ids u32 · 16 top of the arena u32 · 20 texts u32: address of each id's
// entry · 24 positions u32: f64 of each id · 28 free · 32 bytes of all texts f64. JavaScript allocates, and makes room before a call.
// Slot, 8 bytes: 0 hash u32 · 4 entry u32, 0 is free. Entry: 0 id u32 · 4 length u32 · 8 text.
import { plainNumber } from './columns'
import { sameBytes } from './masks'
import { copyBytes } from './output'

const MULTIPLIER: u64 = 0x9fb21c651e98df25

/**
 * Multiplies and folds 8 bytes at a time, the first 16 without a branch: most keys are shorter, and their lengths cannot be foretold.
 * May read 15 bytes beyond the text.
 */
// @ts-ignore: decorator
@inline
function hashOf(p: usize, length: usize): u64 {
  const low = length < 8 ? length : 8, high = length < 16 ? length - low : 8
  const a = load<u64>(p) << ((8 - low) << 3)
  // Shifted twice: by 64 would be not at all.
  const b = (load<u64>(p, 8) << (((8 - high) << 3) >> 1)) << ((8 - high) << 2)
  let hash = ((0x9e3779b97f4a7c15 ^ u64(length) ^ a) * MULTIPLIER) ^ rotl<u64>(b * MULTIPLIER, 31)
  hash ^= hash >> 32
  if (length > 16) hash = restOf(hash, p, length)
  hash *= MULTIPLIER
  return hash ^ (hash >> 29)
}

function restOf(hash: u64, p: usize, length: usize): u64 {
  let i: usize = 16
  for (; i + 8 <= length; i += 8) {
    hash = (hash ^ load<u64>(p + i)) * MULTIPLIER
    hash ^= hash >> 32
  }
  if (i < length) {
    hash = (hash ^ (load<u64>(p + i) << ((8 - (length - i)) << 3))) * MULTIPLIER
    hash ^= hash >> 32
  }
  return hash
}

/** Whether an entry's text is this one of the same length. May read 15 bytes beyond each; up to 16 bytes are compared without a branch. */
// @ts-ignore: decorator
@inline
function sameText(a: usize, b: usize, length: usize): bool {
  if (length > 16) return sameBytes(a, b, length)
  const low = length < 8 ? length : 8, high = length - low
  const first = (load<u64>(a) ^ load<u64>(b)) << ((8 - low) << 3)
  const second = ((load<u64>(a, 8) ^ load<u64>(b, 8)) << (((8 - high) << 3) >> 1)) << ((8 - high) << 2)
  return (first | second) == 0
}

/** The slot that holds the text, or the free one where it belongs. */
// @ts-ignore: decorator
@inline
function slotOf(slots: usize, mask: u32, hash: u64, p: usize, length: usize): usize {
  let index = u32(hash) & mask
  const tag = u32(hash >> 32)
  while (true) {
    const slot = slots + (usize(index) << 3)
    const entry = usize(load<u32>(slot, 4))
    if (!entry) return slot
    if (load<u32>(slot) == tag && load<u32>(entry, 4) == u32(length) && sameText(entry + 8, p, length)) return slot
    index = (index + 1) & mask
  }
}

/** Fills a free slot. The text is copied to the top of the arena. */
function fill(table: usize, slot: usize, hash: u64, p: usize, length: usize, id: u32): usize {
  const entry = usize(load<u32>(table, 16))
  store<u32>(entry, id)
  store<u32>(entry, u32(length), 4)
  copyBytes(entry + 8, p, length)
  store<u32>(table, u32((entry + 8 + length + 3) & ~3), 16)
  store<u32>(table, load<u32>(table, 8) + 1, 8)
  store<u32>(slot, u32(hash >> 32))
  store<u32>(slot, u32(entry), 4)
  return entry
}

/** Gives the next id to a key that is printed as `entry` has it. */
function addId(table: usize, entry: usize, position: f64): u32 {
  const id = load<u32>(table, 12)
  store<u32>(table, id + 1, 12)
  store<u32>(entry, id)
  store<u32>(usize(load<u32>(table, 20)) + (usize(id) << 2), u32(entry))
  store<f64>(usize(load<u32>(table, 24)) + (usize(id) << 3), position)
  store<f64>(table, load<f64>(table, 32) + f64(load<u32>(entry, 4)), 32)
  return id
}

/** Whether each part is its own canonical text: a string without escapes, up to 15 digits without a needless zero, a word. */
export function plain(p: usize, end: usize): bool {
  while (p < end) {
    let stop = p
    const first = load<u8>(p)
    if (first == 0x22) {
      stop++
      while (load<u8>(stop) != 0x22) if (load<u8>(stop++) == 0x5c) return false
      stop++
    } else {
      if (first == 0x7b || first == 0x5b) return false
      while (stop < end && load<u8>(stop) != 0x0a) stop++
      if (first <= 0x39 && !plainNumber(p, stop)) return false
    }
    p = stop + 1
  }
  return true
}

const NULL = memory.data<u32>([0x6c6c756e]) // null

/** Free bytes between the top of the arena and the texts put together there: more than filling entries and copying in steps overruns. */
const SCRATCH: usize = 128

// Rows are looked up in groups: first all hashes, then all slots, then all entries. The loads of a group do not wait for each other, so
// a large table costs the time of one cache miss for several rows.
const GROUP: i32 = 16
/** Per row of the group: 0 text u32 · 4 length u32 · 8 hash u64 · 16 entry u32: the one in the first slot, when the hash agrees. */
const ROW: usize = 24
const group = memory.data(16 * 24, 8)

/**
 * Ids of rows from..to, stored at `ids` by row. The fields' span offsets in a row are the `parts` numbers at `fields`. Positions of new
 * keys: of the row in `positions` when given (then known keys keep the smaller one), else `base` plus the line's start.
 * Returns `to`, or the row whose key is not known and not plain: `internSpelling` settles it.
 */
export function intern(
  table: usize, block: usize, spans: usize, stride: usize, from: i32, to: i32, fields: usize, parts: i32,
  base: f64, positions: usize, ids: usize,
): i32 {
  const slots = usize(load<u32>(table)), mask = load<u32>(table, 4)
  const single = usize(load<u32>(fields))
  // Texts of several parts are put together in the arena, each group anew above the top; a new key is copied down to the top.
  for (let first = from; first < to; first += GROUP) {
    const end = min(first + GROUP, to)
    let scratch = usize(load<u32>(table, 16)) + SCRATCH
    let at = group
    for (let row = first; row < end; row++, at += ROW) {
      const spansOfRow = spans + usize(row) * stride
      let p: usize, length: usize
      if (parts == 1) {
        const stop = usize(load<u32>(spansOfRow + single, 4))
        p = stop ? block + load<u32>(spansOfRow + single) : NULL
        length = stop ? block + stop - p : 4
      } else {
        p = scratch
        length = joined(p, block, spansOfRow, fields, parts)
        scratch += length + 8
      }
      const hash = hashOf(p, length)
      store<u32>(at, u32(p))
      store<u32>(at, u32(length), 4)
      store<u64>(at, hash, 8)
    }
    const stop = at
    for (at = group; at < stop; at += ROW) {
      const hash = load<u64>(at, 8)
      const slot = load<u64>(slots + (usize(u32(hash) & mask) << 3))
      store<u32>(at, u32(slot) == u32(hash >> 32) ? u32(slot >> 32) : 0, 16)
    }
    at = group
    for (let row = first; row < end; row++, at += ROW) {
      const p = usize(load<u32>(at)), length = usize(load<u32>(at, 4))
      let entry = usize(load<u32>(at, 16))
      let id: u32
      if (!entry || load<u32>(entry, 4) != u32(length) || !sameText(entry + 8, p, length)) {
        const hash = load<u64>(at, 8)
        const slot = slotOf(slots, mask, hash, p, length)
        entry = usize(load<u32>(slot, 4))
        if (!entry) {
          if (!plain(p, p + length)) return row
          entry = fill(table, slot, hash, p, length, 0)
          const start = load<u32>(spans + usize(row) * stride)
          addId(table, entry, positions ? load<f64>(positions + (usize(row) << 3)) : base + f64(start))
        }
      }
      id = load<u32>(entry)
      if (positions) lower(table, id, load<f64>(positions + (usize(row) << 3)), entry)
      store<u32>(ids + (usize(row) << 2), id)
    }
  }
  return to
}

/** A key that `entry` spells was seen at `position`: if that is before all others, it is printed so. */
function lower(table: usize, id: u32, position: f64, entry: usize): void {
  const at = usize(load<u32>(table, 24)) + (usize(id) << 3)
  if (position >= load<f64>(at)) return
  store<f64>(at, position)
  const text = usize(load<u32>(table, 20)) + (usize(id) << 2)
  const lengthBefore = load<u32>(usize(load<u32>(text)), 4)
  store<f64>(table, load<f64>(table, 32) + f64(load<u32>(entry, 4)) - f64(lengthBefore), 32)
  store<u32>(text, u32(entry))
}

/** The texts of a row's parts, "\n" between, written to `out`; returns their length. */
export function joined(out: usize, block: usize, spansOfRow: usize, fields: usize, parts: i32): usize {
  let o = out
  for (let part = 0; part < parts; part++) {
    const at = spansOfRow + load<u32>(fields + (usize(part) << 2))
    const start = block + load<u32>(at), end = usize(load<u32>(at, 4))
    if (part) store<u8>(o++, 0x0a)
    if (end) {
      copyBytes(o, start, block + end - start)
      o += block + end - start
    } else {
      store<u32>(o, load<u32>(NULL))
      o += 4
    }
  }
  return o - out
}

/** The id of a key that was spelt in an unplain way, given its canonical text. New keys are printed as spelt. */
export function internSpelling(table: usize, spelt: usize, speltLength: usize, canonical: usize, length: usize, position: f64): u32 {
  const slots = usize(load<u32>(table)), mask = load<u32>(table, 4)
  const hash = hashOf(canonical, length)
  const slot = slotOf(slots, mask, hash, canonical, length)
  let entry = usize(load<u32>(slot, 4))
  const known = entry != 0
  if (!known) entry = fill(table, slot, hash, canonical, length, 0)
  let id = load<u32>(entry)
  let speltEntry = entry
  if (speltLength != length || !sameBytes(spelt, canonical, length)) {
    const hash = hashOf(spelt, speltLength)
    speltEntry = fill(table, slotOf(slots, mask, hash, spelt, speltLength), hash, spelt, speltLength, id)
  }
  if (known) lower(table, id, position, speltEntry)
  else {
    id = addId(table, speltEntry, position)
    store<u32>(entry, id)
  }
  return id
}

/** Moves all slots to an empty, larger array. */
export function rehash(table: usize, slots: usize, mask: u32): void {
  const old = usize(load<u32>(table)), end = old + ((usize(load<u32>(table, 4)) + 1) << 3)
  for (let from = old; from < end; from += 8) {
    const entry = usize(load<u32>(from, 4))
    if (!entry) continue
    const hash = hashOf(entry + 8, load<u32>(entry, 4))
    let index = u32(hash) & mask
    while (load<u32>(slots + (usize(index) << 3), 4)) index = (index + 1) & mask
    store<u64>(slots + (usize(index) << 3), load<u64>(from))
  }
  store<u32>(table, u32(slots))
  store<u32>(table, mask, 4)
}
