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
    let count = 0
    for (let slot = 0; slot < marks.length; slot++) count += marks[slot]!
    const slots = new Uint32Array(count)
    for (let slot = 0, at = 0; at < count; slot++) if (marks[slot] === 1) slots[at++] = slot
    marks.fill(0)
    return slots
  }
}
