import { NONE } from '../aggregate/aggregate.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import { upTo } from '../core/columns.ts'
import type { KeyLines, KeyTable, KeyTableState, LinePiece, RecordBatch } from '../core/batch.ts'
import type { KeyField } from '../core/field-path.ts'
import { latin1, toLatin1 } from '../core/latin1.ts'
import type { StageContext } from '../core/operator.ts'
import { appendSortKey } from '../sort/sort-key.ts'
import type { Lines } from './lines.ts'

/** A guess at what a key costs in the table beside twice its text. */
const KEY_BYTES = 64
/** Without `--by` there is one key, which is nothing. */
const NO_KEYS: KeyTableState = {
  bytes: new Uint8Array(0),
  ends: new Uint32Array(0),
  positions: Float64Array.of(0),
}

/** Sort keys of the first ids are kept: with few keys they are asked for again and again. */
const REMEMBERED = 1024
const SCRATCH = new ByteBuffer(256)

/** The table is looked through for keys that nothing holds any more when it has this many, or twice what was held the last time. */
const LEAST_SWEEP = 65_536

/** Per row 1 where the key matters, else 0. */
export interface WantedRows {
  test(batch: RecordBatch): Uint8Array
}

/**
 * The keys of the open windows. A key that no window holds any more is forgotten now and then, so that the memory grows with what is
 * open and not with what was ever seen.
 */
export class Keys {
  readonly #table: KeyTable | undefined
  readonly #parts: number
  readonly #prefixes: readonly string[]
  #ids = new Uint32Array(0)
  #sortKeys: string[] = []
  #sweepAt: number
  /** How many keys the last snapshot knows; NaN when keys have other ids since. */
  #kept = NaN
  readonly #fields: readonly number[]
  readonly #wanted: WantedRows | undefined

  /**
   * @param fields the keys' indices in the batch
   * @param wanted says of which rows the keys matter
   */
  constructor(
    context: StageContext,
    keys: readonly KeyField[],
    fields: readonly number[],
    { sweepAt = LEAST_SWEEP, wanted }: { readonly sweepAt?: number; readonly wanted?: WantedRows | undefined } = {},
  ) {
    this.#fields = fields
    this.#wanted = wanted
    // With `wanted` keys are read from a view that has nothing else.
    this.#table = keys.length > 0 ? context.keyTable(wanted ? fields.map((_, part) => part) : fields) : undefined
    this.#parts = keys.length
    this.#sweepAt = sweepAt
    this.#prefixes = keys.map(({ name }) => `,${toLatin1(JSON.stringify(name))}:`)
  }

  /** Ids are below this. */
  get size(): number {
    return this.#table?.size ?? 1
  }

