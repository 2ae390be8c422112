import { type DecimalColumn, Kind, type KeyTable, type KeyTableState, type RecordBatch } from '../core/batch.ts'
import { canonicalKey } from '../core/key.ts'
import { fromLatin1, latin1 } from '../core/latin1.ts'
import type { StageContext } from '../core/operator.ts'
import type { Input, Values } from './aggregate.ts'

const NEWLINE = 0x0a

/** A field of the record. Missing fields have kind `missing` and no text. */
export class FieldInput implements Input {
  readonly id: string
  readonly #field: number
  readonly #context: StageContext
  #values: Values | undefined

  constructor(id: string, field: number, context: StageContext) {
    this.id = id
    this.#field = field
    this.#context = context
  }

  kinds(batch: RecordBatch): Uint8Array {
    return batch.kinds(this.#field)
  }
  decimals(batch: RecordBatch): DecimalColumn {
    return batch.decimals(this.#field)
  }
  text(batch: RecordBatch, row: number): string {
    const at = row * batch.stride + 2 + 2 * this.#field
    return latin1(batch.bytes, batch.spans[at]!, batch.spans[at + 1]!)
  }
  place(batch: RecordBatch, row: number): { column: number; spelling: string } {
    const start = batch.spans[row * batch.stride + 2 + 2 * this.#field]!
    const line = start === 0 ? 0 : batch.bytes.lastIndexOf(NEWLINE, start - 1) + 1
    return { column: start - line + 1, spelling: this.id.startsWith('[') ? `r${this.id}` : `r.${this.id}` }
  }
  values(): Values {
    return (this.#values ??= new TableValues(this.#context.keyTable([this.#field])))
  }
}

/** Ids of a field's values, by the scanner's key table. */
class TableValues implements Values {
  readonly #table: KeyTable
  constructor(table: KeyTable) {
    this.#table = table
  }
  get size(): number {
    return this.#table.size
  }
  ids(batch: RecordBatch): Uint32Array {
    return this.#table.intern(batch)
  }
  text(id: number): string {
    return this.#table.text(id, 0)
  }
  idsOf(texts: readonly string[]): Uint32Array {
    return this.#table.import(keyState(texts))
  }
  clear(): void {
    this.#table.clear()
  }
}

function keyState(texts: readonly string[]): KeyTableState {
  const ends = new Uint32Array(texts.length)
  // Later than anything: no spelling changes.
  const positions = new Float64Array(texts.length).fill(Number.POSITIVE_INFINITY)
  let end = 0
  for (let index = 0; index < texts.length; index++) ends[index] = end += texts[index]!.length
  return { bytes: Buffer.from(texts.join(''), 'latin1'), ends, positions }
}

/** Ids of values that are computed: by their canonical texts. */
export class MapValues implements Values {
  readonly #ids = new Map<string, number>()
  readonly #texts: string[] = []
  readonly #input: Input
  constructor(input: Input) {
    this.#input = input
  }
  get size(): number {
    return this.#texts.length
  }
  ids(batch: RecordBatch): Uint32Array {
    const kinds = this.#input.kinds(batch)
    const ids = new Uint32Array(batch.count)
    for (let row = 0; row < batch.count; row++) {
      ids[row] = this.#id(kinds[row] === Kind.missing ? 'null' : this.#input.text(batch, row))
    }
    return ids
  }
  #id(text: string): number {
    const key = canonicalKey(fromLatin1(text))
    let id = this.#ids.get(key)
    if (id === undefined) this.#ids.set(key, (id = this.#texts.push(text) - 1))
    return id
  }
  text(id: number): string {
    return this.#texts[id]!
  }
  idsOf(texts: readonly string[]): Uint32Array {
    return Uint32Array.from(texts, (text) => this.#id(text))
  }
  clear(): void {
    this.#ids.clear()
    this.#texts.length = 0
  }
}

/** The kind of a JSON text, as a scanner tells it. */
export function kindOf(text: string): Kind {
  switch (text.charCodeAt(0)) {
    case 34:
      return Kind.string
    case 91:
      return Kind.array
    case 123:
      return Kind.object
    case 110:
      return Kind.null
    case 102:
      return Kind.false
    case 116:
      return Kind.true
    default:
      return text === '' ? Kind.missing : Kind.number
  }
}
