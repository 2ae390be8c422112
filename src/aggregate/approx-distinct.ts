import { Kind, type RecordBatch } from '../core/batch.ts'
import { mapped } from '../core/columns.ts'
import { canonicalKey, PLAIN_KEY } from '../core/key.ts'
import { fromLatin1, toLatin1 } from '../core/latin1.ts'
import { type Aggregate, type AggregateState, type Input, NONE } from './aggregate.ts'

/** 2^12 registers of a byte: a standard error of 1.04 / √4096 = 1.6 %. */
const REGISTER_BITS = 12
const REGISTERS = 1 << REGISTER_BITS
/** Bits of a hash that are left for the rank. */
const RANK_BITS = 52 - REGISTER_BITS
/** Up to so many different values their hashes are kept, and the count is exact. */
const EXACT = 512

/**
 * `approx_count_distinct`: HyperLogLog (Flajolet et al. 2007) with the estimator of O. Ertl, "New cardinality estimation algorithms for
 * HyperLogLog sketches" (2017), section 4. The state is a function of the set of values: no order, no number of merges can be seen in it.
 */
export class ApproxDistinct implements Aggregate {
  readonly #input: Input
  /** Per slot the hashes while they are few, then registers. */
  readonly #sketches: (Set<number> | Uint8Array)[] = []
  /** Hashes that are kept, and slots that have registers. */
  #hashes = 0
  #dense = 0

  constructor(input: Input) {
    this.#input = input
  }

  reserve(slots: number): void {
    while (this.#sketches.length < slots) this.#sketches.push(NOTHING)
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    const kinds = this.#input.kinds(batch)
    for (let row = 0, rows = batch.count; row < rows; row++) {
      const slot = slots[row]!
      if (slot !== NONE && kinds[row]! > Kind.null) this.#add(slot, hashOf(this.#input.text(batch, row)))
    }
  }

  #add(slot: number, hash: number): void {
    const sketch = this.#sketches[slot]!
    if (sketch instanceof Uint8Array) {
      count(sketch, hash)
      return
    }
    const before = sketch.size
    if (sketch === NOTHING) this.#sketches[slot] = new Set([hash])
    else sketch.add(hash)
    this.#hashes += this.#sketches[slot] === sketch ? sketch.size - before : 1
    if (sketch.size > EXACT) this.#registers(slot)
  }

  /** The slot's registers; made from its hashes if it has none yet. */
  #registers(slot: number): Uint8Array {
    const sketch = this.#sketches[slot]!
    if (sketch instanceof Uint8Array) return sketch
    const registers = new Uint8Array(REGISTERS)
    for (const hash of sketch) count(registers, hash)
    this.#hashes -= sketch.size
    this.#dense++
    this.#sketches[slot] = registers
    return registers
  }

  #addSketch(slot: number, other: Iterable<number>, isRegisters: boolean): void {
    if (!isRegisters) {
      for (const hash of other) this.#add(slot, hash)
      return
    }
    const own = this.#registers(slot)
    let index = 0
    for (const rank of other) {
      if (rank > own[index]!) own[index] = rank
      index++
    }
  }

  bytes(slots: number): number {
    return 8 * slots + 64 * this.#hashes + REGISTERS * this.#dense
  }

  merge(into: number, from: number): void {
    const sketch = this.#sketches[from]!
    this.#addSketch(into, sketch, sketch instanceof Uint8Array)
  }

  clear(slot: number): void {
    const sketch = this.#sketches[slot]!
    if (sketch instanceof Uint8Array) this.#dense--
    else this.#hashes -= sketch.size
    this.#sketches[slot] = NOTHING
  }

  text(slot: number): string {
    const sketch = this.#sketches[slot]!
    return String(sketch instanceof Uint8Array ? Math.round(estimate(sketch)) : sketch.size)
  }

  exportSlots(slots: Uint32Array): AggregateState {
    const sketches = mapped(slots, (slot) => this.#sketches[slot]!)
    return {
      registers: Uint8Array.from(sketches, (sketch) => (sketch instanceof Uint8Array ? 1 : 0)),
      lengths: Uint32Array.from(sketches, (sketch) => (sketch instanceof Uint8Array ? sketch.length : sketch.size)),
      values: Float64Array.from(
        sketches.flatMap((sketch) => [...sketch].sort(sketch instanceof Set ? ascending : () => 0)),
      ),
    }
  }

  importSlots(state: AggregateState, mapping: Uint32Array): void {
    let at = 0
    for (let index = 0; index < mapping.length; index++) {
      const end = at + (state['lengths']![index] as number)
      const values = (state['values'] as Float64Array).slice(at, end)
      at = end
      this.#addSketch(mapping[index]!, values, state['registers']![index] === 1)
    }
  }
}

const NOTHING: Set<number> = new Set()
const ascending = (a: number, b: number): number => a - b

/** The first 12 bits choose a register; it keeps the greatest position of the first 1 among the other 40. */
function count(registers: Uint8Array, hash: number): void {
  const rest = hash % 2 ** RANK_BITS
  const index = (hash - rest) / 2 ** RANK_BITS
  const high = Math.floor(rest / 2 ** 8)
  const rank = high > 0 ? Math.clz32(high) + 1 : 33 + Math.clz32(rest % 2 ** 8) - 24
  if (rank > registers[index]!) registers[index] = rank
}

function estimate(registers: Uint8Array): number {
  const histogram = new Float64Array(RANK_BITS + 2)
  for (const rank of registers) histogram[rank]!++
  let z = REGISTERS * tau(1 - histogram[RANK_BITS + 1]! / REGISTERS)
  for (let rank = RANK_BITS; rank >= 1; rank--) z = 0.5 * (z + histogram[rank]!)
  z += REGISTERS * sigma(histogram[0]! / REGISTERS)
  return ((REGISTERS / (2 * Math.LN2)) * REGISTERS) / z
}

function sigma(x: number): number {
  if (x === 1) return Infinity
  let y = 1
  let z = x
  for (let before = Number.NaN; z !== before; y += y) {
    x *= x
    before = z
    z += x * y
  }
  return z
}

function tau(x: number): number {
  if (x === 0 || x === 1) return 0
  let y = 1
  let z = 1 - x
  for (let before = Number.NaN; z !== before;) {
    x = Math.sqrt(x)
    before = z
    y *= 0.5
    z -= (1 - x) ** 2 * y
  }
  return z / 3
}

/** 52 bits of a value's canonical text: two rounds of multiply and rotate a byte (after MurmurHash3's mixing), finished as it is. */
function hashOf(text: string): number {
  if (!PLAIN_KEY.test(text)) text = toLatin1(canonicalKey(fromLatin1(text)))
  let a = 0x9747b28c
  let b = 0x3c6ef372
  for (let index = 0; index < text.length; index++) {
    const byte = text.charCodeAt(index)
    a = Math.imul(a ^ byte, 0xcc9e2d51)
    a = (a << 13) | (a >>> 19)
    b = Math.imul(b ^ byte, 0x1b873593)
    b = (b << 15) | (b >>> 17)
  }
  a = finish(a ^ text.length)
  b = finish(b ^ a)
  return (a >>> 0) * 2 ** 20 + (b >>> 12)
}

function finish(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
