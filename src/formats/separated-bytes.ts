/**
 * The hot path of CSV and TSV: from bytes to bytes, for rows without quotes, backslashes and control characters; every other row gets -1
 * and is decoded (or refused) by separated.ts.
 */
import { infer } from './json-text.ts'
import { writeBytes } from './record-writer.ts'

export class RowWriter {
  /** Bytes that a row needs beside twice its own. */
  readonly extraBytes: number
  private readonly starts: readonly Uint8Array[]
  private readonly infer: boolean
  /** 1 the delimiter, 2 what ends the hot path. */
  private readonly stops = new Uint8Array(256)

  /** `starts`: what stands before each value. */
  constructor(starts: readonly string[], delimiter: string, infer: boolean) {
    this.starts = starts.map((start) => Buffer.from(start, 'latin1'))
    this.extraBytes = this.starts.reduce((sum, start) => sum + start.length + '"null"'.length, '}\n'.length)
    this.infer = infer
    this.stops.fill(2, 0, 0x20)
    this.stops[QUOTE] = this.stops[BACKSLASH] = 2
    this.stops[delimiter.charCodeAt(0)] = 1
  }

  /** Writes the record of the row `from`..`to` (without its line end); returns where it ends, or -1. */
  write(bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
    const { starts, stops } = this
    let i = from
    for (let column = 0; ; i++) {
      if (column === starts.length) return -1
      at = writeBytes(starts[column++] as Uint8Array, out, at)
      const start = i
      while (i < to && stops[bytes[i] as number] === 0) i++
      if (i < to && stops[bytes[i] as number] === 2) return -1
      at = this.infer ? writeInferred(bytes, start, i, out, at) : writeString(bytes, start, i, out, at)
      if (i < to) continue
      if (column < starts.length) return -1
      out[at++] = 0x7d
      out[at++] = 0x0a
      return at
    }
  }
}

const QUOTE = 34
const DASH = 45
const POINT = 46
const ZERO = 48
const BACKSLASH = 92

function writeString(bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  out[at++] = QUOTE
  for (let i = from; i < to; i++) out[at++] = bytes[i] as number
  out[at++] = QUOTE
  return at
}

function writeInferred(bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  const first = bytes[from] as number
  if (from < to && first !== DASH && (first < ZERO || first > 57) && first !== LETTER_T && first !== LETTER_F)
    return writeString(bytes, from, to, out, at)
  if (isPlainNumber(bytes, from, to)) {
    for (let i = from; i < to; i++) out[at++] = bytes[i] as number
    return at
  }
  return writeBytes(Buffer.from(infer(Buffer.from(bytes.subarray(from, to)).toString('latin1')), 'latin1'), out, at)
}
const LETTER_F = 0x66
const LETTER_T = 0x74

/** A number of at most 15 digits, with a point or not: one that `infer` surely takes for one. */
function isPlainNumber(bytes: Uint8Array, from: number, to: number): boolean {
  const start = bytes[from] === DASH ? from + 1 : from
  if (start === to || to - start > 15) return false
  let point = -1
  for (let i = start; i < to; i++) {
    const byte = bytes[i] as number
    if (byte >= ZERO && byte <= 57) continue
    if (byte !== POINT || point >= 0 || i === start || i === to - 1) return false
    point = i
  }
  return bytes[start] !== ZERO || start + 1 === to || point === start + 1
}
