const MIX = 0x5bd1e995
const SEED = 0x9747b28c

/**
 * Murmur2 with Kafka's seed, as a signed 32-bit number: what Kafka's default partitioner hashes keys with, so that a key keeps its
 * partition there (org.apache.kafka.common.utils.Utils.murmur2, after Austin Appleby's MurmurHash2).
 */
export function murmur2(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let hash = SEED ^ (end - start)
  let at = start
  for (; at + 4 <= end; at += 4) {
    let word =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    word = Math.imul(word, MIX)
    word = Math.imul(word ^ (word >>> 24), MIX)
    hash = Math.imul(hash, MIX) ^ word
  }
  const rest = end - at
  if (rest >= 3) hash ^= (bytes[at + 2] as number) << 16
  if (rest >= 2) hash ^= (bytes[at + 1] as number) << 8
  if (rest >= 1) hash = Math.imul(hash ^ (bytes[at] as number), MIX)
  hash = Math.imul(hash ^ (hash >>> 13), MIX)
  return hash ^ (hash >>> 15)
}

/** The partition of a key's bytes among `partitions`, as Kafka's default partitioner has it. */
export const partitionOf = (bytes: Uint8Array, partitions: number): number => (murmur2(bytes) & 0x7fffffff) % partitions
