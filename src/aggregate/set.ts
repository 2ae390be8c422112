import { Kind, type LinePiece, type RecordBatch } from '../core/batch.ts'
import { MAX_EXPONENT, parseDecimal } from '../core/decimal.ts'
import { toLatin1 } from '../core/latin1.ts'
import type { Problem, StageContext } from '../core/operator.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'
import type { Computed, Condition } from './computed.ts'
import { Fold } from './fold.ts'

/** In a packed state: the index of the next record. No part is called that. */
const INDEX = ''

/** What some slots of a set hold: the state of each part, by its id. For `structuredClone`, `importSlots` and JSON. */
export interface SetState {
  readonly [id: string]: AggregateState
}

/** What kinds of values an aggregate takes of an input. */
export interface Requirement {
  readonly input: Input
  /** For messages: "sum(latency_ms)". */
  readonly label: string
  readonly wants: 'numbers' | 'texts' | 'values'
}

/** One aggregate of the set with the `where` that chooses its rows. Members that ask things of the same rows share it. */
export interface Part {
  readonly id: string
  readonly aggregate: Aggregate
  readonly where: Condition | undefined
  readonly requirements: readonly Requirement[]
  /** The expressions among its inputs. */
  readonly computed: readonly Computed[]
}

/** A named result. */
export interface Member {
  readonly name: string
  /** JSON text as a latin1 "binary" string. */
  result(slot: number): string
  /** The same as numbers by slot, where results are always whole and safe ones. A view, valid until more slots are reserved. */
  whole?(): Float64Array
}

/** Results that are all whole numbers: their pieces of a line, from the comma in front of them on, and the numbers for these. */
export interface WholeResults {
  readonly pieces: readonly LinePiece[]
  /** By slot. Views, valid until more slots are reserved. */
  columns(): Float64Array[]
  /** The numbers of a slot that is not all in the columns. */
  aside?(slot: number): number[] | undefined
}

/**
 * All aggregates of a command, over the same slots. Per batch: `begin` once, then `add` (several times where a record
 * belongs to several windows).
 */
export class AggregateSet {
  readonly #parts: readonly Part[]
  readonly #computed: readonly Computed[]
  readonly #members: readonly { readonly prefix: string; readonly member: Member }[]
  readonly #context: StageContext
  #chosen: Uint32Array = new Uint32Array(0)
  /** The index of the batch's first record among all. */
  #index = 0

