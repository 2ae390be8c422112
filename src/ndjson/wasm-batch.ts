import type {
  DecimalColumn,
  Location,
  NumberColumn,
  ObjectTemplate,
  PartedLines,
  RecordBatch,
  Scattered,
  TemplateValue,
  TimeColumn,
} from '../core/batch.ts'
import type { Heap } from './heap.ts'
import { lineNumber, ReferenceBatch } from './reference-batch.ts'
import type { Origin } from './scanner.ts'
import type { Frame } from './wasm.ts'

/** What the fast scanner made of a block. */
export interface WasmBlock {
  readonly heap: Heap
  readonly frame: Frame
  /** Of the block and of the spans of row 0. */
  readonly address: number
  readonly spans: number
  readonly length: number
  readonly stride: number
  readonly origin: Origin
  /** Bytes of the input before the block. */
  readonly offset: number
  /** Where the block's first line begins. */
  readonly first: number
  readonly ascii: boolean
  /** The rows' lines stand one after the other with nothing between but one "\n", also after the last. */
  readonly dense: boolean
  /** Where the lines begin and end in the block. */
  readonly from: number
  readonly stop: number
  /** The spans are not there yet: whoever needs them calls this first. */
  readonly findSpans?: () => void
}

/** Rows that are looked at one by one before the rest is searched at once: the call costs as much as some of them. */
const NEAR_ROWS = 8

/** The next row whose mask is 1; `to` if there is none. */
function nextOne(mask: Uint8Array, from: number, to: number): number {
  const near = Math.min(from + NEAR_ROWS, to)
  for (let row = from; row < near; row++) if (mask[row] === 1) return row
  if (near === to) return to
  const found = mask.indexOf(1, near)
  return found < 0 || found > to ? to : found
}

/** The fast batch: one call into the kernel per column. */
export class WasmBatch implements RecordBatch {
  readonly count: number
  private view: Buffer
  readonly stride: number
  /** For key tables. */
  readonly block: WasmBlock
  private readonly columns = new Map<string, unknown>()

  constructor(block: WasmBlock, count: number) {
    const { heap, address, length, stride } = block
    this.block = block
    this.count = count
    this.stride = stride
    this.view = heap.bytes.subarray(address, address + length)
    if (!block.findSpans) this.known = this.viewSpans()
  }

  private known: Uint32Array | undefined
  get spans(): Uint32Array {
    if (this.known) return this.known
    this.block.findSpans?.()
    return (this.known = this.viewSpans())
  }

  private viewSpans(): Uint32Array {
    const { heap, spans, stride } = this.block
    return heap.u32.subarray(spans >>> 2, (spans >>> 2) + this.count * stride)
  }

  /** Still there for bad lines when the stage, at its end with the batch, has made the memory grow. */
  get bytes(): Buffer {
    if (this.view.length > 0) return this.view
    const { heap, address, length } = this.block
    return (this.view = heap.bytes.subarray(address, address + length))
  }

  head(rows: number): RecordBatch {
    const { findSpans, ...block } = this.block
    findSpans?.()
    return new WasmBatch(block, Math.min(rows, this.count))
  }

  select(fields: readonly number[], mask: Uint8Array | undefined, from: number, to: number): RecordBatch {
    const { spans, stride: wide, block } = this
    const { heap, frame } = block
    const stride = 2 + 2 * fields.length
    const address = frame.take(4 * stride * (to - from))
    const into = heap.u32.subarray(address >>> 2, (address >>> 2) + stride * (to - from))
    // Words of a row in the order in which they are wanted.
    const words = [0, 1, ...fields.flatMap((field) => [2 + 2 * field, 3 + 2 * field])]
    let at = 0
    for (let row = mask ? nextOne(mask, from, to) : from; row < to; row = mask ? nextOne(mask, row + 1, to) : row + 1) {
      const start = row * wide
      into[at] = spans[start]!
      into[at + 1] = spans[start + 1]!
      for (let word = 2; word < stride; word++) into[at + word] = spans[start + words[word]!]!
      at += stride
    }
    const view = new WasmBatch({ ...block, spans: address, stride, dense: false }, at / stride)
    view.whole = this.whole ?? this
    return view
  }
  /** The batch whose bytes these are: their text is made once. */
  private whole: WasmBatch | undefined

  get ascii(): boolean {
    return this.block.ascii
  }

  private latin1: string | undefined
  text(): string {
    return (this.latin1 ??= this.whole?.text() ?? this.bytes.toString('latin1'))
  }

  private once<Column>(name: string, make: () => Column): Column {
    let column = this.columns.get(name) as Column | undefined // only `once` fills the map
    if (column === undefined) this.columns.set(name, (column = make()))
    return column
  }

  /** Address of a field's span in row 0. */
  private span(field: number): number {
    return this.block.spans + 8 + 8 * field
  }

