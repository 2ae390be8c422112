// Key tables: texts to dense ids, open addressing with linear probing.
//
// Key of one field: its JSON text. Of several: their texts with "\n" between, which no JSON text of a line contains. Missing: null.
// Keys are equal as JSON values. A text is plain when it is its own canonical text (core/key.ts) at a glance; another spelling is
// canonicalised in JavaScript once and then has its own slot with the same id.
//
// Table, 48 bytes: 0 slots u32 · 4 mask u32 · 8 used u32 · 12 ids u32 · 16 top of the arena u32 · 20 texts u32: address of each id's
// entry · 24 positions u32: f64 of each id · 28 free · 32 bytes of all texts f64. JavaScript allocates, and makes room before a call.
// Entry: 0 hash u32 · 4 length u32 · 8 text. Slot, 16 bytes; the id is one more than it is, 0 is free:
//
//     short text   "u12345" 0 0 0 0 | id      up to 12 bytes, zeros behind: no JSON text has such a byte, so nothing else is to be compared
//     long text    1 hash… | entry  | id      56 bits of the hash after a 1, which no JSON text begins with
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

/** Bytes of a text that a slot itself has room for. */
const SHORT: usize = 12
const MASKS = memory.data<u64>([
  0, 0, 0xff, 0, 0xffff, 0, 0xffffff, 0, 0xffffffff, 0, 0xffffffffff, 0, 0xffffffffffff, 0, 0xffffffffffffff, 0,
  0xffffffffffffffff, 0, 0xffffffffffffffff, 0xff, 0xffffffffffffffff, 0xffff, 0xffffffffffffffff, 0xffffff,
  0xffffffffffffffff, 0xffffffff,
])

/** A short text as a slot holds it, without the id. */
// @ts-ignore: decorator
@inline
function shortSlot(p: usize, length: usize): v128 {
  return v128.and(v128.load(p), v128.load(MASKS + (length << 4)))
}

// @ts-ignore: decorator
@inline
function shortHash(text: v128): u32 {
  let hash = (u64(i64x2.extract_lane(text, 0)) ^ 0x9e3779b97f4a7c15) * MULTIPLIER
  hash = (hash ^ (hash >> 32) ^ u64(u32(i32x4.extract_lane(text, 2)))) * MULTIPLIER
  return u32(hash >> 32)
}

/** What a slot of a long text holds, without the entry and the id. */
// @ts-ignore: decorator
@inline
function longSlot(hash: u64): v128 {
  return i64x2.replace_lane(i64x2.splat(0), 0, (hash & ~0xff) | 1)
}

/** Whether a slot that may hold a long text does. */
// @ts-ignore: decorator
@inline
function holdsLong(found: v128, p: usize, length: usize): bool {
  const entry = usize(u32(i32x4.extract_lane(found, 2)))
  return load<u32>(entry, 4) == u32(length) && sameText(entry + 8, p, length)
}

/** The slot that holds the text, or the free one where it belongs. `wanted` and `hash` are the text's, see `shortSlot` and `longSlot`. */
function slotOf(slots: usize, mask: u32, wanted: v128, hash: u32, p: usize, length: usize): usize {
  const same: i32 = length <= SHORT ? 7 : 3
  let index = hash & mask
  while (true) {
    const slot = slots + (usize(index) << 4)
    const found = v128.load(slot)
    if (!i32x4.extract_lane(found, 3)) return slot
    const agrees = (i32x4.bitmask(i32x4.eq(found, wanted)) & same) == same
    if (agrees && (length <= SHORT || holdsLong(found, p, length))) return slot
    index = (index + 1) & mask
  }
}

/** Copies a text to the top of the arena. */
function addEntry(table: usize, hash: u32, p: usize, length: usize): usize {
  const entry = usize(load<u32>(table, 16))
  store<u32>(entry, hash)
  store<u32>(entry, u32(length), 4)
  copyBytes(entry + 8, p, length)
  store<u32>(table, u32((entry + 8 + length + 3) & ~3), 16)
  return entry
}