  constructor(parts: readonly Part[], members: readonly Member[], context: StageContext) {
    // Folds first: the only ones that may fail when it comes to adding, and then the others must not have counted the row.
    this.#parts = [...parts].sort((a, b) => Number(b.aggregate instanceof Fold) - Number(a.aggregate instanceof Fold))
    this.#computed = [...new Set(parts.flatMap(({ where, computed }) => (where ? [where, ...computed] : computed)))]
    this.#members = members.map((member, index) => ({
      prefix: `${index ? ',' : ''}${toLatin1(JSON.stringify(member.name))}:`,
      member,
    }))
    this.#context = context
  }

  /** Makes room: slots below `slots` exist from now on, new ones empty. */
  reserve(slots: number): void {
    for (const part of this.#parts) part.aggregate.reserve(slots)
  }

  /**
   * Starts a batch. Rows with a value that some aggregate cannot take are rejected as a whole, in row order, and marked with
   * `NONE` in `slots`; rows that are `NONE` already are left alone. `slots` need hold no real slots yet (0 will do).
   * @returns how many rows were rejected
   */
  begin(batch: RecordBatch, slots: Uint32Array): number {
    const problems = new Map<number, Problem>()
    for (const computed of this.#computed) computed.begin(batch, this.#index)
    this.#index += batch.count
    for (const part of this.#parts) {
      const counts = (row: number): boolean =>
        slots[row] !== NONE && !problems.has(row) && (!part.where || part.where.mask[row] === 1)
      for (const [row, problem] of part.where?.problems ?? []) if (slots[row] !== NONE) problems.set(row, problem)
      for (const { problems: failed } of part.computed) {
        for (const [row, problem] of failed) if (counts(row)) problems.set(row, problem)
      }
      for (const requirement of part.requirements) findUnfit(batch, requirement, counts, problems)
    }
    return this.#reject(batch, slots, problems)
  }

  #reject(batch: RecordBatch, slots: Uint32Array, problems: ReadonlyMap<number, Problem>): number {
    if (problems.size === 0) return 0
    for (const row of [...problems.keys()].sort((a, b) => a - b)) {
      this.#context.reject(batch, row, problems.get(row)!)
      slots[row] = NONE
    }
    return problems.size
  }

  /**
   * Adds each row to its slot; `NONE` skips the row. Rows for which a fold fails are rejected and marked with `NONE` in `slots`.
   * @returns how many rows were rejected
   */
  add(batch: RecordBatch, slots: Uint32Array): number {
    let rejected = 0
    for (const { aggregate, where } of this.#parts) {
      const failed = aggregate.add(batch, where ? this.#choose(where.mask, batch.count, slots) : slots)
      if (failed) rejected += this.#reject(batch, slots, failed)
    }
    return rejected
  }

  #choose(mask: Uint8Array, rows: number, slots: Uint32Array): Uint32Array {
    if (this.#chosen.length < rows) this.#chosen = new Uint32Array(2 * rows)
    const chosen = this.#chosen
    for (let row = 0; row < rows; row++) chosen[row] = mask[row] === 1 ? slots[row]! : NONE
    return chosen
  }

  /** Adds what slot `from` holds to slot `into`, and leaves `from` as it is (`clear` it). */
  merge(into: number, from: number): void {
    for (const part of this.#parts) part.aggregate.merge(into, from)
  }

  /** Empties a slot, so that it can be used again. */
  clear(slot: number): void {
    for (const part of this.#parts) part.aggregate.clear(slot)
  }

  /** The same for all slots below `slots`: one aggregate after the other, which V8 compiles to a loop without calls. */
  clearAll(slots: number): void {
    for (const { aggregate } of this.#parts) for (let slot = 0; slot < slots; slot++) aggregate.clear(slot)
  }

  /** The results of a slot as JSON members in the order written, `"count":3,"sum_n":1.5`, as a latin1 "binary" string. */
  results(slot: number): string {
    let text = ''
    for (const { prefix, member } of this.#members) text += prefix + member.result(slot)
    return text
  }

  /** For lines that the key table makes; undefined when some result is more than a whole number. */
  wholeResults(): WholeResults | undefined {
    const members = this.#members
    if (members.some(({ member }) => !member.whole)) return undefined
    return {
      pieces: members.flatMap(({ prefix }, index): LinePiece[] => [
        { kind: 'text', text: index ? prefix : `,${prefix}` },
        { kind: 'whole' },
      ]),
      columns: () => members.map(({ member }) => member.whole!()),
    }
  }

  exportSlots(slots: Uint32Array): SetState {
    return Object.fromEntries(this.#parts.map((part) => [part.id, part.aggregate.exportSlots(slots)]))
  }

  /** The same in its packed form: see `Aggregate.packSlots`. */
  packSlots(slots: Uint32Array): SetState {
    const parts = this.#parts.map(({ id, aggregate }): [string, AggregateState] => [
      id,
      aggregate.packSlots?.(slots) ?? aggregate.exportSlots(slots),
    ])
    return Object.fromEntries([...parts, [INDEX, { next: [this.#index] }]])
  }

  /** Adds the state's slots, in order, to the slots that `mapping` names. */
  importSlots(state: SetState, mapping: Uint32Array): void {
    for (const part of this.#parts) part.aggregate.importSlots(state[part.id]!, mapping)
    this.#index = Math.max(this.#index, (state[INDEX]?.['next']?.[0] as number | undefined) ?? 0)
  }

  /** About how much memory so many slots and what is in them hold. */
  bytes(slots: number): number {
    return this.#parts.reduce((sum, { aggregate }) => sum + aggregate.bytes(slots), 0)
  }
}

/** Finds the rows with a value that does not do. Costs a comparison a row where all is well. */
function findUnfit(
  batch: RecordBatch,
  { input, label, wants }: Requirement,
  counts: (row: number) => boolean,
  problems: Map<number, Problem>,
): void {
  const kinds = wants === 'numbers' ? input.decimals(batch).kinds : input.kinds(batch)
  if (wants === 'numbers' && allNumbers(kinds, batch.count)) return
  for (let row = 0, rows = batch.count; row < rows; row++) {
    const kind = kinds[row]!
    if (kind === Kind.number || kind <= Kind.null) continue
    if (wants !== 'numbers' && kind !== Kind.array && kind !== Kind.object) continue
    const problem = counts(row) ? unfit[wants](input, batch, row, kind, label) : undefined
    const column = input.place?.(batch, row).column
    if (problem) problems.set(row, { ...problem, ...(column && { column }) })
  }
}

/** Whether every kind is a plain number, four at a time. */
function allNumbers(kinds: Uint8Array, rows: number): boolean {
  if (kinds.byteOffset % 4 !== 0) return false
  const words = new Uint32Array(kinds.buffer, kinds.byteOffset, rows >> 2)
  for (let index = 0; index < words.length; index++) if (words[index] !== 0x01010101 * Kind.number) return false
  for (let row = rows & ~3; row < rows; row++) if (kinds[row] !== Kind.number) return false
  return true
}

type Check = (input: Input, batch: RecordBatch, row: number, kind: number, label: string) => Problem | undefined

const unfit: Readonly<Record<Requirement['wants'], Check>> = {
  numbers(input, batch, row, kind, label) {
    if (kind === Kind.big) {
      if (parseDecimal(input.text(batch, row))) return undefined
      return { problem: `${label} computes exactly, and this number is beyond 1e±${MAX_EXPONENT}` }
    }
    const spelling = kind === Kind.string && input.place?.(batch, row).spelling
    const hint = spelling && `convert it: x = ${label.replace(/\(.*/, '')}(Number(${spelling}))`
    return { problem: `${label} needs numbers, and this is ${kindNames[kind]}`, ...(hint && { hint }) }
  },
  texts: (_input, _batch, _row, kind, label) => ({
    problem: `${label} needs strings or numbers, and this is ${kindNames[kind]}`,
  }),
  // What a scanner hands out of a line that it has not checked whole: containers may hold anything.
  values(input, batch, row, _kind, label) {
    try {
      JSON.parse(input.text(batch, row))
      return undefined
    } catch (error) {
      return { problem: `${label} met ${(error as Error).message}` }
    }
  },
}

const kindNames: Readonly<Record<number, string>> = {
  [Kind.false]: 'false',
  [Kind.true]: 'true',
  [Kind.number]: 'a number',
  [Kind.string]: 'a string',
  [Kind.array]: 'an array',
  [Kind.object]: 'an object',
}
