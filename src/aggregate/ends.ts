import { Kind, type RecordBatch } from '../core/batch.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'
import { grownFloats, grownInts, mapped, picked } from '../core/columns.ts'

/** A guess at what a text of a slot costs. */
const TEXT_BYTES = 48

/** `first` and `last`: the value of the earliest or latest record that has one. */
export class Ends implements Aggregate {
  readonly #input: Input
  readonly #last: boolean
  /** "" is none yet. */
  readonly #texts: string[] = []
  #positions: Float64Array = new Float64Array(0)
  /** The row that a batch offers for a slot, while it is looked through. */
  #rows: Uint32Array = new Uint32Array(0)

  constructor(input: Input, which: 'first' | 'last') {
    this.#input = input
    this.#last = which === 'last'
  }

  reserve(slots: number): void {
    this.#positions = grownFloats(this.#positions, slots)
    this.#rows = grownInts(this.#rows, slots, NONE)
    while (this.#texts.length < slots) this.#texts.push('')
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    const kinds = this.#input.kinds(batch)
    const rows = this.#rows
    const touched: number[] = []
    for (let row = 0; row < batch.count; row++) {
      const slot = slots[row]!
      if (slot === NONE || kinds[row]! <= Kind.null) continue
      if (rows[slot] === NONE) {
        touched.push(slot)
        rows[slot] = row
      } else if (this.#last) rows[slot] = row
    }
    for (const slot of touched) {
      const row = rows[slot]!
      rows[slot] = NONE
      const position = batch.position(row)
      if (this.#wins(slot, position)) this.#put(slot, this.#input.text(batch, row), position)
    }
  }

  #wins(slot: number, position: number): boolean {
    if (this.#texts[slot] === '') return true
    return this.#last ? position >= this.#positions[slot]! : position < this.#positions[slot]!
  }

  #put(slot: number, text: string, position: number): void {
    this.#texts[slot] = text
    this.#positions[slot] = position
  }

  bytes(slots: number): number {
    return slots * (TEXT_BYTES + 12)
  }

  merge(into: number, from: number): void {
    const text = this.#texts[from]!
    const position = this.#positions[from]!
    if (text && this.#wins(into, position)) this.#put(into, text, position)
  }

  clear(slot: number): void {
    this.#texts[slot] = ''
  }

  text(slot: number): string {
    return this.#texts[slot] || 'null'
  }

  exportSlots(slots: Uint32Array): AggregateState {
    return {
      texts: mapped(slots, (slot) => this.#texts[slot]!),
      positions: picked(this.#positions, slots),
    }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    for (let index = 0; index < mapping.length; index++) {
      const text = state['texts']![index] as string
      const position = state['positions']![index] as number
      const slot = mapping[index]!
      if (text && this.#wins(slot, position)) this.#put(slot, text, position)
    }
  }
}
