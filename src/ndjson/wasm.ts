import type { KeyTable } from '../core/batch.ts'
import type { FieldPath } from '../core/field-path.ts'
import { type Heap, heap, heapApart, leaveHeap, Pieces, SLACK } from './heap.ts'
import { LineChecker } from './line.ts'
import { BOM } from './reference.ts'
import type { BadLine, Origin, Scanned, Scanner, ScannerOptions, TextCounts, TextKind } from './scanner.ts'
import { WasmBatch, type WasmBlock } from './wasm-batch.ts'
import { TextRecords } from './wasm-text.ts'
import { WasmKeyTable } from './wasm-keys.ts'

/** How much is read at a time: a block, its spans and columns stay in the second-level cache. */
const BLOCK_BYTES = 1 << 20
const LEAST_ROOM_BYTES = 1 << 16
const NEWLINE = 0x0a
const RETURN = 0x0d
/** Bytes of an entry of the kernel's list of odd lines. */
const ODD_BYTES = 12
const RESULT_BYTES = 64

/**
 * The fast scanner: the hot path. Assumes nothing; what the kernel is not sure of, the `LineChecker` of the readable scanner decides.
 * Its memory is the block, the spans and the columns of one batch, used again for each. O(bytes).
 */
export class WasmScanner implements Scanner {
  readonly name = 'wasm'
  /** How many lines the kernel was not sure of: 0 for clean data. For tests. */
  flagged = 0
  private readonly heap: Heap
  private readonly apart: boolean
  private readonly tables: WasmKeyTable[] = []
  private closed = false
  private readonly pieces: Pieces
  private readonly strict: boolean
  private readonly maxLineBytes: number
  private readonly fieldCount: number
  private readonly stride: number
  private readonly checker: LineChecker
  private readonly names: number
  private readonly nameCount: number
  private readonly result: number
  private readonly frame: Frame
  private readonly reads: readonly FieldPath[]
  private texts: TextRecords | undefined

  private block: number
  private blockBytes: number
  /** The other one, where blocks take turns; 0: there is none. */
  private other = 0
  /** The pending bytes are block + start .. block + end; `offset` bytes of the input came before the block's first byte. */
  private start = 0
  private end = 0
  private offset = 0
  private origin: Origin = { file: '', base: 0, lineAt: () => 1 }

  /** What `scanAlike` works with. */
  private work = 0
  private most = 1 << 13
  private spans: number
  private odd: number

  constructor({
    reads,
    strict,
    maxLineBytes = Infinity,
    apart = false,
    stages = 1,
    blockBytes = BLOCK_BYTES,
  }: ScannerOptions) {
    this.heap = apart ? heapApart() : heap()
    this.apart = apart
    this.heap.share(stages, reads.length)
    this.pieces = new Pieces(this.heap, this)
    const { pieces } = this
    this.strict = strict
    this.maxLineBytes = maxLineBytes
    this.blockBytes = blockBytes + LEAST_ROOM_BYTES
    this.reads = reads
    this.fieldCount = reads.length
    this.stride = 2 + 2 * reads.length
    this.checker = new LineChecker(reads, maxLineBytes)
    const plan = planNames(this.heap, pieces, reads)
    this.names = plan.address
    this.nameCount = plan.count
    this.result = pieces.allocateZeroed(RESULT_BYTES)
    this.block = this.allocateBlock()
    this.work = this.allocateWork()
    this.spans = this.pieces.allocate(this.spansBytes())
    this.odd = this.pieces.allocate(this.most * ODD_BYTES)
    this.frame = new Frame(pieces)
  }

  /** A line end stands before the block, so that whatever looks back from its first line stops there. */
  private allocateBlock(): number {
    const { heap, pieces } = this
    const block = pieces.allocate(this.blockBytes + 2 * SLACK) + SLACK
    heap.bytes[block - 1] = NEWLINE
    return block
  }

  /** For lines that are alike, where there may be some. */
  private allocateWork(): number {
    const { heap, pieces } = this
    if (this.work) pieces.release(this.work)
    return this.nameCount > 0 && !this.strict ? pieces.allocateZeroed(heap.kernel.alikeBytes(this.blockBytes)) : 0
  }

  private spansBytes(): number {
    return (this.most + 1) * this.stride * 4
  }

  begin(origin: Origin): void {
    this.origin = origin
    this.start = this.end = this.offset = 0
  }

  get pendingBytes(): number {
    return this.end - this.start
  }

