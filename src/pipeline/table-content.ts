import { crc32 } from 'node:zlib'
import type { RecordBatch } from '../core/batch.ts'

/** What tells one table from another: the length and CRC of its records. */
export interface Content {
  readonly bytes: number
  readonly crc: number
}

/** Whether a table is another one than it was. */
export const changedTable = (was: Content | undefined, is: Content | undefined): boolean =>
  was?.bytes !== is?.bytes || was?.crc !== is?.crc

/** The content of a table and one more batch of it. Some 4 GB/s. */
export function withBatch({ bytes, crc }: Content, batch: RecordBatch): Content {
  const lines = batch.lines(undefined, 0, batch.count)
  return { bytes: bytes + lines.length, crc: crc32(lines, crc) }
}
