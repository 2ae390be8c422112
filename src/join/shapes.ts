import { latin1 } from '../core/latin1.ts'
import type { KernelMembers } from './kernel-members.ts'
import { Members } from './members.ts'

/** The names of a record's members, in order. Records of one shape are treated alike, so that names are looked at once. */
export interface Shape {
  readonly id: number
  readonly names: readonly string[]
  readonly has: ReadonlySet<string>
  /** The names as they are spelt, with their quotes, one after the other. */
  readonly spelt: Uint8Array
  readonly ends: Uint32Array
}

/** Shapes are forgotten when there are so many. */
const MOST_SHAPES = 4096

/** Finds the shape of each record. Mostly it is that of the record before, which costs one comparison of the names' bytes. */
export class Shapes {
  /** Of the record read last. */
  readonly members = new Members()
  readonly #known = new Map<string, Shape>()
  /** For records in the store. */
  readonly #kernel: KernelMembers | undefined
  #last: Shape | undefined
  #ids = 0

  /** @param kernel where records may be in the store and their members are not of interest */
  constructor(kernel?: KernelMembers) {
    this.#kernel = kernel
  }

  /** Undefined when the record is no object. */
  read(bytes: Uint8Array, start: number, end: number): Shape | undefined {
    if (this.#kernel && this.#last && bytes === this.#kernel.memory) {
      this.#kernel.expect(this.#last)
      if (this.#kernel.fits(start)) return this.#last
    }
    if (!this.members.read(bytes, start, end)) return undefined
    if (!this.#last || !this.#is(this.#last, bytes)) this.#last = this.#find(bytes)
    return this.#last
  }

  #is({ spelt, ends }: Shape, bytes: Uint8Array): boolean {
    const { count, nameStart, nameEnd } = this.members
    if (ends.length !== count) return false
    let at = 0
    for (let member = 0; member < count; member++) {
      const from = nameStart[member]!
      const to = nameEnd[member]!
      if (at + to - from !== ends[member]) return false
      for (let p = from; p < to; p++) if (bytes[p] !== spelt[at++]) return false
    }
    return true
  }

  #find(bytes: Uint8Array): Shape {
    const { count, nameStart, nameEnd } = this.members
    const quoted = Array.from({ length: count }, (_, member) => latin1(bytes, nameStart[member]!, nameEnd[member]!))
    const key = quoted.join('')
    let shape = this.#known.get(key)
    if (!shape) {
      const names = quoted.map((text) => JSON.parse(Buffer.from(text, 'latin1').toString()) as string)
      let end = 0
      shape = {
        id: this.#ids++,
        names,
        has: new Set(names),
        spelt: Buffer.from(key, 'latin1'),
        ends: Uint32Array.from(quoted, (text) => (end += text.length)),
      }
      if (this.#known.size >= MOST_SHAPES) this.#known.clear()
      this.#known.set(key, shape)
    }
    return shape
  }
}
