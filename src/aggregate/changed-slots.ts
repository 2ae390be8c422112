import { grownBytes } from '../core/columns.ts'
import { NONE } from './aggregate.ts'

/** Which slots were written to since it was last asked: a byte a slot. */
export class ChangedSlots {
  #marks: Uint8Array = new Uint8Array(0)

  /** @param size slots are below it */
  mark(slots: Uint32Array, size: number): void {
    const marks = (this.#marks = grownBytes(this.#marks, size))
    for (let row = 0; row < slots.length; row++) {
      const slot = slots[row]!
      if (slot !== NONE) marks[slot] = 1
    }
  }

  markOne(slot: number): void {
    if (slot >= this.#marks.length) this.#marks = grownBytes(this.#marks, slot + 1)
    this.#marks[slot] = 1
  }

  /** The slots, ascending; from now on none is changed. */
  take(): Uint32Array {
    const marks = this.#marks
    // Most of many are as they were: eight at a time.
    const eights = new Float64Array(marks.buffer, 0, marks.length >> 3)
    let count = 0
    for (let at = 0; at < eights.length; at++) {
      if (eights[at] !== 0) for (let slot = 8 * at; slot < 8 * at + 8; slot++) count += marks[slot]!
    }
    const slots = new Uint32Array(count)
    for (let at = 0, to = 0; to < count; at++) {
      if (eights[at] !== 0) for (let slot = 8 * at; slot < 8 * at + 8; slot++) if (marks[slot] === 1) slots[to++] = slot
    }
    marks.fill(0)
    return slots
  }
}
