import { Kind, type RecordBatch } from '../core/batch.ts'
import { MAX_EXPONENT, parseDecimal } from '../core/decimal.ts'
import { toLatin1 } from '../core/latin1.ts'
import type { Problem, StageContext } from '../core/operator.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'

/** What some slots of a set hold: the state of each part, by its id. For `structuredClone`, `importSlots` and JSON. */
export interface SetState {
  readonly [id: string]: AggregateState
}

/** Something that is computed once a batch, before anything is added: an expression. */
export interface Computed {
  /** Computes the rows that are not `NONE`; what is wrong with a row goes to `problems` (the first one counts). */
  compute(batch: RecordBatch, slots: Uint32Array, problems: Map<number, Problem>): void
}

/** The `where` of an aggregate. */
export interface Condition extends Computed {
  readonly id: string
  /** Per row of the batch computed last, 1 where it holds. */
  readonly mask: Uint8Array
}

/** What kinds of values an aggregate takes of an input. */
export interface Requirement {
  readonly input: Input
  /** For messages: "sum(latency_ms)". */
  readonly label: string
  readonly wants: 'numbers' | 'texts'
}

/** One aggregate of the set with the `where` that chooses its rows. Members that ask things of the same rows share it. */
export interface Part {
  readonly id: string
  readonly aggregate: Aggregate
  readonly where: Condition | undefined
  readonly requirements: readonly Requirement[]
}

/** A named result. */
export interface Member {
  readonly name: string
  /** JSON text as a latin1 "binary" string. */
  result(slot: number): string
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

  constructor(
    parts: readonly Part[],
    members: readonly Member[],
    computed: readonly Computed[],
    context: StageContext,
  ) {
    this.#parts = parts
    this.#computed = computed
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
    for (const computed of this.#computed) computed.compute(batch, slots, problems)
    for (const part of this.#parts) {
      for (const requirement of part.requirements) {
        if (requirement.wants === 'numbers') findNoNumbers(batch, slots, part, requirement, problems)
        else findNoTexts(batch, slots, part, requirement, problems)
      }
    }
    if (problems.size === 0) return 0
    for (const row of [...problems.keys()].sort((a, b) => a - b)) {
      this.#context.reject(batch, row, problems.get(row)!)
      slots[row] = NONE
    }
    return problems.size
  }

  /** Adds each row to its slot; `NONE` skips the row. */
  add(batch: RecordBatch, slots: Uint32Array): void {
    for (const { aggregate, where } of this.#parts) {
      aggregate.add(batch, where ? this.#choose(where.mask, batch.count, slots) : slots)
    }
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

  /** The results of a slot as JSON members in the order written, `"count":3,"sum_n":1.5`, as a latin1 "binary" string. */
  results(slot: number): string {
    let text = ''
    for (const { prefix, member } of this.#members) text += prefix + member.result(slot)
    return text
  }

  exportSlots(slots: Uint32Array): SetState {
    return Object.fromEntries(this.#parts.map((part) => [part.id, part.aggregate.exportSlots(slots)]))
  }

  /** Adds the state's slots, in order, to the slots that `mapping` names. */
  importSlots(state: SetState, mapping: Uint32Array): void {
    for (const part of this.#parts) part.aggregate.importSlots(state[part.id]!, mapping)
  }

  /** The ids of the parts, which are the names in a `SetState`. */
  get ids(): readonly string[] {
    return this.#parts.map((part) => part.id)
  }
}

/** Costs a comparison a row where all is well. */
function findNoNumbers(
  batch: RecordBatch,
  slots: Uint32Array,
  { where }: Part,
  { input, label }: Requirement,
  problems: Map<number, Problem>,
): void {
  const { kinds } = input.decimals(batch)
  for (let row = 0, rows = batch.count; row < rows; row++) {
    const kind = kinds[row]!
    if (kind === Kind.number || kind <= Kind.null || slots[row] === NONE) continue
    if (problems.has(row) || (where && where.mask[row] !== 1)) continue
    if (kind !== Kind.big) {
      problems.set(row, {
        problem: `${label} needs numbers, and this is ${kindNames[kind]}`,
        ...(kind === Kind.string ? { hint: `convert it, as in: x = ${label.replace(/\(.*/, '')}(Number(r.…))` } : {}),
      })
    } else if (!parseDecimal(input.text(batch, row))) {
      problems.set(row, { problem: `${label} computes exactly, and this number is beyond 1e±${MAX_EXPONENT}` })
    }
  }
}

function findNoTexts(
  batch: RecordBatch,
  slots: Uint32Array,
  { where }: Part,
  { input, label }: Requirement,
  problems: Map<number, Problem>,
): void {
  const kinds = input.kinds(batch)
  for (let row = 0, rows = batch.count; row < rows; row++) {
    const kind = kinds[row]!
    if ((kind !== Kind.array && kind !== Kind.object) || slots[row] === NONE) continue
    if (problems.has(row) || (where && where.mask[row] !== 1)) continue
    problems.set(row, { problem: `${label} needs strings or numbers, and this is ${kindNames[kind]}` })
  }
}

const kindNames: Readonly<Record<number, string>> = {
  [Kind.false]: 'false',
  [Kind.true]: 'true',
  [Kind.number]: 'a number',
  [Kind.string]: 'a string',
  [Kind.array]: 'an array',
  [Kind.object]: 'an object',
}
