import type { KeyTable, RecordBatch } from '../core/batch.ts'
import type { Part, PartOperator, StageContext } from '../core/operator.ts'
import { ReferenceBatch } from '../ndjson/reference-batch.ts'

/** What a block of the input comes to: the records whose key its thread has not seen before. Perhaps another thread has. */
export interface DedupePart extends Part {
  readonly batches: readonly Firsts[]
}
interface Firsts {
  /** One after the other, each ended by "\n". */
  readonly lines: Uint8Array
  /** As those of a batch, of `lines`. */
  readonly spans: Uint32Array
  readonly stride: number
  readonly positions: Float64Array
}

/** A thread forgets the keys that it knows when they are so many, which costs nothing but work. They stay in the cache. */
const MOST_KEYS = 1 << 17
/** When most of the records that brought them were no duplicates, so many blocks are handed on as they are before it tries again. */
const PASSED_BLOCKS = 256

/** Makes parts for `DedupeFirst`, in which those records are left out that are duplicates for certain. O(1) a record. */
export class DedupeParts implements PartOperator<DedupePart> {
  readonly #keys: KeyTable
  /** Records since the keys were forgotten. */
  #records = 0
  #passes = 0
  #mask = new Uint8Array(0)
  #batches: Firsts[] = []

  constructor(fields: readonly number[], context: StageContext) {
    this.#keys = context.keyTable(fields)
  }

  processBatch(batch: RecordBatch): void {
    if (this.#mask.length < batch.count) this.#mask = new Uint8Array(2 * batch.count)
    const mask = this.#mask
    const firsts = this.#passes > 0 ? batch.count : this.#markFirsts(batch, mask)
    if (firsts > 0) this.#take(batch, firsts < batch.count ? mask : undefined, firsts)
    if (this.#passes > 0) this.#passes--
    else if (this.#keys.size > MOST_KEYS) {
      if (this.#records < 2 * this.#keys.size) this.#passes = PASSED_BLOCKS
      this.#keys.clear()
      this.#records = 0
    }
  }

  /** Which records have a key that this thread does not know: how many. */
  #markFirsts(batch: RecordBatch, mask: Uint8Array): number {
    let next = this.#keys.size
    const ids = this.#keys.intern(batch)
    const firsts = this.#keys.size - next
    for (let row = 0; row < batch.count; row++) {
      const isFirst = ids[row] === next
      mask[row] = isFirst ? 1 : 0
      if (isFirst) next++
    }
    this.#records += batch.count
    return firsts
  }

  #take(batch: RecordBatch, mask: Uint8Array | undefined, count: number): void {
    const { spans: from, stride } = batch
    const lines = new Uint8Array(batch.lines(mask, 0, batch.count))
    const spans = new Uint32Array(count * stride)
    const positions = new Float64Array(count)
    let lineAt = 0
    for (let row = 0, record = 0; row < batch.count; row++) {
      if (mask && mask[row] === 0) continue
      const to = record * stride
      const shift = from[row * stride]! - lineAt
      for (let word = 0; word < stride; word++) {
        const at = from[row * stride + word]!
        // Nothing but the first line begins at 0; a missing field is 0, 0.
        spans[to + word] = at === 0 ? 0 : at - shift
      }
      positions[record++] = batch.position(row)
      lineAt = spans[to + 1]! + 1
    }
    this.#batches.push({ lines, spans, stride, positions })
  }

  takePart(): DedupePart {
    const batches = this.#batches
    this.#batches = []
    // Even where every record is the first of its key it costs hardly more than a copy.
    return { batches, entries: 0 }
  }
}

/** The records of a part. */
export class FirstsBatch extends ReferenceBatch {
  readonly #positions: Float64Array

  constructor({ lines, spans, stride, positions }: Firsts) {
    const bytes = Buffer.from(lines.buffer, lines.byteOffset, lines.length)
    // Bad records never get here, so nobody asks for places.
    const origin = { file: '', base: 0, lineAt: () => 1 }
    super({ bytes, spans, stride, origin, offset: 0, first: 0 }, positions.length)
    this.#positions = positions
  }

  override position(row: number): number {
    return this.#positions[row]!
  }

  /** Runs of lines in one piece. */
  override lines(mask: Uint8Array | undefined, from: number, to: number): Uint8Array {
    const { bytes, spans, stride } = this
    const runs: Uint8Array[] = []
    let start = 0
    let end = 0
    for (let row = from; row < to; row++) {
      if (mask?.[row] === 0) continue
      if (spans[row * stride] !== end || start === end) {
        if (start < end) runs.push(bytes.subarray(start, end))
        start = spans[row * stride]!
      }
      end = spans[row * stride + 1]! + 1
    }
    runs.push(bytes.subarray(start, end))
    return runs.length === 1 ? runs[0]! : Buffer.concat(runs)
  }
}
