import type { FieldPath } from '../core/field-path.ts'
import { type Heap, type Pieces, SLACK } from './heap.ts'
import type { Origin, Scanned, TextCounts, TextKind } from './scanner.ts'
import { WasmBatch } from './wasm-batch.ts'
import type { Frame } from './wasm.ts'

/** Longer texts are left to the readable way: blocks of a file are shorter, unless a line is very long. */
const MOST_TEXT_BYTES = 1 << 20
/** A blank line becomes `{"line":""}`, a letter and the space behind it `{"word":"a"}` with a line end. */
const growth = (member: string): number => 8 + Buffer.byteLength(JSON.stringify(member)) - 2
/** Names are usually shorter: memory for the worst case is kept for as long as the scanner. */
const MOST_NAME = 16
/** Rows of a batch: they, their spans and columns stay in the second-level cache. */
const MOST_ROWS = 1 << 13

/** Records of texts, whose spans the kernel knows as it makes them (kernel/text.ts). The hot path of `from words` and `from lines`. O(bytes). */
export class TextRecords {
  private readonly heap: Heap
  private readonly pieces: Pieces
  private readonly frame: Frame
  private readonly reads: readonly FieldPath[]
  private readonly stride: number
  /** How records begin, by the name of their member. */
  private readonly heads = new Map<string, { readonly address: number; readonly length: number }>()
  private readonly spans: number
  private text = 0
  private out = 0
  private room = 0
  private grows = 0

  constructor(heap: Heap, pieces: Pieces, frame: Frame, reads: readonly FieldPath[]) {
    this.heap = heap
    this.pieces = pieces
    this.frame = frame
    this.reads = reads
    this.stride = 2 + 2 * reads.length
    this.spans = pieces.allocate(4 * this.stride * MOST_ROWS)
  }

  /** Whether `read` can make records of `bytes` bytes that are at most `maxLineBytes` long each. */
  fits(member: string, bytes: number, maxLineBytes: number): boolean {
    if (bytes > MOST_TEXT_BYTES || growth(member) * bytes > maxLineBytes) return false
    return member.length <= MOST_NAME && this.fieldsOf(member).length <= 1
  }

  /** The fields that are the whole value. */
  private fieldsOf(member: string): number[] {
    return this.reads.flatMap((path, field) => (path.length === 1 && path[0] === member ? [field] : []))
  }

  private headOf(member: string): { readonly address: number; readonly length: number } {
    const known = this.heads.get(member)
    if (known) return known
    const bytes = Buffer.from(`{${JSON.stringify(member)}:"`)
    const head = { address: this.pieces.allocate(bytes.length + SLACK), length: bytes.length }
    this.heap.bytes.set(bytes, head.address)
    this.heads.set(member, head)
    return head
  }

  /** @param offset bytes of the input of `origin` before the first record */
  read(
    kind: TextKind,
    member: string,
    text: Uint8Array,
    origin: Origin,
    offset: number,
    take: (scanned: Scanned, bytes: number) => void,
  ): TextCounts {
    const { heap, frame, stride, spans } = this
    const head = this.headOf(member)
    this.reserve(text.length, growth(member))
    heap.bytes.set(text, this.text)
    const [field = -1] = this.fieldsOf(member)
    const end = this.text + text.length
    let records = 0
    let lineEnds = 0
    for (let from = this.text; from < end;) {
      const { kernel } = heap
      const address = this.out
      kernel.textRecords(
        kind === 'line' ? 1 : 0,
        from,
        end,
        head.address,
        head.length,
        address,
        spans,
        4 * stride,
        field < 0 ? 0 : 8 + 8 * field,
        MOST_ROWS,
      )
      const done = kernel.textDone() >>> 2
      const [rows = 0, bytes = 0, stopped = 0, ends = 0, ascii = 0] = heap.u32.subarray(done, done + 5)
      from = stopped
      records += rows
      lineEnds += ends
      if (rows === 0) continue
      frame.reset()
      heap.prepare(rows, bytes)
      const block = { heap, frame, address, spans, length: bytes, stride, origin, offset, first: 0 }
      const batch = new WasmBatch({ ...block, ascii: ascii === 1, dense: true, from: 0, stop: bytes }, rows)
      take({ batch, bad: [], lines: rows }, bytes)
      offset += bytes
    }
    return { records, lineEnds }
  }

  /** A line end stands before the records, as before any block. */
  private reserve(bytes: number, grows: number): void {
    if (bytes <= this.room && grows <= this.grows) return
    if (this.room > 0) for (const piece of [this.text, this.out - SLACK]) this.pieces.release(piece)
    this.room = Math.max(this.room, Math.min(MOST_TEXT_BYTES, 2 * bytes))
    this.grows = Math.max(this.grows, grows)
    this.text = this.pieces.allocate(this.room + SLACK)
    this.out = this.pieces.allocate(this.grows * this.room + 2 * SLACK) + SLACK
    this.heap.bytes[this.out - 1] = 0x0a
  }
}
