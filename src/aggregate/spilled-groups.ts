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
  #own: SpillFile[] | undefined

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
    const members: number[][] = Array.from({ length: PARTITIONS }, () => [])
    for (let id = 0, start = 0; id < keys.positions.length; id++) {
      const end = keys.ends[(id + 1) * parts - 1]!
      const hash = hashOf(keys, id, parts, start)
      members[(hash >>> (BITS * this.#level)) & (PARTITIONS - 1)]!.push(id)
      start = end
    }
    this.#own ??= this.#partitions.map((files) => {
      const file = this.#spill()
      files.push(file)
      return file
    })
    for (const [partition, ids] of members.entries()) {
      if (ids.length === 0) continue
      const groups: Groups = { keys: pickKeys(keys, parts, ids), set: exportSlots(Uint32Array.from(ids)) }
      const bytes = serialize(groups)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      this.#own[partition]!.append(Buffer.concat([length, bytes]))
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

/** The keys of some ids alone. */
export function pickKeys(
  { bytes, ends, positions }: KeyTableState,
  parts: number,
  ids: readonly number[],
): KeyTableState {
  const startOf = (id: number): number => (id === 0 ? 0 : ends[id * parts - 1]!)
  const picked = new Uint8Array(ids.reduce((sum, id) => sum + ends[(id + 1) * parts - 1]! - startOf(id), 0))
  const pickedEnds = new Uint32Array(ids.length * parts)
  let at = 0
  for (const [index, id] of ids.entries()) {
    const start = startOf(id)
    const end = ends[(id + 1) * parts - 1]!
    for (let part = 0; part < parts; part++) pickedEnds[index * parts + part] = at + ends[id * parts + part]! - start
    for (let p = start; p < end; p++) picked[at++] = bytes[p]!
  }
  return { bytes: picked, ends: pickedEnds, positions: Float64Array.from(ids, (id) => positions[id]!) }
}

/** A hash (FNV-1a, finished as MurmurHash3 is) that equal keys share, however they are spelt. */
function hashOf({ bytes, ends }: KeyTableState, id: number, parts: number, start: number): number {
  let hash = 0x811c9dc5
  for (let part = 0; part < parts; part++) {
    const end = ends[id * parts + part]!
    let text = latin1(bytes, start, end)
    if (!PLAIN_KEY.test(text)) text = toLatin1(canonicalKey(fromLatin1(text)))
    for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
    hash = Math.imul(hash ^ 0x0a, 0x01000193)
    start = end
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
