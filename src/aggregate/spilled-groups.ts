import { deserialize, serialize } from 'node:v8'
import type { KeyTableState } from '../core/batch.ts'
import { canonicalKey, PLAIN_KEY } from '../core/key.ts'
import { fromLatin1, latin1, toLatin1 } from '../core/latin1.ts'
import type { SpillFile, SpillHandle, StageContext } from '../core/operator.ts'
import type { SetState } from './set.ts'

/** Bits of a key's hash that choose its partition. */
const BITS = 6
const PARTITIONS = 1 << BITS
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
 *     ┌────────┬──────────────────────────┐
 *     │ length │ Groups, as node:v8 has it│   length: 32 bits, little endian
 *     └────────┴──────────────────────────┘
 *
 * so that each partition can be put together in memory on its own. One that is still too large is parted again by further bits.
 */
export class SpilledGroups {
  readonly #spill: StageContext['spill']
  readonly #level: number
  readonly #partitions: SpillFile[][] = Array.from({ length: PARTITIONS }, () => [])
  /** This thread's file of each partition. */
  readonly #own: (SpillFile | undefined)[] = []

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
    const partitions = partKeys(keys, parts, BITS * this.#level)
    for (const [partition, { keys, ids }] of partitions.entries()) {
      if (ids.length === 0) continue
      const groups: Groups = { keys, set: exportSlots(ids) }
      const bytes = serialize(groups)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      const file = this.#file(partition)
      file.append(length)
      file.append(bytes)
    }
  }

  #file(partition: number): SpillFile {
    let file = this.#own[partition]
    if (!file) this.#partitions[partition]!.push((file = this.#own[partition] = this.#spill()))
    return file
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

  /** The chunks of each partition. Its space is given back once it has been gone through. */
  *partitions(): Generator<Iterable<Groups>> {
    for (const files of this.#partitions) {
      yield chunks(files)
      for (const file of files) file.close()
    }
  }
}

function* chunks(files: readonly SpillFile[]): Generator<Groups> {
  const length = Buffer.alloc(4)
  for (const file of files) {
    for (let at = 0; at < file.size;) {
      file.read(length, at)
      const bytes = Buffer.allocUnsafe(length.readUInt32LE())
      file.read(bytes, at + 4)
      at += 4 + bytes.length
      yield deserialize(bytes) as Groups
    }
  }
}

/** The keys of each partition, and their ids. One pass in the order of the ids, since jumping about in memory would cost more than all else. */
function partKeys(keys: KeyTableState, parts: number, shift: number): { keys: KeyTableState; ids: Uint32Array }[] {
  const { bytes, ends, positions } = keys
  const count = positions.length
  const chosen = new Uint8Array(count)
  const counts = new Uint32Array(PARTITIONS)
  const sizes = new Uint32Array(PARTITIONS)
  for (let id = 0, start = 0; id < count; id++) {
    const end = ends[(id + 1) * parts - 1]!
    const partition = (hashOf(keys, id, parts, start) >>> shift) & (PARTITIONS - 1)
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

/** A hash (FNV-1a, finished as MurmurHash3 is) that equal keys share, however they are spelt. */
function hashOf({ bytes, ends }: KeyTableState, id: number, parts: number, start: number): number {
  let hash = 0x811c9dc5
  for (let part = 0; part < parts; part++) {
    const end = ends[id * parts + part]!
    if (isPlainString(bytes, start, end)) {
      for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
    } else {
      let text = latin1(bytes, start, end)
      if (!PLAIN_KEY.test(text)) text = toLatin1(canonicalKey(fromLatin1(text)))
      for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
    }
    hash = Math.imul(hash ^ 0x0a, 0x01000193)
    start = end
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** The commonest case of PLAIN_KEY, without making a string of it. */
function isPlainString(bytes: Uint8Array, start: number, end: number): boolean {
  if (bytes[start] !== 0x22) return false
  for (let at = start; at < end; at++) if (bytes[at] === 0x5c) return false
  return true
}
