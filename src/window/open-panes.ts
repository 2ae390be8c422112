import { SlotsByKey } from './ids.ts'

/** A piece of time of which windows are made (panes.ts), with a slot for each key that was seen in it. */
export interface Pane {
  readonly index: number
  slots: SlotsByKey
}

/** What a snapshot holds of a pane: its entries from `from` on; those before are as they were. */
export interface PaneState {
  readonly index: number
  readonly from: number
  readonly keys: Uint32Array
  readonly slots: Uint32Array
}

/** The panes that some window can still need, by index. */
export class OpenPanes {
  readonly #list: Pane[] = []
  /** How many entries of a pane the last snapshot knows. */
  readonly #known = new WeakMap<SlotsByKey, number>()

  /** The place of the first pane at or after an index. */
  #search(index: number): number {
    const list = this.#list
    let low = 0
    let high = list.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((list[middle] as Pane).index < index) low = middle + 1
      else high = middle
    }
    return low
  }

  [Symbol.iterator](): Iterator<Pane> {
    return this.#list[Symbol.iterator]()
  }

  find(index: number): Pane | undefined {
    const pane = this.#list[this.#search(index)]
    return pane?.index === index ? pane : undefined
  }

  /** A new pane; there must be none at this index. */
  add(index: number): Pane {
    const pane = { index, slots: new SlotsByKey() }
    this.#list.splice(this.#search(index), 0, pane)
    return pane
  }

  /** Those with an index from `from` to below `to`. */
  between(from: number, to: number): Pane[] {
    return this.#list.slice(this.#search(from), this.#search(to))
  }

  removeFirst(count: number): void {
    this.#list.splice(0, count)
  }

  /** All slots that keys have. */
  slots(): number[] {
    return this.#list.flatMap(({ slots }) => [...slots.slots])
  }

  markKeys(marks: Uint8Array): void {
    for (const { slots } of this.#list) slots.markKeys(marks)
  }

  renumberKeys(ids: Uint32Array): void {
    for (const pane of this.#list) pane.slots.renumber(ids)
  }

  /** All panes, with their entries or those that have come since `watch`. */
  snapshot(whole: boolean): PaneState[] {
    return this.#list.map(({ index, slots }) => {
      const from = whole ? 0 : (this.#known.get(slots) ?? 0)
      return { index, from, keys: slots.keys.slice(from), slots: slots.slots.slice(from) }
    })
  }

  /** What is there now will be known to the next snapshot. */
  watch(): void {
    for (const { slots } of this.#list) this.#known.set(slots, slots.size)
  }

  /** Takes the next of the snapshots. @returns panes that it has no more */
  restore(states: readonly PaneState[]): Iterable<Pane> {
    const known = new Map(this.#list.map((pane) => [pane.index, pane]))
    this.#list.length = 0
    for (const { index, from, keys, slots } of states) {
      const pane = (from > 0 && known.get(index)) || { index, slots: new SlotsByKey() }
      if (from > 0) known.delete(index)
      pane.slots.setAll(keys, slots)
      this.#list.push(pane)
    }
    return known.values()
  }
}
