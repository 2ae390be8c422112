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
import { Rows, type Dialect } from './separated-rows.ts'
import { utf8Problem } from './utf8.ts'

export interface SeparatedOptions extends Dialect {
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
    const end = newline > from && bytes[newline - 1] === 13 ? newline - 1 : newline
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
