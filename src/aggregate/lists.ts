import { Kind, type RecordBatch } from '../core/batch.ts'
import { toLatin1 } from '../core/latin1.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'
import { grownFloats } from '../core/columns.ts'
import { SlotLists } from './slot-lists.ts'

/** What a string costs beside its characters. */
const STRING_BYTES = 24

/** `list` and `concat`: all values, in the order of the records. */
export class Lists implements Aggregate {
  readonly #input: Input
  readonly #lists = new SlotLists()
  readonly #texts: string[] = []
  #positions: Float64Array = new Float64Array(0)
  #textBytes = 0

  constructor(input: Input) {
    this.#input = input
  }

  reserve(slots: number): void {
    this.#lists.reserve(slots)
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    const kinds = this.#input.kinds(batch)
    for (let row = 0; row < batch.count; row++) {
      const slot = slots[row]!
      if (slot !== NONE && kinds[row]! > Kind.null)
        this.#append(slot, this.#input.text(batch, row), batch.position(row))
    }
  }

  #append(slot: number, text: string, position: number): void {
    const entry = this.#lists.append(slot)
    this.#positions = grownFloats(this.#positions, entry + 1)
    this.#positions[entry] = position
    this.#texts[entry] = text
    this.#textBytes += text.length + STRING_BYTES
  }

  bytes(slots: number): number {
    return 12 * slots + 16 * this.#lists.size + this.#textBytes
  }

  merge(into: number, from: number): void {
    for (let entry = this.#lists.first(from); entry !== NONE; entry = this.#lists.after(entry)) {
      this.#append(into, this.#texts[entry]!, this.#positions[entry]!)
    }
  }

  clear(slot: number): void {
    for (let entry = this.#lists.first(slot); entry !== NONE; entry = this.#lists.after(entry)) {
      this.#textBytes -= this.#texts[entry]!.length + STRING_BYTES
      this.#texts[entry] = ''
    }
    this.#lists.clear(slot)
  }

  /** The slot's entries in the order of the records. */
  #entries(slot: number): number[] {
    return this.#lists.ordered(slot, this.#positions)
  }

  list(slot: number): string {
    return `[${this.#entries(slot).map((entry) => this.#texts[entry]!)}]`
  }

  /** One string: escapes stay as they were written. */
  concat(slot: number, separator: string): string {
    if (this.#lists.length(slot) === 0) return 'null'
    const inner = (text: string): string => (text.startsWith('"') ? text.slice(1, -1) : text)
    return `"${this.#entries(slot)
      .map((entry) => inner(this.#texts[entry]!))
      .join(inner(toLatin1(JSON.stringify(separator))))}"`
  }

  exportSlots(slots: Uint32Array): AggregateState {
    const texts: string[] = []
    const positions: number[] = []
    for (const slot of slots) {
      for (const entry of this.#entries(slot)) {
        texts.push(this.#texts[entry]!)
        positions.push(this.#positions[entry]!)
      }
    }
    return {
      lengths: Uint32Array.from(slots, (slot) => this.#lists.length(slot)),
      texts,
      positions: Float64Array.from(positions),
    }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    let at = 0
    for (let index = 0; index < mapping.length; index++) {
      for (let left = state['lengths']![index] as number; left > 0; left--, at++) {
        this.#append(mapping[index]!, state['texts']![at] as string, state['positions']![at] as number)
      }
    }
  }
}
