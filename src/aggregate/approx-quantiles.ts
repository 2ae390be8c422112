import { Kind, type RecordBatch } from '../core/batch.ts'
import { powersOfTen } from '../core/decimal.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'
import { grownFloats, mapped, picked } from '../core/columns.ts'
import { SlotCounts } from './slot-counts.ts'

/** Bits of a double's mantissa that name a bucket: 128 buckets between powers of two. */
const BITS = 7
/** A bucket is the top of a double's upper half: sign, exponent, BITS of the mantissa. */
const SHIFT = 20 - BITS

const double = new Float64Array(1)
/** Its upper half is index 1: typed arrays are little-endian on every machine that Node runs on but s390x. */
const halves = new Uint32Array(double.buffer)

function bucketOf(value: number): number {
  double[0] = value + 0
  return halves[1]! >>> SHIFT
}

/** The middle of a bucket. */
function middleOf(bucket: number): number {
  halves[0] = 0
  halves[1] = (bucket << SHIFT) | (1 << (SHIFT - 1))
  return double[0]!
}

/**
 * `approx_median`, `approx_p0` … `approx_p100`: counts in buckets whose width is 1/128 of their power of two (a log-linear histogram, as
 * HdrHistogram's), so that a result is within 0.4 % of a value at that rank. Independent of order, merges exactly, and
 * takes memory by the spread of the values, not by their number.
 */
export class ApproxQuantiles implements Aggregate {
  readonly #input: Input
  readonly #counts = new SlotCounts()
  #totals: Float64Array = new Float64Array(0)
  /** Bounds of what was seen, since no result need lie outside. */
  #least: Float64Array = new Float64Array(0)
  #greatest: Float64Array = new Float64Array(0)

  constructor(input: Input) {
    this.#input = input
  }

  reserve(slots: number): void {
    this.#counts.reserve(slots)
    this.#totals = grownFloats(this.#totals, slots)
    this.#least = grownFloats(this.#least, slots)
    this.#greatest = grownFloats(this.#greatest, slots)
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    const { kinds, mantissas, scales } = this.#input.decimals(batch)
    for (let row = 0, rows = batch.count; row < rows; row++) {
      const slot = slots[row]!
      if (slot === NONE) continue
      const kind = kinds[row]
      if (kind === Kind.number) this.#add(slot, mantissas[row]! / powersOfTen[scales[row]!]!)
      else if (kind === Kind.big) this.#add(slot, bounded(Number(this.#input.text(batch, row))))
    }
  }

  #add(slot: number, value: number): void {
    this.#counts.add(slot, bucketOf(value), 1)
    this.#extend(slot, value, value, 1)
  }

  #extend(slot: number, least: number, greatest: number, count: number): void {
    const empty = this.#totals[slot] === 0
    this.#totals[slot]! += count
    if (empty || least < this.#least[slot]!) this.#least[slot] = least
    if (empty || greatest > this.#greatest[slot]!) this.#greatest[slot] = greatest
  }

  bytes(slots: number): number {
    return this.#counts.bytes(slots) + 24 * slots
  }

  merge(into: number, from: number): void {
    if (this.#totals[from] === 0) return
    for (const entry of this.#counts.entries(from)) {
      this.#counts.add(into, this.#counts.id(entry), this.#counts.count(entry))
    }
    this.#extend(into, this.#least[from]!, this.#greatest[from]!, this.#totals[from]!)
  }

  clear(slot: number): void {
    this.#counts.clear(slot)
    this.#totals[slot] = 0
  }

  quantile(slot: number, p: number): string {
    const total = this.#totals[slot]!
    if (total === 0) return 'null'
    const buckets = this.#counts
      .entries(slot)
      .map((entry) => ({ middle: middleOf(this.#counts.id(entry)), count: this.#counts.count(entry) }))
      .sort((a, b) => a.middle - b.middle)
    let left = Math.round(p * (total - 1))
    const bucket = buckets.find(({ count }) => (left -= count) < 0)!
    return String(Math.min(Math.max(bucket.middle, this.#least[slot]!), this.#greatest[slot]!))
  }

  exportSlots(slots: Uint32Array): AggregateState {
    const entries = mapped(slots, (slot) => this.#counts.entries(slot))
    const all = entries.flat()
    return {
      lengths: Uint32Array.from(entries, ({ length }) => length),
      buckets: Uint32Array.from(all, (entry) => this.#counts.id(entry)),
      counts: Float64Array.from(all, (entry) => this.#counts.count(entry)),
      least: picked(this.#least, slots),
      greatest: picked(this.#greatest, slots),
    }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    let at = 0
    for (let index = 0; index < mapping.length; index++) {
      const slot = mapping[index]!
      let total = 0
      for (let left = state['lengths']![index] as number; left > 0; left--, at++) {
        this.#counts.add(slot, state['buckets']![at] as number, state['counts']![at] as number)
        total += state['counts']![at] as number
      }
      if (total > 0) this.#extend(slot, state['least']![index] as number, state['greatest']![index] as number, total)
    }
  }
}

/** What is beyond a double's range counts as its end. */
const bounded = (value: number): number => Math.min(Math.max(value, -Number.MAX_VALUE), Number.MAX_VALUE)
