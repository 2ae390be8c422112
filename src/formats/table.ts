/** Rows as a table for people: aligned, numbers to the right, nothing drawn around it, so that `grep` and `sort` still work. */
import { escapeControls } from '../core/excerpt.ts'
import { fromBinary, toBinary } from './binary.ts'
import { plainText } from './members.ts'
import type { Row, RowFormat } from './rows.ts'
import { cut, widthOf } from './text-width.ts'

const GAP = '  '
/** On a narrow terminal, texts are cut down to this width and no further. */
const NARROWEST = 8
/** Nothing is padded beyond this width: one huge text must not blow up every row. Wider cells stick out. */
const WIDEST = 500

/** `terminal`: its width, which the table then keeps to by cutting long texts (never numbers), marked "…". */
export function tableFormat(terminal: { readonly columns: number; readonly color: boolean } | undefined): RowFormat {
  let columns: { width: number; right: boolean }[] = []
  const line = (cells: readonly string[]): string => {
    let text = ''
    for (const [index, { width, right }] of columns.entries()) {
      const cell = terminal && !right ? cut(cells[index] as string, width) : (cells[index] as string)
      const space = ' '.repeat(Math.max(0, width - widthOf(cell)))
      text += (index > 0 ? GAP : '') + (right ? space + cell : cell + space)
    }
    let end = text.length
    while (text.charCodeAt(end - 1) === 32) end--
    return text.slice(0, end)
  }
  const texts = (row: Row): string[] => columns.map((_, index) => shown(row[index]))
  return {
    begin(names, first) {
      columns = names.map((_, index) => ({ width: 0, right: isNumeric(first, index) }))
      const header = names.map((name) => escapeText(fromBinary(name)))
      const rows = first.map(texts)
      for (const row of [header, ...rows])
        for (const [index, column] of columns.entries())
          column.width = Math.max(column.width, Math.min(WIDEST, widthOf(row[index] as string)))
      if (terminal) fit(columns, terminal.columns)
      const title = terminal?.color ? `\u001b[1m${line(header)}\u001b[22m` : line(header)
      return toBinary([title, ...rows.map(line), ''].join('\n'))
    },
    row: (row) => toBinary(`${line(texts(row))}\n`),
  }
}

const isNumber = (raw: string): boolean => /^[-\d]/.test(raw)

/** Whether a column has numbers and nothing else but nothing. */
function isNumeric(rows: readonly Row[], index: number): boolean {
  let numbers = 0
  for (const row of rows) {
    const raw = row[index]
    if (raw === undefined || raw === 'null') continue
    if (!isNumber(raw)) return false
    numbers++
  }
  return numbers > 0
}

const shown = (raw: string | undefined): string =>
  raw === undefined ? '' : escapeText(fromBinary(plainText(raw) as string))

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }
/** A cell stays on its line and does nothing to a terminal. */
const escapeText = (text: string): string => escapeControls(text.replace(/[\n\r\t]/g, (char) => SHORT[char] as string))

/** Narrows the widest texts until the line fits, or all are at their narrowest. */
function fit(columns: { width: number; right: boolean }[], most: number): void {
  const total = (): number => columns.reduce((sum, { width }) => sum + width, GAP.length * (columns.length - 1))
  for (let excess = total() - most; excess > 0; excess--) {
    let widest: { width: number; right: boolean } | undefined
    for (const column of columns)
      if (!column.right && column.width > NARROWEST && column.width > (widest?.width ?? 0)) widest = column
    if (!widest) return
    widest.width--
  }
}
