// The scan of lines that are alike: as `scan`, which it asks about every other line. Programs write records that differ in their values only. So the brackets
// of a line are those of the line before, one by one, and a wanted name is at the same colon:
//
//     {"id":17,"name":"Ann","tags":{"new":true}}        brackets { { } }
//     {"id":4711,"name":"Bob","tags":{"new":null}}      `name` is at the second colon, after the first bracket: at depth 1
//
// What `scan` has found right of the brackets of one line holds for all with the same ones. Nothing is looked at but the marks of the line (marks.ts) and the
// wanted values.
import { isSpace, lowest } from './masks'
import { beginMarks, mark, marksAreAscii, marksAreOdd } from './marks'
import { endsMember, NAME, nameAt, scan, storePaths, wantedEnd } from './scan'
import { utf8Valid } from './utf8'

// What is known of the last line, and room to work, at `work`:
//   0 number of its places u32, 0: none is known · 4 blocks to be scanned without looking for lines that are alike u32
//   8 result of a `scan` of one line, 32 bytes · 64 the bytes at its places, up to 64 · 128 its names in order, up to 16 of 16 bytes: address of the name
//   u32, colons between it and the name before u32, the last place before it u32 · 512 colons of the block · then places of a piece
const KNOWN: usize = 64
const NAMES: usize = 128
const COLONS: usize = 512
const MOST_PLACES: u32 = 64
const MOST_NAMES: i32 = 16
/** Marks are made for so many bytes at a time. They stay in the first-level cache. */
const PIECE: usize = 1 << 14
/** Places of a line that has not ended yet. A line with more is none of those that are looked for. */
const MOST_BEFORE: usize = 1 << 12
/** If more lines than one in so many are not alike, so many blocks are scanned the other way. */
const ENOUGH_ALIKE: u32 = 8
const REST: u32 = 32
/** Bits of a mask that can be read at any bit. */
const WINDOW: usize = 56

/** What `work` needs for a block of so many bytes. */
export function alikeBytes(bytes: usize): usize {
  return COLONS + (bytes >> 3) + 64 + ((PIECE + MOST_BEFORE + 128) << 2)
}

/** As `scan`, not strict and with names, to the byte (but for lines with a wanted name twice: another one of them may be taken). */
export function scanAlike(
  block: usize, from: usize, end: usize, names: usize, nameCount: i32, fieldCount: i32,
  spans: usize, most: i32, oddLines: usize, result: usize, work: usize, room: usize,
): void {
  const rest = load<u32>(work, 4)
  if (rest || nameCount > MOST_NAMES) {
    if (rest) store<u32>(work, rest - 1, 4)
    scan(block, from, end, names, nameCount, fieldCount, false, spans, most, oddLines, result)
    return
  }
  const stride: usize = 8 + (usize(fieldCount) << 3)
  const colons = work + COLONS, places = colons + ((room >> 3) + 64)
  const firstOdd = oddLines
  let row = spans, rows: i32 = 0, lines: u32 = 0, unlike: u32 = 0, dense: bool = true
  let lineStart = from
  let place = places, top = places // of the next line; and the end of all
  let count = load<u32>(work), missed: bool = false
  beginMarks()

  for (let piece = from; piece < end && rows < most; piece += PIECE) {
    const before = top - place
    if (before > MOST_BEFORE << 2) break
    memory.copy(places, place, before)
    place = places
    top = mark(piece, min(piece + PIECE, end), end, colons + ((piece - from) >> 3), places + before)
    if (marksAreOdd()) break

    while (place < top && rows < most) {
      // Lines like the one before.
      const begin = lineStart
      while (count && place + (usize(count) << 2) <= top && rows < most) {
        const stop = usize(load<u32>(place + (usize(count) << 2) - 4))
        let differs = u32(load<u32>(place) != u32(lineStart)) | u32(load<u8>(stop - 2) == 0x2c) |
          u32(usize(load<u32>(place + (usize(count) << 2) - 8)) != stop - 1)
        for (let i: usize = 0; i < usize(count); i++) differs |= load<u8>(load<u32>(place + (i << 2))) ^ load<u8>(work + KNOWN + i)
        if (differs) break
        let at = lineStart - from, name = work + NAMES
        let n = nameCount
        for (; n; n--, name += 16) {
          // The next colon but so many.
          let skip = load<u32>(name, 4)
          let bits: u64
          while (true) {
            bits = (load<u64>(colons + (at >> 3)) >> (at & 7)) & ((1 << WINDOW) - 1)
            const some = u32(popcnt(bits))
            if (some > skip) break
            skip -= some
            at += WINDOW
            if (from + at > stop) break
          }
          if (!bits) break
          for (; skip; skip--) bits &= bits - 1
          at += lowest(bits)
          const here = from + at, last = usize(load<u32>(name, 8))
          if (here < usize(load<u32>(place + last)) || here > usize(load<u32>(place + last, 4))) break
          const wanted = usize(load<u32>(name))
          if (!nameAt(here, wanted)) break
          let value = here + 1
          if (load<u8>(value) <= 0x20) value = skipBlanks(value)
          const single = load<i32>(wanted, 36)
          if (single >= 0) {
            const valueStop = wantedEnd(value)
            if (!valueStop || !endsMember(valueStop)) break
            const span = row + 8 + (usize(single) << 3)
            store<u32>(span, u32(value - block))
            store<u32>(span, u32(valueStop - block), 4)
          } else if (!storePaths(wanted, value, row + 8, block, false)) break
          at++
        }
        if (n) break
        store<u32>(row, u32(lineStart - block))
        store<u32>(row, u32(stop - block), 4)
        row += stride
        rows++
        lines++
        lineStart = stop + 1
        place += usize(count) << 2
      }
      if (lineStart != begin) missed = false
      if (rows == most) break

      // Another one. One alone is not remembered: the next ones may be as before.
      let next = place
      while (next < top && load<u8>(load<u32>(next)) != 0x0a) next += 4
      if (next == top) break
      next += 4
      const lineEnd = usize(load<u32>(next - 4)) + 1
      store<u32>(work + 8, load<u32>(result, 24), 24)
      scan(block, lineStart, lineEnd, names, nameCount, fieldCount, false, row, 1, oddLines, work + 8)
      store<u32>(result, load<u32>(work + 8, 24), 24)
      unlike++
      lines++
      if (!load<u32>(work + 8, 20)) dense = false
      if (load<u32>(work + 8)) {
        if (load<u32>(work + 8, 8)) {
          store<u32>(oddLines, rows)
          oddLines += 12
        } else if (missed || !count) count = learn(work, colons, from, lineStart, place, u32((next - place) >> 2), names, nameCount)
        row += stride
        rows++
      }
      missed = true
      lineStart = lineEnd
      place = next
    }
  }

  const done = lineStart == end || rows == most
  if (!done || (!marksAreAscii() && !utf8Valid(from, end))) {
    // Something that `scan` must look at.
    store<u32>(work, 0)
    scan(block, from, end, names, nameCount, fieldCount, false, spans, most, firstOdd, result)
    return
  }
  store<u32>(work, count)
  if (unlike > lines / ENOUGH_ALIKE) store<u32>(work, REST, 4)
  store<u32>(result, rows)
  store<u32>(result, lines, 4)
  store<u32>(result, u32((oddLines - firstOdd) / 12), 8)
  store<u32>(result, lineStart == end ? 0 : u32(lineStart), 12)
  store<u32>(result, u32(marksAreAscii()), 16)
  store<u32>(result, u32(dense), 20)
}

