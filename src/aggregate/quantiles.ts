import { Kind, type RecordBatch } from '../core/batch.ts'
import {
  addDecimals,
  compareNumberTexts,
  type Decimal,
  formatDecimal,
  formatSmallDecimal,
  multiplyDecimals,
  parseDecimal,
  subtractDecimals,
  powersOfTen,
} from '../core/decimal.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'
import { grownFloats, mapped } from '../core/columns.ts'
import { SlotLists } from './slot-lists.ts'

/** Decimals of up to 15 digits come back from their doubles. */
const SHORT = 1e15

/** Up to here a double times a power of ten is within a half of the integer that is meant. */
const WELL_ROUNDED = 2 ** 50

/** `median`, `p0` … `p100` and `histogram`: all numbers of a slot, sorted when asked for. */
export class Quantiles implements Aggregate {
  readonly #input: Input
  readonly #lists = new SlotLists()
  #values: Float64Array = new Float64Array(0)
  /** Numbers that a double does not hold exactly, by slot: their texts. Their places are merged in when sorting. */
  readonly #long = new Map<number, string[]>()
  #longBytes = 0
  /** The most digits behind the point that a double of the lists stands for. */
  #scale = 0
  /** The slot sorted last, since several results usually ask for the same one. */
  #sorted: { readonly slot: number; readonly numbers: SortedNumbers } | undefined

  constructor(input: Input) {
    this.#input = input
  }

  reserve(slots: number): void {
    this.#lists.reserve(slots)
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    this.#sorted = undefined
    const { kinds, mantissas, scales } = this.#input.decimals(batch)
    for (let row = 0, rows = batch.count; row < rows; row++) {
      const slot = slots[row]!
      if (slot === NONE) continue
      const kind = kinds[row]
      const mantissa = mantissas[row]!
      if (kind === Kind.number && mantissa <= SHORT && mantissa >= -SHORT) {
        const scale = scales[row]!
        if (scale > this.#scale) this.#scale = scale
        this.#push(slot, scale === 0 ? mantissa : mantissa / powersOfTen[scale]!)
      } else if (kind === Kind.number || kind === Kind.big) this.#pushLong(slot, this.#input.text(batch, row))
    }
  }

  #push(slot: number, value: number): void {
    const entry = this.#lists.append(slot)
    if (entry >= this.#values.length) this.#values = grownFloats(this.#values, entry + 1)
    this.#values[entry] = value
  }

  #pushLong(slot: number, text: string): void {
    this.#longBytes += text.length + 24
    const texts = this.#long.get(slot)
    if (texts) texts.push(text)
    else this.#long.set(slot, [text])
  }

  bytes(slots: number): number {
    return 12 * slots + 12 * this.#lists.size + this.#longBytes
  }

