import { Kind, type RecordBatch } from '../core/batch.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'
import { grownFloats, packed, picked } from '../core/columns.ts'

/** `count` and `count(x)`: records, or those where x is neither missing nor null. */
export class Count implements Aggregate {
  #counts: Float64Array = new Float64Array(0)
  readonly #input: Input | undefined

  constructor(input: Input | undefined) {
    this.#input = input
  }

  reserve(slots: number): void {
    this.#counts = grownFloats(this.#counts, slots)
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    const counts = this.#counts
    const rows = batch.count
    if (!this.#input) {
      for (let row = 0; row < rows; row++) {
        const slot = slots[row]!
        if (slot !== NONE) counts[slot]!++
      }
      return
    }
    const kinds = this.#input.kinds(batch)
    for (let row = 0; row < rows; row++) {
      const slot = slots[row]!
      if (slot !== NONE && kinds[row]! > Kind.null) counts[slot]!++
    }
  }

  bytes(slots: number): number {
    return 8 * slots
  }

  merge(into: number, from: number): void {
    this.#counts[into]! += this.#counts[from]!
  }

  clear(slot: number): void {
    this.#counts[slot] = 0
  }

  /** By slot. A view, valid until more slots are reserved. */
  get counts(): Float64Array {
    return this.#counts
  }

  text(slot: number): string {
    return String(this.#counts[slot])
  }

  exportSlots(slots: Uint32Array): AggregateState {
    return { counts: picked(this.#counts, slots) }
  }

  packSlots(slots: Uint32Array): AggregateState {
    return { counts: packed(this.#counts, slots) }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    const counts = state['counts'] as Float64Array | Int32Array | Uint8Array
    for (let index = 0; index < mapping.length; index++) this.#counts[mapping[index]!]! += counts[index]!
  }
}
