import type { KeyLines, KeyTable, LinePiece } from '../core/batch.ts'
import { formatTime } from '../core/time.ts'

/** The readable way to make lines about keys. */
export class ReferenceKeyLines implements KeyLines {
  readonly isFull = false
  readonly #table: KeyTable
  readonly #template: readonly LinePiece[]
  #lines: { readonly id: number; readonly numbers: number[] }[] = []

  constructor(table: KeyTable, template: readonly LinePiece[]) {
    this.#table = table
    this.#template = template
  }

  begin(id: number): void {
    this.#lines.push({ id, numbers: [] })
  }

  add(number: number): void {
    this.#lines.at(-1)?.numbers.push(number)
  }

  write(emit: (lines: Uint8Array) => void): void {
    const text = this.#lines.map(({ id, numbers }) => lineOf(this.#table, this.#template, id, numbers)).join('')
    this.#lines = []
    if (text) emit(Buffer.from(text, 'latin1'))
  }

  writeAll(ids: Uint32Array, columns: readonly Float64Array[], emit: (lines: Uint8Array) => void): void {
    for (const id of ids) {
      this.begin(id)
      for (const column of columns) this.add(column[id] as number)
    }
    this.write(emit)
  }
}

/** One line, as a latin1 ("binary") string. */
export function lineOf(
  table: KeyTable,
  template: readonly LinePiece[],
  id: number,
  numbers: ArrayLike<number>,
): string {
  let line = ''
  let next = 0
  for (const piece of template) {
    if (piece.kind === 'text') line += piece.text
    else if (piece.kind === 'key') line += table.text(id, piece.part)
    else {
      const number = numbers[next++] as number
      if (piece.kind === 'time') line += formatTime(number)
      else line += Number.isNaN(number) ? 'null' : String(number)
    }
  }
  return line
}
