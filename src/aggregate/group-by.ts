import type { KeyTable, KeyTableState, RecordBatch } from '../core/batch.ts'
import type { KeyField } from '../core/field-path.ts'
import { toLatin1 } from '../core/latin1.ts'
import type { Collector, MergeableOperator } from '../core/operator.ts'
import { NONE } from './aggregate.ts'
import type { AggregateSet, SetState } from './set.ts'

/** Output is handed on in pieces of about this many characters. */
const PIECE = 1 << 16

interface GroupState {
  readonly keys: KeyTableState | undefined
  readonly set: SetState
  /** See `GroupBy.#firsts`. */
  readonly firsts: readonly (readonly [number, number])[]
}

/** What adds the rows of a batch to the slots of a set: the set itself, or what reads partial states. */
export type Adder = Pick<AggregateSet, 'begin' | 'add'>

/** A group's results, or what merges into them: the members after the keys. */
export type Render = (set: AggregateSet, slot: number) => string

/**
 * The operator of `reduce`: a slot a group, which is the id of its key. Groups come out in the order of their first records, however the
 * work was split.
 */
export class GroupBy implements MergeableOperator<GroupState> {
  readonly #keys: readonly KeyField[]
  readonly #table: KeyTable | undefined
  readonly #set: AggregateSet
  readonly #adder: Adder
  readonly #render: Render
  #slots: Uint32Array = new Uint32Array(0)
  #merged = false
  /**
   * Groups whose first record was rejected: where their first good one is, `Infinity` while there is none. The key table knows
   * them, the output must not, or only later.
   */
  readonly #firsts = new Map<number, number>()
  #unseen = 0

  constructor(
    keys: readonly KeyField[],
    table: KeyTable | undefined,
    set: AggregateSet,
    render: Render = (set, slot) => set.results(slot),
    adder: Adder = set,
  ) {
    this.#keys = keys
    this.#table = table
    this.#set = set
    this.#adder = adder
    this.#render = render
    if (!table) set.reserve(1)
  }

  processBatch(batch: RecordBatch): void {
    const rows = batch.count
    if (this.#slots.length < rows) this.#slots = new Uint32Array(2 * rows)
    const slots = this.#slots.subarray(0, rows)
    const known = this.#table?.size ?? 0
    if (this.#table) {
      slots.set(this.#table.intern(batch).subarray(0, rows))
      this.#set.reserve(this.#table.size)
    } else slots.fill(0)
    const rejected = this.#adder.begin(batch, slots)
    if (this.#table && (rejected > 0 || this.#unseen > 0)) this.#findFirsts(batch, slots, known)
    this.#adder.add(batch, slots)
  }

  /** Looks for the first good record of groups that began with a rejected one: in this batch, or before. */
  #findFirsts(batch: RecordBatch, slots: Uint32Array, known: number): void {
    const ids = this.#table!.intern(batch)
    for (let row = 0; row < batch.count; row++) {
      const id = ids[row]!
      if (slots[row] === NONE) {
        if (id < known || this.#firsts.has(id) || earlier(slots, row, id)) continue
        this.#firsts.set(id, Number.POSITIVE_INFINITY)
        this.#unseen++
      } else if (this.#unseen > 0 && this.#firsts.get(id) === Number.POSITIVE_INFINITY) {
        this.#firsts.set(id, batch.position(row))
        this.#unseen--
      }
    }
  }

  onEnd(out: Collector): void {
    const table = this.#table
    if (!table) {
      out.emitText(`{${this.#render(this.#set, 0)}}\n`)
      return
    }
    const names = this.#keys.map(({ name }, part) => `${part ? ',' : '{'}${toLatin1(JSON.stringify(name))}:`)
    let piece = ''
    for (const id of this.#order(table)) {
      for (let part = 0; part < names.length; part++) piece += names[part]! + table.text(id, part)
      piece += `,${this.#render(this.#set, id)}}\n`
      if (piece.length > PIECE) {
        out.emitText(piece)
        piece = ''
      }
    }
    if (piece) out.emitText(piece)
  }

  /** The ids of the groups, in order of their first records. */
  #order(table: KeyTable): Uint32Array {
    const ids = new Uint32Array(table.size)
    const positions = new Float64Array(table.size)
    let last = Number.NEGATIVE_INFINITY
    let ordered = true
    for (let id = 0; id < ids.length; id++) {
      ids[id] = id
      positions[id] = this.#merged || this.#firsts.size > 0 ? this.#first(id) : id
      ordered &&= positions[id]! >= last
      last = positions[id]!
    }
    if (!ordered) ids.sort((a, b) => positions[a]! - positions[b]!)
    // Those without a good record are at the end.
    let count = ids.length
    while (count > 0 && positions[ids[count - 1]!] === Number.POSITIVE_INFINITY) count--
    return ids.subarray(0, count)
  }

  /** Where the first good record of a group is. */
  #first(id: number): number {
    return this.#firsts.get(id) ?? this.#table!.position(id)
  }

  exportState(): GroupState {
    const slots = Uint32Array.from({ length: this.#table?.size ?? 1 }, (_, slot) => slot)
    return { keys: this.#table?.export(), set: this.#set.exportSlots(slots), firsts: [...this.#firsts] }
  }

  mergeState({ keys, set, firsts }: GroupState): void {
    if (!this.#table || !keys) {
      this.#set.importSlots(set, Uint32Array.of(0))
      return
    }
    this.#merged = true
    const known = this.#table.size
    const rare = firsts.length > 0 || this.#firsts.size > 0
    const own = rare ? Float64Array.from({ length: known }, (_, id) => this.#first(id)) : undefined
    const mapping = this.#table.import(keys)
    if (own) {
      const theirs = new Map(firsts)
      for (const [there, id] of mapping.entries()) {
        const here = id < known ? own[id]! : Number.POSITIVE_INFINITY
        this.#firsts.set(id, Math.min(here, theirs.get(there) ?? keys.positions[there]!))
      }
    }
    this.#set.reserve(this.#table.size)
    this.#set.importSlots(set, mapping)
  }
}

/** Whether an earlier row of the batch is a good one of the same group. */
const earlier = (slots: Uint32Array, row: number, id: number): boolean => {
  const at = slots.indexOf(id)
  return at >= 0 && at < row
}