  kinds(field: number): Uint8Array {
    return this.once(`kinds ${field}`, () => {
      const { count, block, stride } = this
      const out = block.frame.take(count)
      block.heap.kernel.kinds(block.address, this.span(field), stride * 4, count, out)
      return block.heap.bytes.subarray(out, out + count)
    })
  }

  numbers(field: number): NumberColumn {
    return this.once(`numbers ${field}`, () => {
      const { count, stride } = this
      const { heap, frame, address } = this.block
      const kinds = frame.take(count)
      const values = frame.take(8 * count)
      const odd = frame.take(4 * count)
      const odds = heap.kernel.numbers(address, this.span(field), stride * 4, count, kinds, values, odd)
      for (let i = 0; i < odds; i++) {
        const row = heap.u32[(odd >>> 2) + i] as number
        heap.f64[(values >>> 3) + row] = Number(this.fieldText(row, field))
      }
      return {
        kinds: heap.bytes.subarray(kinds, kinds + count),
        values: heap.f64.subarray(values >>> 3, (values >>> 3) + count),
      }
    })
  }

  decimals(field: number): DecimalColumn {
    return this.once(`decimals ${field}`, () => {
      const { count, stride } = this
      const { heap, frame, address } = this.block
      const kinds = frame.take(count)
      const mantissas = frame.take(8 * count)
      const scales = frame.take(count)
      heap.kernel.decimals(address, this.span(field), stride * 4, count, kinds, mantissas, scales)
      return {
        kinds: heap.bytes.subarray(kinds, kinds + count),
        mantissas: heap.f64.subarray(mantissas >>> 3, (mantissas >>> 3) + count),
        scales: heap.bytes.subarray(scales, scales + count),
      }
    })
  }

  times(field: number): TimeColumn {
    return this.once(`times ${field}`, () => {
      const { count, stride } = this
      const { heap, frame, address } = this.block
      const out = frame.take(8 * count)
      const others = heap.kernel.times(address, this.span(field), stride * 4, count, out)
      return { values: heap.f64.subarray(out >>> 3, (out >>> 3) + count), others }
    })
  }

  equalsString(field: number, constant: Uint8Array): Uint8Array {
    const { count, stride } = this
    const { heap, frame, address } = this.block
    const wanted = frame.take(constant.length + 2)
    // A constant that JSON must escape equals no text without escapes; nor does this one, which is not even a string.
    const plain = constant.every((byte) => byte >= 0x20 && byte !== 0x22 && byte !== 0x5c)
    heap.bytes[wanted] = heap.bytes[wanted + 1 + constant.length] = plain ? 0x22 : 0
    heap.bytes.set(constant, wanted + 1)
    const out = frame.take(count)
    heap.kernel.equalsString(address, this.span(field), stride * 4, count, wanted, constant.length + 2, out)
    return heap.bytes.subarray(out, out + count)
  }

  lines(mask: Uint8Array | undefined, from: number, to: number): Uint8Array {
    const { stride } = this
    const { heap, frame, address, dense, spans } = this.block
    if (from >= to) return heap.bytes.subarray(0, 0)
    if (dense && !mask && from === 0 && to === this.count && this.block.findSpans)
      return this.bytes.subarray(this.block.from, this.block.stop)
    const start = this.spans[from * stride] as number
    const end = (this.spans[(to - 1) * stride + 1] as number) + 1
    if (dense && !mask) return this.bytes.subarray(start, end)
    const out = frame.output(end - start + (to - from))
    const bytes = heap.kernel.gather(address, spans, stride * 4, from, to, mask ? this.flagsAt(mask, from, to) : 0, out)
    return heap.bytes.subarray(out, out + bytes)
  }

  scatter(field: number, partitions: number): Scattered | undefined {
    const { count, stride } = this
    const { heap, frame, address } = this.block
    const { kernel } = heap
    const targets = frame.take(2 * count)
    const done = kernel.partitionRows(address, this.span(field), stride * 4, count, partitions, targets)
    if (done < count) return undefined
    const table = this.scatterRows(targets, partitions)
    const word = (partition: number, i: number): number =>
      heap.u32[((table + SCATTER_BYTES * partition) >>> 2) + i] as number
    return {
      targets: new Uint16Array(heap.bytes.buffer, targets, count),
      partitions: Array.from({ length: partitions }, (_, p) => ({
        count: word(p, 4),
        lines: heap.bytes.subarray(word(p, 0), word(p, 1)),
        ranks: heap.bytes.subarray(word(p, 2), word(p, 3)),
      })),
    }
  }

