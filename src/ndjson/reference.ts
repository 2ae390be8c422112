import type { KeyTable } from '../core/batch.ts'
import { isSpace, LineChecker } from './line.ts'
import { ReferenceBatch } from './reference-batch.ts'
import { ReferenceKeyTable } from './reference-keys.ts'
import type { BadLine, Origin, Scanned, Scanner, ScannerOptions } from './scanner.ts'

/** How much is read at a time. */
const BLOCK_BYTES = 1 << 20
const LEAST_ROOM_BYTES = 1 << 16
const NEWLINE = 0x0a

/**
 * The readable scanner: cuts at line ends and checks every line whole (`strict` makes no difference to it). The fast one must agree
 * with it; `BECK_SCANNER=reference` runs it. O(bytes).
 */
export class ReferenceScanner implements Scanner {
  readonly name = 'reference'
  private readonly checker: LineChecker
  private readonly stride: number
  private spans = new Uint32Array(1024)
  private memory = Buffer.allocUnsafeSlow(BLOCK_BYTES + LEAST_ROOM_BYTES)
  /** Pending bytes are memory[start..end]; `offset` bytes of the input came before memory[0]. */
  private start = 0
  private end = 0
  private offset = 0
  private origin: Origin = { file: '', base: 0, lineAt: () => 1 }

  constructor({ reads, maxLineBytes }: ScannerOptions) {
    this.checker = new LineChecker(reads, maxLineBytes)
    this.stride = 2 + 2 * reads.length
  }

  begin(origin: Origin): void {
    this.origin = origin
    this.start = this.end = this.offset = 0
  }

  get pendingBytes(): number {
    return this.end - this.start
  }

  takePending(): Uint8Array {
    const pending = this.memory.subarray(this.start, this.end)
    this.start = this.end
    return pending
  }

  skip(bytes: number): void {
    this.offset += bytes
  }

  room(): Uint8Array {
    this.memory.copyWithin(0, this.start, this.end)
    this.offset += this.start
    this.end -= this.start
    this.start = 0
    if (this.memory.length - this.end < LEAST_ROOM_BYTES) {
      const larger = Buffer.allocUnsafeSlow(2 * this.memory.length)
      this.memory.copy(larger, 0, 0, this.end)
      this.memory = larger
    }
    return this.memory.subarray(this.end)
  }

  fresh(filled: number): Uint8Array {
    return this.memory.subarray(this.end, this.end + filled)
  }

  scan(filled: number, last: boolean): Scanned {
    const block = this.memory.subarray(0, this.end + filled)
    const bad: BadLine[] = []
    let rows = 0
    let lines = 0
    let from = this.start
    const lastNewline = block.subarray(this.end).lastIndexOf(NEWLINE) // the pending bytes have none
    const stop = last ? block.length : lastNewline < 0 ? from : this.end + lastNewline + 1
    while (from < stop) {
      const newline = block.indexOf(NEWLINE, from)
      const next = newline < 0 ? stop : newline + 1
      let end = newline < 0 ? stop : newline
      let start = from
      if (this.offset + from === 0 && BOM.equals(block.subarray(0, BOM.length))) start = BOM.length
      if (end > start && block[end - 1] === RETURN) end--
      if (!isBlank(block, start, end)) {
        const problem = this.checkRow(block, start, end, rows)
        if (!problem) rows++
        else bad.push({ ...problem, row: rows, start, end, position: this.origin.base + this.offset + start })
      }
      from = next
      lines++
    }
    const { spans, stride, origin, offset } = this
    const batch = new ReferenceBatch({ bytes: block, spans, stride, origin, offset, first: this.start }, rows)
    this.start = from
    this.end = block.length
    return { batch, bad, lines }
  }

  private checkRow(block: Uint8Array, start: number, end: number, row: number): ReturnType<LineChecker['check']> {
    const at = row * this.stride
    if (at + this.stride > this.spans.length) {
      const larger = new Uint32Array(2 * (at + this.stride))
      larger.set(this.spans)
      this.spans = larger
    }
    return this.checker.check(block, start, end, this.spans, at)
  }

  keyTable(fields: readonly number[]): KeyTable {
    return new ReferenceKeyTable(fields)
  }

  close(): void {}
}

/** A byte order mark, in UTF-8. */
export const BOM = Buffer.from([0xef, 0xbb, 0xbf])
const RETURN = 0x0d

function isBlank(block: Uint8Array, start: number, end: number): boolean {
  let p = start
  while (p < end && isSpace(block[p] as number)) p++
  return p === end
}
