/** Rows as CSV (RFC 4180, lines ended by "\n") and TSV (`\t \n \r \\` as escapes). */
import { plainText } from './members.ts'
import type { Row, RowFormat } from './rows.ts'

/** `shown`: what is done to a cell before it goes to a terminal. */
export function separatedFormat(delimiter: string, quotes: boolean, shown: (text: string) => string): RowFormat {
  const special = new RegExp(`["\\r\\n${delimiter.replace(/[\]\\^-]/, '\\$&')}]`)
  let width = 0
  const cell = (plain: string): string => {
    const text = shown(plain)
    if (!quotes) return text.replace(/[\t\n\r\\]/g, (char) => ESCAPES[char] as string)
    // A row that is nothing at all would be a blank line.
    return special.test(text) || (text === '' && width === 1) ? `"${text.replaceAll('"', '""')}"` : text
  }
  const row = (cells: Row): string => {
    let line = ''
    for (let i = 0; i < width; i++) {
      const raw = cells[i]
      line += (i > 0 ? delimiter : '') + cell(raw === undefined ? '' : (plainText(raw) as string))
    }
    return `${line}\n`
  }
  return {
    begin(columns, first) {
      width = columns.length
      return `${columns.map(cell).join(delimiter)}\n${first.map(row).join('')}`
    },
    row,
  }
}

const ESCAPES: Readonly<Record<string, string>> = { '\t': '\\t', '\n': '\\n', '\r': '\\r', '\\': '\\\\' }
