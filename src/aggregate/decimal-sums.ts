import { type DecimalColumn, Kind, type RecordBatch } from '../core/batch.ts'
import {
  addDecimals,
  type Decimal,
  formatDecimal,
  formatSmallDecimal,
  parseDecimal,
  powersOfTen,
  tenTo,
} from '../core/decimal.ts'
import { type Input, NONE } from './aggregate.ts'
import { grownFloats, packed } from '../core/columns.ts'

const SAFE = Number.MAX_SAFE_INTEGER
/** `high` counts units of 2^50, so that a low part (< 2^50) and a mantissa's rest (< 2^50) add up without rounding. */
const UNIT = 2 ** 50
/** Scales that have columns. A mantissa comes with 0…22; splitting long numbers and squares goes beyond on both sides. */
const LEAST_SCALE = -40
const SCALES = 128

/**
 * Exact decimal sums of many slots. Per scale (digits behind the point) that occurs, a column of doubles that only ever hold
 * exact integers, mantissas at that scale: so a row costs one addition, and nothing is rescaled. A sum that would pass 2^53 carries
 * into a second column. Numbers too wild for that are summed as BigInt.
 */
export class DecimalSums {
  #slots = 0
  readonly #low: (Float64Array | undefined)[] = Array.from({ length: SCALES }, () => undefined)
  readonly #high: (Float64Array | undefined)[] = Array.from({ length: SCALES }, () => undefined)
  /** The scales in use: most data has at most a few. */
  readonly #scales: number[] = []
  #carried = false
  readonly #wild = new Map<number, Decimal>()

