import { crc32 as crcOfZlib } from 'node:zlib'
import { heapOf } from './heap.ts'

/** Folding ends with a text of 4,800 bytes: what is not much longer is better left as it is. */
const LEAST_BYTES = 16 << 10

/** CRC-32 as zlib has it; three times as fast for long texts that are in the kernel's memory (kernel/checksum.ts). O(bytes). */
export function crc32(bytes: Uint8Array, crc = 0): number {
  const heap = bytes.length < LEAST_BYTES ? undefined : heapOf(bytes)
  if (!heap) return crcOfZlib(bytes, crc)
  const { byteOffset, length } = bytes
  const short = heap.kernel.fold(byteOffset, byteOffset + length, crc, heap.foldRoom)
  return crcOfZlib(heap.bytes.subarray(heap.foldRoom, heap.foldRoom + short), NOTHING_BEFORE)
}

/** With this CRC so far a text's own is plainly its remainder: the 32 ones that one begins with are in the folded text. */
const NOTHING_BEFORE = 0xffffffff
