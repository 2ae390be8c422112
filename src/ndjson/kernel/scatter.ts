// Lines by partition, as Kafka's default partitioner would have them: murmur2 of the key's bytes.
// (Austin Appleby's MurmurHash2, 32 bit, seed 0x9747b28c; src/log/partitioner.ts is the readable one.)
import { hasBackslash } from './grammar'
import { isDigit } from './masks'
import { copyBytes } from './output'

const M: u32 = 0x5bd1e995

function murmur2(p: usize, length: u32): u32 {
  let h: u32 = 0x9747b28c ^ length
  const whole = p + (length & ~3)
  for (; p < whole; p += 4) {
    let k = load<u32>(p) * M
    k = (k ^ (k >> 24)) * M
    h = (h * M) ^ k
  }
  const rest = length & 3
  if (rest == 3) h ^= u32(load<u8>(p, 2)) << 16
  if (rest >= 2) h ^= u32(load<u8>(p, 1)) << 8
  if (rest) h = (h ^ load<u8>(p)) * M
  h = (h ^ (h >> 13)) * M
  return h ^ (h >> 15)
}

/** Digits as one would write them: an integer of up to 15. */
function plainInteger(p: usize, end: usize): bool {
  const first = p
  if (load<u8>(p) == 0x2d) p++
  if (end - p > 15 || (p > first && load<u8>(p) == 0x30)) return false
  for (; p < end; p++) if (!isDigit(load<u8>(p))) return false
  return true
}

/**
 * The partition of each row, u16, by the field whose span in row 0 is at `span`. Returns `rows`, or the row whose key is no string without
 * escapes and no plain integer.
 */
export function partitionRows(block: usize, span: usize, stride: usize, rows: i32, partitions: u32, targets: usize): i32 {
  for (let row = 0; row < rows; row++, span += stride, targets += 2) {
    const stop = load<u32>(span, 4)
    if (!stop) return row
    let p = block + load<u32>(span), end = block + stop
    if (load<u8>(p) == 0x22) {
      p++
      end--
      if (hasBackslash(p, end)) return row
    } else if (!plainInteger(p, end)) return row
    store<u16>(targets, u16((murmur2(p, u32(end - p)) & 0x7fffffff) % partitions))
  }
  return rows
}

/** Between the lines of two partitions: `copyBytes` writes beyond. */
const APART: usize = 16

/**
 * Copies lines to `out`, each ended by "\n", partition by partition, with some bytes between them; and the ranks of each partition's
 * rows to `ranks`, as src/log/gaps.ts has them. At `table` 24 bytes per partition: 0 address of its lines u32, 4 their end u32 · 8 address
 * of its ranks u32, 12 their end u32 · 16 rows u32 · 20 rank to be expected next u32.
 * Room needed: at `out` all lines and APART for each partition, at `ranks` a byte a row, and for each partition 5 for every 255 rows and 5.
 */
export function scatter(
  block: usize, spans: usize, stride: usize, rows: i32, targets: usize, partitions: u32, table: usize, out: usize, ranks: usize,
): void {
  const tableEnd = table + usize(partitions) * 24
  memory.fill(table, 0, tableEnd - table)
  let at = spans
  for (let row = 0; row < rows; row++, at += stride) {
    const entry = table + usize(load<u16>(targets + (usize(row) << 1))) * 24
    store<u32>(entry, load<u32>(entry, 4) + load<u32>(at, 4) - load<u32>(at) + 1, 4)
    store<u32>(entry, load<u32>(entry, 16) + 1, 16)
  }
  const more = usize(rows / 255 + 1) * 5
  for (let entry = table; entry < tableEnd; entry += 24) {
    const bytes = load<u32>(entry, 4)
    store<u32>(entry, u32(out))
    store<u32>(entry, u32(out), 4)
    store<u32>(entry, u32(ranks), 8)
    store<u32>(entry, u32(ranks), 12)
    out += usize(bytes) + APART
    ranks += usize(load<u32>(entry, 16)) + more
  }
  at = spans
  for (let row = 0; row < rows; row++, at += stride) {
    const entry = table + usize(load<u16>(targets + (usize(row) << 1))) * 24
    const start = load<u32>(at), length = usize(load<u32>(at, 4) - start)
    let to = usize(load<u32>(entry, 4))
    copyBytes(to, block + start, length)
    to += length
    store<u8>(to++, 0x0a)
    store<u32>(entry, u32(to), 4)

    const gap = u32(row) - load<u32>(entry, 20)
    store<u32>(entry, row + 1, 20)
    let rank = usize(load<u32>(entry, 12))
    if (gap < 255) store<u8>(rank++, u8(gap))
    else {
      store<u8>(rank, 255)
      store<u32>(rank, gap, 1)
      rank += 5
    }
    store<u32>(entry, u32(rank), 12)
  }
}
