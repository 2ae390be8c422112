import { isAscii, isUtf8 } from 'node:buffer'
import type { Problem } from '../core/operator.ts'
import { lineTooLong } from '../core/problems.ts'
import type { Decoder, DecoderContext, Emit } from '../core/spec.ts'
import { RecordWriter } from './record-writer.ts'
import { utf8Problem } from './utf8.ts'

const NEWLINE = 10

/** A format in which every line is a record. */
export interface LineFormat {
  /** How lines are handed over: "latin1" is one char a byte (fast), "utf8" what a person reads. The records are the same kind of text. */
  readonly encoding: 'latin1' | 'utf8'
  /** Blank lines are records too. */
  readonly blankLines?: boolean
  /** The record of a line (without its line end) as JSON text, or several, or what is wrong with it. */
  decode(line: string): string | readonly string[] | Problem
  /** Each word or line is a record: whole blocks of them have a way that is faster still. */
  readonly text?: 'word' | 'line'
  /** How many bytes of records a byte of a line may become, at most. Default: 6. */
  readonly growth?: number
  /**
   * The hot path beside `decode`: writes the records of the line `from`..`to` (valid UTF-8) to `out` at `at`, where there is room for
   * `growth` times the line and 1 KiB, and returns where they end. Never an error: -1 means that `decode` must do it.
   */
  decodeBytes?(bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number
}

/** Cuts bytes into lines and has `format` make records of them. Memory is bounded by one chunk and one line. */
export class LineDecoder implements Decoder {
  private readonly format: LineFormat
  private readonly context: DecoderContext
  private readonly writer: RecordWriter
  private readonly pending: Uint8Array[] = []
  private pendingBytes = 0
  private lines = 0
  /** Within a line that is too long. */
  private skipping = false

  constructor(format: LineFormat, context: DecoderContext) {
    this.format = format
    this.context = context
    this.writer = new RecordWriter(format.encoding)
  }

  push(chunk: Uint8Array, emit: Emit): void {
    if (this.skipping) {
      const newline = chunk.indexOf(NEWLINE)
      this.skip(chunk.subarray(0, newline < 0 ? chunk.length : newline), newline >= 0)
      if (newline < 0) return
      chunk = chunk.subarray(newline + 1)
    }
    const end = chunk.lastIndexOf(NEWLINE) + 1
    if (end > 0) this.decode(this.takePending(chunk.subarray(0, end)), emit)
    if (end === chunk.length) return
    this.pending.push(Buffer.from(chunk.subarray(end))) // a copy: the caller reuses the chunk
    this.pendingBytes += chunk.length - end
    if (this.pendingBytes > this.context.maxLineBytes) {
      this.lines++
      this.skip(this.takePending(new Uint8Array()), false)
    }
  }

  /** A part of a line that is too long. */
  private skip(part: Uint8Array, last: boolean): void {
    this.skipping = !last
    this.context.rejectPart(this.lines, part, lineTooLong(this.context.maxLineBytes), last)
  }

  endFile(emit: Emit): void {
    if (this.skipping) this.skip(new Uint8Array(), true)
    if (this.pendingBytes > 0) this.decode(this.takePending(new Uint8Array()), emit)
    this.lines = 0
  }

  private takePending(rest: Uint8Array): Buffer {
    if (this.pendingBytes === 0) return Buffer.from(rest.buffer, rest.byteOffset, rest.length)
    this.pending.push(rest)
    this.pendingBytes = 0
    return Buffer.concat(this.pending.splice(0))
  }

  /** Whole lines, of which the last may lack its line end. */
  private decode(block: Buffer, emit: Emit): void {
    const { format, writer } = this
    if (this.lines === 0 && block[0] === 0xef && block[1] === 0xbb && block[2] === 0xbf) block = block.subarray(3)
    const valid = isUtf8(block)
    if (format.text && valid && block.length <= this.context.maxLineBytes) {
      const counts = this.context.readText?.(format.text, block)
      if (counts) {
        this.lines += counts.lineEnds
        return
      }
    }
    // Where a char is a byte, lines are pieces of one string.
    const text =
      !format.decodeBytes && (format.encoding === 'latin1' || isAscii(block)) ? block.toString('latin1') : undefined
    for (let from = 0, next: number; from < block.length; from = next) {
      let end = from
      while (end < block.length && block[end] !== NEWLINE) end++
      next = end + 1
      const whole = end
      if (end > from && block[end - 1] === 13) end--
      this.lines++
      if (!format.blankLines && isBlank(block, from, end)) continue
      let problem: Problem | undefined
      if (end - from > this.context.maxLineBytes) problem = lineTooLong(this.context.maxLineBytes)
      else if (!valid && !isUtf8(block.subarray(from, end))) problem = utf8Problem(block.subarray(from, end))
      else {
        const out = writer.room((format.growth ?? 6) * (end - from) + 1024, emit)
        const written = format.decodeBytes?.(block, from, end, out, writer.at) ?? -1
        if (written >= 0) writer.at = written
        else {
          const record = format.decode(text?.slice(from, end) ?? block.toString(format.encoding, from, end))
          if (typeof record === 'string') writer.add(record, emit)
          else if (Array.isArray(record)) for (const one of record) writer.add(one, emit)
          else problem = record as Problem
        }
      }
      if (!problem) continue
      writer.flush(emit)
      this.context.reject(this.lines, block.subarray(from, whole), problem)
    }
    writer.flush(emit)
  }
}

function isBlank(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    const byte = bytes[i]
    if (byte !== 32 && byte !== 9 && byte !== 13) return false
  }
  return true
}
