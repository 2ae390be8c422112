import { NONE } from '../aggregate/aggregate.ts'
import type { RecordBatch } from '../core/batch.ts'
import type { EventTime } from '../core/operator.ts'
import type { Content } from './engine.ts'
import { Lines } from './lines.ts'
import { windowMember, type Results } from './results.ts'

/**
 * The record of a row with its window added. All other bytes stay: the member goes to the end, or in the place of a `window`
 * that the record has already. @param field index of `window` among the batch's fields
 */
export function withWindow(batch: RecordBatch, row: number, field: number, member: string): string {
  const { spans, stride } = batch
  const text = batch.text()
  const at = row * stride
  const [start, end] = [spans[at] as number, spans[at + 1] as number]
  const [from, to] = [spans[at + 2 + 2 * field] as number, spans[at + 3 + 2 * field] as number]
  if (to > 0) return `${text.slice(start, from)}${member.slice('"window":'.length)}${text.slice(to, end)}`
  let last = end - 2
  while (text.charCodeAt(last) <= 0x20) last--
  const comma = text[last] === '{' ? '' : ','
  return `${text.slice(start, end - 1)}${comma}${member}}`
}

interface Held {
  /** Order of arrival. */
  readonly position: number
  readonly row: string
  readonly from: number
  readonly to: number
}

/** The records themselves as the content of windows, for `each` with sessions: held until the session closes. */
export class Records implements Content, Results {
  readonly #field: number
  readonly #slots: Held[][] = []
  readonly #lines = new Lines()
  readonly open: Results['open'] = (out) => this.#lines.open(out)
  readonly flush: Results['flush'] = () => this.#lines.flush()

  constructor(field: number) {
    this.#field = field
  }

  reserve(slots: number): void {
    while (this.#slots.length < slots) this.#slots.push([])
  }

  begin(): number {
    return 0
  }

  add(batch: RecordBatch, slots: Uint32Array): void {
    for (let row = 0; row < batch.count; row++) {
      const slot = slots[row] as number
      if (slot !== NONE) (this.#slots[slot] as Held[]).push(this.#hold(batch, row))
    }
  }

  /** A record with a gap where the window goes. */
  #hold(batch: RecordBatch, row: number): Held {
    const line = withWindow(batch, row, this.#field, GAP)
    const from = line.lastIndexOf(GAP_VALUE)
    return { position: batch.position(row), row: line, from, to: from + GAP_VALUE.length }
  }

  merge(into: number, from: number): void {
    const merged = [...(this.#slots[into] as Held[]), ...(this.#slots[from] as Held[])]
    this.#slots[into] = merged.sort((a, b) => a.position - b.position)
  }

  clear(slot: number): void {
    this.#slots[slot] = []
  }

  exportSlots(slots: Uint32Array): unknown {
    return Array.from(slots, (slot) => this.#slots[slot])
  }
  importSlots(state: readonly Held[][], mapping: Uint32Array): void {
    for (const [index, slot] of mapping.entries()) this.#slots[slot] = state[index] as Held[]
  }

  emit(start: EventTime, end: EventTime, _key: number, slot: number): undefined {
    const window = windowMember(start, end).slice('"window":'.length)
    for (const { row, from, to } of this.#slots[slot] as Held[]) {
      this.#lines.text(row.slice(0, from)).text(window).text(row.slice(to)).end()
    }
  }
}

/** No JSON text holds a raw control character, so this cannot be part of a record. */
const GAP_VALUE = '\u0000'
const GAP = `"window":${GAP_VALUE}`
