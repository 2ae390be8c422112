import { deserialize, serialize } from 'node:v8'
import type { RecordBatch } from '../core/batch.ts'
import { mapped } from '../core/columns.ts'
import { BeckError } from '../core/errors.ts'
import type { Problem } from '../core/operator.ts'
import type { RowFunction } from '../expression/index.ts'
import { serialise } from '../expression/serialise.ts'
import { decode } from '../expression/values.ts'
import { type Aggregate, type AggregateState, NONE } from './aggregate.ts'

/** Functions of `fold(step, start[, merge])`. */
export interface FoldFunctions {
  readonly step: RowFunction
  readonly start: unknown
  readonly merge: RowFunction | undefined
}

/** `fold((state, r) => …, start, (a, b) => …)`: any JavaScript value per slot. States travel as JSON. */
export class Fold implements Aggregate {
  readonly #functions: FoldFunctions
  readonly #states: unknown[] = []
  /** Slots that hold more than the start. */
  readonly #used = new Set<number>()

  constructor(functions: FoldFunctions) {
    this.#functions = functions
  }

  reserve(slots: number): void {
    while (this.#states.length < slots) this.#states.push(this.#fresh())
  }

  /** A start of its own for each slot: a step may change it. */
  #fresh(): unknown {
    const { start } = this.#functions
    return typeof start === 'object' ? structuredClone(start) : start
  }

  /** Slots of rows for which the function threw keep the state before. */
  add(batch: RecordBatch, slots: Uint32Array): Map<number, Problem> {
    const { step } = this.#functions
    const problems = new Map<number, Problem>()
    step.begin(batch)
    for (let row = 0; row < batch.count; row++) {
      const slot = slots[row]!
      if (slot === NONE) continue
      try {
        this.#states[slot] = kept(step.call(row, this.#states[slot]))
        this.#used.add(slot)
      } catch (error) {
        problems.set(row, step.problem(error, batch, row))
      }
    }
    return problems
  }

  bytes(slots: number): number {
    return 200 * slots
  }

  merge(into: number, from: number): void {
    const { merge } = this.#functions
    if (!merge) throw new Error('a fold without merge was asked to merge')
    // Copies, since the function may change what it gets.
    this.#states[into] = merge.call(0, this.#states[into], structuredClone(this.#states[from]))
    this.#used.add(into)
  }

  clear(slot: number): void {
    this.#states[slot] = this.#fresh()
    this.#used.delete(slot)
  }

  text(slot: number): string {
    try {
      return serialise(this.#states[slot]) ?? 'null'
    } catch (error) {
      throw new BeckError(
        'bad-record',
        {
          problem: `fold: ${(error as Error).message}`,
          hint: (error as { hint?: string }).hint,
        },
        { cause: error },
      )
    }
  }

  exportSlots(slots: Uint32Array): AggregateState {
    return { states: mapped(slots, (slot) => this.text(slot)) }
  }

  /** Whatever `structuredClone` takes stays what it is: maps, dates, BigInt. */
  packSlots(slots: Uint32Array): AggregateState {
    try {
      return { packed: serialize(mapped(slots, (slot) => this.#states[slot])) }
    } catch (error) {
      throw new BeckError(
        'bad-record',
        {
          problem: `fold: its state cannot be kept: ${(error as Error).message}`,
          hint: 'keep values in it, and no functions',
        },
        { cause: error },
      )
    }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    const { merge } = this.#functions
    const packed = state['packed'] as Uint8Array | undefined
    const values = packed ? (deserialize(packed) as unknown[]) : (state['states'] as readonly string[]).map(decode)
    for (let index = 0; index < mapping.length; index++) {
      const slot = mapping[index]!
      // A start that is merged with what began with it would count twice.
      const merges = merge && this.#used.has(slot)
      this.#states[slot] = merges ? merge.call(0, this.#states[slot], values[index]) : values[index]
      this.#used.add(slot)
    }
  }
}

/** A string of a record is a view of its whole block, which must not stay for it. */
const kept = (state: unknown): unknown =>
  typeof state === 'string' && state.length > 12 ? Buffer.from(state, 'utf16le').toString('utf16le') : state
