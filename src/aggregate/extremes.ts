import { Kind, type RecordBatch } from '../core/batch.ts'
import { powersOfTen } from '../core/decimal.ts'
import { compareValues } from '../core/order.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'
import { grownFloats, mapped, picked } from '../core/columns.ts'

/** A guess at what a text of a slot costs. */
const TEXT_BYTES = 40

/** Decimals of up to 15 digits are equal when their doubles are. */
const SHORT = 1e15

/**
 * `min`, `max`, `argmin` and `argmax`, by the order of values (src/core/order.ts); of equal ones the first record's.
 * Numbers are compared as doubles where that decides.
 */
export class Extremes implements Aggregate {
  readonly #by: Input
  /** What is printed: the extreme itself, or another value of its record. */
  readonly #of: Input
  readonly #sign: 1 | -1
  /** What was compared, "" for none yet, and what is printed. */
  readonly #keys: string[] = []
  readonly #texts: string[] = []
  /** The key as a double, NaN when it is not a short number. */
  #doubles: Float64Array = new Float64Array(0)
  #positions: Float64Array = new Float64Array(0)

  constructor(which: 'min' | 'max', by: Input, of = by) {
    this.#by = by
    this.#of = of
    this.#sign = which === 'min' ? -1 : 1
  }

  reserve(slots: number): void {
    this.#doubles = grownFloats(this.#doubles, slots, Number.NaN)
    this.#positions = grownFloats(this.#positions, slots)
    while (this.#keys.length < slots) {
      this.#keys.push('')
      this.#texts.push('')
    }
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    const { kinds, mantissas, scales } = this.#by.decimals(batch)
    const ofKinds = this.#of === this.#by ? kinds : this.#of.kinds(batch)
    const doubles = this.#doubles
    const sign = this.#sign
    for (let row = 0, rows = batch.count; row < rows; row++) {
      const slot = slots[row]!
      const kind = kinds[row]!
      if (slot === NONE || kind <= Kind.null || ofKinds[row]! <= Kind.null) continue
      if (kind === Kind.number) {
        const mantissa = mantissas[row]!
        if (mantissa < SHORT && mantissa > -SHORT) {
          const scale = scales[row]!
          const value = scale === 0 ? mantissa : mantissa / powersOfTen[scale]!
          // False for NaN too: then texts decide.
          if ((value - doubles[slot]!) * sign <= 0) continue
          if (doubles[slot] === doubles[slot] || this.#wins(slot, this.#by.text(batch, row))) {
            this.#put(slot, batch, row, value)
          }
          continue
        }
      }
      if (this.#wins(slot, this.#by.text(batch, row))) this.#put(slot, batch, row, Number.NaN)
    }
  }

  /** Whether a key beats the slot's, which is of an earlier record. */
  #wins(slot: number, key: string): boolean {
    return this.#keys[slot] === '' || compareValues(key, this.#keys[slot]!) * this.#sign > 0
  }

  #put(slot: number, batch: RecordBatch, row: number, value: number): void {
    const key = this.#by.text(batch, row)
    this.#doubles[slot] = value
    this.#keys[slot] = key
    this.#texts[slot] = this.#of === this.#by ? key : this.#of.text(batch, row)
    this.#positions[slot] = batch.position(row)
  }

  /** Takes a key from elsewhere, which may be of an earlier record. */
  #offer(slot: number, key: string, text: string, position: number, value: number): void {
    if (key === '') return
    const difference = this.#keys[slot] === '' ? 1 : compareValues(key, this.#keys[slot]!) * this.#sign
    if (difference < 0 || (difference === 0 && position >= this.#positions[slot]!)) return
    this.#keys[slot] = key
    this.#texts[slot] = text
    this.#positions[slot] = position
    this.#doubles[slot] = value
  }

  bytes(slots: number): number {
    return slots * (2 * TEXT_BYTES + 16)
  }

  merge(into: number, from: number): void {
    this.#offer(into, this.#keys[from]!, this.#texts[from]!, this.#positions[from]!, this.#doubles[from]!)
  }

  clear(slot: number): void {
    this.#keys[slot] = ''
    this.#texts[slot] = ''
    this.#doubles[slot] = Number.NaN
  }

  text(slot: number): string {
    return this.#texts[slot] || 'null'
  }

  exportSlots(slots: Uint32Array): AggregateState {
    return {
      keys: mapped(slots, (slot) => this.#keys[slot]!),
      texts: this.#of === this.#by ? [] : mapped(slots, (slot) => this.#texts[slot]!),
      positions: picked(this.#positions, slots),
    }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    for (let index = 0; index < mapping.length; index++) {
      const key = state['keys']![index] as string
      const text = this.#of === this.#by ? key : (state['texts']![index] as string)
      this.#offer(mapping[index]!, key, text, state['positions']![index] as number, shortNumber(key))
    }
  }
}

/** The double of a number that is short as written; else NaN, which is right too, only slower. */
const shortNumber = (text: string): number => (/^-?[\d.]{1,15}$/.test(text) ? Number(text) : Number.NaN)
