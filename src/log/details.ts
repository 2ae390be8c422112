import type { FieldPath } from '../core/field-path.ts'
import { createScanner } from '../ndjson/index.ts'
import type { Scanner } from '../ndjson/scanner.ts'
import { scanLines } from './scan-lines.ts'
import { timesOf } from './times.ts'

/** What is looked up in stored records: their time and their key. */
export interface Details {
  /** NaN where a record has none. */
  readonly times: Float64Array
  /** JSON text of the key of record `i`: a field's own spelling, several as an array; `null` where there is none. */
  key(i: number): string
}

/** Reads key and time of stored records. They were valid when they were appended, so a line that is odd now has neither. */
export class DetailReader {
  private readonly scanner: Scanner
  private readonly keys: readonly FieldPath[]
  private readonly hasTime: boolean

  constructor(keys: readonly FieldPath[], time: FieldPath | undefined) {
    this.keys = keys
    this.hasTime = time !== undefined
    this.scanner = createScanner({ reads: time ? [...keys, time] : keys, strict: false })
  }

  /** @param lines whole lines, `count` of them */
  read(lines: Uint8Array, count: number): Details {
    const times = new Float64Array(count).fill(NaN)
    const keys: string[] = []
    scanLines(this.scanner, lines, (batch, indices) => {
      const found = this.hasTime ? timesOf(batch, this.keys.length) : undefined
      for (const [row, index] of indices.entries()) {
        if (found) times[index] = found[row] as number
        if (this.keys.length === 0) continue
        const texts = this.keys.map((_, field) => {
          const at = row * batch.stride + 2 + 2 * field
          return Buffer.from(batch.bytes.subarray(batch.spans[at], batch.spans[at + 1])).toString('utf8') || 'null'
        })
        keys[index] = texts.length === 1 ? (texts[0] as string) : `[${texts.join(',')}]`
      }
    })
    return { times, key: (i) => keys[i] ?? 'null' }
  }
}
