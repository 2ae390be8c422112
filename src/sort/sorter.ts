import type { RecordBatch } from '../core/batch.ts'
import { grownInts } from '../core/columns.ts'
import { compareValues } from '../core/order.ts'
import { latin1 } from '../core/latin1.ts'
import { KeyCodes, Loose, PREFIX } from './key-codes.ts'
import { LineStore } from './line-store.ts'
import { radixSort } from './radix.ts'

/** Runs shorter than this are sorted by comparing lines. */
const SHORT_RUN = 48
/** Sorted lines are handed on in pieces of this size. */
const PIECE = 1 << 18
/** With a limit lines are dropped when this many have gathered, if that is more than twice the limit. */
const LEAST_TRIM = 1 << 13

/** A key of the sorter: which field of the batch, and which way. */
export interface SorterKey {
  readonly field: number
  readonly descending: boolean
}

/**
 * Sorts lines in memory, stably, by the order of values (src/core/order.ts). Codes of the keys' first bytes go through a radix sort, what they
 * leave open is sorted by the next bytes or by comparing. With a limit only the first lines are kept, in memory for some twice as many.
 */
export class Sorter {
  readonly #keys: readonly SorterKey[]
  readonly #limit: number
  readonly #codes: readonly KeyCodes[]
  #store: LineStore
  /** With a limit: the first key's code of the last line that is in, once there are so many. */
  #bar: { readonly high: number; readonly low: number } | undefined
  #mask: Uint8Array = new Uint8Array(0)
  #spare: Uint32Array = new Uint32Array(0)
  #high: Uint32Array = new Uint32Array(0)
  #low: Uint32Array = new Uint32Array(0)

  constructor(keys: readonly SorterKey[], limit = Number.POSITIVE_INFINITY) {
    this.#keys = keys
    this.#limit = limit
    this.#codes = keys.map(() => new KeyCodes())
    this.#store = new LineStore(keys.length)
  }

