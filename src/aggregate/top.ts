import { Kind, type RecordBatch } from '../core/batch.ts'
import { powersOfTen } from '../core/decimal.ts'
import { compareValues } from '../core/order.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'
import { grownFloats, mapped } from '../core/columns.ts'

interface Item {
  readonly text: string
  readonly position: number
}

/** `top(x, k)`: the k largest by the order of values, largest first; of equal ones those of earlier records. */
export class Top implements Aggregate {
  readonly #input: Input
  readonly #k: number
  readonly #items: Item[][] = []
  /** What a number must exceed to get in: the least of k items, if that is a short number. */
  #bars: Float64Array = new Float64Array(0)

  constructor(input: Input, k: number) {
    this.#input = input
    this.#k = k
  }

  reserve(slots: number): void {
    while (this.#items.length < slots) this.#items.push([])
    this.#bars = grownFloats(this.#bars, slots, Number.NEGATIVE_INFINITY)
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    const { kinds, mantissas, scales } = this.#input.decimals(batch)
    for (let row = 0, rows = batch.count; row < rows; row++) {
      const slot = slots[row]!
      const kind = kinds[row]!
      if (slot === NONE || kind <= Kind.null) continue
      if (kind === Kind.number && mantissas[row]! / powersOfTen[scales[row]!]! < this.#bars[slot]!) continue
      this.#offer(slot, { text: this.#input.text(batch, row), position: batch.position(row) })
    }
  }

  #offer(slot: number, item: Item): void {
    const items = this.#items[slot]!
    let at = items.length
    while (at > 0 && goesBefore(item, items[at - 1]!)) at--
    if (at >= this.#k) return
    items.splice(at, 0, item)
    if (items.length > this.#k) items.pop()
    const least = items.length === this.#k ? items[this.#k - 1]!.text : ''
    // Doubles round to the same side, so what is below this bar as a double is no larger than the least item.
    this.#bars[slot] = /^[-\d]/.test(least) ? Number(least) : Number.NEGATIVE_INFINITY
  }

  bytes(slots: number): number {
    return slots * (80 + 80 * Math.min(this.#k, 16))
  }

  merge(into: number, from: number): void {
    for (const item of this.#items[from]!) this.#offer(into, item)
  }

  clear(slot: number): void {
    this.#items[slot] = []
    this.#bars[slot] = Number.NEGATIVE_INFINITY
  }

  list(slot: number): string {
    return this.#items[slot]!.length ? `[${this.#items[slot]!.map(({ text }) => text)}]` : 'null'
  }

  exportSlots(slots: Uint32Array): AggregateState {
    const items = mapped(slots, (slot) => this.#items[slot]!)
    return {
      lengths: Uint32Array.from(items, ({ length }) => length),
      texts: items.flat().map(({ text }) => text),
      positions: Float64Array.from(items.flat(), ({ position }) => position),
    }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    let at = 0
    for (let index = 0; index < mapping.length; index++) {
      for (let left = state['lengths']![index] as number; left > 0; left--, at++) {
        const item = { text: state['texts']![at] as string, position: state['positions']![at] as number }
        this.#offer(mapping[index]!, item)
      }
    }
  }
}

function goesBefore(a: Item, b: Item): boolean {
  const difference = compareValues(a.text, b.text)
  return difference > 0 || (difference === 0 && a.position < b.position)
}
