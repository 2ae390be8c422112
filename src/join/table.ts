import type { KeyTable, KeyTableState, RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
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
}

/** Offsets are 32-bit. */
const MOST_BYTES = 2 ** 32 - 2 ** 20
/** What a row and a key cost beside their bytes: four numbers, and an entry of the key table with its text. */
const ROW_BYTES = 16
const KEY_BYTES = 40

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
  readonly #rowKeys: number[] = []
  readonly #tailStarts: number[] = []
  readonly #lineStarts: number[] = []
  readonly #times: number[] = []
  /** Per key whether a part of it is null. */
  readonly #nulls: boolean[] = []
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
    const { keyFields } = this.#options
    for (let id = this.#nulls.length; id < this.#keys.size; id++) {
      let isNull = false
      for (let part = 0; part < keyFields.length; part++) if (this.#keys.text(id, part) === 'null') isNull = true
      this.#nulls.push(isNull)
    }
    for (let row = 0; row < count; row++) {
      if (times && Number.isNaN(times[row])) {
        this.#context.reject(batch, row, this.#options.times!.problem(batch, row))
        continue
      }
      const start = spans[row * stride]!
      const end = spans[row * stride + 1]!
      this.#rowKeys.push(ids[row]!)
      if (times) this.#times.push(times[row]!)
      if (!this.#keepsTails) continue
      this.#tailStarts.push(this.#tails.length)
      for (const name of this.#splicer.clashingNames(bytes, start, end) ?? []) this.#names.add(name)
      // A null key never has a partner, and only objects can take another's members.
      if (!this.#nulls[ids[row]!] && !this.#splicer.tail(this.#tails, bytes, start, end)) {
        this.#context.reject(batch, row, {
          problem: 'only objects can be joined',
          hint: 'join it as a member: --nest NAME',
        })
      }
      if (!this.#keepsLines) continue
      this.#lineStarts.push(this.#lines.length)
      this.#lines.copy(bytes, start, end)
    }
    this.#checkMemory()
  }

  #checkMemory(): void {
    const bytes = this.#tails.length + this.#lines.length
    const held = bytes + this.#rowKeys.length * ROW_BYTES + this.#keys.size * KEY_BYTES
    if (held > this.#context.memoryBytes || bytes > MOST_BYTES) {
      throw new BeckError('table-too-large', {
        table: this.#options.table,
        memory: formatSize(Math.min(this.#context.memoryBytes, MOST_BYTES)),
      })
    }
  }

  end(): JoinTable {
    const rowCount = this.#rowKeys.length
    const keyCount = this.#keys.size
    // Counting sort: rows by key, in their order.
    const firsts = sharedUint32(keyCount + 1)
    for (const id of this.#rowKeys) if (!this.#nulls[id]) firsts[id + 1]!++
    for (let id = 0; id < keyCount; id++) firsts[id + 1]! += firsts[id]!
    const next = firsts.slice()
    const rows = sharedUint32(firsts[keyCount]!)
    for (let row = 0; row < rowCount; row++) {
      const id = this.#rowKeys[row]!
      if (!this.#nulls[id]) rows[next[id]!++] = row
    }
    const times = new Float64Array(new SharedArrayBuffer(8 * this.#times.length))
    times.set(this.#times)
    if (times.length > 0) {
      for (let id = 0; id < keyCount; id++) {
        rows.subarray(firsts[id], firsts[id + 1]).sort((a, b) => times[a]! - times[b]! || a - b)
      }
    }
    return {
      keys: this.#keys.export(),
      keyCount,
      firsts,
      rows,
      rowCount,
      tailStarts: sharedCopy([...this.#tailStarts, this.#tails.length]),
      lineStarts: sharedCopy([...this.#lineStarts, this.#lines.length]),
      tails: sharedBytes(this.#tails.view()),
      lines: sharedBytes(this.#lines.view()),
      times,
      names: [...this.#names],
    }
  }
}

const sharedUint32 = (length: number): Uint32Array => new Uint32Array(new SharedArrayBuffer(4 * length))

function sharedCopy(values: readonly number[]): Uint32Array {
  const shared = sharedUint32(values.length)
  shared.set(values)
  return shared
}

function sharedBytes(bytes: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length))
  shared.set(bytes)
  return shared
}