  /** The id of each row, NONE where the key does not matter. A view, valid until the next call. Without keys all are 0. */
  intern(batch: RecordBatch): Uint32Array {
    if (this.#table && this.#wanted) return this.#internWanted(this.#table, this.#wanted.test(batch), batch)
    if (this.#table) return this.#table.intern(batch)
    if (this.#ids.length < batch.count) this.#ids = new Uint32Array(batch.count)
    return this.#ids
  }

  #internWanted(table: KeyTable, mask: Uint8Array, batch: RecordBatch): Uint32Array {
    const { count } = batch
    if (this.#ids.length < count) this.#ids = new Uint32Array(count + (count >> 1))
    const ids = this.#ids
    const view = batch.select(this.#fields, mask, 0, count)
    const known = view.count > 0 ? table.intern(view) : ids
    for (let row = 0, at = 0; row < count; row++) ids[row] = mask[row] === 1 ? (known[at++] as number) : NONE
    return ids
  }

  /** The key as members of an object, each behind a comma: `,"path":"/"`. A latin1 ("binary") string. */
  members(id: number): string {
    let text = ''
    for (let part = 0; part < this.#parts; part++) text += (this.#prefixes[part] as string) + this.#text(id, part)
    return text
  }

  /** Makes lines whose keys' members stand between two pieces; without keys none. */
  lines(before: readonly LinePiece[], after: readonly LinePiece[]): KeyLines | undefined {
    const members = this.#prefixes.flatMap((text, part): LinePiece[] => [
      { kind: 'text', text },
      { kind: 'key', part },
    ])
    return this.#table?.lines([...before, ...members, ...after])
  }

  /** The same, as bytes. */
  writeMembers(id: number, lines: Lines): void {
    for (let part = 0; part < this.#parts; part++) {
      lines.text(this.#prefixes[part] as string).key(this.#table as KeyTable, id, part)
    }
  }

  /** A string whose order, char by char, is the order of the keys: by the order of values, first key first. */
  sortKey(id: number): string {
    if (id >= REMEMBERED) return this.#makeSortKey(id)
    return (this.#sortKeys[id] ??= this.#makeSortKey(id))
  }

  #makeSortKey(id: number): string {
    let key = ''
    for (let part = 0; part < this.#parts; part++) {
      const text = this.#text(id, part)
      // What `appendSortKey` makes of a string without escapes.
      if (text.startsWith('"') && !text.includes('\\')) key += `\u0005${text.slice(1, -1)}\u0000\u0001`
      else {
        const bytes = Buffer.from(text, 'latin1')
        SCRATCH.length = 0
        appendSortKey(SCRATCH, bytes, 0, bytes.length)
        key += latin1(SCRATCH.bytes, 0, SCRATCH.length)
      }
    }
    return key
  }

  /** Ids in the order of results. O(n log n) comparisons of short strings. */
  sorted(some: Iterable<number>): number[] {
    const ids = [...some]
    if (ids.length < 2) return ids
    const keys = ids.map((id) => this.sortKey(id))
    const order = upTo(ids.length)
    order.sort((a, b) => ((keys[a] as string) < (keys[b] as string) ? -1 : 1))
    return Array.from(order, (index) => ids[index] as number)
  }

  /** All keys, which are forgotten here; and keys of another table, with their ids here. */
  takeAll(): KeyTableState | undefined {
    const state = this.#table?.export()
    this.clear()
    return state
  }
  /** Some keys, in this order. Moves nothing in memory: it may be asked for while a batch is worked on. */
  pick(ids: Uint32Array): KeyTableState {
    const table = this.#table
    if (!table) return NO_KEYS
    const parts = this.#parts
    const bytes = new Uint8Array(ids.reduce((sum, id) => sum + table.textBytes(id), 0))
    const ends = new Uint32Array(ids.length * parts)
    let at = 0
    ids.forEach((id, index) => {
      for (let part = 0; part < parts; part++) {
        ends[index * parts + part] = at = table.copyText(id, part, bytes, at)
      }
    })
    return { bytes: bytes.subarray(0, at), ends, positions: Float64Array.from(ids, (id) => table.position(id)) }
  }

  /** How many parts a key has. */
  get parts(): number {
    return this.#parts
  }

  /** About how much memory the keys hold. A few stand for all: cheap. */
  get bytes(): number {
    const table = this.#table
    if (!table) return 0
    const { size } = table
    const sample = Math.min(size, 16)
    let characters = 0
    for (let index = 0; index < sample; index++) characters += table.textBytes(Math.floor((index * size) / sample))
    return size * (KEY_BYTES + (2 * characters) / Math.max(1, sample))
  }

  /** Forgets all keys. */
  clear(): void {
    this.#table?.clear()
    this.#sortKeys = []
    this.#kept = NaN
  }

  /** Whether a snapshot of new keys would not do: ids have changed since the last one. */
  get renumbered(): boolean {
    return Number.isNaN(this.#kept)
  }
  /** All keys, or those that came since the last snapshot. */
  snapshot(whole: boolean): KeyTableState | undefined {
    const from = whole || this.renumbered ? 0 : this.#kept
    this.#kept = this.size
    return this.#table?.export(from)
  }
  /** Before `restore`: so many keys there will be. */
  reserve(keys: number): void {
    this.#table?.reserve(keys)
  }
  /** What `snapshot` gave, in order: keys have the ids that they had. */
  restore(state: KeyTableState | undefined): void {
    if (state) this.#table?.import(state)
    // All of them were in use, or would have been forgotten.
    this.#sweepAt = Math.max(this.#sweepAt, 2 * this.size)
    this.#kept = this.size
  }
  takeIn(state: KeyTableState): Uint32Array {
    return this.#table ? this.#table.import(state) : new Uint32Array(state.positions.length)
  }

  /**
   * Between batches: when the table has grown large, forgets all keys but those that `live` marks with 1, and returns the new id of each
   * old one. The caller gives its keys their new ids.
   */
  sweep(live: (marks: Uint8Array) => void): Uint32Array | undefined {
    const table = this.#table
    if (!table || table.size < this.#sweepAt) return undefined
    const marks = new Uint8Array(table.size)
    live(marks)
    const kept: number[] = []
    for (let id = 0; id < marks.length; id++) if (marks[id] === 1) kept.push(id)
    this.#sweepAt = Math.max(LEAST_SWEEP, 2 * kept.length)
    if (kept.length > marks.length / 2) return undefined
    const state = table.export()
    const parts = this.#parts
    const ends = new Uint32Array(kept.length * parts)
    const from = (id: number): number => (id === 0 ? 0 : (state.ends[id * parts - 1] as number))
    const to = (id: number): number => state.ends[id * parts + parts - 1] as number
    const bytes = new Uint8Array(kept.reduce((sum, id) => sum + to(id) - from(id), 0))
    let at = 0
    kept.forEach((id, index) => {
      bytes.set(state.bytes.subarray(from(id), to(id)), at)
      for (let part = 0; part < parts; part++) {
        ends[index * parts + part] = at + (state.ends[id * parts + part] as number) - from(id)
      }
      at += to(id) - from(id)
    })
    this.clear()
    const fresh = table.import({
      bytes,
      ends,
      positions: Float64Array.from(kept, (id) => state.positions[id] as number),
    })
    const ids = new Uint32Array(marks.length)
    kept.forEach((id, index) => (ids[id] = fresh[index] as number))
    return ids
  }

  #text(id: number, part: number): string {
    return (this.#table as KeyTable).text(id, part)
  }
}
