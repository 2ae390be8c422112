import { Kind, type RecordBatch } from '../core/batch.ts'
import {
  type Decimal,
  formatRatio,
  formatRootOfRatio,
  multiplyDecimals,
  parseDecimal,
  subtractDecimals,
  powersOfTen,
} from '../core/decimal.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'
import { grownFloats, mapped, packed, picked } from '../core/columns.ts'
import { DecimalSums, type PackedSums } from './decimal-sums.ts'

/** Sums of a state, as `DecimalSums.pack` has made them. */
const packedOf = (state: AggregateState, names: readonly [string, string, string]): PackedSums => ({
  mantissas: state[names[0]] as PackedSums['mantissas'],
  scales: state[names[1]] as Uint8Array,
  texts: state[names[2]] as readonly string[],
})

const integer = (value: number): Decimal => ({ mantissa: BigInt(value), scale: 0 })

/** `sum` and `avg`: how many numbers, and their exact sum. */
export class Sums implements Aggregate {
  #counts: Float64Array = new Float64Array(0)
  readonly #sums = new DecimalSums()
  readonly #input: Input

  constructor(input: Input) {
    this.#input = input
  }

  reserve(slots: number): void {
    this.#counts = grownFloats(this.#counts, slots)
    this.#sums.reserve(slots)
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    this.#sums.addColumn(batch, this.#input, slots, this.#counts)
  }

  bytes(slots: number): number {
    return 8 * slots + this.#sums.bytes(slots)
  }

  merge(into: number, from: number): void {
    this.#counts[into]! += this.#counts[from]!
    this.#sums.merge(into, from)
  }

  clear(slot: number): void {
    this.#counts[slot] = 0
    this.#sums.clear(slot)
  }

  sum(slot: number): string {
    return this.#counts[slot] === 0 ? 'null' : this.#sums.text(slot)
  }

  average(slot: number): string {
    const count = this.#counts[slot]!
    if (count === 0) return 'null'
    const small = this.#sums.small(slot)
    const divisor = small ? count * powersOfTen[small.scale]! : Number.POSITIVE_INFINITY
    // Two exact doubles: their quotient is rounded once, by the processor.
    if (small && divisor <= Number.MAX_SAFE_INTEGER) return String(small.mantissa / divisor)
    return formatRatio(this.#sums.total(slot), integer(count))
  }

  exportSlots(slots: Uint32Array): AggregateState {
    return {
      counts: picked(this.#counts, slots),
      sums: mapped(slots, (slot) => this.#sums.text(slot)),
    }
  }

  packSlots(slots: Uint32Array): AggregateState {
    return { counts: packed(this.#counts, slots), ...this.#sums.pack(slots) }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    const { counts, sums } = state
    for (let index = 0; index < mapping.length; index++) this.#counts[mapping[index]!]! += counts![index] as number
    if (!sums) return this.#sums.unpack(packedOf(state, ['mantissas', 'scales', 'texts']), mapping)
    for (let index = 0; index < mapping.length; index++) this.#sums.addText(mapping[index]!, sums[index] as string)
  }
}

/** `var` and `stddev` of a sample (divided by n − 1), from exact sums of the numbers and of their squares. */
export class Moments implements Aggregate {
  #counts: Float64Array = new Float64Array(0)
  readonly #sums = new DecimalSums()
  readonly #squares = new DecimalSums()
  readonly #input: Input

  constructor(input: Input) {
    this.#input = input
  }

  reserve(slots: number): void {
    this.#counts = grownFloats(this.#counts, slots)
    this.#sums.reserve(slots)
    this.#squares.reserve(slots)
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    this.#sums.addColumn(batch, this.#input, slots, this.#counts)
    const { kinds, mantissas, scales } = this.#input.decimals(batch)
    for (let row = 0; row < batch.count; row++) {
      const slot = slots[row]!
      if (slot === NONE) continue
      if (kinds[row] === Kind.number) this.#addSquare(slot, mantissas[row]!, 2 * scales[row]!)
      else if (kinds[row] === Kind.big) {
        const value = parseDecimal(this.#input.text(batch, row))
        if (value) this.#squares.addDecimal(slot, multiplyDecimals(value, value))
      }
    }
  }

  /** A square of up to 32 digits in products that doubles hold: m = a × 10^8 + b with b in ± 5 × 10^7 gives a², 2ab and b² below 2^53. */
  #addSquare(slot: number, mantissa: number, scale: number): void {
    if (mantissa <= 94_906_265 && mantissa >= -94_906_265) {
      this.#squares.add(slot, mantissa * mantissa, scale)
      return
    }
    const a = Math.round(mantissa / 1e8)
    const b = mantissa - a * 1e8
    this.#squares.add(slot, a * a, scale - 16)
    this.#squares.add(slot, a * b, scale - 8)
    this.#squares.add(slot, a * b, scale - 8)
    this.#squares.add(slot, b * b, scale)
  }

  bytes(slots: number): number {
    return 8 * slots + this.#sums.bytes(slots) + this.#squares.bytes(slots)
  }

  merge(into: number, from: number): void {
    this.#counts[into]! += this.#counts[from]!
    this.#sums.merge(into, from)
    this.#squares.merge(into, from)
  }

  clear(slot: number): void {
    this.#counts[slot] = 0
    this.#sums.clear(slot)
    this.#squares.clear(slot)
  }

  variance(slot: number): string {
    return this.#counts[slot]! < 2 ? 'null' : formatRatio(...this.#parts(slot))
  }

  deviation(slot: number): string {
    return this.#counts[slot]! < 2 ? 'null' : formatRootOfRatio(...this.#parts(slot))
  }

  /** (n Σx² − (Σx)²) over n (n − 1). */
  #parts(slot: number): [Decimal, Decimal] {
    const n = this.#counts[slot]!
    const sum = this.#sums.total(slot)
    return [
      subtractDecimals(multiplyDecimals(integer(n), this.#squares.total(slot)), multiplyDecimals(sum, sum)),
      multiplyDecimals(integer(n), integer(n - 1)),
    ]
  }

  exportSlots(slots: Uint32Array): AggregateState {
    return {
      counts: picked(this.#counts, slots),
      sums: mapped(slots, (slot) => this.#sums.text(slot)),
      squares: mapped(slots, (slot) => this.#squares.text(slot)),
    }
  }

  packSlots(slots: Uint32Array): AggregateState {
    const { mantissas, scales, texts } = this.#squares.pack(slots)
    return {
      counts: packed(this.#counts, slots),
      ...this.#sums.pack(slots),
      squareMantissas: mantissas,
      squareScales: scales,
      squareTexts: texts,
    }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    if (!state['sums']) {
      this.#sums.unpack(packedOf(state, ['mantissas', 'scales', 'texts']), mapping)
      this.#squares.unpack(packedOf(state, ['squareMantissas', 'squareScales', 'squareTexts']), mapping)
    }
    for (let index = 0; index < mapping.length; index++) {
      const slot = mapping[index]!
      this.#counts[slot]! += state['counts']![index] as number
      if (!state['sums']) continue
      this.#sums.addText(slot, state['sums']![index] as string)
      this.#squares.addText(slot, state['squares']![index] as string)
    }
  }
}
