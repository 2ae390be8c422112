import { expect, it } from 'vitest'
import { array, assert, asyncProperty, constantFrom, integer, option, record } from 'fast-check'
import type { FoldingOperator, Part, StageContext } from '../../src/core/operator.ts'
import { createScanner } from '../../src/ndjson/index.ts'
import { memorySpill } from '../sort/spill.ts'
import { runWindow, windowStage } from './run.ts'

/** Cuts the records into blocks, makes a part of each as a worker would, and folds them. */
async function runInParts(
  program: string,
  flags: string,
  rows: readonly object[],
  blockRows: number,
  memoryBytes = 1 << 30,
) {
  const stage = await windowStage(program, flags)
  expect(stage.parallel).toBe('ordered')
  const reads = { reads: stage.reads, strict: false }
  const ran = { lines: [] as string[], late: 0 }
  const spills = memorySpill()
  const context = (scanner: ReturnType<typeof createScanner>): StageContext => ({
    reject(_batch, _row, { problem }) {
      throw new Error(problem)
    },
    keyTable: (fields) => scanner.keyTable(fields),
    now: () => 0,
    sideFile: () => ({ write() {} }),
    count: (_what, records) => void (ran.late += records),
    memoryBytes,
    workers: 2,
    spill: spills.spill,
  })
  const scanners = [0, 1].map(() => createScanner(reads, 'reference'))
  const workers = scanners.map((scanner) => stage.openPart!(context(scanner)))
  const operator = stage.open(context(createScanner(reads, 'reference'))) as FoldingOperator
  const out = {
    forward() {},
    emitText() {},
    emit: (lines: Uint8Array) => void ran.lines.push(...Buffer.from(lines).toString().split('\n').slice(0, -1)),
  }
  let base = 0
  for (let at = 0; at < rows.length; at += blockRows) {
    const which = (at / blockRows) % 2
    const bytes = Buffer.from(
      rows
        .slice(at, at + blockRows)
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(''),
    )
    const scanner = scanners[which]!
    scanner.begin({ file: 'test', base, lineAt: () => 1 })
    scanner.room().set(bytes)
    workers[which]!.processBatch(scanner.scan(bytes.length, true).batch)
    base += bytes.length
    operator.addPart(structuredClone(workers[which]!.takePart()) as Part, out)
  }
  operator.onEnd?.(out)
  return ran
}

const item = record({
  t: integer({ min: -30, max: 90 }),
  k: option(constantFrom(1, 2, 'a', 'b')),
  n: integer({ min: -5, max: 5 }),
})
const flags = record({
  kind: constantFrom(
    '--tumbling 7ms',
    '--tumbling 10ms --offset -3ms',
    '--hopping 12ms/4ms',
    '--hopping 10ms/3ms',
    '--hopping 3ms/8ms',
    '--hopping 5ms/4ms',
  ),
  delay: constantFrom(0, 0, 3, 10, 100),
  lateness: constantFrom(0, 0, 5, 20),
  by: constantFrom('', '--by k'),
}).map(
  ({ kind, delay, lateness, by }) =>
    `--time t --time-unit ms ${kind} ${by} --delay ${delay}ms --lateness ${lateness}ms`,
)

it('blocks judged alone and folded come to what one thread does', async () => {
  await assert(
    asyncProperty(
      array(item, { maxLength: 60 }),
      flags,
      integer({ min: 1, max: 20 }),
      constantFrom(...Array.from({ length: 7 }, () => 1 << 30), 5000, 500),
      async (rows, flags, blockRows, memoryBytes) => {
        const program = 'count, sum(n), avg(n), first(t), last(t), list(n), min(t), distinct(n)'
        const whole = await runWindow(program, flags, rows)
        const parts = await runInParts(program, flags, rows, blockRows, memoryBytes)
        expect(parts.lines).toEqual(whole.lines)
        expect(parts.late).toBe(whole.late)
      },
    ),
    { numRuns: 600 },
  )
})

it.each([
  '--session 5ms',
  '--tumbling 5ms --late update',
  '--tumbling 5ms --emit changes',
  '--tumbling 5ms --idle 1s',
  '--tumbling 5ms --late-to late',
])('%s stays on one thread', async (flags) => {
  expect((await windowStage('count', `--time t ${flags}`)).parallel).toBeUndefined()
})
