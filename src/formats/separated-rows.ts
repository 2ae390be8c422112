import type { Problem } from '../core/operator.ts'

export interface Dialect {
  /** One ASCII character. */
  readonly delimiter: string
  /** CSV: fields may be quoted. Else TSV: `\t \n \r \\` are escapes. */
  readonly quotes: boolean
}

/** Finds one row after the other in a text. */
export class Rows {
  /** The fields of the row last found, decoded. */
  fields: string[] = []
  blank = false
  /** Where the row ends, after its line end; -1 when the text ends before it does. */
  end = 0
  /** How many lines it takes. */
  lines = 0
  private readonly text: string
  private readonly last: boolean
  private readonly delimiter: string
  private readonly quotes: boolean
  readonly nextLine: Finder
  private readonly nextQuote: Finder
  private readonly nextDelimiter: Finder

  constructor(text: string, last: boolean, { delimiter, quotes }: Dialect) {
    this.text = text
    this.last = last
    this.delimiter = delimiter
    this.quotes = quotes
    this.nextLine = new Finder(text, '\n')
    this.nextQuote = new Finder(quotes ? text : '', '"')
    this.nextDelimiter = new Finder(text, delimiter)
  }

  next(from: number): Problem | undefined {
    const { text } = this
    const newline = this.nextLine.from(from)
    this.lines = 1
    if (this.nextQuote.from(from) < newline) return this.quotedRow(from)
    let end = Math.min(newline, text.length)
    this.end = end < text.length ? end + 1 : this.last ? end : -1
    if (this.end < 0) return undefined
    if (end > from && text.charCodeAt(end - 1) === CR) end--
    this.blank = end === from
    this.fields = text.slice(from, end).split(this.delimiter)
    if (!this.quotes) this.fields = this.fields.map((field) => (field.includes('\\') ? unescapeTsv(field) : field))
    return undefined
  }

  private quotedRow(from: number): Problem | undefined {
    const { text, delimiter } = this
    this.blank = false
    this.fields = []
    for (let at = from; ; at++) {
      let end: number
      if (text.charCodeAt(at) === QUOTE) {
        let close = text.indexOf('"', at + 1)
        while (close >= 0 && text.charCodeAt(close + 1) === QUOTE) close = text.indexOf('"', close + 2)
        if (close < 0) {
          this.finish(from, this.last ? text.length : -1)
          return { problem: 'a quoted field that is never closed', column: at - from + 1 }
        }
        end = close + 1
        const field = text.slice(at + 1, close)
        this.fields.push(field.includes('"') ? field.replaceAll('""', '"') : field)
        const crlf = text.charCodeAt(end) === CR && (text.charCodeAt(end + 1) === LF || end + 1 === text.length)
        if (crlf) end++
        else if (end < text.length && text[end] !== delimiter && text.charCodeAt(end) !== LF) {
          const newline = text.indexOf('\n', end)
          this.finish(from, newline >= 0 ? newline + 1 : this.last ? text.length : -1)
          return {
            problem: 'text after the closing quote of a field',
            column: end - from + 1,
            hint: 'a double quote in a quoted field is written ""',
          }
        }
      } else {
        const newline = this.nextLine.from(at)
        end = Math.min(this.nextDelimiter.from(at), newline, text.length)
        const crlf = end === newline && end > at && text.charCodeAt(end - 1) === CR
        this.fields.push(text.slice(at, crlf ? end - 1 : end))
      }
      if (text[end] === delimiter) at = end
      else {
        this.finish(from, end < text.length ? end + 1 : this.last ? text.length : -1)
        return undefined
      }
    }
  }

  private finish(from: number, end: number): void {
    this.end = end
    for (let at = this.text.indexOf('\n', from); at >= 0 && at < end - 1; at = this.text.indexOf('\n', at + 1))
      this.lines++
  }
}

const QUOTE = 34
const LF = 10
const CR = 13

/** Where a character comes next; asked with growing positions, it passes over the text once. */
class Finder {
  private readonly text: string
  private readonly char: string
  private next = -1
  constructor(text: string, char: string) {
    this.text = text
    this.char = char
  }
  /** Infinity when there is none from `position` on. */
  from(position: number): number {
    if (this.next < position) {
      this.next = this.text.indexOf(this.char, position)
      if (this.next < 0) this.next = Infinity
    }
    return this.next
  }
}

const ESCAPES: Readonly<Record<string, string>> = { '\\t': '\t', '\\n': '\n', '\\r': '\r', '\\\\': '\\' }

/** Undoes the four escapes of TSV; any other backslash is itself. */
const unescapeTsv = (field: string): string => field.replace(/\\[tnr\\]/g, (spelt) => ESCAPES[spelt] as string)
