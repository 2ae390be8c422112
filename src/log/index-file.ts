import { crc32 } from 'node:zlib'
import { type Env, readAll } from './env.ts'
import { decodeGaps, encodeGaps } from './gaps.ts'

/**
 * The index of a segment: slots of 80 bytes, little endian, numbers as IEEE doubles (f64) where they may pass 2^32.
 * A batch is one 'B' slot and, when its records were interleaved with other partitions' or have gaps between their offsets,
 * 'C' slots with the details. Slots find each other, so that a binary search may land anywhere.
 *
 *      0 'B' │ 1 flags │ 4 u32 CRC of the entry (this field as 0, 'C' slots included)
 *      8 f64 first offset │ 16 f64 offset after the last │ 24 f64 position │ 32 u32 length │ 36 u32 records
 *     40 f64 commit │ 48 f64 least time │ 56 f64 greatest time │ 64 f64 greatest time of the segment so far
 *     72 u32 CRC of the records' bytes │ 76 u32 bytes of detail
 *
 *      0 'C' │ 4 u32 slots back to its 'B' │ 8 … 72 bytes of detail
 */
export const SLOT = 80
const DETAIL = SLOT - 8
const BATCH = 0x42
const CONTINUED = 0x43
const Flag = { eventTime: 1, ranks: 2, offsets: 4 } as const

/** One batch: records committed together, side by side in one segment. */
export interface Batch {
  readonly offset: number
  readonly end: number
  readonly position: number
  readonly length: number
  readonly count: number
  /** The number of its commit. */
  readonly commit: number
  readonly minTime: number
  readonly maxTime: number
  /** Times are the records' own (else the commit's). */
  readonly eventTime: boolean
  readonly crc: number
  /** Rank of each record among all records of its commit; undefined: 0, 1, 2 … */
  readonly ranks?: Uint32Array
  /** Offset of each record; undefined: without gaps. */
  readonly offsets?: Float64Array
}
/** A batch with where it stands in the index. */
export interface IndexedBatch extends Batch {
  readonly slot: number
  readonly slots: number
  readonly segmentMaxTime: number
}

/** The ranks of records as a batch keeps them. */
export const encodeRanks = (ranks: Uint32Array): Uint8Array => encodeGaps(ranks, 0, ranks.length, -1)

/** The slots of one batch. @param segmentMaxTime of the segment before it @param encodedRanks its ranks, where they are encoded already */
export function encodeBatch(batch: Batch, segmentMaxTime: number, encodedRanks?: Uint8Array): Buffer {
  const ranks = encodedRanks ?? (batch.ranks ? encodeRanks(batch.ranks) : new Uint8Array())
  const offsets = batch.offsets ? encodeGaps(batch.offsets, 0, batch.count, batch.offset - 1) : new Uint8Array()
  const detail = ranks.length + offsets.length
  const slots = 1 + Math.ceil(detail / DETAIL)
  const bytes = Buffer.alloc(slots * SLOT)
  bytes[0] = BATCH
  bytes[1] =
    (batch.eventTime ? Flag.eventTime : 0) |
    (encodedRanks || batch.ranks ? Flag.ranks : 0) |
    (batch.offsets ? Flag.offsets : 0)
  bytes.writeDoubleLE(batch.offset, 8)
  bytes.writeDoubleLE(batch.end, 16)
  bytes.writeDoubleLE(batch.position, 24)
  bytes.writeUInt32LE(batch.length, 32)
  bytes.writeUInt32LE(batch.count, 36)
  bytes.writeDoubleLE(batch.commit, 40)
  bytes.writeDoubleLE(batch.minTime, 48)
  bytes.writeDoubleLE(batch.maxTime, 56)
  bytes.writeDoubleLE(Math.max(batch.maxTime, segmentMaxTime), 64)
  bytes.writeUInt32LE(batch.crc, 72)
  bytes.writeUInt32LE(detail, 76)
  const details = Buffer.concat([ranks, offsets])
  for (let slot = 1; slot < slots; slot++) {
    bytes[slot * SLOT] = CONTINUED
    bytes.writeUInt32LE(slot, slot * SLOT + 4)
    details.copy(bytes, slot * SLOT + 8, (slot - 1) * DETAIL, slot * DETAIL)
  }
  bytes.writeUInt32LE(crc32(bytes), 4)
  return bytes
}

/** Slots that the batch slot at `at` says it has; 0 when there is no batch slot there. */
const slotsAt = (bytes: Buffer, at: number): number =>
  bytes[at] === BATCH ? 1 + Math.ceil(bytes.readUInt32LE(at + 76) / DETAIL) : 0

