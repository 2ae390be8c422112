import type { DecimalColumn, Location, NumberColumn, ObjectTemplate, RecordBatch, TimeColumn } from '../core/batch.ts'
import type { Heap } from './heap.ts'
import { lineNumber } from './reference-batch.ts'
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
}

/** The fast batch: one call into the kernel per column. */
export class WasmBatch implements RecordBatch {
  readonly count: number
  readonly bytes: Buffer
  readonly spans: Uint32Array
  readonly stride: number
  /** For key tables. */
  readonly block: WasmBlock
  private readonly columns = new Map<string, unknown>()

  constructor(block: WasmBlock, count: number) {
    const { heap, address, length, spans, stride } = block
    this.block = block
    this.count = count
    this.stride = stride
    this.bytes = heap.bytes.subarray(address, address + length)
    this.spans = heap.u32.subarray(spans >>> 2, (spans >>> 2) + count * stride)
  }

  head(rows: number): RecordBatch {
    return new WasmBatch(this.block, Math.min(rows, this.count))
  }

  get ascii(): boolean {
    return this.block.ascii
  }

  private latin1: string | undefined
  text(): string {
    return (this.latin1 ??= this.bytes.toString('latin1'))
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
      return { values: heap.f64.subarray(out >> 3, (out >> 3) + count), others }
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
    const start = this.spans[from * stride] as number
    const end = (this.spans[(to - 1) * stride + 1] as number) + 1
    if (dense && !mask) return this.bytes.subarray(start, end)
    const out = frame.take(end - start + (to - from))
    const bytes = heap.kernel.gather(address, spans, stride * 4, from, to, mask ? this.flagsAddress(mask, to) : 0, out)
    return heap.bytes.subarray(out, out + bytes)
  }

  render(template: ObjectTemplate, from: number, to: number): Uint8Array {
    const { stride } = this
    const { heap, frame, address, spans } = this.block
    const members = this.members(template, to)
    const count = template.members.length
    const outBytes = 2 * this.bytes.length + RENDER_LEAST_BYTES
    const out = frame.take(outBytes)
    const parts: Uint8Array[] = []
    for (let row = from; ;) {
      const stopped = heap.kernel.render(address, spans, stride * 4, row, to, members, count, out, out + outBytes)
      const bytes = heap.bytes.subarray(out, out + heap.kernel.renderedBytes())
      if (stopped === to && row === from) return bytes
      // Much longer than what came in: put together from pieces. A row that does not fit even alone is longer than the
      // block several times over.
      parts.push(Buffer.from(bytes))
      if (stopped === to) return Buffer.concat(parts)
      if (stopped === row) throw new RangeError('a rendered record is too long')
      row = stopped
    }
  }

  /** Writes a template as kernel/output.ts reads it. */
  private members({ members }: ObjectTemplate, to: number): number {
    const { heap, frame } = this.block
    const address = frame.take(16 * members.length)
    members.forEach(({ name, value }, i) => {
      const prefix = Buffer.from(`,${JSON.stringify(name)}:${value.kind === 'constant' ? value.json : ''}`)
      const text = frame.take(prefix.length)
      prefix.copy(heap.bytes, text)
      const [kind, what] =
        value.kind === 'constant'
          ? [0, 0]
          : value.kind === 'field'
            ? [1, 8 + 8 * value.field]
            : [2, this.flagsAddress(value.flags, to)]
      heap.u32.set([kind, text, prefix.length, what], (address >>> 2) + 4 * i)
    })
    return address
  }

  /** Where the kernel finds a mask: where it is, when the kernel made it, else a copy. */
  private flagsAddress(flags: Uint8Array, count: number): number {
    const { heap, frame } = this.block
    if (flags.buffer === heap.bytes.buffer) return flags.byteOffset
    const address = frame.take(count)
    heap.bytes.set(flags.length > count ? flags.subarray(0, count) : flags, address)
    return address
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

const RENDER_LEAST_BYTES = 1 << 16
