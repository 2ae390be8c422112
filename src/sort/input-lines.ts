import { readSync } from 'node:fs'
import { BeckError, fileError } from '../core/errors.ts'
import type { KeptInput } from '../core/operator.ts'
import { Pieces, SLACK } from '../ndjson/heap.ts'
import { storeHeap } from './arena.ts'

/** Inputs are read again in blocks of this size. */
export const BLOCK_BYTES = 1 << 17
/** Lines are near each other if hardly more blocks are read than there are, with so many of them at hand, or this share of all. */
const NEAR_BLOCKS = 16
const NEAR_SHARE = 0.25
const MOST_READS = 1.5
const NEWLINE = 0x0a

/** Which blocks are at hand: those used last, about (second chance). O(1). */
class Slots {
  readonly #slotOf = new Map<number, number>()
  readonly #blocks: Float64Array
  readonly #used: Uint8Array
  #hand = 0

  constructor(count: number) {
    this.#blocks = new Float64Array(count).fill(-1)
    this.#used = new Uint8Array(count)
  }

  /** The slot of a block; where it is not at hand the complement of the one that it has to be read into. */
  take(block: number): number {
    const known = this.#slotOf.get(block)
    if (known !== undefined) {
      this.#used[known] = 1
      return known
    }
    let slot = this.#hand
    for (; this.#used[slot] === 1; slot = (slot + 1) % this.#used.length) this.#used[slot] = 0
    this.#hand = (slot + 1) % this.#used.length
    this.#slotOf.delete(this.#blocks[slot]!)
    this.#slotOf.set(block, slot)
    this.#blocks[slot] = block
    this.#used[slot] = 1
    return ~slot
  }
}

/** Whether lines of so many bytes at these positions, in this order, can be read again at about the cost of reading them in a row. */
export function areNear(order: Uint32Array, positions: Float64Array, bytes: number): boolean {
  const blocks = bytes / BLOCK_BYTES
  const slots = new Slots(Math.ceil(Math.min(NEAR_BLOCKS, NEAR_SHARE * blocks)))
  let reads = MOST_READS * blocks
  for (const entry of order) {
    if (slots.take(Math.floor(positions[entry]! / BLOCK_BYTES)) < 0 && --reads < 0) return false
  }
  return true
}

/** Lines of inputs, read again by their positions into the store. */
export class InputLines {
  readonly #heap = storeHeap()
  readonly #pieces = new Pieces(this.#heap, this)
  readonly #inputs: readonly KeptInput[]
  readonly #slots: Slots
  readonly #blocks: number
  /** For a line that is not within a block. */
  #line: number
  #lineBytes = BLOCK_BYTES
  /** Where the block is that was asked for last, and where in the store. */
  #last = Infinity
  #lastStart = 0

  /** @param inputs that are not empty */
  constructor(inputs: readonly KeptInput[], memoryBytes: number) {
    this.#inputs = inputs.toSorted((a, b) => a.base - b.base)
    const count = Math.max(2, Math.floor(memoryBytes / BLOCK_BYTES))
    this.#slots = new Slots(count)
    this.#blocks = this.#pieces.allocate(count * BLOCK_BYTES + SLACK)
    this.#line = this.#pieces.allocate(this.#lineBytes + SLACK)
  }

  /** Makes room for a line. The store may grow: views of it are none any more. */
  reserve(length: number): void {
    if (length <= this.#lineBytes) return
    this.#pieces.release(this.#line)
    this.#lineBytes = length + (length >> 2)
    this.#line = this.#pieces.allocate(this.#lineBytes + SLACK)
  }

  /** The address of a line, its line end included; valid until the next call. @throws BeckError file, when it is there no more */
  find(position: number, length: number): number {
    let at = position - this.#last
    if (at < 0 || at + length > BLOCK_BYTES) {
      const block = Math.floor(position / BLOCK_BYTES)
      at = position - block * BLOCK_BYTES
      if (at + length > BLOCK_BYTES) {
        this.#read(position, length, this.#line)
        return this.#checked(this.#line, position, length)
      }
      const slot = this.#slots.take(block)
      this.#last = block * BLOCK_BYTES
      this.#lastStart = this.#blocks + BLOCK_BYTES * (slot < 0 ? ~slot : slot)
      if (slot < 0) this.#read(this.#last, BLOCK_BYTES, this.#lastStart)
    }
    return this.#checked(this.#lastStart + at, position, length)
  }

  #checked(address: number, position: number, length: number): number {
    if (this.#heap.bytes[address + length - 1] === NEWLINE) return address
    throw new BeckError('file', {
      file: this.#inputs[this.#inputAt(position)]!.name,
      problem: 'was changed while it was read',
      hint: 'join a copy of it, or read it through a pipe: cat FILE | beck join …',
    })
  }

  #inputAt(position: number): number {
    return this.#inputs.findLastIndex(({ base }) => base <= position)
  }

  /** Bytes of all inputs from `position` on; zeros where there are none (any more). */
  #read(position: number, size: number, address: number): void {
    const { bytes } = this.#heap
    const place = (at: number): number => address + at - position
    const end = position + size
    let at = position
    // From -1 on: bytes before the first of them are of an input that is not kept.
    for (let index = this.#inputAt(position); at < end; index++) {
      const input = this.#inputs[index]
      const limit = Math.min(end, this.#inputs[index + 1]?.base ?? end)
      if (input) at += readFrom(input, bytes.subarray(place(at), place(limit)), at - input.base)
      bytes.fill(0, place(at), place(limit))
      at = limit
    }
  }
}

/** Returns how much there was. */
function readFrom({ fd, name }: KeptInput, into: Uint8Array, at: number): number {
  try {
    let got = 0
    for (let n = -1; n !== 0 && got < into.length; got += n) n = readSync(fd, into, got, into.length - got, at + got)
    return got
  } catch (error) {
    throw fileError(error, name)
  }
}