/** Reads a batch whose slots are all in `bytes` from `at`; undefined when they are damaged. */
export function decodeBatch(bytes: Buffer, at: number, slot: number): IndexedBatch | undefined {
  const slots = slotsAt(bytes, at)
  if (slots === 0 || at + slots * SLOT > bytes.length) return undefined
  const entry = Buffer.from(bytes.subarray(at, at + slots * SLOT))
  const crc = entry.readUInt32LE(4)
  entry.writeUInt32LE(0, 4)
  if (crc32(entry) !== crc) return undefined
  const flags = entry[1] as number
  const count = entry.readUInt32LE(36)
  const offset = entry.readDoubleLE(8)
  const details = Buffer.allocUnsafe(slots > 1 ? (slots - 1) * DETAIL : 0)
  for (let i = 1; i < slots; i++) entry.copy(details, (i - 1) * DETAIL, i * SLOT + 8, (i + 1) * SLOT)
  let read = 0
  const ranks = flags & Flag.ranks ? new Uint32Array(count) : undefined
  if (ranks) read = decodeGaps(details, read, -1, ranks)
  const offsets = flags & Flag.offsets ? new Float64Array(count) : undefined
  if (offsets) decodeGaps(details, read, offset - 1, offsets)
  return {
    offset,
    end: entry.readDoubleLE(16),
    position: entry.readDoubleLE(24),
    length: entry.readUInt32LE(32),
    count,
    commit: entry.readDoubleLE(40),
    minTime: entry.readDoubleLE(48),
    maxTime: entry.readDoubleLE(56),
    segmentMaxTime: entry.readDoubleLE(64),
    eventTime: (flags & Flag.eventTime) !== 0,
    crc: entry.readUInt32LE(72),
    slot,
    slots,
    ...(ranks && { ranks }),
    ...(offsets && { offsets }),
  }
}

/** Reads the batches of one open index, a block at a time. `slots`: how many are committed. */
export class IndexReader {
  slots: number
  private readonly env: Env
  private readonly fd: number
  private readonly block = Buffer.allocUnsafe(256 * SLOT)
  private from = 0
  private to = 0

  constructor(env: Env, fd: number, slots: number) {
    this.env = env
    this.fd = fd
    this.slots = slots
  }

  /** The batch whose slot is `slot`; undefined at the end. @throws RangeError when the index is damaged or cut */
  at(slot: number): IndexedBatch | undefined {
    if (slot >= this.slots) return undefined
    const bytes = this.load(slot, 1)
    const slots = slotsAt(bytes, 0)
    const batch = slots > 0 && slot + slots <= this.slots ? decodeBatch(this.load(slot, slots), 0, slot) : undefined
    if (!batch) throw new RangeError(`the index is damaged at byte ${slot * SLOT}`)
    return batch
  }

  /** The first batch for which `test` holds, where all before it fail; undefined when none. Reads some 80 bytes a step. */
  search(test: (batch: IndexedBatch) => boolean): IndexedBatch | undefined {
    let low = 0
    let high = this.slots
    let found: IndexedBatch | undefined
    while (low < high) {
      const batch = this.around((low + high) >>> 1)
      if (test(batch)) {
        found = batch
        high = batch.slot
      } else low = batch.slot + batch.slots
    }
    return found
  }

  /** The batch to which a slot belongs. */
  private around(slot: number): IndexedBatch {
    const bytes = this.load(slot, 1)
    const back = bytes[0] === CONTINUED ? bytes.readUInt32LE(4) : 0
    const batch = back <= slot ? this.at(slot - back) : undefined
    if (!batch) throw new RangeError(`the index is damaged at byte ${slot * SLOT}`)
    return batch
  }

  private load(slot: number, count: number): Buffer {
    if (slot < this.from || slot + count > this.to) {
      const wanted = Math.max(count, Math.min(256, this.slots - slot))
      const into = wanted > 256 ? Buffer.allocUnsafe(wanted * SLOT) : this.block.subarray(0, wanted * SLOT)
      const got = Math.floor(readAll(this.env, this.fd, into, slot * SLOT) / SLOT)
      if (got < count) throw new RangeError(`the index ends at byte ${(slot + got) * SLOT}`)
      if (wanted > 256) return into
      this.from = slot
      this.to = slot + got
    }
    return this.block.subarray((slot - this.from) * SLOT, (slot - this.from + count) * SLOT)
  }
}
