import { ByteBuffer } from '../core/byte-buffer.ts'
import type { Kept } from './interval.ts'

/** Of a row that has no record on one side; the key of a record that is in no queue. */
export const NO_RECORD = -1

/** Records in columns, as a snapshot has them. */
export interface Columns {
  readonly time: Float64Array
  readonly watermark: Float64Array
  readonly arrival: Float64Array
  readonly matched: Uint8Array
  /** Lines one after the other, and where each ends. */
  readonly lines: Uint8Array
  readonly ends: Float64Array
  /** In which queue a record stands. */
  readonly port: Uint8Array
  readonly key: Int32Array
}

/** Gathers records, each once however often it is referred to. */
export class KeptRecords {
  readonly #numbers = new Map<Kept, number>()
  readonly #places: { readonly port: number; readonly key: number }[] = []

  /** The record's number. */
  add(record: Kept, place = { port: 0, key: NO_RECORD }): number {
    const known = this.#numbers.get(record)
    if (known !== undefined) return known
    this.#numbers.set(record, this.#places.length)
    return this.#places.push(place) - 1
  }

  columns(): Columns {
    const records = [...this.#numbers.keys()]
    const lines = new ByteBuffer(1 << 12)
    const ends = Float64Array.from(records, ({ line }) => {
      lines.append(line)
      return lines.length
    })
    return {
      time: Float64Array.from(records, ({ time }) => time),
      watermark: Float64Array.from(records, ({ watermark }) => watermark),
      arrival: Float64Array.from(records, ({ arrival }) => arrival),
      matched: Uint8Array.from(records, ({ matched }) => (matched ? 1 : 0)),
      lines: lines.view(),
      ends,
      port: Uint8Array.from(this.#places, ({ port }) => port),
      key: Int32Array.from(this.#places, ({ key }) => key),
    }
  }
}

/** Records again, in their order. Each has a line of its own, so that it can go when it is done. */
export function recordsOf({ time, watermark, arrival, matched, lines, ends }: Columns): Kept[] {
  return Array.from(time, (time, index) => ({
    time,
    watermark: watermark[index]!,
    arrival: arrival[index]!,
    line: new Uint8Array(lines.subarray(index === 0 ? 0 : ends[index - 1], ends[index])),
    matched: matched[index] === 1,
  }))
}
