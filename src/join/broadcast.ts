import type { KeyTable, RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { Collector, MergeableOperator, Problem, StageContext } from '../core/operator.ts'
import type { Growing, Heap } from '../ndjson/heap.ts'
import { WasmKeyTable } from '../ndjson/wasm-keys.ts'
import { KernelTable } from './kernel-table.ts'
import { type Shape, Shapes } from './shapes.ts'
import { mayHoldName, Splicer, type SpliceRules } from './splice.ts'
import type { JoinTable, JoinType } from './table.ts'

/** Output is handed on in pieces of about this size. */
const PIECE = 1 << 18
/** Left keys that the table does not have are forgotten when there are so many of them. */
const MOST_STRANGERS = 1 << 16
/** Beyond so many names of right members, clashes are looked for in the left record itself. */
export const MOST_NAMES = 16

export interface BroadcastOptions {
  readonly type: JoinType
  readonly rules: SpliceRules
  readonly keyFields: readonly number[]
  /** Fields of the left record that are called as right members; undefined when there are too many names. */
  readonly clashFields: readonly number[] | undefined
  /** The field that is called as `--nest` says. */
  readonly nestField: number | undefined
  /**
   * Which of the rows `from`..`to` of `table.rows` (those of the left record's key) are partners, for as-of joins: one index, or -1.
   * Undefined: all of them.
   */
  readonly choose: ((table: JoinTable, from: number, to: number, time: number) => number) | undefined
  readonly times: EventTimes | undefined
}
/** Event times of records. */
export interface EventTimes {
  /** NaN where there is none. */
  read(batch: RecordBatch): Float64Array
  problem(batch: RecordBatch, row: number): Problem
}

interface BroadcastState {
  readonly matched: Uint8Array
}
type MatchedRows = BroadcastState | { readonly rows: Uint32Array }

/** The operator of a join whose table is in memory: left records stream through in their order. O(1) a record and match. */
export class BroadcastJoin implements MergeableOperator<BroadcastState>, Growing {
  readonly #options: BroadcastOptions
  readonly #table: JoinTable
  readonly #context: StageContext
  readonly #keys: KeyTable
  readonly #splicer: Splicer
  /** Of left records. */
  readonly #shapes = new Shapes()
  readonly #out = new ByteBuffer(PIECE + (PIECE >> 2))
  readonly #right = new ByteBuffer(256)
  /** Per row of the table whether it had a partner, where that matters. */
  readonly #matched: Uint8Array
  /** As the last snapshot has them. */
  #known = new Uint8Array(0)
  /** `ensure` is called. */
  readonly #heap: Heap | undefined
  /** The hot path, where there is one. */
  readonly #kernel: KernelTable | undefined
  /** The same for left records with names that clash; the one in `#wanted` is made before the next batch. */
  readonly #variants = new Map<number, KernelTable | undefined>()
  #wanted = 0
  #mask = new Uint8Array(0)

  constructor(options: BroadcastOptions, table: JoinTable, context: StageContext) {
    this.#options = options
    this.#table = table
    this.#context = context
    this.#keys = context.keyTable(options.keyFields)
    this.#keys.import(table.keys)
    this.#splicer = new Splicer(options.rules)
    this.#matched = new Uint8Array(this.#keepsRight ? table.rowCount : 0)
    const { type, rules, choose, clashFields, nestField } = options
    const filters = type === 'semi' || type === 'anti'
    const keepsLeft = type === 'left' || type === 'full'
    // Left records without a partner get a member under --nest: the kernel knows nothing of that.
    const plain = !filters && !choose && clashFields && !(keepsLeft && rules.nest !== undefined)
    this.#heap = this.#keys instanceof WasmKeyTable ? this.#keys.heap : undefined
    this.#heap?.register(this, this.#keys)
    if (plain && this.#heap && KernelTable.fits(table, 0)) {
      const special = nestField === undefined ? clashFields : [...clashFields, nestField]
      this.#kernel = this.#withKeys(new KernelTable(this.#heap, table, keepsLeft, this.#keepsRight, special))
    }
  }

  /** Its memory goes when that of the keys does. */
  #withKeys(table: KernelTable): KernelTable {
    ;(this.#keys as WasmKeyTable).companions.push(table)
    return table
  }

  get #keepsRight(): boolean {
    return this.#options.type === 'right' || this.#options.type === 'full'
  }

  processBatch(batch: RecordBatch, out: Collector): void {
    if (!this.#heap) this.#forgetStrangers()
    const ids = this.#keys.intern(batch)
    const { type } = this.#options
    if (type === 'semi' || type === 'anti') this.#filter(batch, ids, out, type === 'semi')
    else if (this.#kernel) this.#joinFast(this.#kernel, batch, ids, out)
    else this.#join(batch, ids, out, 0, batch.count)
  }

  /** Called before each batch by the kernel's memory, which may grow then only. */
  ensure(rows: number, bytes: number): void {
    this.#forgetStrangers()
    if (this.#wanted !== 0) this.#makeVariant(this.#wanted)
    ;(this.#keys as WasmKeyTable).ensure(rows, bytes)
  }

  #forgetStrangers(): void {
    const { keyCount, keys } = this.#table
    if (this.#keys.size <= keyCount + Math.max(MOST_STRANGERS, keyCount)) return
    this.#keys.clear()
    this.#keys.import(keys)
  }

  #joinFast(kernel: KernelTable, batch: RecordBatch, ids: Uint32Array, out: Collector): void {
    const { count } = batch
    const emit = (lines: Uint8Array): void => out.emit(lines)
    let row = kernel.splice(batch, ids, 0, count, emit)
    if (row === count) return
    // Runs of rows whose names clash alike. Where names begin with the prefix, each row is looked at.
    const odd = mayHoldName(batch.bytes, this.#options.rules.prefix)
    while (row < count) {
      const clash = this.#clashOf(batch, row)
      let end = row + 1
      while (end < count && this.#clashOf(batch, end) === clash) end++
      const table = clash === 0 ? kernel : odd ? undefined : this.#variants.get(clash)
      if (clash !== 0 && !this.#variants.has(clash) && this.#variants.size < MOST_VARIANTS) this.#wanted = clash
      const done = table ? table.splice(batch, ids, row, end, emit) : row
      // A row that the kernel leaves, or all of them.
      const to = table ? Math.min(done + 1, end) : end
      if (done < end) this.#join(batch, ids, out, done, to)
      row = done < end ? to : end
    }
  }

  /** Which of the names that may clash the row has: a bit each, and one that no variant has for the name of `--nest`. */
  #clashOf({ spans, stride }: RecordBatch, row: number): number {
    const { clashFields, nestField } = this.#options
    const at = row * stride + 3
    let bits = nestField !== undefined && spans[at + 2 * nestField] !== 0 ? NESTED : 0
    for (let bit = 0; bit < clashFields!.length; bit++) if (spans[at + 2 * clashFields![bit]!] !== 0) bits |= 1 << bit
    return bits
  }

  /** The table with other names, for left records that have those of `clash`: so that clashes cost nothing a record. */
  #makeVariant(clash: number): void {
    this.#wanted = 0
    if (clash >= NESTED) return
    if (!this.#heap || !KernelTable.fits(this.#table, 1 + this.#variants.size)) {
      this.#variants.set(clash, undefined)
      return
    }
    const { tails, tailStarts, rowCount, names } = this.#table
    const taken = names.filter((_, bit) => (clash & (1 << bit)) !== 0)
    const left: Shape = {
      id: -clash,
      names: taken,
      has: new Set(taken),
      spelt: new Uint8Array(0),
      ends: new Uint32Array(0),
    }
    const into = new ByteBuffer(tails.length + (tails.length >> 2))
    const starts = new Uint32Array(rowCount + 1)
    for (let row = 0; row < rowCount; row++) {
      this.#renamedTail(into, tailStarts[row]!, tailStarts[row + 1]!, left)
      starts[row + 1] = into.length
    }
    const table = { ...this.#table, tails: into.view(), tailStarts: starts }
    const { type } = this.#options
    const keepsLeft = type === 'left' || type === 'full'
    this.#variants.set(clash, this.#withKeys(new KernelTable(this.#heap, table, keepsLeft, this.#keepsRight, [])))
  }

  #filter(batch: RecordBatch, ids: Uint32Array, out: Collector, wanted: boolean): void {
    const { keyCount, firsts } = this.#table
    const times = this.#options.times?.read(batch)
    const { choose } = this.#options
    if (this.#mask.length < batch.count) this.#mask = new Uint8Array(2 * batch.count)
    const mask = this.#mask
    let done = 0
    for (let row = 0; row < batch.count; row++) {
      if (times && Number.isNaN(times[row])) {
        out.forward(batch, mask, done, row)
        this.#context.reject(batch, row, this.#options.times!.problem(batch, row))
        done = row + 1
        continue
      }
      const id = ids[row]!
      let has = id < keyCount && firsts[id + 1]! > firsts[id]!
      if (has && choose) has = choose(this.#table, firsts[id]!, firsts[id + 1]!, times![row]!) >= 0
      mask[row] = has === wanted ? 1 : 0
    }
    out.forward(batch, mask, done, batch.count)
  }

  #join(batch: RecordBatch, ids: Uint32Array, out: Collector, fromRow: number, toRow: number): void {
    const { keyCount, firsts, rows, tails, tailStarts } = this.#table
    const { type, choose, clashFields, nestField } = this.#options
    const { bytes, spans, stride } = batch
    const times = this.#options.times?.read(batch)
    const keepsLeft = type === 'left' || type === 'full'
    const into = this.#out
    for (let row = fromRow; row < toRow; row++) {
      if (times && Number.isNaN(times[row])) {
        this.#flush(out)
        this.#context.reject(batch, row, this.#options.times!.problem(batch, row))
        continue
      }
      const id = ids[row]!
      const at = row * stride
      let from = 0
      let to = 0
      if (id < keyCount) {
        from = firsts[id]!
        to = firsts[id + 1]!
        if (choose && to > from) {
          from = choose(this.#table, from, to, times![row]!)
          to = from + 1
          if (from < 0) to = from
        }
      }
      if (from === to && !keepsLeft) continue
      const start = spans[at]!
      const end = spans[at + 1]!
      if (nestField !== undefined && spans[at + 3 + 2 * nestField] !== 0) {
        this.#reject(
          batch,
          row,
          out,
          'the record has a member of that name already',
          'choose another name with --nest NAME',
        )
        continue
      }
      if (from === to) {
        if (!this.#splicer.leftOnly(into, bytes, start, end)) this.#reject(batch, row, out, NOT_AN_OBJECT)
      } else {
        let clash = clashFields === undefined
        if (clashFields) for (const field of clashFields) if (spans[at + 3 + 2 * field] !== 0) clash = true
        for (let index = from; index < to; index++) {
          const partner = rows[index]!
          if (!this.#splicer.head(into, bytes, start, end)) {
            this.#reject(batch, row, out, NOT_AN_OBJECT)
            break
          }
          if (clash) this.#clashingTail(batch, row, partner)
          else into.copy(tails, tailStarts[partner]!, tailStarts[partner + 1]!)
          if (this.#matched.length > 0) this.#matched[partner] = 1
          if (into.length >= PIECE) this.#flush(out)
        }
      }
      if (into.length >= PIECE) this.#flush(out)
    }
    this.#flush(out)
  }

  /** Appends a tail with members renamed that the left record has too. */
  #clashingTail({ bytes, spans, stride }: RecordBatch, row: number, partner: number): void {
    const { tailStarts } = this.#table
    const left = this.#shapes.read(bytes, spans[row * stride]!, spans[row * stride + 1]!)
    this.#renamedTail(this.#out, tailStarts[partner]!, tailStarts[partner + 1]!, left)
  }

  #renamedTail(into: ByteBuffer, start: number, end: number, left: Shape | undefined): void {
    const { tails } = this.#table
    if (tails[start] !== COMMA) {
      into.copy(tails, start, end)
      return
    }
    // With a brace for its comma, and without its line end, a tail is a record again.
    const right = this.#right
    right.length = 0
    right.byte(OPEN)
    right.copy(tails, start + 1, end - 1)
    this.#splicer.tail(into, right.bytes, 0, right.length, left)
  }

  #reject(batch: RecordBatch, row: number, out: Collector, problem: string, hint?: string): void {
    this.#flush(out)
    this.#context.reject(batch, row, { problem, ...(hint && { hint }) })
  }

  #flush(out: Collector): void {
    if (this.#out.length > 0) out.emit(this.#out.view())
    this.#out.length = 0
  }

  onEnd(out: Collector): void {
    if (!this.#keepsRight) return
    this.#takeMatched()
    const { lines, lineStarts } = this.#table
    for (let row = 0; row < this.#matched.length; row++) {
      if (this.#matched[row] === 1) continue
      this.#splicer.rightOnly(this.#out, lines, lineStarts[row]!, lineStarts[row + 1]!)
      if (this.#out.length >= PIECE) this.#flush(out)
    }
    this.#flush(out)
  }

  /** What the kernel has marked. */
  #takeMatched(): void {
    if (!this.#kernel || !this.#keepsRight) return
    for (const kernel of [this.#kernel, ...this.#variants.values()]) {
      if (kernel) this.mergeState({ matched: kernel.matched(this.#matched.length) })
    }
  }

  exportState(): BroadcastState {
    this.#takeMatched()
    return { matched: this.#matched }
  }
  /** Which rows of the table have found a partner: a byte each, or those since the last snapshot. */
  snapshot(whole: boolean): MatchedRows {
    this.#takeMatched()
    const [known, matched] = [this.#known, this.#matched]
    this.#known = new Uint8Array(matched)
    if (whole) return { matched: this.#known }
    const rows: number[] = []
    for (let row = 0; row < matched.length; row++) if (matched[row] !== known[row]) rows.push(row)
    return { rows: Uint32Array.from(rows) }
  }
  restore(states: Iterable<MatchedRows>): void {
    for (const state of states) {
      if ('matched' in state) this.mergeState(state)
      else for (const row of state.rows) this.#matched[row] = 1
    }
    this.#known = new Uint8Array(this.#matched)
  }
  mergeState({ matched }: BroadcastState): void {
    for (let row = 0; row < matched.length; row++) this.#matched[row]! |= matched[row]!
  }
}

/** Tables with other names that are kept. */
const MOST_VARIANTS = 4
/** Beyond the bits of MOST_NAMES. */
const NESTED = 1 << 20
const COMMA = 0x2c
const OPEN = 0x7b
const NOT_AN_OBJECT = 'only objects can be joined'
