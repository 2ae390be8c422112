import { Kind, type RecordBatch } from '../core/batch.ts'
import { type Aggregate, type AggregateState, type Input, NONE, type Numbers, type Values } from './aggregate.ts'
import { SlotCounts } from './slot-counts.ts'

/** Ids of values that no slot holds any more are let go when they outnumber the others and this. */
const WORTH_FORGETTING = 1 << 16

/** `distinct`, `count_distinct` and `mode`: each value once, with its count and where it came first. */
export class Distinct implements Aggregate {
  readonly #input: Input
  readonly #values: Values
  readonly #counts = new SlotCounts()
  #slots = 0

  constructor(input: Input) {
    this.#input = input
    this.#values = input.values()
  }

  reserve(slots: number): void {
    this.#counts.reserve(slots)
    this.#slots = Math.max(this.#slots, slots)
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    const kinds = this.#input.kinds(batch)
    const ids = this.#values.ids(batch)
    const counts = this.#counts
    for (let row = 0, rows = batch.count; row < rows; row++) {
      const slot = slots[row]!
      if (slot === NONE || kinds[row]! <= Kind.null) continue
      const before = counts.size
      const entry = counts.add(slot, ids[row]!, 1)
      if (counts.size > before) counts.setPosition(entry, batch.position(row))
    }
  }

  #add(slot: number, id: number, count: number, position: number): void {
    const entry = this.#counts.add(slot, id, count)
    if (position < this.#counts.position(entry)) this.#counts.setPosition(entry, position)
  }

  merge(into: number, from: number): void {
    const counts = this.#counts
    for (const entry of counts.entries(from)) {
      this.#add(into, counts.id(entry), counts.count(entry), counts.position(entry))
    }
  }

  clear(slot: number): void {
    this.#counts.clear(slot)
    if (this.#values.size > WORTH_FORGETTING && this.#values.size > 4 * this.#counts.size) this.#forget()
  }

  /** Keeps the values that are still in some slot. Costs their number, and the memory halves at least. */
  #forget(): void {
    const kept = new Map<number, { text: string; position: number }>()
    const slots = Array.from({ length: this.#slots }, (_, slot) => slot)
    for (const slot of slots) {
      for (const entry of this.#counts.entries(slot)) {
        const id = this.#counts.id(entry)
        const position = this.#counts.position(entry)
        if (position < (kept.get(id)?.position ?? Number.POSITIVE_INFINITY)) {
          kept.set(id, { text: this.#values.text(id), position })
        }
      }
    }
    this.#values.clear()
    const values = [...kept.values()]
    const fresh = this.#values.idsOf(
      values.map(({ text }) => text),
      values.map(({ position }) => position),
    )
    const renamed = new Map([...kept.keys()].map((id, index) => [id, fresh[index]!]))
    this.#counts.rename(slots, (id) => renamed.get(id)!)
  }

  count(slot: number): string {
    return String(this.#counts.distinct(slot))
  }

  list(slot: number): string {
    return `[${this.#counts.entries(slot).map((entry) => this.#values.text(this.#counts.id(entry)))}]`
  }

  /** The most frequent value, of several the one seen first. */
  mode(slot: number): string {
    let best: number | undefined
    for (const entry of this.#counts.entries(slot)) {
      if (best === undefined || this.#counts.count(entry) > this.#counts.count(best)) best = entry
    }
    return best === undefined ? 'null' : this.#values.text(this.#counts.id(best))
  }

  exportSlots(slots: Uint32Array): AggregateState {
    const texts: string[] = []
    const counts: number[] = []
    const positions: number[] = []
    for (const slot of slots) {
      for (const entry of this.#counts.entries(slot)) {
        texts.push(this.#values.text(this.#counts.id(entry)))
        counts.push(this.#counts.count(entry))
        positions.push(this.#counts.position(entry))
      }
    }
    return {
      lengths: Uint32Array.from(slots, (slot) => this.#counts.distinct(slot)),
      texts,
      counts: Float64Array.from(counts),
      positions: Float64Array.from(positions),
    }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    const ids = this.#values.idsOf(state['texts'] as readonly string[], state['positions'] as Numbers)
    let at = 0
    for (let index = 0; index < mapping.length; index++) {
      for (let left = state['lengths']![index] as number; left > 0; left--, at++) {
        this.#add(mapping[index]!, ids[at]!, state['counts']![at] as number, state['positions']![at] as number)
      }
    }
  }
}
