import type { RecordBatch } from '../core/batch.ts'
import type { Aggregate, AggregateState } from './aggregate.ts'
import type { StageContext } from '../core/operator.ts'

/** What some slots of a set hold: the state of each aggregate, by its id. For `structuredClone`, `importSlots` and JSON. */
export interface SetState {
  readonly [id: string]: AggregateState
}

/** An aggregate of the set with the `where` that chooses its rows. Members that ask the same thing of the same rows share it. */
export interface Part {
  readonly id: string
  readonly aggregate: Aggregate
}

/** A named result. */
export interface Member {
  readonly name: string
  result(slot: number): string
}

/**
 * All aggregates of a command, over the same slots. Per batch: `begin` once, then `add` (several times where a record
 * belongs to several windows).
 */
export class AggregateSet {
  readonly #parts: readonly Part[]
  readonly #members: readonly (Member & { readonly prefix: string })[]

  constructor(parts: readonly Part[], members: readonly Member[], _context: StageContext) {
    this.#parts = parts
    this.#members = members.map((member) => ({
      name: member.name,
      prefix: `${Buffer.from(JSON.stringify(member.name)).toString('latin1')}:`,
      result: (slot) => member.result(slot),
    }))
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
  begin(_batch: RecordBatch, _slots: Uint32Array): number {
    return 0
  }

  /** Adds each row to its slot; `NONE` skips the row. */
  add(batch: RecordBatch, slots: Uint32Array): void {
    for (const part of this.#parts) part.aggregate.add(batch, slots)
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
    for (const member of this.#members) text += (text && ',') + member.prefix + member.result(slot)
    return text
  }

  exportSlots(slots: Uint32Array): SetState {
    return Object.fromEntries(this.#parts.map((part) => [part.id, part.aggregate.exportSlots(slots)]))
  }

  /** Adds the state's slots, in order, to the slots that `mapping` names. */
  importSlots(state: SetState, mapping: Uint32Array): void {
    for (const part of this.#parts) {
      const own = state[part.id]
      if (own) part.aggregate.importSlots(own, mapping)
    }
  }
}
