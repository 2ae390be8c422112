import { NONE } from '../aggregate/aggregate.ts'
import type { RecordBatch } from '../core/batch.ts'
import type { EventTime, StageContext } from '../core/operator.ts'
import type { Content } from './engine.ts'
import type { Slots } from './ids.ts'
import { Lines } from './lines.ts'
import { windowMember, type Results } from './results.ts'
import { SpilledSlots } from './spilled-slots.ts'

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
  readonly #spilled: SpilledSlots
  readonly #mostBytes: number
  #bytes = 0
  readonly #lines = new Lines()
  readonly open: Results['open'] = (out) => this.#lines.open(out)
  readonly flush: Results['flush'] = () => this.#lines.flush()

  constructor(field: number, context: Pick<StageContext, 'memoryBytes' | 'spill'>) {
    this.#field = field
    this.#spilled = new SpilledSlots(context)
    this.#mostBytes = context.memoryBytes / 2
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
      if (slot === NONE) continue
      const held = this.#hold(batch, row)
      ;(this.#slots[slot] as Held[]).push(held)
      this.#bytes += bytesOf(held)
    }
  }

  /** A record with a gap where the window goes. */
  #hold(batch: RecordBatch, row: number): Held {
    const line = withWindow(batch, row, this.#field, GAP)
    const from = line.lastIndexOf(GAP_VALUE)
    return { position: batch.position(row), row: line, from, to: from + GAP_VALUE.length }
  }

  merge(into: number, from: number): void {
    const moved = this.#slots[from] as Held[]
    this.#slots[into] = inOrder([...(this.#slots[into] as Held[]), ...moved])
    for (const held of moved) this.#bytes += bytesOf(held)
    this.#spilled.share(into, from)
  }

  clear(slot: number): void {
    this.#empty(slot)
    this.#spilled.forget(slot)
  }

  #empty(slot: number): void {
    for (const held of this.#slots[slot] as Held[]) this.#bytes -= bytesOf(held)
    this.#slots[slot] = []
  }

  settle(_slots: Slots, inUse: () => readonly number[]): void {
    if (this.#bytes <= this.#mostBytes) return
    const first = (slot: number): number => (this.#slots[slot] as Held[])[0]?.position ?? 0
    const small: number[] = []
    for (const slot of inUse()) {
      const rows = this.#slots[slot] as Held[]
      // Those of a large session in pieces: they are emitted one after the other.
      if (rows.length <= PIECE_ROWS) {
        if (rows.length > 0) small.push(slot)
        continue
      }
      for (let from = 0; from < rows.length; from += PIECE_ROWS) {
        const piece = rows.slice(from, from + PIECE_ROWS)
        this.#spilled.write(
          [slot],
          () => [piece],
          () => (piece[0] as Held).position,
        )
      }
      this.#empty(slot)
    }
    this.#spilled.write(small, (slots) => Array.from(slots, (slot) => this.#slots[slot]), first)
    for (const slot of small) this.#empty(slot)
  }

  packSlots(slots: Uint32Array): unknown {
    return Array.from(slots, (slot) => [...this.#rows(slot)].flat())
  }
  importSlots(state: readonly Held[][], mapping: Uint32Array): void {
    for (const [index, slot] of mapping.entries()) {
      this.#slots[slot] = state[index] as Held[]
      for (const held of this.#slots[slot]) this.#bytes += bytesOf(held)
    }
  }

  /** The records of a slot in order of arrival, in pieces. */
  *#rows(slot: number): Generator<readonly Held[]> {
    let waiting: Held[] = []
    for (const { state, index, order } of this.#spilled.read(slot)) {
      // Those before the next piece are complete.
      yield waiting.filter(({ position }) => position < order)
      const piece = (state as readonly Held[][])[index] as Held[]
      waiting = inOrder([...waiting.filter(({ position }) => position >= order), ...piece])
    }
    yield inOrder([...waiting, ...(this.#slots[slot] as Held[])])
  }

  emit(start: EventTime, end: EventTime, _key: number, slot: number): undefined {
    const window = windowMember(start, end).slice('"window":'.length)
    for (const rows of this.#rows(slot)) {
      for (const { row, from, to } of rows) {
        this.#lines.text(row.slice(0, from)).text(window).text(row.slice(to)).end()
      }
    }
  }
}

const inOrder = (rows: Held[]): Held[] => rows.sort((a, b) => a.position - b.position)
/** About what a record costs in memory. */
const bytesOf = ({ row }: Held): number => row.length + 100
/** Records of a session that are written and read together. */
const PIECE_ROWS = 512

/** No JSON text holds a raw control character, so this cannot be part of a record. */
const GAP_VALUE = '\u0000'
const GAP = `"window":${GAP_VALUE}`
