import type { KeyLines, KeyTable, KeyTableState, LinePiece, RecordBatch } from '../core/batch.ts'
import { upTo } from '../core/columns.ts'
import type { KeyField } from '../core/field-path.ts'
import { toLatin1 } from '../core/latin1.ts'
import type { Collector, EndRound, Operator, SharedEndOperator, SpillHandle, StageContext } from '../core/operator.ts'
import { NONE } from './aggregate.ts'
import { ChangedSlots } from './changed-slots.ts'
import { GroupRounds, type GroupsInMemory } from './group-rounds.ts'
import type { AggregateSet, SetState, WholeResults } from './set.ts'
import { type Groups, pickKeys, SpilledGroups } from './spilled-groups.ts'

/** Output is handed on in pieces of about this many characters. */
const PIECE = 1 << 16

/** A guess at what a key costs in the table beside twice its text. */
const KEY_BYTES = 64

/** How many keys the caches hold. */
const FEW_KEYS = 1 << 17
const ASK_AGAIN = 16

/** What `exportState` gives: plain data but for the spill files. */
export interface GroupState {
  readonly keys: KeyTableState | undefined
  readonly set: SetState
  readonly spilled: readonly (readonly SpillHandle[])[] | undefined
}

/** What a snapshot holds. */
interface GroupChanges {
  /** Those that came since the last one: their ids go on from there. */
  readonly keys: KeyTableState | undefined
  /** Slots that were written to, and what they hold now. */
  readonly slots: Uint32Array
  readonly set: SetState
  readonly firsts: ReadonlyMap<number, number>
  readonly unseen: number
  /** Groups that went to disk since the last one, all others of then among them: the keys begin anew. */
  readonly spilled: readonly (Uint8Array | undefined)[] | undefined
}

/** How a `GroupBy` may differ from plain `reduce`. */
export interface GroupByOptions {
  /** What is written of a group, by default its results. */
  readonly render?: Render | undefined
  readonly adder?: Adder
  /** False: the states cannot be put together again, so everything stays in memory. */
  readonly mergeable: boolean
}

/** What adds the rows of a batch to the slots of a set: the set itself, or what reads partial states. */
export type Adder = Pick<AggregateSet, 'begin' | 'add'>

/** A group's results, or what merges into them: the members after the keys. */
export type Render = (set: AggregateSet, slot: number) => string

/**
 * The operator of `reduce`: a slot a group, which is the id of its key. Groups come out in the order of their first records, however the
 * work was split.
 */
export class GroupBy implements SharedEndOperator<GroupState>, Operator<GroupChanges> {
  readonly #keys: readonly KeyField[]
  readonly #table: KeyTable | undefined
  readonly #set: AggregateSet
  readonly #adder: Adder
  readonly #render: Render
  /** How lines are made of keys and whole numbers, if that is what they are made of. */
  readonly #whole: { readonly results: WholeResults; readonly lines: KeyLines } | undefined
  readonly #context: Pick<StageContext, 'memoryBytes' | 'workers' | 'spill'>
  /** What may be held before groups are spilled. */
  #mostBytes: number
  /** Fewer than fit where many would be of no use: they are in memory that the processor has near. */
  #mostKeys = Number.POSITIVE_INFINITY
  /** Each record is a group of its own for now: partitions are put together in any case. */
  #appends = false
  #spills = 0
  /** Records since there were no groups. */
  #rows = 0
  #spilled: SpilledGroups | undefined
  #rounds: GroupRounds | undefined
  #slots: Uint32Array = new Uint32Array(0)
  /**
   * Groups whose first record was rejected: where their first good one is, `Infinity` while there is none. The key table knows
   * them, the output must not, or only later.
   */
  readonly #firsts = new Map<number, number>()
  #unseen = 0
  /** Since the last snapshot; nobody counts where none are made. */
  #changed: ChangedSlots | undefined
  /** How many keys the last snapshot knows. */
  #kept = 0
  /** Groups went to disk since then. */
  #hasSpilled = false

