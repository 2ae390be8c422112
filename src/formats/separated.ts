/**
 * CSV (RFC 4180) and TSV to records. One machine for both: it finds the fields of a row; what differs is quoting (CSV) and
 * backslash escapes (TSV).
 */
import { isUtf8 } from 'node:buffer'
import { BeckError } from '../core/errors.ts'
import type { Problem } from '../core/operator.ts'
import type { Decoder, DecoderContext, Emit } from '../core/spec.ts'
import { fromBinary, toBinary } from './binary.ts'
import { infer, memberStarts, quote } from './json-text.ts'
import { RecordWriter } from './record-writer.ts'
import { RowWriter } from './separated-bytes.ts'
import { utf8Problem } from './utf8.ts'

export interface SeparatedOptions {
  /** One ASCII character. */
  readonly delimiter: string
  /** CSV: fields may be quoted. Else TSV: `\t \n \r \\` are escapes. */
  readonly quotes: boolean
  /** Names of the columns, when no header row has them (binary text). */
  readonly columns: readonly string[] | undefined
  readonly infer: boolean
}

/** From here on, a record that is not complete is looked at again only when twice as much is there. */
const PATIENT_BYTES = 1024 * 1024

/** Decodes CSV or TSV. Memory is bounded by one chunk and one record. */
export class SeparatedDecoder implements Decoder {
  private readonly options: SeparatedOptions
  private readonly context: DecoderContext
  private readonly value: (text: string) => string
  private starts: readonly string[] | undefined
  private pending = Buffer.alloc(0)
  private more: Uint8Array[] = []
  private moreBytes = 0
  /** Lines before the record at hand. */
  private lines = 0
  private began = false
  private readonly writer = new RecordWriter('latin1')
  private hot: RowWriter | undefined

  constructor(options: SeparatedOptions, context: DecoderContext) {
    this.options = options
    this.context = context
    this.value = options.infer ? infer : quote
    if (options.columns) this.name(options.columns)
  }

  private name(columns: readonly string[]): void {
    this.starts = memberStarts(columns)
    this.hot = new RowWriter(this.starts, this.options.delimiter, this.options.infer)
  }

  push(chunk: Uint8Array, emit: Emit): void {
    const block = this.pending.length
    if (chunk.lastIndexOf(10) < 0 || (block > PATIENT_BYTES && this.moreBytes + chunk.length < block)) {
      this.more.push(Buffer.from(chunk)) // a copy: the caller reuses the chunk
      this.moreBytes += chunk.length
      if (block + this.moreBytes <= this.context.maxLineBytes) return
    } else this.more.push(chunk)
    this.decode(false, emit)
  }

  endFile(emit: Emit): void {
    this.decode(true, emit)
    this.pending = Buffer.alloc(0)
    this.lines = 0
    this.began = false
    if (!this.options.columns) this.starts = this.hot = undefined
  }

  private decode(last: boolean, emit: Emit): void {
    let bytes = Buffer.concat([this.pending, ...this.more])
    this.more = []
    this.moreBytes = 0
    if (!this.began && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) bytes = bytes.subarray(3)
    if (bytes.length > 0) this.began = true
    const used = this.rows(bytes, last, emit)
    this.writer.flush(emit)
    this.pending = Buffer.from(bytes.subarray(used))
    if (this.pending.length > this.context.maxLineBytes) this.tooLong()
  }

  private tooLong(): never {
    const { maxLineBytes } = this.context
    return this.context.fail(this.lines + 1, {
      problem: `the row that begins here is longer than ${maxLineBytes} bytes`,
      hint: this.options.quotes
        ? 'is there a double quote that is never closed? Allow longer rows with --max-line 64MiB'
        : 'allow longer rows with --max-line 64MiB',
    })
  }

