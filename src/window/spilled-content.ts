import type { AggregateSet, SetState, WholeResults } from '../aggregate/set.ts'
import type { RecordBatch } from '../core/batch.ts'
import type { StageContext } from '../core/operator.ts'
import type { AggregateContent } from './engine.ts'
import type { Slots } from './ids.ts'
import { SpilledSlots } from './spilled-slots.ts'

/** In the set where results are put together. */
const WANTED = 0
const OTHERS = 1

/**
 * Aggregates whose states go to disk when they pass half of `--memory`: for sessions, and where results are revised. Keys, bounds and columns
 * of fixed size stay; what values, lists and counts hold is gone from memory until it is asked for.
 */
export class SpillingContent implements AggregateContent {
  readonly #inner: AggregateSet
  readonly #openAside: () => AggregateSet
  readonly #spilled: SpilledSlots
  #aside: AggregateSet | undefined
  /** Above it is spilled: at least twice what that leaves, so that it is worth it. */
  #mostBytes: number
  #reserved = 0
  /** Slots on disk that were asked for, and are wanted in memory. */
  readonly #wanted = new Set<number>()

  /** @param openAside another set of the same aggregates, which moves nothing in memory while a batch is worked on */
  constructor(
    inner: AggregateSet,
    openAside: () => AggregateSet,
    context: Pick<StageContext, 'memoryBytes' | 'spill'>,
  ) {
    this.#inner = inner
    this.#openAside = openAside
    this.#spilled = new SpilledSlots(context)
    this.#mostBytes = context.memoryBytes / 2
  }

  reserve(slots: number): void {
    this.#reserved = Math.max(this.#reserved, slots)
    this.#inner.reserve(slots)
  }
  begin(batch: RecordBatch, slots: Uint32Array): number {
    return this.#inner.begin(batch, slots)
  }
  add(batch: RecordBatch, slots: Uint32Array): void {
    this.#inner.add(batch, slots)
  }
  bytes(slots: number): number {
    return this.#inner.bytes(slots)
  }

  merge(into: number, from: number): void {
    this.#inner.merge(into, from)
    this.#spilled.share(into, from)
  }
  clear(slot: number): void {
    this.#inner.clear(slot)
    this.#spilled.forget(slot)
    this.#wanted.delete(slot)
  }

  /** As `AggregateSet.results`; what is on disk is put together aside. */
  results(slot: number): string {
    return this.#spilled.has(slot)
      ? this.#putTogether(slot, (aside) => aside.results(WANTED))
      : this.#inner.results(slot)
  }

  wholeResults(): WholeResults | undefined {
    const whole = this.#inner.wholeResults()
    const read = (aside: AggregateSet): number[] =>
      aside
        .wholeResults()
        ?.columns()
        .map((column) => column[WANTED] as number) ?? []
    return whole && { ...whole, aside: (slot) => (this.#spilled.has(slot) ? this.#putTogether(slot, read) : undefined) }
  }

  /** Puts the states of a slot together, in the slot WANTED of a set aside, and has them read. */
  #putTogether<Result>(slot: number, read: (aside: AggregateSet) => Result): Result {
    this.#wanted.add(slot)
    if (!this.#aside) {
      this.#aside = this.#openAside()
      this.#aside.reserve(2)
    }
    const aside = this.#aside
    aside.importSlots(this.#inner.exportSlots(Uint32Array.of(slot)), Uint32Array.of(WANTED))
    this.#readInto(aside, slot, WANTED, OTHERS)
    const result = read(aside)
    aside.clear(WANTED)
    return result
  }

  #readInto(set: AggregateSet, slot: number, wanted: number, others: number): void {
    for (const { state, index, count } of this.#spilled.read(slot)) {
      const mapping = new Uint32Array(count).fill(others)
      mapping[index] = wanted
      set.importSlots(state as SetState, mapping)
      set.clear(others)
    }
  }

  settle(slots: Slots, inUse: () => readonly number[]): void {
    if (this.#wanted.size > 0) {
      const spare = slots.take()
      for (const slot of this.#wanted) this.#takeBack(slot, spare)
      slots.giveBack(spare)
      this.#wanted.clear()
    }
    if (this.#inner.bytes(slots.used) <= this.#mostBytes) return
    const all = inUse()
    this.#spilled.write(all, (some) => this.#inner.exportSlots(some))
    for (const slot of all) this.#inner.clear(slot)
    this.#mostBytes = Math.max(this.#mostBytes, 2 * this.#inner.bytes(slots.used))
  }

  #takeBack(slot: number, spare: number): void {
    this.#readInto(this.#inner, slot, slot, spare)
    this.#spilled.forget(slot)
  }

  exportSlots(slots: Uint32Array): SetState {
    this.#takeAllBack(slots)
    return this.#inner.exportSlots(slots)
  }
  packSlots(slots: Uint32Array): SetState {
    this.#takeAllBack(slots)
    return this.#inner.packSlots(slots)
  }
  #takeAllBack(slots: Uint32Array): void {
    if (this.#spilled.size === 0) return
    // Beyond all: nobody uses it yet, and it is empty again when somebody does.
    this.#inner.reserve(this.#reserved + 1)
    for (const slot of slots) if (this.#spilled.has(slot)) this.#takeBack(slot, this.#reserved)
  }
  importSlots(state: SetState, mapping: Uint32Array): void {
    this.#inner.importSlots(state, mapping)
  }
}