  takePending(): Uint8Array {
    const pending = this.heap.bytes.subarray(this.block + this.start, this.block + this.end)
    this.start = this.end
    return pending
  }

  skip(bytes: number): void {
    this.offset += bytes
  }

  room(): Uint8Array {
    const { heap, start, end } = this
    const pending = end - start
    const from = this.block + start
    if (this.blockBytes - pending < LEAST_ROOM_BYTES) this.growBlock(from, pending)
    else if (start) heap.bytes.copyWithin(this.block, from, from + pending)
    this.offset += start
    this.start = 0
    this.end = pending
    // One byte is left for the line end that the last line may lack.
    return heap.bytes.subarray(this.block + pending, this.block + this.blockBytes - 1)
  }

  /** A block of twice the size, which begins with the pending bytes. */
  private growBlock(from: number, pending: number): void {
    const { heap, pieces, block, other } = this
    this.blockBytes *= 2
    this.block = this.allocateBlock()
    heap.bytes.copyWithin(this.block, from, from + pending)
    this.work = this.allocateWork()
    pieces.release(block - SLACK)
    if (other) pieces.release(other - SLACK)
    this.other = 0
  }

  roomAhead(): Uint8Array | undefined {
    const { heap } = this
    if (!heap.growsInPlace) return undefined
    this.other ||= this.allocateBlock()
    // In front of it there is room for the pending bytes; behind it, for a line end.
    return heap.bytes.subarray(this.other + LEAST_ROOM_BYTES, this.other + this.blockBytes)
  }

  turn(filled: number): void {
    const { heap, block, other } = this
    const pending = this.end - this.start
    const from = block + this.start
    if (pending > LEAST_ROOM_BYTES) {
      const fresh = Buffer.from(heap.bytes.subarray(other + LEAST_ROOM_BYTES, other + LEAST_ROOM_BYTES + filled))
      let room = this.room()
      while (room.length < filled) {
        this.growBlock(this.block, pending)
        room = this.room()
      }
      room.set(fresh)
      return
    }
    const start = LEAST_ROOM_BYTES - pending
    heap.bytes.copyWithin(other + start, from, from + pending)
    heap.bytes[other + start - 1] = NEWLINE
    this.offset += this.start - start
    this.start = start
    this.end = LEAST_ROOM_BYTES
    this.block = other
    this.other = block
  }

  fresh(filled: number): Uint8Array {
    return this.heap.bytes.subarray(this.block + this.end, this.block + this.end + filled)
  }

  scan(filled: number, last: boolean): Scanned {
    const { heap, block } = this
    const first = this.start
    const end = this.end + filled
    // The pending bytes have no line end.
    let stop = heap.bytes.subarray(block + this.end, block + end).lastIndexOf(NEWLINE) + 1
    stop = stop ? this.end + stop : first
    const ended = !last || stop === end
    if (!ended) {
      heap.bytes[block + end] = NEWLINE
      stop = end + 1
    }
    let from = first
    const head = block + first
    if (this.offset + first === 0 && stop > first + 2 && BOM.equals(heap.bytes.subarray(head, head + BOM.length)))
      from += BOM.length
    const plain = this.countPlain(from, stop)
    const { rows, lines, oddLines: unsure, ascii, dense } = plain ?? this.scanLines(from, stop)
    const oddLines = this.maxLineBytes < end - first ? this.addLongLines(rows, unsure) : unsure
    if (!ended) stop = end
    this.start = stop
    this.end = end
    this.frame.reset()
    heap.prepare(rows, end - first)

    const bad: BadLine[] = []
    const count = oddLines ? this.settle(rows, oddLines, bad) : rows
    const { stride, spans, origin, offset, frame } = this
    const shape: WasmBlock = {
      heap,
      frame,
      address: block,
      length: end,
      spans,
      stride,
      origin,
      offset,
      first,
      ascii,
      dense: dense && ended && !oddLines,
      from,
      stop,
      ...(plain && { findSpans: () => void this.scanLines(from, plain.stop) }),
    }
    return { batch: new WasmBatch(shape, count), bad, lines }
  }

  readText(
    kind: TextKind,
    text: Uint8Array,
    take: (scanned: Scanned, bytes: number) => void,
    member: string = kind,
  ): TextCounts | undefined {
    if (this.pendingBytes > 0) return undefined
    this.texts ??= new TextRecords(this.heap, this.pieces, this.frame, this.reads)
    if (!this.texts.fits(member, text.length, this.maxLineBytes)) return undefined
    this.offset += this.start
    this.start = this.end = 0
    return this.texts.read(kind, member, text, this.origin, this.offset, (scanned, bytes) => {
      this.offset += bytes
      take(scanned, bytes)
    })
  }

