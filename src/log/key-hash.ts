import type { KeyTable, RecordBatch } from '../core/batch.ts'
import { canonicalKey, canonicalNumber } from '../core/key.ts'
import { partitionOf } from './partitioner.ts'

/** Beyond this many different keys the table is emptied: what it saves is hashing, what it costs is memory. */
const MOST_KEYS = 1 << 19
/** A null or missing key. */
export const NO_KEY = -1

/**
 * The bytes that are hashed for a key: a string's content, a number's plainest spelling (`1.0` as `1`), anything else its canonical
 * JSON; several fields together a JSON array of them. Undefined for null, which is no key.
 * @param texts raw JSON of each part
 */
export function keyBytes(texts: readonly string[]): Buffer | undefined {
  if (texts.every((text) => text === 'null')) return undefined
  if (texts.length > 1) return Buffer.from(canonicalKey(`[${texts.join(',')}]`))
  const text = texts[0] as string
  if (/^"[ !#-[\]-~]*"$/.test(text)) return Buffer.from(text.slice(1, -1), 'latin1')
  if (text.startsWith('"')) return Buffer.from(JSON.parse(text) as string)
  return Buffer.from(/^[-\d]/.test(text) ? plainNumber(text) : canonicalKey(text))
}

/** A number as one would write it: digits and a point where a double holds it exactly, digits for integers, else canonical. */
function plainNumber(text: string): string {
  const canonical = canonicalNumber(text)
  const plain = String(Number(text))
  if (canonicalNumber(plain) === canonical) return plain
  const match = /^(-?\d+)e(\d{1,2})$/.exec(canonical)
  return match ? `${match[1]}${'0'.repeat(Number(match[2]))}` : canonical.replace(/e0$/, '')
}

/** Partitions of rows by key; each different key is hashed once. */
export class KeyHash {
  private readonly table: KeyTable
  private readonly parts: number
  private readonly partitions: number
  private byId = new Int32Array(1024)
  private known = 0

  constructor(table: KeyTable, parts: number, partitions: number) {
    this.table = table
    this.parts = parts
    this.partitions = partitions
  }

  /** A key id for each row, and the partition (or NO_KEY) of each id. Valid until the next call. */
  of(batch: RecordBatch): { ids: Uint32Array; byId: Int32Array } {
    if (this.table.size > MOST_KEYS) {
      this.table.clear()
      this.known = 0
    }
    const ids = this.table.intern(batch)
    for (; this.known < this.table.size; this.known++) {
      if (this.known === this.byId.length) {
        const more = new Int32Array(2 * this.byId.length)
        more.set(this.byId)
        this.byId = more
      }
      const texts = Array.from({ length: this.parts }, (_, part) =>
        Buffer.from(this.table.text(this.known, part), 'latin1').toString('utf8'),
      )
      const bytes = keyBytes(texts)
      this.byId[this.known] = bytes ? partitionOf(bytes, this.partitions) : NO_KEY
    }
    return { ids, byId: this.byId }
  }
}