  /** Copies the lines to their partitions, which are u16 at `targets`. Returns where kernel/scatter.ts says how they stand. */
  private scatterRows(targets: number, partitions: number): number {
    const { count, stride } = this
    const { heap, frame, address, spans } = this.block
    const table = frame.take(SCATTER_BYTES * partitions)
    const out = frame.output(this.bytes.length + count + 16 * partitions)
    const ranks = frame.take(count + partitions * 5 * (1 + Math.ceil(count / 255)))
    heap.kernel.scatter(address, spans, stride * 4, count, targets, partitions, table, out, ranks)
    return table
  }

  partition(targets: Uint16Array, partitions: number): PartedLines {
    const { heap, frame, findSpans } = this.block
    if (findSpans) void this.spans
    const at = frame.take(2 * this.count)
    new Uint16Array(heap.bytes.buffer, at, this.count).set(targets.subarray(0, this.count))
    const table = this.scatterRows(at, partitions) >>> 2
    const starts = new Uint32Array(partitions)
    const ends = new Uint32Array(partitions)
    const { u32, bytes } = heap
    for (let partition = 0, word = table; partition < partitions; partition++, word += SCATTER_BYTES / 4) {
      starts[partition] = u32[word] as number
      ends[partition] = u32[word + 1] as number
    }
    return { bytes, starts, ends }
  }

  render(template: ObjectTemplate, from: number, to: number): Uint8Array {
    const { stride } = this
    const { heap, frame, address, spans, findSpans } = this.block
    if (findSpans) void this.spans
    const members = this.members(template, from, to)
    const count = template.members.length
    const outBytes = 2 * this.bytes.length + RENDER_LEAST_BYTES
    const out = frame.output(outBytes)
    const parts: Uint8Array[] = []
    for (let row = from; ;) {
      const stopped = heap.kernel.render(address, spans, stride * 4, row, to, members, count, out, out + outBytes)
      const bytes = heap.bytes.subarray(out, out + heap.kernel.renderedBytes())
      if (stopped === to && row === from) return bytes
      // Much longer than what came in: put together from pieces. A row that does not fit alone is made the readable way.
      const reference = (): Uint8Array =>
        new ReferenceBatch({ ...this.block, bytes: this.bytes, spans: this.spans }, this.count).render(
          template,
          row,
          row + 1,
        )
      parts.push(stopped === row ? reference() : Buffer.from(bytes))
      row = stopped === row ? row + 1 : stopped
      if (row === to) return Buffer.concat(parts)
    }
  }

  private readonly templates = new Map<ObjectTemplate, number>()
  /** Where the kernel finds a template, as kernel/output.ts reads it. */
  private members(template: ObjectTemplate, from: number, to: number): number {
    const { heap, frame } = this.block
    const { members } = template
    let address = this.templates.get(template)
    if (address === undefined) {
      address = frame.take(MEMBER_BYTES * members.length)
      this.templates.set(template, address)
      for (const [i, { name, value }] of members.entries()) {
        const prefix = Buffer.from(`,${JSON.stringify(name)}:${value.kind === 'constant' ? value.json : ''}`)
        const text = frame.take(prefix.length)
        prefix.copy(heap.bytes, text)
        const kind = MEMBER_KINDS.indexOf(value.kind)
        const field = value.kind === 'field' ? 8 + 8 * value.field : 0
        heap.u32.set([kind, text, prefix.length, field], (address + MEMBER_BYTES * i) >>> 2)
      }
    }
    for (const [i, { value }] of members.entries()) {
      if (value.kind !== 'flags') continue
      heap.u32[((address + MEMBER_BYTES * i) >>> 2) + 3] = this.flagsAt(value.flags, from, to)
    }
    return address
  }

  /** Where the kernel finds row 0 of a mask, of which only from..to are there: where it is when the kernel made it, else in a copy. */
  private flagsAt(flags: Uint8Array, from: number, to: number): number {
    const { heap, frame } = this.block
    if (flags.buffer === heap.bytes.buffer) return flags.byteOffset
    const address = frame.take(to - from)
    heap.bytes.set(flags.subarray(from, to), address)
    return address - from
  }

  position(row: number): number {
    return this.block.origin.base + this.block.offset + (this.spans[row * this.stride] as number)
  }

  locate(row: number): Location {
    const { origin, offset, first } = this.block
    const at = this.spans[row * this.stride] as number
    return { file: origin.file, line: lineNumber({ bytes: this.bytes, origin, offset, first }, at) }
  }

  private fieldText(row: number, field: number): string {
    const at = row * this.stride + 2 + 2 * field
    return this.bytes.toString('latin1', this.spans[at], this.spans[at + 1])
  }
}

/** Of a partition, as kernel/scatter.ts draws it. */
const SCATTER_BYTES = 24
const RENDER_LEAST_BYTES = 1 << 16
/** As kernel/output.ts draws a member. */
const MEMBER_BYTES = 16
const MEMBER_KINDS: readonly TemplateValue['kind'][] = ['constant', 'field', 'flags']
