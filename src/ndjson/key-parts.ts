import type { KeyParts, KeyTableState } from '../core/batch.ts'
import { canonicalKey, PLAIN_KEY } from '../core/key.ts'
import { fromLatin1, latin1, toLatin1 } from '../core/latin1.ts'

/** Bits of a key's hash that choose its partition. */
export const PARTITION_BITS = 7
export const PARTITIONS = 1 << PARTITION_BITS

/** The keys of each partition, and their ids. One pass in the order of the ids, since jumping about in memory would cost more than all else. */
export function partKeys(keys: KeyTableState, parts: number, shift: number): KeyParts[] {
  const { bytes, ends, positions } = keys
  const count = positions.length
  const chosen = new Uint8Array(count)
  const counts = new Uint32Array(PARTITIONS)
  const sizes = new Uint32Array(PARTITIONS)
  for (let id = 0, start = 0; id < count; id++) {
    const end = ends[(id + 1) * parts - 1]!
    const partition = (hashOfKey(keys, id, parts, start) >>> shift) & (PARTITIONS - 1)
    chosen[id] = partition
    counts[partition]!++
    sizes[partition]! += end - start
    start = end
  }
  const result = Array.from({ length: PARTITIONS }, (_, partition) => ({
    bytes: new Uint8Array(sizes[partition]!),
    ends: new Uint32Array(counts[partition]! * parts),
    positions: new Float64Array(counts[partition]!),
    ids: new Uint32Array(counts[partition]!),
  }))
  counts.fill(0)
  sizes.fill(0)
  for (let id = 0, start = 0; id < count; id++) {
    const partition = chosen[id]!
    const to = result[partition]!
    const index = counts[partition]!++
    const shifted = sizes[partition]! - start
    for (let part = 0; part < parts; part++) to.ends[index * parts + part] = ends[id * parts + part]! + shifted
    const end = ends[(id + 1) * parts - 1]!
    for (let at = start; at < end; at++) to.bytes[at + shifted] = bytes[at]!
    sizes[partition]! += end - start
    to.positions[index] = positions[id]!
    to.ids[index] = id
    start = end
  }
  return result.map(({ ids, ...keys }) => ({ keys, ids }))
}

/**
 * A hash that equal keys share, however they are spelt: of the canonical texts with line ends between, 32 bits at a time with zeros beyond the
 * end, finished as MurmurHash3 is.
 */
export function hashOfKey(
  { bytes, ends }: Pick<KeyTableState, 'bytes' | 'ends'>,
  id: number,
  parts: number,
  start: number,
): number {
  let hash = 0x811c9dc5
  let word = 0
  let shift = 0
  const add = (byte: number): void => {
    word |= byte << shift
    shift += 8
    if (shift < 32) return
    hash = mixed(hash, word)
    word = shift = 0
  }
  for (let part = 0; part < parts; part++) {
    const end = ends[id * parts + part]!
    if (part > 0) add(0x0a)
    if (isPlainString(bytes, start, end)) for (let at = start; at < end; at++) add(bytes[at]!)
    else {
      let text = latin1(bytes, start, end)
      if (!PLAIN_KEY.test(text)) text = toLatin1(canonicalKey(fromLatin1(text)))
      for (let at = 0; at < text.length; at++) add(text.charCodeAt(at))
    }
    start = end
  }
  hash = mixed(hash, word)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function mixed(hash: number, word: number): number {
  hash = Math.imul(hash ^ word, 0x9e3779b1)
  return hash ^ (hash >>> 15)
}

/** The commonest case of PLAIN_KEY, without making a string of it. */
function isPlainString(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] !== 0x22) return false
  for (let at = start; at < end; at++) if (bytes[at] === 0x5c) return false
  return true
}
