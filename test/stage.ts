import type { RecordBatch } from '../src/core/batch.ts'
import type { Collector, StageContext } from '../src/core/operator.ts'
import type { Arguments, CommandSpec } from '../src/core/spec.ts'
import type { FieldPath } from '../src/core/field-path.ts'
import { createScanner, type ScannerName } from '../src/ndjson/index.ts'
import { memorySpill } from './sort/spill.ts'
import { feed } from './ndjson/scan.ts'

export interface StageSettings {
  readonly options?: Arguments['options']
  readonly table?: string
  readonly memoryBytes?: number
  readonly scanner?: ScannerName
  /** Where the input is cut into blocks. */
  readonly cuts?: readonly number[]
  /** Of a stage of two inputs: which side's next line comes, one after the other; then the rest, right first. By default right comes first. */
  readonly turns?: readonly (0 | 1)[]
  /** After so many turns, another operator goes on from a snapshot of the first. */
  readonly restartAfter?: number
}

export interface StageResult {
  readonly output: string
  readonly side: Readonly<Record<string, string>>
  readonly counts: Readonly<Record<string, number>>
  readonly spilled: number
  readonly rejected: readonly string[]
}

/** Runs a command's stage in this process, on lines. Spill files are in memory; bad records are gathered. */
export async function runStage(
  spec: CommandSpec,
  input: string,
  {
    options = {},
    table = '',
    memoryBytes = 1 << 30,
    scanner: which = 'reference',
    cuts = [],
    turns = [],
    restartAfter = -1,
  }: StageSettings,
): Promise<StageResult> {
  const stage = await spec.create({ program: ['table.ndjson'], files: ['left.ndjson'], options, args: {} })
  const files = memorySpill()
  const parts: string[] = []
  const side: Record<string, string> = {}
  const counts: Record<string, number> = {}
  const rejected: string[] = []
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
  const out: Collector = {
    forward: (batch, mask, from = 0, to = batch.count) => parts.push(text(batch.lines(mask, from, to))),
    emit: (lines) => parts.push(text(lines)),
    emitText: (lines) => parts.push(Buffer.from(lines, 'latin1').toString()),
  }
  const open = (reads: readonly FieldPath[]) => {
    const scanner = createScanner({ reads, strict: false }, which)
    const context: StageContext = {
      reject: (batch, row, { problem }) =>
        void rejected.push(`${problem}: ${text(batch.lines(undefined, row, row + 1)).trim()}`),
      keyTable: (fields) => scanner.keyTable(fields),
      now: () => 0,
      sideFile(name) {
        side[name] = ''
        return { write: (lines) => void (side[name] += text(lines)) }
      },
      count: (what, records) => void (counts[what] = (counts[what] ?? 0) + records),
      memoryBytes,
      workers: 1,
      spill: files.spill,
    }
    const read = (lines: string, process: (batch: RecordBatch) => void, at: readonly number[] = []): void => {
      scanner.begin({ file: 'x', base: 0, lineAt: () => 1 })
      const bytes = Buffer.from(lines)
      feed(
        scanner,
        bytes,
        at.filter((cut) => cut < bytes.length),
        ({ batch }) => process(batch),
      )
    }
    return { context, read }
  }
  if (stage.role === 'pair') {
    const [left, right] = [open(stage.reads[0]), open(stage.reads[1])]
    let operator = stage.open(left.context, right.context)
    const rest = [input, table].map((text) => text.match(/.*\n/g) ?? [])
    for (const [turn, port] of turns.entries()) {
      if (turn === restartAfter) {
        const state: unknown = structuredClone(operator.snapshot?.(true))
        operator = stage.open(left.context, right.context)
        operator.restore?.([state])
      }
      const line = rest[port]?.shift()
      if (line) (port === 0 ? left : right).read(line, (batch) => operator.processBatch(batch, out, port))
    }
    const [ofLeft, ofRight] = rest.map((lines) => lines.join(''))
    right.read(ofRight!, (batch) => operator.processBatch(batch, out, 1), cuts)
    operator.onEndOf?.(1, out)
    left.read(ofLeft!, (batch) => operator.processBatch(batch, out, 0), cuts)
    operator.onEndOf?.(0, out)
    operator.onEnd?.(out)
  } else if (stage.role === 'operator' || stage.role === 'table') {
    let operatorStage = stage
    if (operatorStage.role === 'table') {
      const right = open(operatorStage.reads)
      const reader = operatorStage.open(right.context)
      right.read(table, (batch) => reader.processBatch(batch), cuts)
      operatorStage = operatorStage.stage(reader.end())
    }
    const left = open(operatorStage.reads)
    const operator = operatorStage.open(left.context)
    left.read(input, (batch) => void operator.processBatch(batch, out, 0), cuts)
    operator.onEnd?.(out)
  } else throw new Error(`cannot run a ${stage.role}`)
  return { output: parts.join(''), side, counts, spilled: files.made, rejected }
}

/** Records as lines. */
export const lines = (records: readonly unknown[]): string =>
  records.map((record) => `${JSON.stringify(record)}\n`).join('')
