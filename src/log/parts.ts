import type { RecordBatch, Scattered } from '../core/batch.ts'
import type { FieldPath } from '../core/field-path.ts'
import type { PartStage, SinkPart } from '../core/spec.ts'
import { crc32 } from '../ndjson/checksum.ts'
import { timesOf } from './times.ts'
import type { Append } from './transaction.ts'

/** How blocks are made ready for a topic. Plain data. */
export interface PartPlan {
  readonly reads: readonly FieldPath[]
  readonly partitions: number
  /** All records go here, when there is no `key`. */
  readonly partition: number
  /** Index of the key field among the reads. */
  readonly key?: number
  /** Index of the time field. */
  readonly timeField?: number
}
/** What more partitions than this get of one block is too little for working it out beside. */
export const MOST_PARTITIONS = 50

/** What a commit adds to one partition. */
export interface PartBatch extends Append {
  readonly partition: number
}

/** Numbers of a part for each partition that gets something: partition, records, CRC, least and greatest time. Pieces: lines, ranks. */
const NUMBERS = 5

/** What needs no order when records are appended: partitions, checksums and times of blocks. Any thread can do it. */
export function appendParts(plan: PartPlan): PartStage {
  const { reads, timeField } = plan
  return {
    reads,
    plan,
    makePart(batch) {
      const split = splitLines(batch, plan)
      const times = timeField === undefined ? undefined : timesOf(batch, timeField)
      if (!split || times?.some(Number.isNaN)) return undefined
      const numbers: number[] = []
      const pieces: Uint8Array[] = []
      const ranges = times && timeRanges(times, split.targets, plan)
      for (const [p, { count, lines, ranks }] of split.partitions.entries()) {
        if (count === 0) continue
        const [min, max] = ranges?.[p] ?? [0, 0]
        numbers.push(plan.key === undefined ? plan.partition : p, count, crc32(lines), min, max)
        pieces.push(lines, ranks)
      }
      return { numbers, pieces }
    },
  }
}

const NO_BYTES = new Uint8Array(0)

/** Undefined: the keys are not plain. */
function splitLines(
  batch: RecordBatch,
  { key, partitions }: PartPlan,
): (Pick<Scattered, 'partitions'> & { targets?: Uint16Array }) | undefined {
  if (key !== undefined) return batch.scatter?.(key, partitions)
  return { partitions: [{ count: batch.count, lines: batch.lines(undefined, 0, batch.count), ranks: NO_BYTES }] }
}

/** Least and greatest time of each partition. */
function timeRanges(
  times: Float64Array,
  targets: Uint16Array | undefined,
  { partitions }: PartPlan,
): [min: number, max: number][] {
  const ranges = Array.from({ length: partitions }, (): [number, number] => [Infinity, -Infinity])
  for (let row = 0; row < times.length; row++) {
    const range = ranges[targets ? (targets[row] as number) : 0] as [number, number]
    const time = times[row] as number
    if (time < range[0]) range[0] = time
    if (time > range[1]) range[1] = time
  }
  return ranges
}

/** What a part adds to each partition. @param timed the topic has a time field */
export function readPart({ numbers, pieces }: SinkPart, timed: boolean): PartBatch[] {
  const batches: PartBatch[] = []
  const alone = numbers.length === NUMBERS
  for (let at = 0, i = 0; at < numbers.length; at += NUMBERS, i += 2) {
    const [partition, count, crc, min, max] = numbers.slice(at, at + NUMBERS) as [
      number,
      number,
      number,
      number,
      number,
    ]
    batches.push({
      partition,
      lines: [pieces[i] as Uint8Array],
      count,
      crc,
      ...(timed && { times: [min, max] as const }),
      ...(!alone && { encodedRanks: pieces[i + 1] as Uint8Array }),
    })
  }
  return batches
}