  /** Decodes the whole records in `bytes`; returns where the first one that is not complete begins. */
  private rows(bytes: Buffer, last: boolean, emit: Emit): number {
    const text = bytes.toString('latin1')
    const valid = isUtf8(last ? bytes : bytes.subarray(0, text.lastIndexOf('\n') + 1))
    const rows = new Rows(text, last, this.options)
    for (let from = 0; from < text.length; from = rows.end) {
      if (valid && this.hot && this.writeHot(this.hot, bytes, from, rows, emit)) continue
      const problem = rows.next(from)
      if (rows.end < 0) return from
      if (rows.end - from > this.context.maxLineBytes) {
        this.writer.flush(emit)
        this.tooLong()
      }
      const bad = problem ?? (valid ? undefined : this.utf8(bytes.subarray(from, rows.end)))
      const line = this.lines + 1
      this.lines += rows.lines
      if (bad) this.reject(line, bytes.subarray(from, rows.end), bad, emit)
      else if (rows.blank && !(this.starts?.length === 1 && !this.options.quotes)) continue
      else if (!this.starts) this.header(rows.fields, line)
      else if (rows.fields.length !== this.starts.length) {
        const problem = `${count(rows.fields.length)} where there are ${this.starts.length} columns`
        this.reject(line, bytes.subarray(from, rows.end), { problem }, emit)
      } else this.record(rows.fields, this.starts, emit)
    }
    return text.length
  }

  private record(fields: readonly string[], starts: readonly string[], emit: Emit): void {
    let record = ''
    for (let i = 0; i < fields.length; i++) record += (starts[i] as string) + this.value(fields[i] as string)
    this.writer.add(`${record}}`, emit)
  }

  /** Decodes the row at `from` if the hot path can. */
  private writeHot(hot: RowWriter, bytes: Buffer, from: number, rows: Rows, emit: Emit): boolean {
    const newline = rows.nextLine.from(from)
    if (newline === Infinity) return false
    const end = newline > from && bytes[newline - 1] === CR ? newline - 1 : newline
    const { writer } = this
    const out = writer.room(2 * (end - from) + hot.extraBytes, emit)
    const tried = end > from && newline < from + this.context.maxLineBytes
    const written = tried ? hot.write(bytes, from, end, out, writer.at) : -1
    if (written < 0) return false
    writer.at = written
    rows.end = newline + 1
    this.lines++
    return true
  }

  private header(names: readonly string[], line: number): void {
    const twice = names.find((name, index) => names.indexOf(name) !== index)
    if (twice !== undefined) {
      this.context.fail(line, {
        problem: `two columns are called "${fromBinary(twice)}"`,
        hint: `name the columns yourself: tail -n +2 FILE | beck from ${this.options.quotes ? 'csv' : 'tsv'} --columns a,b,c`,
      })
    }
    this.name(names)
  }

  private utf8(record: Buffer): Problem | undefined {
    return isUtf8(record) ? undefined : utf8Problem(record)
  }

  private reject(line: number, record: Buffer, problem: Problem, emit: Emit): void {
    this.writer.flush(emit)
    this.context.reject(line, record.at(-1) === 10 ? record.subarray(0, -1) : record, problem)
  }
}

const count = (fields: number): string => `${fields} field${fields === 1 ? '' : 's'}`

/** Finds one row after the other in a text. */
class Rows {
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

  constructor(text: string, last: boolean, { delimiter, quotes }: Pick<SeparatedOptions, 'delimiter' | 'quotes'>) {
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

/** Reads `--delimiter`: one ASCII character, `tab` or `\t`. @throws BeckError bad-option */
export function parseDelimiter(text = ','): string {
  const delimiter = text === 'tab' || text === '\\t' ? '\t' : text
  if (!/^[\u0000-\u007f]$/.test(delimiter) || /["\r\n]/.test(delimiter)) {
    throw new BeckError('bad-option', {
      option: '--delimiter',
      problem: `"${text}" is not one ASCII character`,
      hint: "write --delimiter ';' or --delimiter tab",
    })
  }
  return delimiter
}

/** Reads `--columns a,b,"c,d"`, as a row of CSV; the names come as binary text. @throws BeckError bad-option */
export function parseColumns(text: string): string[] {
  const rows = new Rows(toBinary(text), true, { delimiter: ',', quotes: true })
  const problem = rows.next(0)
  const names = rows.fields
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (problem || rows.end < text.length || twice !== undefined || text === '') {
    throw new BeckError('bad-option', {
      option: '--columns',
      problem: twice === undefined ? `"${text}" is not a list of names` : `"${fromBinary(twice)}" is there twice`,
      hint: 'write --columns id,name,city',
    })
  }
  return names
}