  /** Where no field is wanted, and all lines are plainly right: how many there are. Their spans are found when somebody asks. */
  private countPlain(from: number, stop: number) {
    const { heap, block } = this
    if (this.fieldCount > 0 || this.strict || from >= stop || this.maxLineBytes < stop - from) return undefined
    const rows = heap.kernel.plainLines(block + from, block + stop)
    if (rows < 0) return undefined
    while (this.most < rows) this.growRows(0, 0) // now, while the heap may grow
    return { rows, lines: rows, oddLines: 0, ascii: heap.kernel.plainAscii() === 1, dense: true, stop }
  }

  /** Runs the kernel; makes more room for rows whenever it runs out. */
  private scanLines(from: number, stop: number) {
    const { heap, block } = this
    let rows = 0
    let lines = 0
    let oddLines = 0
    let ascii = true
    let dense = true
    let at = block + from
    const end = block + stop
    while (at < end) {
      const spans = this.spans + rows * this.stride * 4
      const odd = this.odd + oddLines * ODD_BYTES
      const { names, nameCount, fieldCount, strict, result, work, blockBytes } = this
      const most = this.most - rows
      if (work) {
        heap.kernel.scanAlike(block, at, end, names, nameCount, fieldCount, spans, most, odd, result, work, blockBytes)
      } else heap.kernel.scan(block, at, end, names, nameCount, fieldCount, Number(strict), spans, most, odd, result)
      const words = heap.u32.subarray(result >>> 2)
      const odds = words[2] as number
      if (rows)
        for (let i = 0; i < odds; i++) heap.u32[(odd >>> 2) + 3 * i] = (heap.u32[(odd >>> 2) + 3 * i] as number) + rows
      rows += words[0] as number
      lines += words[1] as number
      oddLines += odds
      ascii &&= words[4] === 1
      dense &&= words[5] === 1
      at = words[3] || end
      if (at < end) this.growRows(rows, oddLines)
    }
    return { rows, lines, oddLines, ascii, dense }
  }

  /** Adds the lines that are too long to the odd ones: the checker says so. */
  private addLongLines(rows: number, oddLines: number): number {
    const { heap, stride, maxLineBytes } = this
    const spans = heap.u32.subarray(this.spans >>> 2)
    const odd = heap.u32.subarray(this.odd >>> 2)
    const all: number[] = []
    for (let row = 0, known = 0; row < rows; row++) {
      const start = spans[row * stride] as number
      const end = spans[row * stride + 1] as number
      if (known < oddLines && odd[3 * known] === row) {
        all.push(...odd.subarray(3 * known, 3 * known + 3))
        known++
      } else if (end - start > maxLineBytes) all.push(row, start, end)
    }
    odd.set(all)
    return all.length / 3
  }

  private growRows(rows: number, oddLines: number): void {
    const { heap, spans, odd } = this
    this.most *= 4
    this.spans = this.pieces.allocate(this.spansBytes())
    heap.bytes.copyWithin(this.spans, spans, spans + rows * this.stride * 4)
    this.pieces.release(spans)
    this.odd = this.pieces.allocate(this.most * ODD_BYTES)
    heap.bytes.copyWithin(this.odd, odd, odd + oddLines * ODD_BYTES)
    this.pieces.release(odd)
  }

  /** Has the odd lines decided, and takes the bad ones out of the rows. Returns the number of rows that are left. */
  private settle(rows: number, oddLines: number, bad: BadLine[]): number {
    const { heap, block, stride } = this
    const bytes = heap.bytes.subarray(block, block + this.blockBytes)
    const spans = heap.u32.subarray(this.spans >>> 2, (this.spans >>> 2) + rows * stride)
    const odd = heap.u32.subarray(this.odd >>> 2, (this.odd >>> 2) + oddLines * 3)
    this.flagged += oddLines
    let kept = 0
    let next = 0
    for (let i = 0; i < oddLines; i++) {
      const row = odd[3 * i] as number
      const start = odd[3 * i + 1] as number
      let end = odd[3 * i + 2] as number
      if (bytes[end - 1] === RETURN) end--
      const problem = this.checker.check(bytes, start, end, spans, row * stride)
      if (!problem) continue
      if (kept < next) spans.copyWithin(kept * stride, next * stride, row * stride)
      kept += row - next
      next = row + 1
      bad.push({ ...problem, row: kept, start, end, position: this.origin.base + this.offset + start })
    }
    spans.copyWithin(kept * stride, next * stride, rows * stride)
    return kept + rows - next
  }