/** Remembers a line that `scan` has found right: returns the number of its places, or 0 if others cannot be compared with it. */
function learn(
  work: usize, colons: usize, from: usize, lineStart: usize, place: usize, count: u32, names: usize, nameCount: i32,
): u32 {
  if (count > MOST_PLACES || count < 3) return 0
  for (let i: usize = 0; i < usize(count); i++) store<u8>(work + KNOWN + i, load<u8>(load<u32>(place + (i << 2))))
  if (load<u8>(work + KNOWN) != 0x7b || load<u8>(work + KNOWN + usize(count) - 2) != 0x7d) return 0
  const stop = usize(load<u32>(place + (usize(count) << 2) - 4))
  let known = work + NAMES, found: i32 = 0
  let depth: i32 = 0, last: i32 = -1, skipped: u32 = 0, closed: bool = false
  let next = usize(load<u32>(place))
  for (let at = lineStart; at < stop; at++) {
    if (at == next) {
      const byte = load<u8>(at)
      // Between } and { there must be a comma, which only looking there shows.
      if (byte == 0x7b && closed) return 0
      if (byte > 0x20) closed = byte == 0x7d
      depth += i32(byte == 0x7b || byte == 0x5b) - i32(byte == 0x7d || byte == 0x5d)
      last++
      next = usize(load<u32>(place + (usize(last + 1) << 2)))
    }
    const bit = at - from
    if (!((load<u8>(colons + (bit >> 3)) >> u8(bit & 7)) & 1)) continue
    if (depth == 1 && found < nameCount) {
      let name = names
      const end = names + usize(nameCount) * NAME
      while (name < end && !nameAt(at, name)) name += NAME
      let again = work + NAMES
      while (again < known && usize(load<u32>(again)) != name) again += 16
      if (name < end && again == known) {
        store<u32>(known, u32(name))
        store<u32>(known, skipped, 4)
        store<u32>(known, u32(last) << 2, 8)
        known += 16
        found++
        skipped = 0
        continue
      }
    }
    skipped++
  }
  return found == nameCount ? count : 0
}

function skipBlanks(p: usize): usize {
  while (isSpace(load<u8>(p))) p++
  return p
}
