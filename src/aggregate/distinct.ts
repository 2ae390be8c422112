import { Kind, type RecordBatch } from '../core/batch.ts'
import { PLAIN_KEY } from '../core/key.ts'
import { type Aggregate, type AggregateState, type Input, NONE, type Values } from './aggregate.ts'
import { grownBytes } from '../core/columns.ts'
import { SlotCounts } from './slot-counts.ts'

/** Ids of values that no slot holds any more are let go when they outnumber the others and this. */
const WORTH_FORGETTING = 1 << 16
/** The same when no slot holds any. */
const WORTH_CLEARING = 1 << 8
/** A guess at what a value costs in the table of values. */
const VALUE_BYTES = 100

/**
 * `count_distinct`, and `distinct` and `mode`: each value of a slot once, with its count, where it came first, and how it was spelt there
 * if they ask for that (`spelt`).
 */
export class Distinct implements Aggregate {
  readonly #input: Input
  readonly #values: Values
  readonly #spelt: boolean
  readonly #counts = new SlotCounts()
  /** By entry, where a slot's spelling is not the one of the table of values. */
  readonly #spellings = new Map<number, string>()
  /** By id: 1 the table's spelling is plain, 2 it is not, 0 not looked at. */
  #plain: Uint8Array = new Uint8Array(0)
  #slots = 0

  constructor(input: Input, spelt: boolean) {
    this.#input = input
    this.#values = input.values()
    this.#spelt = spelt
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
      if (counts.size === before) continue
      counts.setPosition(entry, batch.position(row))
      if (this.#spelt) this.#spell(entry, this.#input.text(batch, row))
    }
  }

  /** Remembers how an entry's value is spelt, where the table of values does not tell. */
  #spell(entry: number, text: string): void {
    const id = this.#counts.id(entry)
    if (id >= this.#plain.length) this.#plain = grownBytes(this.#plain, id + 1)
    const known = (this.#plain[id] ||= PLAIN_KEY.test(this.#values.text(id)) ? 1 : 2)
    // Equal values that are both plain are spelt alike.
    if (known === 1 && PLAIN_KEY.test(text)) this.#spellings.delete(entry)
    else if (text === this.#values.text(id)) this.#spellings.delete(entry)
    else this.#spellings.set(entry, text)
  }

  #text(entry: number): string {
    return this.#spellings.get(entry) ?? this.#values.text(this.#counts.id(entry))
  }

  #add(slot: number, id: number, count: number, position: number, text: string): void {
    const entry = this.#counts.add(slot, id, count)
    if (position >= this.#counts.position(entry)) return
    this.#counts.setPosition(entry, position)
    if (this.#spelt) this.#spell(entry, text)
  }

  bytes(slots: number): number {
    // Those that may be left over when all slots are empty do not count: who spills for their sake would never be done.
    const values = Math.max(0, this.#values.size - WORTH_CLEARING)
    return this.#counts.bytes(slots) + VALUE_BYTES * (values + this.#spellings.size)
  }

  merge(into: number, from: number): void {
    const counts = this.#counts
    for (const entry of counts.entries(from)) {
      const text = this.#spelt ? this.#text(entry) : ''
      this.#add(into, counts.id(entry), counts.count(entry), counts.position(entry), text)
    }
  }

  clear(slot: number): void {
    if (this.#spellings.size > 0) for (const entry of this.#counts.entries(slot)) this.#spellings.delete(entry)
    this.#counts.clear(slot)
    const least = this.#counts.size === 0 ? WORTH_CLEARING : WORTH_FORGETTING
    if (this.#values.size > least && this.#values.size > 4 * this.#counts.size) this.#forget()
  }

  /** Keeps the values that are still in some slot. Costs their number, and the memory halves at least. */
  #forget(): void {
    const kept = new Map<number, string>()
    const slots = this.#counts.size === 0 ? [] : Array.from({ length: this.#slots }, (_, slot) => slot)
    for (const slot of slots) {
      for (const entry of this.#counts.entries(slot)) {
        const id = this.#counts.id(entry)
        if (!kept.has(id)) kept.set(id, this.#values.text(id))
      }
    }
    this.#values.clear()
    this.#plain.fill(0)
    const fresh = this.#values.idsOf([...kept.values()])
    const renamed = new Map([...kept.keys()].map((id, index) => [id, fresh[index]!]))
    this.#counts.rename(slots, (id) => renamed.get(id)!)
  }

  count(slot: number): string {
    return String(this.#counts.distinct(slot))
  }

  list(slot: number): string {
    return `[${this.#counts.entries(slot).map((entry) => this.#text(entry))}]`
  }

  /** The most frequent value, of several the one seen first. */
  mode(slot: number): string {
    let best: number | undefined
    for (const entry of this.#counts.entries(slot)) {
      if (best === undefined || this.#counts.count(entry) > this.#counts.count(best)) best = entry
    }
    return best === undefined ? 'null' : this.#text(best)
  }

  exportSlots(slots: Uint32Array): AggregateState {
    const texts: string[] = []
    const counts: number[] = []
    const positions: number[] = []
    for (const slot of slots) {
      for (const entry of this.#counts.entries(slot)) {
        texts.push(this.#text(entry))
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
    const texts = state['texts'] as readonly string[]
    const ids = this.#values.idsOf(texts)
    let at = 0
    for (let index = 0; index < mapping.length; index++) {
      for (let left = state['lengths']![index] as number; left > 0; left--, at++) {
        const count = state['counts']![at] as number
        this.#add(mapping[index]!, ids[at]!, count, state['positions']![at] as number, texts[at]!)
      }
    }
  }
}
