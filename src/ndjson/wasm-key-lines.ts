import type { KeyLines, KeyTable, LinePiece } from '../core/batch.ts'
import type { Heap, Pieces } from './heap.ts'
import { lineOf } from './key-lines.ts'

const OUT_BYTES = 1 << 16
const MOST_LINES = 1024
/** As kernel/key-lines.ts draws a piece. */
const PIECE_BYTES = 16
const KINDS: readonly LinePiece['kind'][] = ['text', 'key', 'whole', 'time']

/** The fast way: numbers are gathered here, and the kernel puts the lines together. */
export class WasmKeyLines implements KeyLines {
  readonly #heap: Heap
  readonly #table: KeyTable
  readonly #address: number
  readonly #template: readonly LinePiece[]
  readonly #pieces: number
  readonly #out: number
  readonly #rowsAt: number
  /** Per line the key's id, then its numbers. */
  readonly #rows: Float64Array
  readonly #width: number
  #at = 0

  /** @param address of the kernel's table @param parts of its keys */
  constructor(
    heap: Heap,
    pieces: Pieces,
    table: KeyTable,
    address: number,
    parts: number,
    template: readonly LinePiece[],
  ) {
    this.#heap = heap
    this.#table = table
    this.#address = address
    this.#template = template
    this.#width = 1 + template.filter(({ kind }) => kind === 'whole' || kind === 'time').length
    this.#rows = new Float64Array(MOST_LINES * this.#width)
    this.#rowsAt = pieces.allocate(this.#rows.byteLength)
    this.#out = pieces.allocate(OUT_BYTES)
    const texts = template.map((piece) => (piece.kind === 'text' ? Buffer.from(piece.text, 'latin1') : undefined))
    const textBytes = texts.reduce((sum, text) => sum + (text?.length ?? 0), 0)
    this.#pieces = pieces.allocate(template.length * PIECE_BYTES + textBytes + PIECE_BYTES)
    let textAt = this.#pieces + template.length * PIECE_BYTES
    template.forEach((piece, index) => {
      const text = texts[index]
      const part = piece.kind === 'key' ? piece.part : 0
      const words = [KINDS.indexOf(piece.kind), textAt, text ? text.length : parts, part]
      heap.u32.set(words, (this.#pieces + index * PIECE_BYTES) >>> 2)
      if (text) heap.bytes.set(text, textAt)
      textAt += text?.length ?? 0
    })
  }

  get isFull(): boolean {
    return this.#at === this.#rows.length
  }

  begin(id: number): void {
    this.#rows[this.#at++] = id
  }

  add(number: number): void {
    this.#rows[this.#at++] = number
  }

  writeAll(ids: Uint32Array, columns: readonly Float64Array[], emit: (lines: Uint8Array) => void): void {
    const rows = this.#rows
    const width = this.#width
    // Loops without calls: this runs once, at the end, when nothing of it has been compiled well yet.
    for (let from = 0, to: number; from < ids.length; from = to) {
      to = Math.min(ids.length, from + MOST_LINES)
      for (let index = from, at = 0; index < to; index++, at += width) rows[at] = ids[index] as number
      for (let place = 1; place < width; place++) {
        const column = columns[place - 1] as Float64Array
        for (let index = from, at = place; index < to; index++, at += width)
          rows[at] = column[ids[index] as number] as number
      }
      this.#at = (to - from) * width
      this.write(emit)
    }
  }

  write(emit: (lines: Uint8Array) => void): void {
    const heap = this.#heap
    const width = this.#width
    const count = this.#at / width
    const out = this.#out
    const limit = out + OUT_BYTES
    heap.f64.set(this.#rows.subarray(0, this.#at), this.#rowsAt >>> 3)
    this.#at = 0
    for (let row = 0; row < count;) {
      const { length } = this.#template
      const from = row
      row = heap.kernel.keyLines(this.#address, this.#rowsAt, width, from, count, this.#pieces, length, out, limit)
      if (row > from) emit(heap.bytes.subarray(out, out + heap.kernel.keyLinesBytes()))
      else {
        // Longer than all room, or with a number that the kernel does not write.
        const numbers = this.#rows.subarray(row * width + 1, (row + 1) * width)
        emit(Buffer.from(lineOf(this.#table, this.#template, this.#rows[row * width] as number, numbers), 'latin1'))
        row++
      }
    }
  }
}