/** Fills a free slot. */
function fill(table: usize, slot: usize, wanted: v128, hash: u32, p: usize, length: usize, id: u32): usize {
  const entry = addEntry(table, hash, p, length)
  store<u32>(table, load<u32>(table, 8) + 1, 8)
  v128.store(slot, wanted)
  if (length > SHORT) store<u32>(slot, u32(entry), 8)
  store<u32>(slot, id + 1, 12)
  return entry
}

/** Gives the next id to a key that is printed as `entry` has it. */
function addId(table: usize, entry: usize, position: f64): void {
  const id = load<u32>(table, 12)
  store<u32>(table, id + 1, 12)
  store<u32>(usize(load<u32>(table, 20)) + (usize(id) << 2), u32(entry))
  store<f64>(usize(load<u32>(table, 24)) + (usize(id) << 3), position)
  store<f64>(table, load<f64>(table, 32) + f64(load<u32>(entry, 4)), 32)
}

/**
 * Whether each part is its own canonical text: a string without escapes, up to 15 digits without a needless zero, a word. May read 16 bytes
 * beyond.
 */
export function plain(p: usize, end: usize): bool {
  if (load<u8>(p) == 0x22) {
    // The usual: the first quote or backslash within 16 bytes is the last byte.
    const bytes = v128.load(p, 1)
    const specials = i8x16.bitmask(v128.or(i8x16.eq(bytes, i8x16.splat(0x22)), i8x16.eq(bytes, i8x16.splat(0x5c))))
    if (specials && p + 2 + ctz(specials) == end && load<u8>(end - 1) == 0x22) return true
  }
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

// Rows are looked up in groups: first all hashes, then all slots. The loads of a group do not wait for each other, so a large table costs the
// time of one cache miss for several rows.
const GROUP: i32 = 16
/** Per row of the group: 0 what its slot holds v128 · 16 text u32 · 20 length u32 · 24 hash u32 · 28 id + 1 u32, 0 when not found at once. */
const ROW: usize = 32
const group = memory.data(16 * 32, 16)

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
      if (length <= SHORT) {
        const wanted = shortSlot(p, length)
        v128.store(at, wanted)
        store<u32>(at, shortHash(wanted), 24)
      } else {
        const hash = hashOf(p, length)
        v128.store(at, longSlot(hash))
        store<u32>(at, u32(hash), 24)
      }
      store<u32>(at, u32(p), 16)
      store<u32>(at, u32(length), 20)
    }
    const stop = at
    for (at = group; at < stop; at += ROW) {
      const found = v128.load(slots + (usize(load<u32>(at, 24) & mask) << 4))
      const length = usize(load<u32>(at, 20))
      const same = i32x4.bitmask(i32x4.eq(found, v128.load(at)))
      const here = length <= SHORT ? (same & 7) == 7 : (same & 3) == 3 && holdsLong(found, load<u32>(at, 16), length)
      store<u32>(at, here ? u32(i32x4.extract_lane(found, 3)) : 0, 28)
    }
    at = group
    for (let row = first; row < end; row++, at += ROW) {
      let id = load<u32>(at, 28)
      if (!id) {
        const p = usize(load<u32>(at, 16)), length = usize(load<u32>(at, 20))
        const wanted = v128.load(at), hash = load<u32>(at, 24)
        const slot = slotOf(slots, mask, wanted, hash, p, length)
        id = load<u32>(slot, 12)
        if (!id) {
          if (!plain(p, p + length)) return row
          id = load<u32>(table, 12) + 1
          const entry = fill(table, slot, wanted, hash, p, length, id - 1)
          const start = load<u32>(spans + usize(row) * stride)
          addId(table, entry, positions ? load<f64>(positions + (usize(row) << 3)) : base + f64(start))
        }
      }
      id--
      if (positions) lower(table, id, load<f64>(positions + (usize(row) << 3)), load<u32>(at, 24), load<u32>(at, 16), load<u32>(at, 20))
      store<u32>(ids + (usize(row) << 2), id)
    }
  }
  return to
}

/**
 * Makes each of the `count` rows a key of its own, as spelt, without looking whether it is known, or making it known: for keys that are on
 * their way out (key-parts.ts), which costs less than finding out that they are new.
 */