  reserve(slots: number): void {
    if (slots <= this.#slots) return
    this.#slots = slots
    for (const columns of [this.#low, this.#high]) {
      for (let index = 0; index < SCALES; index++) {
        const column = columns[index]
        if (column) columns[index] = grownFloats(column, slots)
      }
    }
  }

  /** Adds the numbers of a column and counts them in `counts`; what is no number is skipped. The hot loop of sums and averages. */
  addColumn(batch: RecordBatch, input: Input, slots: Uint32Array, counts: Float64Array): void {
    const { kinds, mantissas, scales }: DecimalColumn = input.decimals(batch)
    let scale = 0
    let low = this.#column(0)
    for (let row = 0, rows = batch.count; row < rows; row++) {
      const slot = slots[row]!
      if (slot === NONE) continue
      const kind = kinds[row]
      if (kind === Kind.number) {
        counts[slot]!++
        if (scales[row] !== scale) {
          scale = scales[row]!
          low = this.#column(scale)
        }
        const sum = low[slot]! + mantissas[row]!
        if (sum <= SAFE && sum >= -SAFE) low[slot] = sum
        else this.#carry(slot, mantissas[row]!, scale)
      } else if (kind === Kind.big) {
        counts[slot]!++
        this.addText(slot, input.text(batch, row))
      }
    }
  }

  /** Adds mantissa / 10^scale; the mantissa is a safe integer (or ± 2^53). */
  add(slot: number, mantissa: number, scale: number): void {
    const low = this.#column(scale)
    const sum = low[slot]! + mantissa
    if (sum <= SAFE && sum >= -SAFE) low[slot] = sum
    else this.#carry(slot, mantissa, scale)
  }

  /** Adds a JSON number, of any size: who takes numbers from outside checks them with `parseDecimal`. */
  addText(slot: number, text: string): void {
    if (text.length <= 15 && /^-?\d+(?:\.\d+)?$/.test(text)) {
      const dot = text.indexOf('.')
      if (dot < 0) this.add(slot, Number(text), 0)
      else this.add(slot, Number(text.slice(0, dot) + text.slice(dot + 1)), text.length - dot - 1)
    } else this.addDecimal(slot, parseDecimal(text, Number.POSITIVE_INFINITY)!)
  }

  addDecimal(slot: number, value: Decimal): void {
    const { mantissa, scale } = value
    if (mantissa <= SAFE && mantissa >= -SAFE && scale >= LEAST_SCALE && scale < SCALES + LEAST_SCALE) {
      this.add(slot, Number(mantissa), scale)
    } else if (scale >= LEAST_SCALE + 15 && scale < SCALES + LEAST_SCALE && mantissa < LONG && mantissa > -LONG) {
      // Numbers of 17 digits are common where doubles were printed: two limbs are cheaper than a BigInt sum.
      const top = mantissa / LIMB
      this.add(slot, Number(mantissa - top * LIMB), scale)
      this.add(slot, Number(top), scale - 15)
    } else {
      const known = this.#wild.get(slot)
      this.#wild.set(slot, known ? addDecimals(known, value) : value)
    }
  }

  #column(scale: number): Float64Array {
    return (this.#low[scale - LEAST_SCALE] ??= this.#newScale(scale))
  }

  #newScale(scale: number): Float64Array {
    this.#scales.push(scale)
    return grownFloats(new Float64Array(0), this.#slots)
  }

  #carry(slot: number, mantissa: number, scale: number): void {
    this.#carried = true
    const high = (this.#high[scale - LEAST_SCALE] ??= grownFloats(new Float64Array(0), this.#slots))
    const low = this.#column(scale)
    const units = Math.trunc(low[slot]! / UNIT)
    const more = Math.trunc(mantissa / UNIT)
    high[slot]! += units + more
    low[slot] = low[slot]! - units * UNIT + (mantissa - more * UNIT)
  }

  /** About how much memory so many slots take. */
  bytes(slots: number): number {
    return 8 * slots * this.#scales.length * (this.#carried ? 2 : 1) + 200 * this.#wild.size
  }

  merge(into: number, from: number): void {
    for (const scale of this.#scales) {
      const index = scale - LEAST_SCALE
      const amount = this.#low[index]![from]!
      if (amount) this.add(into, amount, scale)
      const high = this.#high[index]
      if (high?.[from]) high[into]! += high[from]!
    }
    const wild = this.#wild.get(from)
    if (wild) this.addDecimal(into, wild)
  }

  clear(slot: number): void {
    for (const scale of this.#scales) {
      this.#low[scale - LEAST_SCALE]![slot] = 0
      const high = this.#high[scale - LEAST_SCALE]
      if (high) high[slot] = 0
    }
    this.#wild.delete(slot)
  }

  /** The exact sum. */
  total(slot: number): Decimal {
    let sum: Decimal = this.#wild.get(slot) ?? { mantissa: 0n, scale: 0 }
    for (const scale of this.#scales) {
      const low = this.#low[scale - LEAST_SCALE]![slot]!
      const high = this.#high[scale - LEAST_SCALE]?.[slot] ?? 0
      if (low || high) sum = addDecimals(sum, { mantissa: BigInt(high) * BigInt(UNIT) + BigInt(low), scale })
    }
    return sum
  }

  /** The exact sums of some slots as columns: mantissas and scales, or the digits of those that do not fit (scale `TEXT`, in order). */
  pack(slots: Uint32Array): PackedSums {
    const count = slots.length
    const scales = new Uint8Array(count)
    const texts: string[] = []
    const scale = this.#scales[0] ?? 0
    if (this.#scales.length <= 1 && scale >= 0 && scale <= 22 && !this.#carried && this.#wild.size === 0) {
      const low = this.#column(scale)
      scales.fill(scale)
      return { mantissas: packed(low, slots), scales, texts }
    }
    const mantissas = new Float64Array(count)
    for (let index = 0; index < count; index++) {
      const small = this.small(slots[index]!)
      if (!small) texts.push(this.text(slots[index]!))
      mantissas[index] = small?.mantissa ?? 0
      scales[index] = small?.scale ?? TEXT
    }
    return { mantissas, scales, texts }
  }

  /** Adds packed sums, in order, to the slots that `mapping` names. */
  unpack({ mantissas, scales, texts }: PackedSums, mapping: Uint32Array): void {
    let text = 0
    for (let index = 0; index < mapping.length; index++) {
      const scale = scales[index]!
      if (scale === TEXT) this.addText(mapping[index]!, texts[text++]!)
      else this.add(mapping[index]!, mantissas[index]!, scale)
    }
  }

  /** The sum as a safe integer mantissa at a scale from 0 to 22, or undefined where that needs more work: see `total`. */
  small(slot: number): { mantissa: number; scale: number } | undefined {
    if (this.#carried || this.#wild.size > 0) return undefined
    let mantissa = 0
    let scale = 0
    for (const next of this.#scales) {
      const amount = this.#low[next - LEAST_SCALE]![slot]!
      if (amount === 0) continue
      if (next < 0 || next > 22) return undefined
      if (mantissa === 0) {
        mantissa = amount
        scale = next
        continue
      }
      const finer = Math.max(scale, next)
      const a = mantissa * powersOfTen[finer - scale]!
      const b = amount * powersOfTen[finer - next]!
      if (Math.abs(a) > SAFE || Math.abs(b) > SAFE || Math.abs(a + b) > SAFE) return undefined
      mantissa = a + b
      scale = finer
    }
    return { mantissa, scale }
  }

  /** The exact sum in all its digits. */
  text(slot: number): string {
    const small = this.small(slot)
    return small ? formatSmallDecimal(small.mantissa, small.scale) : formatDecimal(this.total(slot))
  }
}

/** Sums as columns: see `DecimalSums.pack`. */
export interface PackedSums {
  readonly mantissas: Float64Array | Int32Array | Uint8Array
  readonly scales: Uint8Array
  readonly texts: readonly string[]
}
/** No scale: the sum is among the texts. */
const TEXT = 255

const LIMB = tenTo(15)
const LONG = LIMB * BigInt(SAFE)
