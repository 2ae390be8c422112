import { reduce } from '../../commands/reduce.ts'
import type { KeyTable, RecordBatch } from '../../src/core/batch.ts'
import type { FieldPath } from '../../src/core/field-path.ts'
import type { MergeableOperator, Operator, SharedEndOperator, StageContext } from '../../src/core/operator.ts'
import type { CommandSpec, OperatorStage } from '../../src/core/spec.ts'
import { createScanner, type ScannerName } from '../../src/ndjson/index.ts'
import type { Scanner } from '../../src/ndjson/scanner.ts'
import { memorySpill } from '../sort/spill.ts'

export interface RunOptions {
  readonly by?: string
  readonly partial?: boolean
  readonly merge?: boolean
  readonly limit?: string
  readonly scanner?: ScannerName
  /** Rows of a batch. */
  readonly batchRows?: number
  /** Which worker gets each line (by index); all go to worker 0 by default. */
  readonly worker?: (line: number) => number
  /** Workers in the order in which their states are merged into the first of them. */
  readonly mergeOrder?: readonly number[]
  readonly memoryBytes?: number
  /** What is left to do at the end is shared with another worker. */
  readonly shared?: boolean
}

export interface Ran {
  readonly lines: string[]
  /** Problems of rejected records. */
  readonly rejected: string[]
  /** Spill files that were made, and those still open at the end. */
  readonly spillFiles: number
  readonly openSpillFiles: number
}

/** Runs `beck reduce` in this process: the real command and scanner, over workers as the driver would have them. */
export const runReduce = (program: string, lines: readonly string[], options: RunOptions = {}): Promise<Ran> =>
  run(reduce, [program], lines, options)

/** Runs an operator command over lines. */
export async function run(
  command: CommandSpec,
  program: readonly string[],
  lines: readonly string[],
  {
    scanner = 'reference',
    batchRows = 3,
    worker = () => 0,
    mergeOrder,
    memoryBytes = 1 << 30,
    shared = false,
    ...flags
  }: RunOptions = {},
): Promise<Ran> {
  const options = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined))
  const spills = memorySpill()
  const rejected: string[] = []
  const workers = new Map<number, { operator: Operator; feed(line: string, position: number): void; flush(): void }>()
  const start = async (): Promise<{
    operator: Operator
    feed(line: string, position: number): void
    flush(): void
  }> => {
    // Once per worker, as the driver does.
    const stage = (await command.create({ program, files: [], options, args: {} })) as OperatorStage
    const { scan, keyTable } = borrow(stage.reads, scanner, workers.size)
    const context = {
      reject: (_batch: RecordBatch, _row: number, { problem }: { problem: string }) => void rejected.push(problem),
      keyTable,
      memoryBytes,
      workers: 1,
      spill: spills.spill,
    } as unknown as StageContext // operators here use nothing else
    const operator = stage.open(context)
    let held: { line: string; position: number }[] = []
    const flush = (): void => {
      const first = held[0]
      if (!first) return
      scan.begin({ file: 'test', base: first.position, lineAt: () => 1 })
      const bytes = Buffer.from(held.map(({ line }) => `${line}\n`).join(''))
      scan.room().set(bytes)
      held = []
      const { batch, bad } = scan.scan(bytes.length, true)
      if (bad.length > 0) throw new Error(`bad test record: ${bad[0]?.problem}`)
      operator.processBatch(batch, out, 0)
    }
    return {
      operator,
      feed(line, position) {
        const last = held.at(-1)
        // A batch is one piece of the input.
        if (last && last.position + Buffer.byteLength(last.line) + 1 !== position) flush()
        held.push({ line, position })
        if (held.length >= batchRows) flush()
      },
      flush,
    }
  }
  const out = {
    forward: () => {
      throw new Error('not expected to forward')
    },
    emit: (bytes: Uint8Array) => void (text += Buffer.from(bytes).toString()),
    emitText: (binary: string) => void (text += Buffer.from(binary, 'latin1').toString()),
  }
  let text = ''
  let position = 0
  for (const [index, line] of lines.entries()) {
    const number = worker(index)
    if (!workers.has(number)) workers.set(number, await start())
    workers.get(number)?.feed(line, position)
    position += Buffer.byteLength(line) + 1
  }
  if (workers.size === 0) workers.set(0, await start())
  const order = mergeOrder?.filter((number) => workers.has(number)) ?? [...workers.keys()]
  const [first, ...others] = order.map((number) => workers.get(number)!)
  for (const { flush } of workers.values()) flush()
  for (const { operator } of others) {
    const state: unknown = structuredClone((operator as MergeableOperator).exportState())
    ;(first!.operator as MergeableOperator).mergeState(state)
  }
  if (shared) {
    const operator = first!.operator as SharedEndOperator
    for (let round = operator.nextRound(); round; round = operator.nextRound()) {
      const other = (await start()).operator as SharedEndOperator
      other.joinRound(structuredClone(round))
      for (let task = 0; task < round.tasks; task++) (task % 2 ? other : operator).endTask(task)?.(out)
      operator.mergeRound(structuredClone(other.leaveRound()))
    }
  }
  first!.operator.onEnd?.(out)
  return { lines: text.split('\n').slice(0, -1), rejected, spillFiles: spills.made, openSpillFiles: spills.open }
}

interface Pooled {
  readonly scan: Scanner
  readonly tables: Map<string, KeyTable[]>
}
const pool = new Map<string, Pooled>()

/** A scanner and its key tables, used again run after run: the fast one's memory is never given back. */
export function borrow(
  reads: readonly FieldPath[],
  which: ScannerName,
  worker: number,
): { scan: Scanner; keyTable(fields: readonly number[]): KeyTable } {
  const name = JSON.stringify([reads, which, worker])
  let pooled = pool.get(name)
  if (!pooled) pool.set(name, (pooled = { scan: createScanner({ reads, strict: false }, which), tables: new Map() }))
  const { scan, tables } = pooled
  const taken = new Map<string, number>()
  return {
    scan,
    keyTable(fields) {
      const known = tables.get(fields.join()) ?? []
      tables.set(fields.join(), known)
      const index = taken.get(fields.join()) ?? 0
      taken.set(fields.join(), index + 1)
      const table = (known[index] ??= scan.keyTable(fields))
      table.clear()
      return table
    },
  }
}