  merge(into: number, from: number): void {
    this.#sorted = undefined
    for (let entry = this.#lists.first(from); entry !== NONE; entry = this.#lists.after(entry)) {
      this.#push(into, this.#values[entry]!)
    }
    for (const text of this.#long.get(from) ?? []) this.#pushLong(into, text)
  }

  clear(slot: number): void {
    this.#sorted = undefined
    this.#lists.clear(slot)
    for (const text of this.#long.get(slot) ?? []) this.#longBytes -= text.length + 24
    this.#long.delete(slot)
  }

  #doubles(slot: number): Float64Array {
    const values = new Float64Array(this.#lists.length(slot))
    let at = 0
    for (let entry = this.#lists.first(slot); entry !== NONE; entry = this.#lists.after(entry)) {
      values[at++] = this.#values[entry]!
    }
    return values
  }

  /** The slot's numbers in order. */
  sorted(slot: number): SortedNumbers {
    if (this.#sorted?.slot !== slot) {
      this.#sorted = { slot, numbers: new SortedNumbers(this.#doubles(slot).sort(), this.#long.get(slot) ?? []) }
    }
    return this.#sorted.numbers
  }

  /** The value below which the fraction `p` of the numbers lies, with linear interpolation (type 7 of Hyndman and Fan), exactly. */
  quantile(slot: number, p: Decimal): string {
    const numbers = this.sorted(slot)
    if (numbers.length === 0) return 'null'
    const small = this.#smallQuantile(numbers, p)
    if (small !== undefined) return small
    const rank = multiplyDecimals({ mantissa: BigInt(numbers.length - 1), scale: 0 }, p)
    const unit = 10n ** BigInt(Math.max(0, rank.scale))
    const below = Number(rank.mantissa / unit)
    const part: Decimal = { mantissa: rank.mantissa % unit, scale: rank.scale }
    if (part.mantissa === 0n) return formatDecimal(numbers.at(below))
    const low = numbers.at(below)
    const step = subtractDecimals(numbers.at(below + 1), low)
    return formatDecimal(addDecimals(low, multiplyDecimals(step, part)))
  }

  /** The same in integers that doubles hold exactly, or undefined where that needs more: nearly all data fits. */
  #smallQuantile(numbers: SortedNumbers, p: Decimal): string | undefined {
    const unit = powersOfTen[p.scale]
    const rank = (numbers.length - 1) * Number(p.mantissa)
    if (numbers.hasLong || unit === undefined || p.scale + this.#scale > 22 || !Number.isSafeInteger(rank))
      return undefined
    const part = rank % unit
    const below = (rank - part) / unit
    const low = numbers.mantissa(below, this.#scale)
    const high = part === 0 ? low : numbers.mantissa(below + 1, this.#scale)
    const most = Number.MAX_SAFE_INTEGER / unit
    if (Math.max(Math.abs(low), Math.abs(high), high - low) > Math.min(most, WELL_ROUNDED)) return undefined
    return formatSmallDecimal(low * unit + (high - low) * part, this.#scale + p.scale)
  }

  exportSlots(slots: Uint32Array): AggregateState {
    const doubles = mapped(slots, (slot) => this.#doubles(slot))
    const values = new Float64Array(doubles.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const part of doubles) {
      values.set(part, at)
      at += part.length
    }
    return {
      lengths: Uint32Array.from(doubles, ({ length }) => length),
      values,
      scale: Uint8Array.of(this.#scale),
      longLengths: Uint32Array.from(slots, (slot) => this.#long.get(slot)?.length ?? 0),
      long: mapped(slots, (slot) => this.#long.get(slot) ?? []).flat(),
    }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    this.#sorted = undefined
    this.#scale = Math.max(this.#scale, state['scale']![0] as number)
    let at = 0
    let atLong = 0
    for (let index = 0; index < mapping.length; index++) {
      const slot = mapping[index]!
      for (let left = state['lengths']![index] as number; left > 0; left--) {
        this.#push(slot, state['values']![at++] as number)
      }
      for (let left = state['longLengths']![index] as number; left > 0; left--) {
        this.#pushLong(slot, state['long']![atLong++] as string)
      }
    }
  }
}

/** Doubles that stand for short decimals, and long numbers as texts, in one order. */
export class SortedNumbers {
  readonly #doubles: Float64Array
  readonly #long: readonly { readonly text: string; readonly index: number }[]
  readonly length: number

  constructor(doubles: Float64Array, long: readonly string[]) {
    this.#doubles = doubles
    this.length = doubles.length + long.length
    // Where each long number stands among all: after the doubles below it and the long ones before it.
    this.#long = sortTexts(long).map((text, index) => ({ text, index: index + this.#below(text) }))
  }

  #below(text: string): number {
    const value = Number(text)
    let low = 0
    let high = this.#doubles.length
    while (low < high) {
      const middle = (low + high) >> 1
      const double = this.#doubles[middle]!
      const before = double === value ? compareNumberTexts(String(double), text) < 0 : double < value
      if (before) low = middle + 1
      else high = middle
    }
    return low
  }

  get hasLong(): boolean {
    return this.#long.length > 0
  }

  /** The number at an index × 10^scale, an integer; only without long numbers, and right up to WELL_ROUNDED. */
  mantissa(index: number, scale: number): number {
    return Math.round(this.#doubles[index]! * powersOfTen[scale]!)
  }

  /** The number at an index from 0. */
  at(index: number): Decimal {
    let low = 0
    let high = this.#long.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#long[middle]!.index < index) low = middle + 1
      else high = middle
    }
    const long = this.#long[low]
    return parseDecimal(long?.index === index ? long.text : String(this.#doubles[index - low]), Infinity) as Decimal
  }

  /** The number at an index as the nearest double. */
  double(index: number): number {
    return Number(formatDecimal(this.at(index)))
  }
}

function sortTexts(texts: readonly string[]): string[] {
  return texts
    .map((text) => ({ text, value: Number(text) }))
    .sort((a, b) => a.value - b.value || compareNumberTexts(a.text, b.text))
    .map(({ text }) => text)
}
