import { isUtf8 } from 'node:buffer'
import type { Problem } from '../core/operator.ts'
import type { Decoder, DecoderContext, Emit } from '../core/spec.ts'
import { utf8Problem } from './utf8.ts'

/** A line (or, in formats whose records span lines, a record) beyond this cannot be read: a binary file, or a quote never closed. */
export const MAX_RECORD_BYTES = 16 * 1024 * 1024

/** Records are gathered to about this size before they are emitted. */
const EMIT_CHARS = 64 * 1024

const NEWLINE = 10

/** A format in which every line is a record. */
export interface LineFormat {
  /** How lines are handed over: "latin1" is one char a byte (fast), "utf8" what a person reads. The records are the same kind of text. */
  readonly encoding: 'latin1' | 'utf8'
  /** Blank lines are records too. */
  readonly blankLines?: boolean
  /** The record of a line (without its line end) as JSON text, or what is wrong with it. */
  decode(line: string): string | Problem
}

/** Cuts bytes into lines and has `format` make records of them. Memory is bounded by one chunk and one line. */
export class LineDecoder implements Decoder {
  private readonly format: LineFormat
  private readonly context: DecoderContext
  private readonly pending: Uint8Array[] = []
  private pendingBytes = 0
  private lines = 0

  constructor(format: LineFormat, context: DecoderContext) {
    this.format = format
    this.context = context
  }

  push(chunk: Uint8Array, emit: Emit): void {
    const end = chunk.lastIndexOf(NEWLINE) + 1
    if (end > 0) this.decode(this.takePending(chunk.subarray(0, end)), emit)
    if (end === chunk.length) return
    this.pending.push(Buffer.from(chunk.subarray(end))) // a copy: the caller reuses the chunk
    this.pendingBytes += chunk.length - end
    if (this.pendingBytes > MAX_RECORD_BYTES) {
      this.context.fail(this.lines + 1, { problem: `the line is longer than ${MAX_RECORD_BYTES / 1024 / 1024} MiB` })
    }
  }

  endFile(emit: Emit): void {
    if (this.pendingBytes > 0) this.decode(this.takePending(new Uint8Array()), emit)
    this.lines = 0
  }

  private takePending(rest: Uint8Array): Buffer {
    if (this.pendingBytes === 0) return Buffer.from(rest.buffer, rest.byteOffset, rest.length)
    this.pending.push(rest)
    this.pendingBytes = 0
    return Buffer.concat(this.pending.splice(0))
  }

  private decode(block: Buffer, emit: Emit): void {
    const { encoding } = this.format
    if (this.lines === 0 && block[0] === 0xef && block[1] === 0xbb && block[2] === 0xbf) block = block.subarray(3)
    if (isUtf8(block)) this.decodeText(block.toString(encoding), emit)
    else {
      // Somewhere in here is a bad line: find it.
      for (let from = 0; from < block.length;) {
        const newline = block.indexOf(NEWLINE, from)
        const end = newline < 0 ? block.length : newline + 1
        const line = block.subarray(from, end)
        if (isUtf8(line)) this.decodeText(line.toString(encoding), emit)
        else {
          const bytes = newline < 0 ? line : line.subarray(0, -1)
          this.context.reject(++this.lines, bytes, utf8Problem(bytes))
        }
        from = end
      }
    }
  }

  /** Whole lines, of which the last may lack its line end. */
  private decodeText(text: string, emit: Emit): void {
    const { format } = this
    let records = ''
    const flush = (): void => {
      if (records !== '') emit(Buffer.from(records, format.encoding))
      records = ''
    }
    for (let from = 0; from < text.length;) {
      const newline = text.indexOf('\n', from)
      let end = newline < 0 ? text.length : newline
      const next = newline < 0 ? end : end + 1
      if (end > from && text.charCodeAt(end - 1) === 13) end--
      this.lines++
      const line = text.slice(from, end)
      if (format.blankLines || !isBlank(line)) {
        const record = format.decode(line)
        if (typeof record === 'string') records += `${record}\n`
        else {
          flush()
          this.context.reject(
            this.lines,
            Buffer.from(text.slice(from, newline < 0 ? end : newline), format.encoding),
            record,
          )
        }
      }
      from = next
      if (records.length > EMIT_CHARS) flush()
    }
    flush()
  }
}

const isBlank = (line: string): boolean => {
  for (let i = 0; i < line.length; i++) {
    const code = line.charCodeAt(i)
    if (code !== 32 && code !== 9 && code !== 13) return false
  }
  return true
}
