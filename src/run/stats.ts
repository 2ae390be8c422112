import type { Reading } from '../cli/board.ts'
import { writeAll } from '../pipeline/descriptor.ts'
import type { Line, Lines } from './lines.ts'

/** What a stage did, as `--stats json` tells it. */
export interface StageStats {
  /** From 1 on, in the order in which `--print-shell` has them. */
  readonly stage: number
  readonly name: string
  /** Good records. None of what begins a pipeline; undefined where nobody counted. */
  readonly in?: number
  /** None of what ends a pipeline. */
  readonly out?: number
  /** Of event time: where its operator was. */
  readonly watermark?: string
  /** Records of its topics that it has not read. */
  readonly lag?: number
}

/** Takes what the stages did, when the run is over. */
export type TakeStats = (stages: readonly StageStats[]) => void

/**
 * @param readings of all stages, by their index
 * @param out records that came out at the end, if somebody else has counted them
 */
export function stageStats({ line, all }: Lines, readings: readonly Reading[], out?: number): StageStats[] {
  const next = followers(line)
  const isSource = (index: number): boolean => ['tool', 'decoder'].includes(all[index]!.role)
  // What goes into a program is not counted.
  const isCounted = (index: number): boolean => !isSource(index) && all[index]!.role !== 'process'
  return all.map(({ name, role, output }, index) => {
    const { records, watermark, behind, out: gave }: Partial<Reading> = readings[index] ?? {}
    const after = next.get(index)
    // A join that reads two inputs counts the records of both.
    const taken = after !== undefined && all[after]?.role !== 'pair' ? readings[after]?.records : undefined
    const given = gave ?? (isSource(index) ? records : undefined) ?? taken
    const written = given ?? (index === all.length - 1 ? out : undefined)
    const ends = role === 'encoder' || output.records === 'none'
    return {
      stage: index + 1,
      name,
      ...(isCounted(index) && records !== undefined && { in: records }),
      ...(!ends && written !== undefined && { out: written }),
      ...(watermark !== undefined && Number.isFinite(watermark) && { watermark: new Date(watermark).toISOString() }),
      ...(behind !== undefined && { lag: behind }),
    }
  })
}

/** By stage, one that gets its records. */
function followers(line: Line, next = new Map<number, number>()): Map<number, number> {
  const { stages, forks, next: behind } = line
  const own = behind ? [...stages, behind.stage] : stages
  for (const [at, { index, table }] of own.entries()) {
    const after = own[at + 1] ?? (behind ? firstOf(behind.rest) : forks.map(firstOf).find(Boolean))
    if (after) next.set(index, after.index)
    if (table) followers(table, next)
  }
  for (const other of behind ? [behind.rest] : forks) followers(other, next)
  return next
}
const firstOf = ({ stages, forks, next }: Line): { readonly index: number } | undefined =>
  stages[0] ?? next?.stage ?? forks.map(firstOf).find(Boolean)

/** One line of JSON on standard error. */
export const writeStats = (stats: object): void =>
  void writeAll(2, Buffer.from(`${JSON.stringify(stats)}\n`), 'standard error')
