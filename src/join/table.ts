import type { KeyTable, KeyTableState, RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import { grownBytes, grownFloats, grownInts } from '../core/columns.ts'
import { BeckError } from '../core/errors.ts'
import type { StageContext } from '../core/operator.ts'
import { formatSize } from '../core/size.ts'
import type { TableReader } from '../core/spec.ts'
import type { EventTimes } from './broadcast.ts'
import { Splicer, type SpliceRules } from './splice.ts'

export type JoinType = 'inner' | 'left' | 'right' | 'full' | 'semi' | 'anti'

/** The table of a join in memory. Its arrays are shared by all workers. */
export interface JoinTable {
  /** Every distinct key; ids are those of `rowKeys`. */
  readonly keys: KeyTableState
  readonly keyCount: number
  /** Rows `rows[firsts[id]]` up to `rows[firsts[id + 1]]` have the key `id`, in their order (by time for as-of). Keys with a null have none. */
  readonly firsts: Uint32Array
  readonly rows: Uint32Array
  readonly rowCount: number
  /** Per row where its tail and its line begin (and the next one's, so that is where they end). */
  readonly tailStarts: Uint32Array
  readonly lineStarts: Uint32Array
  /** What a row adds to a left record: `,"name":"Ann"}` and a line end. Empty for semi and anti joins. */
  readonly tails: Uint8Array
  /** Lines as they came, where rows may leave alone. */
  readonly lines: Uint8Array
  /** Event times of rows, for as-of joins. */
  readonly times: Float64Array
  /** All names of members that could clash with a left record's. */
  readonly names: readonly string[]
  /** How many copies of the rows each thread may make where the kernel can read them. */
  readonly copies: number
}

/** Offsets are 32-bit. */
const MOST_BYTES = 2 ** 32 - 2 ** 20
/** What a key costs in a table of keys, beside half as much again as its text. */
const KEY_BYTES = 56
/** What a key costs in the table that is shared, beside its text: its place and its rows. */
const SHARED_KEY_BYTES = 20

export interface JoinTableOptions {
  readonly table: string
  readonly type: JoinType
  readonly rules: SpliceRules
  /** The parts of the key, by their index. */
  readonly keyFields: readonly number[]
  /** Event times of rows, for as-of joins. */
  readonly times: EventTimes | undefined
}

/** Reads the table of a join into memory. O(its bytes). @throws BeckError table-too-large */
export class JoinTableReader implements TableReader<JoinTable> {
  readonly #options: JoinTableOptions
  readonly #context: StageContext
  readonly #keys: KeyTable
  readonly #splicer: Splicer
  readonly #tails = new ByteBuffer(1 << 16)
  readonly #lines = new ByteBuffer(1 << 16)
  #rowCount = 0
  #rowKeys: Uint32Array = new Uint32Array(0)
  #tailStarts: Uint32Array = new Uint32Array(0)
  #lineStarts: Uint32Array = new Uint32Array(0)
  #times: Float64Array = new Float64Array(0)
  /** Per key 1 when a part of it is null. */
  #nulls: Uint8Array = new Uint8Array(0)
  #keyCount = 0
  #keyTextBytes = 0
  readonly #names = new Set<string>()
  readonly #keepsTails: boolean
  readonly #keepsLines: boolean

  constructor(options: JoinTableOptions, context: StageContext) {
    this.#options = options
    this.#context = context
    this.#keys = context.keyTable(options.keyFields)
    this.#splicer = new Splicer(options.rules)
    this.#keepsTails = options.type !== 'semi' && options.type !== 'anti'
    this.#keepsLines = options.type === 'right' || options.type === 'full'
  }

  processBatch(batch: RecordBatch): void {
    const { bytes, spans, stride, count } = batch
    const ids = this.#keys.intern(batch)
    const times = this.#options.times?.read(batch)
    this.#seeKeys()
    const most = this.#rowCount + count
    this.#rowKeys = grownInts(this.#rowKeys, most)
    if (times) this.#times = grownFloats(this.#times, most)
    if (this.#keepsTails) this.#tailStarts = grownInts(this.#tailStarts, most)
    if (this.#keepsLines) this.#lineStarts = grownInts(this.#lineStarts, most)
    for (let row = 0; row < count; row++) {
      if (times && Number.isNaN(times[row])) {
        this.#context.reject(batch, row, this.#options.times!.problem(batch, row))
        continue
      }
      const start = spans[row * stride]!
      const end = spans[row * stride + 1]!
      const id = ids[row]!
      const own = this.#rowCount++
      this.#rowKeys[own] = id
      if (times) this.#times[own] = times[row]!
      if (!this.#keepsTails) continue
      this.#tailStarts[own] = this.#tails.length
      for (const name of this.#splicer.clashingNames(bytes, start, end) ?? []) this.#names.add(name)
      // A null key never has a partner, and only objects can take another's members.
      if (this.#nulls[id] === 0 && !this.#splicer.tail(this.#tails, bytes, start, end)) {
        this.#context.reject(batch, row, {
          problem: 'only objects can be joined',
          hint: 'join it as a member: --nest NAME',
        })
      }
      if (!this.#keepsLines) continue
      this.#lineStarts[own] = this.#lines.length
      this.#lines.copy(bytes, start, end)
    }
    this.#checkMemory()
  }

  #seeKeys(): void {
    const { keyFields } = this.#options
    const keys = this.#keys
    this.#nulls = grownBytes(this.#nulls, keys.size)
    for (; this.#keyCount < keys.size; this.#keyCount++) {
      this.#keyTextBytes += keys.textBytes(this.#keyCount)
      for (let part = 0; part < keyFields.length; part++) {
        if (keys.text(this.#keyCount, part) === 'null') this.#nulls[this.#keyCount] = 1
      }
    }
  }

  /** What all threads have of the table together, and what each has of its own besides copies of the rows. */
  #sizes(): { readonly shared: number; readonly keys: number; readonly copy: number } {
    const { length } = this.#tails
    const rowBytes = 4 + (this.#keepsTails ? 4 : 0) + (this.#keepsLines ? 4 : 0) + (this.#options.times ? 8 : 0)
    return {
      shared:
        length +
        this.#lines.length +
        rowBytes * this.#rowCount +
        SHARED_KEY_BYTES * this.#keyCount +
        this.#keyTextBytes,
      keys: KEY_BYTES * this.#keyCount + 1.5 * this.#keyTextBytes,
      copy: length + 8 * this.#rowCount + 4 * this.#keyCount,
    }
  }

  #checkMemory(): void {
    const { memoryBytes, workers } = this.#context
    const { shared, keys } = this.#sizes()
    const bytes = this.#tails.length + this.#lines.length
    // At its end what was read stands beside what it comes to; later every thread has the keys.
    const held = Math.max(2 * shared + keys, shared + workers * keys)
    if (held > memoryBytes || bytes > MOST_BYTES) {
      throw new BeckError('table-too-large', {
        table: this.#options.table,
        memory: formatSize(Math.min(memoryBytes, MOST_BYTES)),
        ...(this.#options.times && { asOf: 1 }),
      })
    }
  }

  end(): JoinTable {
    const { shared, keys, copy } = this.#sizes()
    const { memoryBytes, workers } = this.#context
    const copies = Math.floor((memoryBytes - shared - workers * keys) / (workers * Math.max(1, copy)))
    const rowCount = this.#rowCount
    const keyCount = this.#keys.size
    // Counting sort: rows by key, in their order.
    const firsts = sharedUint32(keyCount + 1)
    for (let row = 0; row < rowCount; row++) {
      const id = this.#rowKeys[row]!
      if (this.#nulls[id] === 0) firsts[id + 1]!++
    }
    for (let id = 0; id < keyCount; id++) firsts[id + 1]! += firsts[id]!
    const next = firsts.slice()
    const rows = sharedUint32(firsts[keyCount]!)
    for (let row = 0; row < rowCount; row++) {
      const id = this.#rowKeys[row]!
      if (this.#nulls[id] === 0) rows[next[id]!++] = row
    }
    const times = new Float64Array(new SharedArrayBuffer(this.#options.times ? 8 * rowCount : 0))
    times.set(this.#times.subarray(0, times.length))
    if (times.length > 0) {
      for (let id = 0; id < keyCount; id++) {
        rows.subarray(firsts[id], firsts[id + 1]).sort((a, b) => times[a]! - times[b]! || a - b)
      }
    }
    const known = this.#keys.export()
    return {
      keys: {
        bytes: sharedBytes(known.bytes),
        ends: sharedCopy(known.ends, known.ends.length),
        positions: sharedFloats(known.positions),
      },
      keyCount,
      firsts,
      rows,
      rowCount,
      tailStarts: this.#starts(this.#keepsTails, this.#tailStarts, this.#tails),
      lineStarts: this.#starts(this.#keepsLines, this.#lineStarts, this.#lines),
      tails: sharedBytes(this.#tails.view()),
      lines: sharedBytes(this.#lines.view()),
      times,
      names: [...this.#names],
      copies: Math.max(0, copies),
    }
  }

  #starts(kept: boolean, starts: Uint32Array, bytes: ByteBuffer): Uint32Array {
    const count = kept ? this.#rowCount : 0
    const shared = sharedCopy(starts.subarray(0, count), count + 1)
    shared[count] = bytes.length
    return shared
  }
}

const sharedUint32 = (length: number): Uint32Array => new Uint32Array(new SharedArrayBuffer(4 * length))

function sharedCopy(values: Uint32Array, length: number): Uint32Array {
  const shared = sharedUint32(length)
  shared.set(values)
  return shared
}

function sharedFloats(values: Float64Array): Float64Array {
  const shared = new Float64Array(new SharedArrayBuffer(values.byteLength))
  shared.set(values)
  return shared
}

function sharedBytes(bytes: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length))
  shared.set(bytes)
  return shared
}