export function append(table: usize, block: usize, spans: usize, stride: usize, count: i32, fields: usize, parts: i32, base: f64): void {
  const single = usize(load<u32>(fields))
  const first = load<u32>(table, 12)
  let text = usize(load<u32>(table, 20)) + (usize(first) << 2)
  let position = usize(load<u32>(table, 24)) + (usize(first) << 3)
  let top = usize(load<u32>(table, 16))
  let bytes: f64 = 0
  let at = spans
  for (let row = 0; row < count; row++, at += stride, text += 4, position += 8) {
    let length: usize = 4
    if (parts > 1) length = joined(top + 8, block, at, fields, parts)
    else {
      const start = load<u32>(at + single), end = load<u32>(at + single, 4)
      if (end) {
        length = usize(end - start)
        copyBytes(top + 8, block + start, length)
      } else store<u32>(top, load<u32>(NULL), 8)
    }
    store<u32>(top, 0)
    store<u32>(top, u32(length), 4)
    store<u32>(text, u32(top))
    store<f64>(position, base + f64(load<u32>(at)))
    bytes += f64(length)
    top = (top + 8 + length + 3) & ~3
  }
  store<u32>(table, u32(top), 16)
  store<u32>(table, first + count, 12)
  store<f64>(table, load<f64>(table, 32) + bytes, 32)
}

/** A key was seen at `position`, spelt so: if that is before all others, it is printed so. */
function lower(table: usize, id: u32, position: f64, hash: u32, p: usize, length: usize): void {
  const at = usize(load<u32>(table, 24)) + (usize(id) << 3)
  if (position >= load<f64>(at)) return
  store<f64>(at, position)
  const text = usize(load<u32>(table, 20)) + (usize(id) << 2)
  const before = usize(load<u32>(text)), lengthBefore = usize(load<u32>(before, 4))
  if (length == lengthBefore && sameBytes(p, before + 8, length)) return
  store<f64>(table, load<f64>(table, 32) + f64(length) - f64(lengthBefore), 32)
  store<u32>(text, u32(addEntry(table, hash, p, length)))
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
  const canonicalSlot = slotFor(table, canonical, length)
  let id = load<u32>(canonicalSlot, 12)
  const known = id != 0
  id = known ? id - 1 : load<u32>(table, 12)
  let entry: usize = 0
  if (!known) entry = fill(table, canonicalSlot, wantedSlot, wantedHash, canonical, length, id)
  if (speltLength != length || !sameBytes(spelt, canonical, length)) {
    const slot = slotFor(table, spelt, speltLength)
    entry = fill(table, slot, wantedSlot, wantedHash, spelt, speltLength, id)
  }
  if (known) lower(table, id, position, wantedHash, spelt, speltLength)
  else addId(table, entry, position)
  return id
}

/** What `slotFor` looked for last. */
let wantedSlot: v128 = i64x2.splat(0)
let wantedHash: u32 = 0
function slotFor(table: usize, p: usize, length: usize): usize {
  if (length <= SHORT) {
    wantedSlot = shortSlot(p, length)
    wantedHash = shortHash(wantedSlot)
  } else {
    const hash = hashOf(p, length)
    wantedSlot = longSlot(hash)
    wantedHash = u32(hash)
  }
  return slotOf(load<u32>(table), load<u32>(table, 4), wantedSlot, wantedHash, p, length)
}

/** Moves all slots to an empty, larger array. */
export function rehash(table: usize, slots: usize, mask: u32): void {
  const old = usize(load<u32>(table)), end = old + ((usize(load<u32>(table, 4)) + 1) << 4)
  for (let from = old; from < end; from += 16) {
    const held = v128.load(from)
    if (!i32x4.extract_lane(held, 3)) continue
    const long = (i32x4.extract_lane(held, 0) & 0xff) == 1
    const hash = long ? load<u32>(u32(i32x4.extract_lane(held, 2))) : shortHash(held)
    let index = hash & mask
    while (load<u32>(slots + (usize(index) << 4), 12)) index = (index + 1) & mask
    v128.store(slots + (usize(index) << 4), held)
  }
  store<u32>(table, u32(slots))
  store<u32>(table, mask, 4)
}