  /** @param table of the keys, none for a single group */
  constructor(
    keys: readonly KeyField[],
    table: KeyTable | undefined,
    set: AggregateSet,
    context: Pick<StageContext, 'memoryBytes' | 'workers' | 'spill'>,
    { render, adder = set, mergeable }: GroupByOptions,
  ) {
    this.#keys = keys
    this.#table = table
    this.#set = set
    this.#adder = adder
    this.#render = render ?? ((set, slot) => set.results(slot))
    const results = render ? undefined : set.wholeResults()
    this.#whole = table && results && { results, lines: table.lines(template(keys, results)) }
    this.#context = context
    // Half: writing them out needs room, too. And as much as a thread has for what all of them spilled.
    this.#mostBytes = mergeable ? context.memoryBytes / (context.workers + 1) / 2 : Number.POSITIVE_INFINITY
    if (!table) set.reserve(1)
  }

  processBatch(batch: RecordBatch): void {
    const rows = batch.count
    this.#rows += rows
    if (this.#slots.length < rows) this.#slots = new Uint32Array(2 * rows)
    const slots = this.#slots.subarray(0, rows)
    const known = this.#table?.size ?? 0
    if (this.#table) {
      slots.set((this.#appends ? this.#table.append(batch) : this.#table.intern(batch)).subarray(0, rows))
      this.#set.reserve(this.#table.size)
    } else slots.fill(0)
    const rejected = this.#adder.begin(batch, slots) + this.#adder.add(batch, slots)
    this.#changed?.mark(slots, this.#table?.size ?? 1)
    if (!this.#table) return
    if (rejected > 0 || this.#unseen > 0) this.#findFirsts(batch, slots, known)
    if (this.#isFull(this.#table)) this.#spill(this.#table)
  }

  #isFull(table: KeyTable): boolean {
    return table.size >= this.#mostKeys || this.#load(table) > 1
  }

  /** How much of the memory is used; 1 is all. */
  #load(table: KeyTable): number {
    const { size } = table
    // A few keys stand for all: measuring each would cost more than adding it.
    const sample = Math.min(size, 16)
    let characters = 0
    for (let index = 0; index < sample; index++) {
      characters += table.textBytes(Math.floor((index * size) / sample))
    }
    const keyBytes = size * (KEY_BYTES + (2 * characters) / Math.max(1, sample))
    return (keyBytes + this.#set.bytes(size)) / this.#mostBytes
  }

  /** Writes all groups to disk, and begins with none. */
  #spill(table: KeyTable, to = (this.#spilled ??= new SpilledGroups((handle) => this.#context.spill(handle)))): void {
    if (this.#firsts.size === 0) to.writeTable(table, (ids) => this.#set.packSlots(ids))
    else {
      const { keys, ids } = this.#goodKeys(table)
      to.write(keys, this.#keys.length, (indices) =>
        this.#set.packSlots(ids ? indices.map((index) => ids[index]!) : indices),
      )
    }
    // Once hardly any key has come again, finding out that the others have not either costs more than to write them twice. Now and then it is
    // asked again. Snapshots tell groups by their ids.
    const unique = this.#rows < 2 * table.size && !this.#rounds
    this.#appends = unique && !this.#changed && ++this.#spills % ASK_AGAIN !== 0
    this.#mostKeys = unique ? FEW_KEYS : Number.POSITIVE_INFINITY
    this.#clear(table)
    this.#hasSpilled = true
    this.#kept = 0
    this.#changed?.take()
  }

  #clear(table: KeyTable): void {
    this.#set.clearAll(table.size)
    table.clear(this.#mostKeys)
    this.#firsts.clear()
    this.#unseen = 0
    this.#rows = 0
  }

  /** The keys with the positions of their first good records; `ids` says which they are if some have none. */
  #goodKeys(table: KeyTable): { keys: KeyTableState; ids: readonly number[] | undefined } {
    const keys = table.export()
    if (this.#firsts.size === 0) return { keys, ids: undefined }
    const positions = Float64Array.from(keys.positions, (_, id) => this.#first(id))
    const ids = Array.from(positions.keys()).filter((id) => positions[id] !== Number.POSITIVE_INFINITY)
    return { keys: pickKeys({ ...keys, positions }, this.#keys.length, ids), ids }
  }

  /** Looks for the first good record of groups that began with a rejected one: in this batch, or before. */
  #findFirsts(batch: RecordBatch, slots: Uint32Array, known: number): void {
    const ids = this.#appends ? upTo(batch.count).map((row) => known + row) : this.#table!.intern(batch)
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
    for (let round = this.nextRound(); round; round = this.nextRound()) {
      for (let task = 0; task < round.tasks; task++) this.endTask(task)?.(out)
    }
    this.#writeLines(table, this.#order(table), (lines) => out.emit(lines))
  }

  /** The lines of groups, in pieces that are valid until `emit` returns. */
  #writeLines(table: KeyTable, order: Uint32Array, emit: (lines: Uint8Array) => void): void {
    if (this.#whole) {
      const { results, lines } = this.#whole
      lines.writeAll(order, results.columns(), emit)
      return
    }
    const line = this.#lines(table)
    let piece = ''
    for (const id of order) {
      piece += line(id)
      if (piece.length < PIECE) continue
      emit(Buffer.from(piece, 'latin1'))
      piece = ''
    }
    if (piece) emit(Buffer.from(piece, 'latin1'))
  }

  /** Makes the line of a group. */
  #lines(table: KeyTable): (id: number) => string {
    const names = this.#keys.map(({ name }, part) => `${part ? ',' : '{'}${toLatin1(JSON.stringify(name))}:`)
    return (id) => {
      let line = ''
      for (let part = 0; part < names.length; part++) line += names[part]! + table.text(id, part)
      return `${line},${this.#render(this.#set, id)}}\n`
    }
  }

  nextRound(): EndRound | undefined {
    if (this.#rounds) return this.#rounds.next()
    if (!this.#table || !this.#spilled) return undefined
    this.#spill(this.#table)
    return this.#openRounds(this.#table).begin(this.#spilled)
  }
  joinRound(round: EndRound): void {
    if (!this.#table) throw new Error('no keys, nothing to share')
    this.#openRounds(this.#table).join(round)
  }
  endTask(task: number): ((out: Collector) => void) | undefined {
    return this.#rounds!.task(task)
  }
  leaveRound(): ReturnType<GroupRounds['leave']> {
    return this.#rounds!.leave()
  }
  mergeRound(state: ReturnType<GroupRounds['leave']>): void {
    this.#rounds!.merge(state)
  }

  #openRounds(table: KeyTable): GroupRounds {
    // From here on the memory is for partitions alone, and little is needed to write them out; the key table keeps what it has had before.
    this.#mostBytes = (0.6 * this.#context.memoryBytes) / this.#context.workers
    this.#mostKeys = Number.POSITIVE_INFINITY
    const memory: GroupsInMemory = {
      size: () => table.size,
      load: () => this.#load(table),
      absorb: (groups) => this.#absorb(table, groups),
      spill: (to) => this.#spill(table, to),
      lines: () => {
        const order = this.#order(table)
        return {
          positions: table.positionsOf(order),
          write: (from, to, emit) => this.#writeLines(table, order.subarray(from, to), emit),
        }
      },
      clear: () => this.#clear(table),
    }
    return (this.#rounds = new GroupRounds(memory, this.#context))
  }

  /** The ids of the groups, in order of their first records; without those that have no good one. */
  #order(table: KeyTable): Uint32Array {
    if (this.#firsts.size === 0) return table.order()
    const positions = Float64Array.from({ length: table.size }, (_, id) => this.#first(id))
    const ids = upTo(table.size).filter((id) => positions[id] !== Number.POSITIVE_INFINITY)
    return ids.sort((a, b) => positions[a]! - positions[b]!)
  }

  /** Where the first good record of a group is. */
  #first(id: number): number {
    return this.#firsts.get(id) ?? this.#table!.position(id)
  }

  exportState(): GroupState {
    const table = this.#table
    if (table && this.#spilled) this.#spill(table)
    const { keys, ids } = table ? this.#goodKeys(table) : { keys: undefined, ids: [0] }
    const slots = ids ? Uint32Array.from(ids) : upTo(keys!.positions.length)
    return { keys, set: this.#set.packSlots(slots), spilled: this.#spilled?.handles }
  }

  /** Keys get their ids in order and keep them, so what changed is the keys with new ids, and the slots that were written to. */
  snapshot(whole: boolean): GroupChanges {
    if (this.#hasSpilled && this.#table && this.#spilled) {
      if (this.#table.size > 0) this.#spill(this.#table)
      this.#hasSpilled = false
      const none = new Uint32Array(0)
      const spilled = this.#spilled.added()
      return { keys: undefined, slots: none, set: this.#set.packSlots(none), firsts: new Map(), unseen: 0, spilled }
    }
    const size = this.#table?.size ?? 1
    const changed = this.#changed?.take()
    const slots = whole || !changed ? upTo(size) : changed
    const keys = this.#table?.export(whole ? 0 : this.#kept)
    this.#changed ??= new ChangedSlots()
    this.#kept = size
    const set = this.#set.packSlots(slots)
    return { keys, slots, set, firsts: this.#firsts, unseen: this.#unseen, spilled: undefined }
  }

  mustSnapshotWhole(): boolean | 'seal' {
    return this.#hasSpilled && 'seal'
  }

  sizes(): readonly number[] {
    return [this.#table?.size ?? 1]
  }

  makeRoom([groups = 0]: readonly number[]): void {
    this.#table?.reserve(groups)
    this.#set.reserve(groups)
  }

  restore(states: Iterable<GroupChanges>): void {
    // Those from here on hold nothing yet.
    let seen = 0
    for (const { keys, slots, set, firsts, unseen, spilled } of states) {
      if (spilled) (this.#spilled ??= new SpilledGroups((handle) => this.#context.spill(handle))).restore(spilled)
      if (keys) this.#table?.import(keys)
      this.#set.reserve(this.#table?.size ?? 1)
      for (let at = 0; at < slots.length; at++) if (slots[at]! < seen) this.#set.clear(slots[at]!)
      seen = this.#table?.size ?? 1
      this.#set.importSlots(set, slots)
      this.#firsts.clear()
      for (const [id, position] of firsts) this.#firsts.set(id, position)
      this.#unseen = unseen
    }
    this.#changed = new ChangedSlots()
    this.#kept = this.#table?.size ?? 1
  }

  mergeState({ keys, set, spilled }: GroupState): void {
    const table = this.#table
    if (!table || !keys) {
      this.#set.importSlots(set, Uint32Array.of(0))
      return
    }
    this.#absorb(table, { keys, set })
    if (spilled) (this.#spilled ??= new SpilledGroups((handle) => this.#context.spill(handle))).adopt(spilled)
    if (this.#isFull(table)) this.#spill(table)
  }

  #absorb(table: KeyTable, { keys, set }: Groups): void {
    const mapping = table.import(keys)
    if (this.#firsts.size > 0) {
      for (const [there, id] of mapping.entries()) {
        const here = this.#firsts.get(id)
        if (here !== undefined) this.#firsts.set(id, Math.min(here, keys.positions[there]!))
      }
    }
    this.#set.reserve(table.size)
    this.#set.importSlots(set, mapping)
  }
}

/** Lines as `#lines` makes them. */
const template = (keys: readonly KeyField[], { pieces }: WholeResults): readonly LinePiece[] => [
  ...keys.flatMap(({ name }, part): LinePiece[] => [
    { kind: 'text', text: `${part ? ',' : '{'}${toLatin1(JSON.stringify(name))}:` },
    { kind: 'key', part },
  ]),
  ...pieces,
  { kind: 'text', text: '}\n' },
]

/** Whether an earlier row of the batch is a good one of the same group. */
const earlier = (slots: Uint32Array, row: number, id: number): boolean => {
  const at = slots.indexOf(id)
  return at >= 0 && at < row
}
