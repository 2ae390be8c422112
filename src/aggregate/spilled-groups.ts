import { deserialize, serialize } from 'node:v8'
import type { KeyParts, KeyTable, KeyTableState } from '../core/batch.ts'
import type { SpillFile, SpillHandle, StageContext } from '../core/operator.ts'
import { PARTITION_BITS, PARTITIONS, partKeys } from '../ndjson/key-parts.ts'
import type { SetState } from './set.ts'

/** Partitions of partitions end here: a hash has no more bits, and one giant group cannot be parted. */
const DEEPEST = 4

/** Some groups: their keys, with the positions of their first records, and their states in the same order. */
export interface Groups {
  readonly keys: KeyTableState
  readonly set: SetState
}

/**
 * Groups on disk, by partitions of their keys' hash: all that is known of a key is in one partition, in chunks
 *
 *     ┌──────┬──────┬──────┬───────────┬───────────┬──────┬───────┬─────┐   size of all, numbers of keys and of ends, size of the set:
 *     │ size │ keys │ ends │ set bytes │ positions │ ends │ texts │ set │   32 bits each, little endian. Set: as node:v8 has it; then
 *     └──────┴──────┴──────┴───────────┴───────────┴──────┴───────┴─────┘   zeros up to a multiple of 8
 *
 * so that each partition can be put together in memory on its own. One that is still too large is parted again by further bits.
 */
export class SpilledGroups {
  readonly #spill: StageContext['spill']
  readonly #level: number
  readonly #partitions: SpillFile[][] = Array.from({ length: PARTITIONS }, () => [])
  /** This thread's file of each partition. */
  readonly #own: (SpillFile | undefined)[] = []
  /** How much of it `added` has given out. */
  readonly #taken: number[] = []

  constructor(spill: StageContext['spill'], level = 0) {
    this.#spill = spill
    this.#level = level
  }

  /** Another one for a partition of this, if its keys can be parted further. */
  deeper(): SpilledGroups | undefined {
    return this.#level < DEEPEST ? new SpilledGroups(this.#spill, this.#level + 1) : undefined
  }

  /** Writes groups whose states `exportSlots` gives, by their index in `keys`. O(their bytes). */
  write(keys: KeyTableState, parts: number, exportSlots: (slots: Uint32Array) => SetState): void {
    this.#write(partKeys(keys, parts, PARTITION_BITS * this.#level), exportSlots)
  }

  /** The same for all keys of a table, by their ids. */
  writeTable(table: KeyTable, exportSlots: (slots: Uint32Array) => SetState): void {
    this.#write(table.parted(PARTITION_BITS * this.#level), exportSlots)
  }

  #write(partitions: readonly KeyParts[], exportSlots: (slots: Uint32Array) => SetState): void {
    for (const [partition, { keys, ids }] of partitions.entries()) {
      if (ids.length === 0) continue
      this.#file(partition).append(chunkOf(keys, serialize(exportSlots(ids))))
    }
  }

  #file(partition: number): SpillFile {
    let file = this.#own[partition]
    if (!file) this.#partitions[partition]!.push((file = this.#own[partition] = this.#spill()))
    return file
  }

  /** What has been written since the last call, by partition, for a log; and back. */
  added(): Uint8Array[] {
    return this.#own.map((file, partition) => {
      const from = this.#taken[partition] ?? 0
      const bytes = new Uint8Array((file?.size ?? 0) - from)
      file?.read(bytes, from)
      this.#taken[partition] = from + bytes.length
      return bytes
    })
  }
  restore(added: readonly (Uint8Array | undefined)[]): void {
    for (const [partition, bytes] of added.entries()) {
      if (!bytes || bytes.length === 0) continue
      const file = this.#file(partition)
      file.append(bytes)
      this.#taken[partition] = file.size
    }
  }

  /** What another thread needs to go on with these files. */
  get handles(): readonly SpillHandle[][] {
    return this.#partitions.map((files) => files.map(({ handle }) => handle))
  }

  /** Takes over the files of another thread. */
  adopt(handles: readonly (readonly SpillHandle[])[]): void {
    for (const [partition, files] of handles.entries()) {
      this.#partitions[partition]!.push(...files.map((handle) => this.#spill(handle)))
    }
  }

  /** How large a partition is on disk. */
  bytes(partition: number): number {
    return this.#partitions[partition]!.reduce((sum, { size }) => sum + size, 0)
  }

  /** The chunks of each partition. */
  *partitions(): Generator<Iterable<Groups>> {
    for (let partition = 0; partition < PARTITIONS; partition++) yield this.partition(partition)
  }
  /** Those of one. Its space is given back once it has been gone through. */
  *partition(partition: number): Generator<Groups> {
    const files = this.#partitions[partition]!
    yield* chunks(files)
    for (const file of files) file.close()
  }
}

function* chunks(files: readonly SpillFile[]): Generator<Groups> {
  const header = Buffer.alloc(HEADER_BYTES)
  for (const file of files) {
    for (let at = 0; at < file.size;) {
      file.read(header, at)
      // Of its own: what is in it goes on living.
      const chunk = Buffer.allocUnsafeSlow(header.readUInt32LE())
      file.read(chunk, at)
      at += chunk.length
      yield groupsOf(chunk)
    }
  }
}

const HEADER_BYTES = 16
/** Chunks are put together here. */
let made = Buffer.alloc(0)

function chunkOf({ positions, ends, bytes }: KeyTableState, set: Uint8Array): Uint8Array {
  const exact = HEADER_BYTES + positions.byteLength + ends.byteLength + bytes.length + set.length
  const size = (exact + 7) & ~7
  if (made.length < size) made = Buffer.alloc(2 * size)
  const header = [size, positions.length, ends.length, set.length]
  for (const [index, number] of header.entries()) made.writeUInt32LE(number, 4 * index)
  let at = HEADER_BYTES
  for (const { buffer, byteOffset, byteLength } of [positions, ends, bytes, set]) {
    made.set(new Uint8Array(buffer, byteOffset, byteLength), at)
    at += byteLength
  }
  return made.subarray(0, size)
}

function groupsOf(chunk: Buffer): Groups {
  const [count, endCount, setBytes] = [chunk.readUInt32LE(4), chunk.readUInt32LE(8), chunk.readUInt32LE(12)]
  const positions = new Float64Array(chunk.buffer, HEADER_BYTES, count)
  const ends = new Uint32Array(chunk.buffer, HEADER_BYTES + positions.byteLength, endCount)
  const texts = HEADER_BYTES + positions.byteLength + ends.byteLength
  const bytes = chunk.subarray(texts, texts + (ends[endCount - 1] ?? 0))
  const set = deserialize(chunk.subarray(texts + bytes.length, texts + bytes.length + setBytes)) as SetState
  return { keys: { bytes, ends, positions }, set }
}

/** The keys of some ids alone. */
export function pickKeys(
  { bytes, ends, positions }: KeyTableState,
  parts: number,
  ids: readonly number[],
): KeyTableState {
  const pieces = ids.map((id) => bytes.subarray(id === 0 ? 0 : ends[id * parts - 1], ends[(id + 1) * parts - 1]))
  let shifted = 0
  const pickedEnds = ids.flatMap((id, index) => {
    const start = id === 0 ? 0 : ends[id * parts - 1]!
    const own = Array.from(ends.subarray(id * parts, (id + 1) * parts), (end) => end - start + shifted)
    shifted += pieces[index]!.length
    return own
  })
  return {
    bytes: Buffer.concat(pieces),
    ends: Uint32Array.from(pickedEnds),
    positions: Float64Array.from(ids, (id) => positions[id]!),
  }
}
