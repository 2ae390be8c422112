import type { KeyLines, KeyParts, KeyTable, KeyTableState, LinePiece, RecordBatch } from '../core/batch.ts'
import { canonicalKey } from '../core/key.ts'
import { ReferenceKeyLines } from './key-lines.ts'
import { partKeys } from './key-parts.ts'

/** The readable key table: a map from canonical texts to ids. */
export class ReferenceKeyTable implements KeyTable {
  private readonly fields: readonly number[]
  private readonly ids = new Map<string, number>()
  /** Per key its parts as first spelt, latin1. */
  private texts: string[][] = []
  private positions: number[] = []

  constructor(fields: readonly number[]) {
    this.fields = fields
  }

  get size(): number {
    return this.texts.length
  }

  intern(batch: RecordBatch): Uint32Array {
    const ids = new Uint32Array(batch.count)
    const text = batch.text()
    for (let row = 0; row < batch.count; row++) {
      ids[row] = this.idOf(this.partsOf(batch, text, row), () => batch.position(row))
    }
    return ids
  }

  append(batch: RecordBatch): Uint32Array {
    const text = batch.text()
    return Uint32Array.from({ length: batch.count }, (_, row) => {
      this.positions.push(batch.position(row))
      return this.texts.push(this.partsOf(batch, text, row)) - 1
    })
  }

  private partsOf({ stride, spans }: RecordBatch, text: string, row: number): string[] {
    return this.fields.map((field) => {
      const at = row * stride + 2 + 2 * field
      return text.slice(spans[at], spans[at + 1]) || 'null'
    })
  }

  private idOf(parts: string[], position: () => number): number {
    // No canonical text has a line end in it.
    const key = parts.map((part) => canonicalKey(Buffer.from(part, 'latin1').toString())).join('\n')
    const known = this.ids.get(key)
    if (known !== undefined) return known
    const id = this.texts.push(parts) - 1
    this.ids.set(key, id)
    this.positions.push(position())
    return id
  }

  reserve(): void {
    // A map grows by itself.
  }

  clear(): void {
    this.ids.clear()
    this.texts = []
    this.positions = []
  }

  text(id: number, part: number): string {
    return this.texts[id]?.[part] as string
  }

  lines(template: readonly LinePiece[]): KeyLines {
    return new ReferenceKeyLines(this, template)
  }

  textBytes(id: number): number {
    return (this.texts[id] as readonly string[]).reduce((sum, text) => sum + text.length, 0)
  }

  copyText(id: number, part: number, into: Uint8Array, at: number): number {
    return at + Buffer.from(this.text(id, part), 'latin1').copy(into, at)
  }

  position(id: number): number {
    return this.positions[id] as number
  }

  positionsOf(ids: Uint32Array): Float64Array {
    return Float64Array.from(ids, (id) => this.position(id))
  }

  order(): Uint32Array {
    return Uint32Array.from(this.positions.keys()).sort((a, b) => this.position(a) - this.position(b))
  }

  parted(shift: number): KeyParts[] {
    return partKeys(this.export(), this.fields.length, shift)
  }

  export(from = 0): KeyTableState {
    const texts = this.texts.slice(from).flat()
    let end = 0
    return {
      bytes: Buffer.from(texts.join(''), 'latin1'),
      ends: Uint32Array.from(texts, (text) => (end += text.length)),
      positions: Float64Array.from(this.positions.slice(from)),
    }
  }

  import({ bytes, ends, positions }: KeyTableState): Uint32Array {
    const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    let start = 0
    let at = 0
    return Uint32Array.from(positions, (position) => {
      const parts = this.fields.map(() => {
        const end = ends[at++] as number
        const part = all.toString('latin1', start, end)
        start = end
        return part
      })
      const id = this.idOf(parts, () => position)
      if (position < (this.positions[id] as number)) {
        this.positions[id] = position
        this.texts[id] = parts
      }
      return id
    })
  }
}
