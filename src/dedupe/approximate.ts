import type { KeyTable, RecordBatch } from '../core/batch.ts'
import { canonicalKey } from '../core/key.ts'
import { fromLatin1 } from '../core/latin1.ts'
import type { Collector, Operator, StageContext } from '../core/operator.ts'
import type { DedupeOptions } from './first.ts'

/** The first filter is for so many keys; each further one for four times as many. */
const FIRST_KEYS = 1 << 16
const GROWTH = 4
/** The part of the error rate that the first filter may use up; further ones have half of that of the one before. */
const TIGHTENING = 0.5
/** Keys are known exactly, and not hashed again, until there are so many. */
const MOST_EXACT = 1 << 16

/**
 * `dedupe --approx RATE`: of records with a new key about RATE are taken for duplicates, and none the other way. Memory: some 10 to 20
 * bits a key. A scalable Bloom filter (Almeida et al., Scalable Bloom Filters, 2007), with two hashes for all (Kirsch & Mitzenmacher 2006).
 */
export class DedupeApproximate implements Operator {
  readonly #options: DedupeOptions
  readonly #keys: KeyTable
  readonly #dupes: { write(lines: Uint8Array): void } | undefined
  readonly #filters: BloomFilter[] = []
  readonly #rate: number
  /** Hashes since the last snapshot; nobody keeps them where none are made. */
  #added: number[] | undefined
  #mask = new Uint8Array(0)

  constructor(options: DedupeOptions, rate: number, context: StageContext) {
    this.#options = options
    this.#rate = rate
    this.#keys = context.keyTable(options.fields)
    this.#dupes = options.dupesTo === undefined ? undefined : context.sideFile(options.dupesTo)
  }

  processBatch(batch: RecordBatch, out: Collector): void {
    const { count } = batch
    if (this.#keys.size > MOST_EXACT) this.#keys.clear()
    let next = this.#keys.size
    const ids = this.#keys.intern(batch)
    if (this.#mask.length < count) this.#mask = new Uint8Array(2 * count)
    const mask = this.#mask
    for (let row = 0; row < count; row++) {
      const isNew = ids[row] === next
      mask[row] = isNew && this.#isNew(next++) ? 1 : 0
    }
    out.forward(batch, mask)
    if (!this.#dupes) return
    for (let row = 0; row < count; row++) mask[row]! ^= 1
    this.#dupes.write(batch.lines(mask, 0, count))
  }

  /** The filters alone: a key of the table is in one of them, or was taken for one that is. Or the hashes that were added since. */
  snapshot(whole: boolean): ApproximateState {
    const added = this.#added
    this.#added = []
    if (!whole && added) return { added: Float64Array.from(added) }
    return { filters: this.#filters.map(({ state }) => state) }
  }

  restore(states: Iterable<ApproximateState>): void {
    for (const state of states) {
      if ('filters' in state) {
        this.#filters.length = 0
        for (const filter of state.filters) this.#addFilter().restore(filter)
      } else for (let at = 0; at < state.added.length; at += 2) this.#add(state.added[at]!, state.added[at + 1]!)
    }
    this.#added = []
  }

  #addFilter(): BloomFilter {
    const n = this.#filters.length
    const filter = new BloomFilter(FIRST_KEYS * GROWTH ** n, this.#rate * TIGHTENING ** (n + 1))
    this.#filters.push(filter)
    return filter
  }

  #add(a: number, b: number): void {
    let filter = this.#filters.at(-1)
    if (!filter || filter.isFull) filter = this.#addFilter()
    filter.add(a, b)
    this.#added?.push(a, b)
  }

  #isNew(id: number): boolean {
    const parts = this.#options.fields.map((_, part) => canonicalKey(fromLatin1(this.#keys.text(id, part))))
    const [a, b] = hashes(Buffer.from(parts.join('\n')))
    if (this.#filters.some((filter) => filter.has(a, b))) return false
    this.#add(a, b)
    return true
  }
}

/** All filters, or two numbers a key that was added. */
type ApproximateState = { readonly filters: readonly FilterState[] } | { readonly added: Float64Array }
interface FilterState {
  readonly keys: number
  readonly bits: Uint32Array
}

class BloomFilter {
  readonly #bits: Uint32Array
  readonly #size: number
  readonly #hashes: number
  readonly #most: number
  #keys = 0

  constructor(keys: number, rate: number) {
    this.#most = keys
    this.#hashes = Math.max(1, Math.round(-Math.log2(rate)))
    this.#size = 32 * Math.ceil((-keys * Math.log(rate)) / Math.LN2 ** 2 / 32)
    this.#bits = new Uint32Array(this.#size / 32)
  }
  get isFull(): boolean {
    return this.#keys >= this.#most
  }
  get state(): FilterState {
    return { keys: this.#keys, bits: this.#bits }
  }
  restore({ keys, bits }: FilterState): void {
    this.#keys = keys
    this.#bits.set(bits)
  }
  has(a: number, b: number): boolean {
    for (let n = 0; n < this.#hashes; n++) {
      const bit = (a + n * b) % this.#size
      if ((this.#bits[Math.floor(bit / 32)]! & (1 << (bit & 31))) === 0) return false
    }
    return true
  }
  add(a: number, b: number): void {
    this.#keys++
    for (let n = 0; n < this.#hashes; n++) {
      const bit = (a + n * b) % this.#size
      this.#bits[Math.floor(bit / 32)]! |= 1 << (bit & 31)
    }
  }
}

/** Two hashes of 44 bits and more: FNV-1a and a like in two lanes, stirred as murmur3 ends. `a + n × b` stays exact for a hundred n. */
function hashes(bytes: Uint8Array): [number, number] {
  let x = 0x811c9dc5
  let y = 0x9e3779b9
  for (const byte of bytes) {
    x = Math.imul(x ^ byte, 0x01000193)
    y = Math.imul(y ^ byte, 0x85ebca6b)
    y ^= y >>> 13
  }
  const [u, v] = [stir(x ^ bytes.length), stir(y ^ x)]
  return [u * 0x10000 + (v >>> 16), v * 0x1000 + (u & 0xfff) + 1]
}

function stir(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
