import { expect } from 'vitest'
import type { RecordBatch } from '../../src/core/batch.ts'
import { parseFieldPath } from '../../src/core/field-path.ts'
import { createScanner, type ScannerName } from '../../src/ndjson/index.ts'
import type { Scanner, Scanned } from '../../src/ndjson/scanner.ts'

/** A scanner of the fields `a b.c …` that stands at the beginning of an input. */
export function openScanner(
  fields: string,
  { which = 'reference' as ScannerName, strict = false, base = 0 } = {},
): Scanner {
  const reads = fields.split(' ').filter(Boolean).map(parseFieldPath)
  const scanner = createScanner({ reads, strict }, which)
  scanner.begin({ file: 'x.ndjson', base, lineAt: (offset) => offset })
  return scanner
}

/** Feeds `bytes` cut at `cuts`; `see` looks at each result while it is valid. */
export function feed(
  scanner: Scanner,
  bytes: Uint8Array,
  cuts: readonly number[],
  see: (scanned: Scanned) => void,
): void {
  let from = 0
  for (const cut of [...cuts, bytes.length]) {
    while (from < cut) {
      const room = scanner.room()
      const length = Math.min(room.length, cut - from)
      room.set(bytes.subarray(from, from + length))
      from += length
      see(scanner.scan(length, false))
    }
  }
  scanner.room()
  see(scanner.scan(0, true))
}

/** The same, where each piece comes while the one before is scanned and looked at. Pieces of at most `most` bytes. */
export function feedAhead(
  scanner: Scanner,
  bytes: Uint8Array,
  cuts: readonly number[],
  see: (scanned: Scanned) => void,
  most = Infinity,
): void {
  const pieces: Uint8Array[] = []
  for (const [i, from] of [0, ...cuts].entries()) {
    const end = cuts[i] ?? bytes.length
    for (let at = from; at < end; at += most) pieces.push(bytes.subarray(at, Math.min(end, at + most)))
  }
  let filled = 0
  for (let i = 0; i <= pieces.length; i++) {
    if (i === 0) {
      scanner.room().set(pieces[0] ?? [])
      filled = pieces[0]?.length ?? 0
    } else scanner.turn!(filled)
    const piece = pieces[i + 1] ?? new Uint8Array(0)
    const fresh = Buffer.from(scanner.fresh(filled))
    expect(fresh.equals(pieces[i] ?? new Uint8Array(0))).toBe(true)
    scanner.roomAhead!()!.set(piece)
    const scanned = scanner.scan(filled, i === pieces.length)
    // Whoever looks for the beginning of the first line, finds it.
    const { bytes, spans, count } = scanned.batch
    if (count > 0 && spans[0]! > 0) expect([0x0a, 0x20, 0xbf]).toContain(bytes[spans[0]! - 1])
    see(scanned)
    filled = piece.length
  }
}

/** Raw text of each field of each row; undefined where it is missing. */
export function rowTexts(batch: RecordBatch): (string | undefined)[][] {
  const text = (start: number, end: number): string => Buffer.from(batch.bytes.subarray(start, end)).toString()
  return Array.from({ length: batch.count }, (_, row) => {
    const spans = batch.spans.subarray(row * batch.stride, (row + 1) * batch.stride)
    return Array.from({ length: batch.stride / 2 }, (_, i) => {
      const [start = 0, end = 0] = spans.subarray(2 * i)
      return end ? text(start, end) : undefined
    })
  })
}

export interface Seen {
  rows: (string | undefined)[][]
  bad: { row: number; text: string; position: number; problem: string; column: number | undefined }[]
  positions: number[]
}

/** Everything that a scanner says of an input, in a form that can be compared. */
export function scanAll(
  scanner: Scanner,
  input: string | Uint8Array,
  cuts: readonly number[] = [],
  how: typeof feed = feed,
): Seen {
  const seen: Seen = { rows: [], bad: [], positions: [] }
  const bytes = typeof input === 'string' ? Buffer.from(input) : input
  how(scanner, bytes, cuts, ({ batch, bad }) => {
    for (const { row, start, end, position, problem, column } of bad) {
      const text = Buffer.from(batch.bytes.subarray(start, end)).toString('latin1')
      seen.bad.push({ row: seen.rows.length + row, text, position, problem, column })
    }
    for (let row = 0; row < batch.count; row++) seen.positions.push(batch.position(row))
    seen.rows.push(...rowTexts(batch))
  })
  return seen
}