  add(batch: RecordBatch): void {
    this.#codes.forEach((codes, index) => codes.set(batch, this.#keys[index]!.field, this.#keys[index]!.descending))
    const mask = this.#bar && this.#belowBar(batch.count, this.#bar)
    const lines = batch.lines(mask, 0, batch.count)
    if (lines.length === 0) return
    // Not slice(): of a Buffer that is a view.
    this.#append(batch, mask, new Uint8Array(lines))
    if (this.#store.count > Math.max(LEAST_TRIM, 2 * this.#limit)) this.#trim()
  }

  #belowBar(rows: number, bar: { readonly high: number; readonly low: number }): Uint8Array {
    if (this.#mask.length < rows) this.#mask = new Uint8Array(2 * rows)
    const { high, low } = this.#codes[0]!
    for (let row = 0; row < rows; row++) {
      this.#mask[row] = high[row]! < bar.high || (high[row] === bar.high && low[row]! <= bar.low) ? 1 : 0
    }
    return this.#mask
  }

  #append(batch: RecordBatch, mask: Uint8Array | undefined, block: Uint8Array): void {
    const store = this.#store
    const { spans, stride } = batch
    store.reserve(store.count + batch.count)
    let line = store.count
    let at = 0
    for (let row = 0; row < batch.count; row++) {
      if (mask && mask[row] !== 1) continue
      const span = row * stride
      const length = spans[span + 1]! - spans[span]! + 1
      store.block[line] = store.blocks.length
      store.start[line] = at
      store.length[line] = length
      for (let index = 0; index < this.#keys.length; index++) {
        const key = store.keys[index]!
        const codes = this.#codes[index]!
        const field = span + 2 + 2 * this.#keys[index]!.field
        const shift = at - spans[span]!
        const missing = spans[field + 1] === 0
        key.high[line] = codes.high[row]!
        key.low[line] = codes.low[row]!
        key.loose[line] = codes.loose[row]!
        key.start[line] = missing ? 0 : spans[field]! + shift
        key.end[line] = missing ? 0 : spans[field + 1]! + shift
      }
      at += length
      line++
    }
    for (let index = 0; index < this.#keys.length; index++) store.keys[index]!.exact &&= this.#codes[index]!.exact
    store.blocks.push(block)
    store.count = line
  }

  /** Keeps the lines within the limit, in bytes of their own. */
  #trim(): void {
    const old = this.#store
    const order = this.#order().subarray(0, this.#limit)
    const fresh = new LineStore(this.#keys.length)
    fresh.reserve(order.length)
    const block = new Uint8Array(order.reduce((sum, line) => sum + old.length[line]!, 0))
    fresh.blocks.push(block)
    let at = 0
    // In the order of arrival, which equal lines keep.
    for (const line of order.slice().sort()) {
      const start = old.start[line]!
      const length = old.length[line]!
      block.set(old.bytes(line).subarray(start, start + length), at)
      const next = fresh.count++
      fresh.start[next] = at
      fresh.length[next] = length
      fresh.keys.forEach((key, index) => {
        const from = old.keys[index]!
        key.high[next] = from.high[line]!
        key.low[next] = from.low[line]!
        key.loose[next] = from.loose[line]!
        key.start[next] = from.end[line] === 0 ? 0 : from.start[line]! - start + at
        key.end[next] = from.end[line] === 0 ? 0 : from.end[line]! - start + at
        key.exact = from.exact
      })
      at += length
    }
    const last = order[this.#limit - 1]
    const first = old.keys[0]!
    if (last !== undefined) this.#bar = { high: first.high[last]!, low: first.low[last]! }
    this.#store = fresh
  }

  /** Hands on all lines in order, in pieces that are valid until the callback returns. */
  drain(emit: (lines: Uint8Array) => void): void {
    const store = this.#store
    const order = this.#order()
    const count = Math.min(order.length, this.#limit)
    let piece = new Uint8Array(PIECE)
    let filled = 0
    for (let index = 0; index < count; index++) {
      const line = order[index]!
      const start = store.start[line]!
      const length = store.length[line]!
      if (filled + length > piece.length) {
        emit(piece.subarray(0, filled))
        filled = 0
        if (length > piece.length) piece = new Uint8Array(length)
      }
      piece.set(store.bytes(line).subarray(start, start + length), filled)
      filled += length
    }
    if (filled > 0) emit(piece.subarray(0, filled))
  }

  /** The lines' numbers, sorted. */
  #order(): Uint32Array {
    const { count, keys } = this.#store
    const order = Uint32Array.from({ length: count }, (_, line) => line)
    this.#spare = new Uint32Array(count)
    if (keys.every(({ exact }) => exact)) {
      // Stable, so the last key first.
      for (const { high, low } of keys.toReversed()) radixSort(order, this.#spare, 0, count, high, low)
    } else this.#sortRun(order, 0, count, 0)
    return order
  }

  /** Sorts lines that are equal in the keys before `key`. */
  #sortRun(order: Uint32Array, from: number, to: number, key: number): void {
    if (to - from < 2 || key === this.#keys.length) return
    if (this.#inOrder(order, from, to, key)) return
    if (to - from < SHORT_RUN) {
      order.subarray(from, to).sort((a, b) => this.#compare(a, b, key) || a - b)
      return
    }
    const { high, low } = this.#store.keys[key]!
    radixSort(order, this.#spare, from, to, high, low)
    this.#eachRun(order, from, to, high, low, (start, end) => this.#settle(order, start, end, key, PREFIX))
  }

  #inOrder(order: Uint32Array, from: number, to: number, key: number): boolean {
    for (let at = from + 1; at < to; at++) if (this.#compare(order[at - 1]!, order[at]!, key) > 0) return false
    return true
  }

  /** Sorts lines whose codes of `key` are equal, and their first `depth` bytes if they are strings. */
  #settle(order: Uint32Array, from: number, to: number, key: number, depth: number): void {
    const { loose } = this.#store.keys[key]!
    let most: number = Loose.no
    for (let at = from; at < to; at++) most = Math.max(most, loose[order[at]!]!)
    if (most === Loose.no) this.#sortRun(order, from, to, key + 1)
    else if (most === Loose.bytes && to - from >= SHORT_RUN) this.#sortByBytes(order, from, to, key, depth)
    else order.subarray(from, to).sort((a, b) => this.#compare(a, b, key) || a - b)
  }

  /** Radix sort by the bytes of strings behind `depth`. */
  #sortByBytes(order: Uint32Array, from: number, to: number, key: number, depth: number): void {
    const { start, end } = this.#store.keys[key]!
    // One pair of columns for all runs and depths: a run's own codes are done with when it is cut up, line by line.
    const high = (this.#high = grownInts(this.#high, this.#store.count))
    const low = (this.#low = grownInts(this.#low, this.#store.count))
    const turn = this.#keys[key]!.descending ? -1 : 0
    let longer = false
    for (let at = from; at < to; at++) {
      const line = order[at]!
      const bytes = this.#store.bytes(line)
      const first = start[line]! + 1 + depth
      const left = end[line]! - 1 - first
      let top = 0
      let rest = 0
      for (let index = 0; index < PREFIX; index++) {
        top = (top << 8) | (rest >>> 24)
        rest = (rest << 8) | (index < left ? bytes[first + index]! : 0)
      }
      // 24 + 32 bits, then how many bytes there are.
      high[line] = ((top << 8) | (rest >>> 24)) ^ turn
      low[line] = ((rest << 8) | Math.max(0, Math.min(left, PREFIX + 1))) ^ turn
      longer ||= left > PREFIX
    }
    radixSort(order, this.#spare, from, to, high, low)
    this.#eachRun(order, from, to, high, low, (first, last) => {
      if (longer && this.#longerThan(order[first]!, key, depth + PREFIX)) {
        this.#settle(order, first, last, key, depth + PREFIX)
      } else this.#sortRun(order, first, last, key + 1)
    })
  }

  #longerThan(line: number, key: number, depth: number): boolean {
    const { start, end } = this.#store.keys[key]!
    return end[line]! - start[line]! - 2 > depth
  }

  #eachRun(
    order: Uint32Array,
    from: number,
    to: number,
    high: Uint32Array,
    low: Uint32Array,
    run: (from: number, to: number) => void,
  ): void {
    for (let start = from; start < to;) {
      let end = start + 1
      const first = order[start]!
      while (end < to && high[order[end]!] === high[first] && low[order[end]!] === low[first]) end++
      if (end - start > 1) run(start, end)
      start = end
    }
  }

  /** Order of two lines by the keys from `key` on. */
  #compare(a: number, b: number, key: number): number {
    for (; key < this.#keys.length; key++) {
      const { high, low, loose } = this.#store.keys[key]!
      const difference = high[a]! - high[b]! || low[a]! - low[b]!
      if (difference) return difference
      const most = Math.max(loose[a]!, loose[b]!)
      if (most === Loose.no) continue
      const exact =
        most === Loose.bytes ? this.#compareBytes(a, b, key) : compareValues(this.#text(a, key), this.#text(b, key))
      if (exact) return this.#keys[key]!.descending ? -exact : exact
    }
    return 0
  }

  #text(line: number, key: number): string {
    const { start, end } = this.#store.keys[key]!
    return latin1(this.#store.bytes(line), start[line]!, end[line]!)
  }

  /** Strings without escapes; `end` is at the closing quote. */
  #compareBytes(a: number, b: number, key: number): number {
    const { start, end } = this.#store.keys[key]!
    const [x, y] = [this.#store.bytes(a), this.#store.bytes(b)]
    let at = start[a]! + 1
    let to = start[b]! + 1
    const [endA, endB] = [end[a]! - 1, end[b]! - 1]
    for (; at < endA && to < endB; at++, to++) if (x[at] !== y[to]) return x[at]! - y[to]!
    return endA - at - (endB - to)
  }
}
