import type { FieldPath } from '../core/field-path.ts'
import { type Heap, type Pieces, SLACK } from './heap.ts'
import type { Origin, Scanned, TextCounts, TextKind } from './scanner.ts'
import { WasmBatch } from './wasm-batch.ts'
import type { Frame } from './wasm.ts'

/** Longer texts are left to the readable way: blocks of a file are shorter, unless a line is very long. */
const MOST_TEXT_BYTES = 1 << 20
/** A blank line becomes `{"line":""}`. */
const GROWTH = 12
/** Rows of a batch: they, their spans and columns stay in the second-level cache. */
const MOST_ROWS = 1 << 13

/** Records of texts, whose spans the kernel knows as it makes them (kernel/text.ts). The hot path of `from words` and `from lines`. O(bytes). */
export class TextRecords {
  private readonly heap: Heap
  private readonly pieces: Pieces
  private readonly frame: Frame
  private readonly reads: readonly FieldPath[]
  private readonly stride: number
  private readonly heads: Readonly<Record<TextKind, { address: number; length: number }>>
  private readonly spans: number
  private text = 0
  private out = 0
  private room = 0

  constructor(heap: Heap, pieces: Pieces, frame: Frame, reads: readonly FieldPath[]) {
    this.heap = heap
    this.pieces = pieces
    this.frame = frame
    this.reads = reads
    this.stride = 2 + 2 * reads.length
    const head = (kind: TextKind): { address: number; length: number } => {
      const bytes = Buffer.from(`{"${kind}":"`)
      const address = pieces.allocate(bytes.length + SLACK)
      heap.bytes.set(bytes, address)
      return { address, length: bytes.length }
    }
    this.heads = { word: head('word'), line: head('line') }
    this.spans = pieces.allocate(4 * this.stride * MOST_ROWS)
  }

  /** Whether `read` can make records of `bytes` bytes that are at most `maxLineBytes` long each. */
  fits(kind: TextKind, bytes: number, maxLineBytes: number): boolean {
    return bytes <= MOST_TEXT_BYTES && GROWTH * bytes <= maxLineBytes && this.fieldsOf(kind).length <= 1
  }

  /** The fields that are the whole value. */
  private fieldsOf(kind: TextKind): number[] {
    return this.reads.flatMap((path, field) => (path.length === 1 && path[0] === kind ? [field] : []))
  }

  /** @param offset bytes of the input of `origin` before the first record */
  read(
    kind: TextKind,
    text: Uint8Array,
    origin: Origin,
    offset: number,
    take: (scanned: Scanned, bytes: number) => void,
  ): TextCounts {
    const { heap, frame, stride, spans } = this
    this.reserve(text.length)
    heap.bytes.set(text, this.text)
    const head = this.heads[kind]
    const [field = -1] = this.fieldsOf(kind)
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
  private reserve(bytes: number): void {
    if (bytes <= this.room) return
    if (this.room > 0) for (const piece of [this.text, this.out - SLACK]) this.pieces.release(piece)
    this.room = Math.min(MOST_TEXT_BYTES, 2 * bytes)
    this.text = this.pieces.allocate(this.room + SLACK)
    this.out = this.pieces.allocate(GROWTH * this.room + 2 * SLACK) + SLACK
    this.heap.bytes[this.out - 1] = 0x0a
  }
}