  keyTable(fields: readonly number[]): KeyTable {
    const table = new WasmKeyTable(this.heap, fields)
    this.tables.push(table)
    return table
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    for (const table of this.tables) table.close()
    this.pieces.close()
    if (this.apart) leaveHeap(this.heap)
  }
}

/** Memory for the columns of one batch: handed out piece after piece, all taken back with the next batch. */
export class Frame {
  private readonly pieces: Pieces
  private readonly first: number
  private readonly end: number
  private at: number
  private more: number[] = []

  constructor(pieces: Pieces) {
    this.pieces = pieces
    this.first = this.at = pieces.allocate(FRAME_BYTES)
    this.end = this.first + FRAME_BYTES
  }

  /** At a multiple of 64, with SLACK behind. What does not fit FRAME_BYTES gets a piece of its own. */
  take(size: number): number {
    const address = this.at
    const next = address + 64 * Math.ceil((size + SLACK) / 64)
    if (next > this.end) {
      const piece = this.pieces.allocate(size + SLACK)
      this.more.push(piece)
      return piece
    }
    this.at = next
    return address
  }

  private out = 0
  private outBytes = 0
  /** The one place for output, which each call for a batch uses anew. */
  output(size: number): number {
    if (size > this.outBytes) {
      this.out = this.take(size)
      this.outBytes = size
    }
    return this.out
  }

  reset(): void {
    this.at = this.first
    this.outBytes = 0
    for (const piece of this.more) this.pieces.release(piece)
    this.more = []
  }
}

/** For the columns and the output of a usual batch. Pages that are not used cost nothing. */
const FRAME_BYTES = 4 << 20

/** Sizes as kernel/scan.ts draws them. */
const NAME_BYTES = 40
const FIELD_BYTES = 12
const PART_BYTES = 12

/** Writes the wanted names and paths as the kernel reads them. */
function planNames(heap: Heap, pieces: Pieces, reads: readonly FieldPath[]): { address: number; count: number } {
  const quoted = (part: string | number): Buffer => Buffer.from(JSON.stringify(String(part)))
  const names = new Map<string, { field: number; rest: (string | number)[] }[]>()
  reads.forEach(([name, ...rest], field) => {
    const fields = names.get(String(name)) ?? []
    names.set(String(name), fields)
    fields.push({ field, rest })
  })
  const texts = reads.flat().reduce((sum: number, part) => sum + quoted(part).length + 16, 0)
  const parts = reads.flat().length
  const size = names.size * NAME_BYTES + reads.length * FIELD_BYTES + parts * PART_BYTES + texts + 64
  const address = pieces.allocateZeroed(size)
  const { u32, u64, bytes } = heap
  let fieldAt = address + names.size * NAME_BYTES
  let partAt = fieldAt + reads.length * FIELD_BYTES
  let textAt = partAt + parts * PART_BYTES
  const addText = (part: string | number): [number, number] => {
    const text = quoted(part)
    const at = textAt
    text.copy(bytes, at)
    textAt += text.length
    return [at, text.length]
  }
  let at = address
  for (const [name, fields] of names) {
    const [text, length] = addText(name)
    const tail = Math.min(length, 8)
    const eight = Buffer.alloc(8)
    bytes.copy(eight, 8 - tail, text + length - tail, text + length)
    u64[at >>> 3] = (2n ** 64n - 1n) ^ (2n ** BigInt(64 - 8 * tail) - 1n)
    u64[(at >>> 3) + 1] = eight.readBigUInt64LE()
    const single = fields.length === 1 && fields[0]?.rest.length === 0 ? fields[0].field : -1
    u32.set([text, length, fieldAt, fields.length, 0, single], (at >>> 2) + 4)
    for (const { field, rest } of fields) {
      u32.set([field, partAt, rest.length], fieldAt >>> 2)
      fieldAt += FIELD_BYTES
      for (const part of rest) {
        const index = /^(?:0|[1-9]\d{0,8})$/.test(String(part)) ? Number(part) : -1
        u32.set([...addText(part), index], partAt >>> 2)
        partAt += PART_BYTES
      }
    }
    at += NAME_BYTES
  }
  return { address, count: names.size }
}
