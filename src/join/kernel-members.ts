import { Pieces, SLACK } from '../ndjson/heap.ts'
import { storeHeap } from '../sort/arena.ts'
import type { Shape } from './shapes.ts'

/** As kernel/members.ts draws a member. */
const MEMBER_BYTES = 20
const KEEP = 0
const DROP = 1
const RENAME = 2

/** What becomes of a right member: kept as it is, left out, or under another name (`,"other"`). */
export type Plan = readonly ('keep' | 'drop' | Uint8Array)[]

/** Memory for what is expected, and for a tail. What needs more is not for the kernel. */
const PLAN_BYTES = 1 << 16
const OUT_BYTES = 1 << 18

/**
 * The hot path of splicing: the members that records are expected to have, where the kernel can read them. Only for records in the store; for
 * any that are otherwise it says so. Never makes the store grow after it was made, so that views of records stay.
 */
export class KernelMembers {
  readonly #heap = storeHeap()
  readonly #pieces = new Pieces(this.#heap, this)
  readonly #address = this.#pieces.allocate(PLAN_BYTES)
  readonly #out = this.#pieces.allocate(OUT_BYTES)
  #count = 0
  #expected: Shape | undefined
  #plan: Plan | undefined
  #fitsPlan = false
  /** Of a tail, beside the record's bytes. */
  #moreBytes = 0

  /** Where records have to be. */
  get memory(): Uint8Array {
    return this.#heap.bytes
  }

  /** Expects records of a shape, and for `tail` that this becomes of their members. */
  expect(shape: Shape, plan?: Plan): void {
    if (this.#expected === shape && this.#plan === plan) return
    this.#expected = shape
    this.#plan = plan
    const { ends, spelt } = shape
    const count = ends.length
    const others = Array.from(ends, (_, member) => {
      const action = plan?.[member]
      return typeof action === 'object' ? action : undefined
    })
    this.#moreBytes = others.reduce((sum, other) => sum + (other?.length ?? 1), 2 * SLACK)
    this.#count = count
    this.#fitsPlan = MEMBER_BYTES * count + spelt.length + this.#moreBytes <= PLAN_BYTES
    if (!this.#fitsPlan) return
    const { bytes, u32 } = this.#heap
    const names = this.#address + MEMBER_BYTES * count
    bytes.set(spelt, names)
    let at = names + spelt.length
    for (let member = 0; member < count; member++) {
      const from = member === 0 ? 0 : ends[member - 1]!
      const other = others[member]
      const kind = other ? RENAME : plan?.[member] === 'drop' ? DROP : KEEP
      const words = [names + from, ends[member]! - from, kind, at, other?.length ?? 0]
      u32.set(words, (this.#address + MEMBER_BYTES * member) >>> 2)
      if (other) bytes.set(other, at)
      at += other?.length ?? 0
    }
  }

  /** Whether the record at this address is as expected. */
  fits(start: number): boolean {
    return this.#fitsPlan && this.#heap.kernel.hasMembers(start, this.#address, this.#count) === 1
  }

  /** The tail of the record; undefined when it is not as expected. A view, valid until the next call. */
  tail(start: number, end: number): Uint8Array | undefined {
    if (!this.#fitsPlan || end - start + this.#moreBytes > OUT_BYTES) return undefined
    const length = this.#heap.kernel.tailOf(start, this.#address, this.#count, this.#out)
    return length > 0 ? this.#heap.bytes.subarray(this.#out, this.#out + length) : undefined
  }
}
