import type { RecordBatch } from '../../src/core/batch.ts'
import { Projection, type FieldPath } from '../../src/core/field-path.ts'
import type { Collector, Problem, StageContext } from '../../src/core/operator.ts'
import { compileExpression, resolveExpression, type ExpressionMode } from '../../src/expression/index.ts'
import { FilterOperator, MapOperator, planMap } from '../../src/expression/operators.ts'
import { createScanner, type ScannerName } from '../../src/ndjson/index.ts'
import type { Scanner } from '../../src/ndjson/scanner.ts'

export interface RunOptions {
  mode?: ExpressionMode
  flat?: boolean
  args?: Readonly<Record<string, string>>
  scanner?: ScannerName
  /** Fields that are read whatever the expression reads: then one scanner serves for many expressions. */
  reads?: readonly FieldPath[]
  /** Words are made records of by the next stage's scanner. */
  words?: boolean
}

const scanners = new Map<string, Scanner>()
/** A scanner keeps its memory: so one for all runs that read the same. */
function scannerFor(reads: readonly FieldPath[], name: ScannerName): Scanner {
  const key = JSON.stringify([name, reads])
  const scanner = scanners.get(key) ?? createScanner({ reads, strict: false }, name)
  scanners.set(key, scanner)
  return scanner
}

function projectionOf(reads: readonly FieldPath[] = []): Projection {
  const projection = new Projection()
  for (const path of reads) projection.add(path)
  return projection
}

let next: Scanner | undefined
/** As a scanner behind the stage makes records of words. */
function emitsWords(take: (lines: Uint8Array) => void): Required<Pick<Collector, 'emitWords'>> {
  next ??= createScanner({ reads: [['w']], strict: false, apart: true }, 'wasm')
  next.begin({ file: 'x', base: 0, lineAt: () => 1 })
  const emitWords: Required<Collector>['emitWords'] = (member, text) =>
    next?.readText?.('word', text, ({ batch }) => take(batch.lines(undefined, 0, batch.count)), member) !== undefined
  return { emitWords }
}

/** What a stage wrote, with "!problem" in place of each rejected record. */
function run(
  projection: Projection,
  input: string,
  scanner: ScannerName,
  open: (context: StageContext) => { processBatch(batch: RecordBatch, out: Collector): void },
  words = false,
): string {
  let text = ''
  const out: Collector = {
    forward: (batch, mask, from = 0, to = batch.count) => out.emit(batch.lines(mask, from, to)),
    emit: (lines) => void (text += Buffer.from(lines).toString('latin1')),
    emitText: (lines) => void (text += lines),
    ...(words && emitsWords((lines) => out.emit(lines))),
  }
  const context = {
    reject: (_batch: RecordBatch, _row: number, { problem }: Problem) => void (text += `!${problem}\n`),
  } as unknown as StageContext // the operators here use nothing else
  const scan = scannerFor(projection.paths, scanner)
  scan.begin({ file: 'x', base: 0, lineAt: () => 1 })
  const operator = open(context)
  const bytes = Buffer.from(input)
  for (let from = 0; ;) {
    const room = scan.room()
    const length = Math.min(room.length, bytes.length - from)
    room.set(bytes.subarray(from, from + length))
    from += length
    const { batch, bad } = scan.scan(length, from === bytes.length)
    for (const { problem } of bad) text += `!!${problem}\n`
    operator.processBatch(batch, out)
    if (from === bytes.length) return Buffer.from(text, 'latin1').toString()
  }
}

export function runMap(expression: string, input: string, options: RunOptions = {}): string {
  const { mode = 'auto', flat = false, args = {}, scanner = 'reference' } = options
  const projection = projectionOf(options.reads)
  const plan = planMap(resolveExpression(expression, projection, { args, mode }), mode, flat)
  return run(projection, input, scanner, (context) => new MapOperator(plan, flat, context), options.words)
}

export function runFilter(expression: string, input: string, options: RunOptions = {}): string {
  const { mode = 'auto', args = {}, scanner = 'reference' } = options
  const projection = projectionOf(options.reads)
  const compiled = compileExpression(expression, projection, { args, mode })
  return run(projection, input, scanner, (context) => new FilterOperator(compiled, context))
}

export const MODES: readonly ExpressionMode[] = ['auto', 'fields', 'record']
