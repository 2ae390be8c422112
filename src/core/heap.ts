/** A binary heap: the least item, by `before`, is on top. */
export class Heap<Item> {
  readonly #before: (a: Item, b: Item) => boolean
  readonly #items: Item[] = []

  constructor(before: (a: Item, b: Item) => boolean) {
    this.#before = before
  }
  get top(): Item | undefined {
    return this.#items[0]
  }
  get size(): number {
    return this.#items.length
  }

  /** All of them, in no particular order. */
  [Symbol.iterator](): Iterator<Item> {
    return this.#items[Symbol.iterator]()
  }
  clear(): void {
    this.#items.length = 0
  }

  push(item: Item): void {
    const items = this.#items
    let at = items.push(item) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#before(item, items[parent]!)) break
      items[at] = items[parent]!
      at = parent
    }
    items[at] = item
  }

  pop(): Item | undefined {
    const items = this.#items
    const top = items[0]
    const last = items.pop()
    if (last === undefined || items.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && this.#before(items[child + 1]!, items[child]!)) child++
      if (!this.#before(items[child]!, last)) break
      items[at] = items[child]!
      at = child
    }
    items[at] = last
    return top
  }
}
