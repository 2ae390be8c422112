import { ByteBuffer } from '../core/byte-buffer.ts'
import type { EventTime } from '../core/operator.ts'

/** A record of one of two streams, which may still find a partner. */
export interface Kept {
  readonly port: 0 | 1
  readonly time: EventTime
  /** Its number among all of both streams: what snapshots call it by. */
  readonly arrival: number
  /** Undefined: nothing is its partner. */
  readonly key: string | undefined
  readonly line: Uint8Array
  matched: boolean
}

/** In place of a record's number, or of a key's. */
export const NONE = -1

/** Records in columns, as a snapshot has them. */
export interface Columns {
  readonly time: Float64Array
  readonly arrival: Float64Array
  readonly port: Uint8Array
  readonly matched: Uint8Array
  /** By its place among `keys`. */
  readonly key: Int32Array
  readonly keys: readonly string[]
  /** Lines one after the other, and where each ends. */
  readonly lines: Uint8Array
  readonly ends: Float64Array
}

/** Gathers records, each once however often it is referred to. */
export class KeptRecords<Own extends Kept> {
  readonly #records = new Set<Own>()
  readonly #keys = new Map<string, number>()

  add(record: Own): void {
    this.#records.add(record)
  }

  /** The place of a key among `keys` of the columns. */
  keyOf(key: string): number {
    const known = this.#keys.get(key)
    if (known !== undefined) return known
    this.#keys.set(key, this.#keys.size)
    return this.#keys.size - 1
  }

  /** Something of each record, in their order. */
  numbers(of: (record: Own) => number): Float64Array {
    const numbers = new Float64Array(this.#records.size)
    let at = 0
    for (const record of this.#records) numbers[at++] = of(record)
    return numbers
  }

  columns(): Columns {
    const lines = new ByteBuffer(1 << 12)
    const ends = this.numbers(({ line }) => {
      lines.append(line)
      return lines.length
    })
    return {
      time: this.numbers(({ time }) => time),
      arrival: this.numbers(({ arrival }) => arrival),
      port: Uint8Array.from(this.#records, ({ port }) => port),
      matched: Uint8Array.from(this.#records, ({ matched }) => (matched ? 1 : 0)),
      key: Int32Array.from(this.#records, ({ key }) => (key === undefined ? NONE : this.keyOf(key))),
      keys: [...this.#keys.keys()],
      lines: lines.view(),
      ends,
    }
  }
}

/** Records again, in their order. Each has a line of its own, so that it can go when it is done. */
export function recordsOf({ time, arrival, port, matched, key, keys, lines, ends }: Columns): Kept[] {
  const records: Kept[] = []
  for (let at = 0; at < time.length; at++) {
    records.push({
      port: port[at] as 0 | 1,
      time: time[at]!,
      arrival: arrival[at]!,
      key: key[at] === NONE ? undefined : keys[key[at]!],
      line: new Uint8Array(lines.subarray(at === 0 ? 0 : ends[at - 1], ends[at])),
      matched: matched[at] === 1,
    })
  }
  return records
}
