// Random pipelines over random records: fused, with each rewrite switched off in turn, and stage after stage on its own, each over the whole
// output of the one before. Output, exit code and what is said about errors agree. BECK_PIPELINES=all switches off each rewrite for each pipeline.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RecordBatch } from '../../src/core/batch.ts'
import { BeckError } from '../../src/core/errors.ts'
import type { Collector, StageContext } from '../../src/core/operator.ts'
import { heap } from '../../src/ndjson/heap.ts'
import { createScanner } from '../../src/ndjson/index.ts'
import type { Scanner } from '../../src/ndjson/scanner.ts'
import type { CommandStage } from '../../src/run/plan.ts'
import { allRewrites, chooseRewrites, type RewriteName, rewriteNames, type Rewrites } from '../../src/run/rewrite.ts'
import { quoted } from '../../src/run/shell-line.ts'
import { feed } from '../ndjson/scan.ts'
import { shell, temporaryFolder } from '../shell.ts'
import { memorySpill } from '../sort/spill.ts'
import { plan, type Result, runText, saying, writeParts } from './in-process.ts'

const folder = temporaryFolder()
const table = join(folder, 'table.ndjson')
writeFileSync(
  table,
  ['{"k":"a","x":1}', '{"k":"b","x":2,"n":5}', '{"k":"a","x":3,"t":null}', '{"k":1.0,"y":"ü"}', ''].join('\n'),
)

/** Another stream, a little out of order. */
const stream = join(folder, 'stream.ndjson')
writeFileSync(
  stream,
  [3, 40, 20, 41, 100, 260, 255, 610]
    .map((seconds, at) => {
      const t = new Date(1767225600000 + seconds * 1000).toISOString()
      return `{"k":${['"a"', '"b"', '1', 'null'][at % 4] as string},"t":"${t}","s":${at}}\n`
    })
    .join(''),
)

const value = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('"a"', '"b"', '"c"', '"\\u0061"', '1', '1.0', 'null', 'true') },
  { weight: 1, arbitrary: fc.constantFrom('{"x":1}', '[2]', '""', '12345678901234567890') },
)
const number = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: -3, max: 12 }).map(String) },
  { weight: 1, arbitrary: fc.constantFrom('null', '0.1', '2.50', '1e2', '-0') },
)
const odd = fc.constantFrom('"x"', '{"toString":1}', 'true')
const time = fc
  .integer({ min: 0, max: 900 })
  .map((seconds) => JSON.stringify(new Date(1767225600000 + seconds * 1000).toISOString()))
const record = fc
  .record({ k: value, n: number, t: time, ok: fc.boolean().map(String), deep: value }, { requiredKeys: ['t'] })
  .map(
    (members) =>
      `{${Object.entries(members)
        .map(([name, text]) => `"${name}":${text}`)
        .join(',')}}`,
  )
/** Some inputs have records on which stages fail, or lines that are none. */
const lines = fc
  .tuple(
    fc.array(record, { maxLength: 40 }),
    fc.option(
      fc.oneof(
        odd.map((n) => `{"k":"a","n":${n},"t":"2026-01-01T00:00:01Z"}`),
        fc.constantFrom(
          '{"k":"a","n":}',
          '{"k":"a","deep":}',
          '{"t":,"k":"c"}',
          '{"k":"b"',
          '  {"k":"c","t":"2026-01-01T00:00:02Z"} ',
          '',
        ),
      ),
      { freq: 4 },
    ),
    fc.nat(40),
  )
  .map(([records, extra, at]) => (extra === null ? records : records.toSpliced(at, 0, extra)))

const stage = fc.oneof(
  fc
    .constantFrom(
      'r.n > 3',
      'r.k === "a"',
      'r.ok',
      '!r.ok || r.n <= 7',
      'i % 3 !== 0',
      'r.k !== null && r.deep != 1',
      'r.n === undefined',
      'r.count >= 2',
      'r.u.x > 1',
    )
    .map((text) => ['filter', text]),
  fc
    .constantFrom(
      '{k: r.k, n: r.n, t: r.t}',
      '{k: r.deep, t: r.t, n: r.n}',
      '{t: r.t, k: r.k, big: r.n > 4}',
      '{...r, m: 1}',
      'r',
      'r => ({...r, n: Number(r.n) + 1})',
      '{k: r.k, k2: r.k, n: r.n, t: r.t}',
    )
    .map((text) => ['map', text]),
  fc
    .constantFrom([], ['--limit', '3'])
    .chain((limit) => fc.constantFrom('n', '-k,n', 't').map((by) => ['sort', '--by', by, ...limit])),
  fc
    .constantFrom('count', 'sum(n), first(t)', 'list(n), last(k)', 'count, x = max(n) where r.ok')
    .chain((what) => fc.constantFrom('k', 'k,ok', 'z=deep').map((by) => ['reduce', what, '--by', by])),
  fc
    .constantFrom('count', 'count, first(n)', 'each')
    .chain((what) =>
      fc
        .constantFrom('--tumbling 1m', '--hopping 2m/1m', '--session 20s')
        .map((kind) => [
          'window',
          what,
          '--time',
          't',
          '--quiet',
          ...kind.split(' '),
          ...(what === 'each' ? [] : ['--by', 'k']),
        ]),
    ),
  fc.constantFrom<string[]>(
    ['shuffle', '--by', 'k', '--partitions', '3'],
    ['dedupe', '--by', 'k'],
    ['dedupe', '--by', 'n', '--approx', '0.001'],
  ),
  fc
    .constantFrom([], ['--type', 'left'], ['--type', 'semi'], ['--type', 'anti'], ['--nest', 'u'], ['--type', 'full'])
    .map((more) => ['join', table, '--on', 'k', ...more]),
  // Stages that read by themselves.
  fc.oneof(
    fc.constantFrom<string[]>(
      ['via', '--', 'cat'],
      ['via', '--', 'sed', 's/"a"/"b"/'],
      ['via', '--lines', '--', 'cat'],
      ['shuffle', '--by', 'k', '--partitions', '2', '--exec', 'cat'],
      ['join', stream, '--on', 'k', '--within', '1m', '--time', 't', '--quiet'],
      ['join', stream, '--on', 'k', '--within', '-5s..2m', '--time', 't', '--delay', '5m', '--type', 'left', '--quiet'],
      ['join', stream, '--on', 'k', '--as-of', 't', '--delay', '1h', '--prefix', 'p_', '--quiet'],
    ),
    fc
      .constantFrom([], ['--type', 'full'], ['--type', 'anti'], ['--nest', 'u'])
      .map((more) => ['join', table, '--on', 'k', '--merge', ...more]),
  ),
)
/** Neighbours that a rewrite is about come more often than chance has it. */
const pair = fc.constantFrom<string[][]>(
  [
    ['sort', '--by', 'n'],
    ['filter', 'r.k === "a" || r.n >= 2'],
  ],
  [
    ['shuffle', '--by', 'k', '--partitions', '4'],
    ['filter', 'r.n > 1'],
    ['reduce', 'count, list(n), first(t)', '--by', 'k'],
  ],
  [
    ['shuffle', '--by', 'k,ok', '--partitions', '2'],
    ['reduce', 'sum(n), last(n)', '--by', 'k,o=ok'],
  ],
  [
    ['join', table, '--on', 'k', '--type', 'left'],
    ['filter', 'r.k != "a"'],
  ],
  [
    ['join', table, '--on', 'k', '--nest', 'u'],
    ['filter', 'r.n > 2'],
  ],
  [
    ['filter', 'r.ok'],
    ['map', '{k: r.k, when: r.t, n: r.n}'],
    ['window', 'count, max(n)', '--quiet', '--time', 'when', '--tumbling', '1m', '--by', 'k'],
  ],
  [
    ['map', '{a: r.k, b: r.deep}'],
    ['reduce', 'count, first(b.x)', '--by', 'a'],
  ],
  [
    ['window', 'count, list(n)', '--quiet', '--time', 't', '--tumbling', '2m', '--by', 'key=k'],
    ['filter', 'r.key === "a" || r.key === 1'],
  ],
  [
    ['reduce', 'sum(n), x = first(t)', '--by', 'kind=deep,k'],
    ['filter', 'r.kind != 1 && r.k'],
  ],
  [
    ['dedupe', '--by', 'k,deep', '--keep', 'last'],
    ['sort', '--by', 'n'],
    ['filter', '!(r.k === "b")'],
  ],
)
const pipeline = fc
  .tuple(
    fc.array(
      stage.map((one) => [one]),
      { minLength: 1, maxLength: 4 },
    ),
    fc.option(pair, { freq: 2 }),
    fc.nat(4),
  )
  .map(([stages, extra, at]) => (extra === null ? stages : stages.toSpliced(at, 0, extra)).flat().slice(0, 6))

/** One stage after the other, in memory, with the readable scanner; a stage that fails has written what it wrote, and the next one reads that. */
async function stagewise(stages: readonly (readonly string[])[], input: string): Promise<Result> {
  let output = input
  let exit = 0
  let isLoose = false
  const errors: string[] = []
  for (const words of stages) {
    const { stages: planned } = await plan(words.map(quoted).join(' '))
    const { stage: made } = planned[0] as CommandStage
    const parts: Buffer[] = []
    if (made?.role === 'process') {
      const [command = '', ...rest] = words.slice(words.indexOf('--') + 1)
      output = execFileSync(command, rest, { input: Buffer.from(output, 'latin1'), encoding: 'latin1' })
      continue
    }
    const text = (bytes: Uint8Array): number => parts.push(Buffer.from(bytes))
    const out: Collector = {
      forward: (batch, mask, from = 0, to = batch.count) => void text(batch.lines(mask, from, to)),
      emit: (bytes) => void text(bytes),
      emitText: (chars) => void parts.push(Buffer.from(chars, 'latin1')),
    }
    const scanners: Scanner[] = []
    const open = (reads: Parameters<typeof createScanner>[0]['reads']) => {
      const scanner = createScanner({ reads, strict: false }, 'wasm')
      scanners.push(scanner)
      scanner.begin({ file: 'x', base: 0, lineAt: () => 1 })
      const context: StageContext = {
        reject: (_batch, _row, { problem }) => {
          throw new BeckError('bad-record', { problem })
        },
        keyTable: (fields) => scanner.keyTable(fields),
        now: () => 0,
        sideFile: () => ({ write: () => {} }),
        count: () => {},
        memoryBytes: 1 << 28,
        workers: 1,
        spill: memorySpill().spill,
      }
      return { scanner, context }
    }
    try {
      let operator = made
      if (operator?.role === 'table') {
        const { scanner, context } = open(operator.reads)
        const reader = operator.open(context)
        feed(scanner, readFileSync(table), [], ({ batch }) => reader.processBatch(batch))
        operator = operator.stage(reader.end())
      }
      const give = (scanner: Scanner, bytes: Buffer, process: (batch: RecordBatch) => unknown): void =>
        feed(scanner, bytes, [], ({ batch, bad }) => {
          process(bad[0] ? batch.head(bad[0].row) : batch)
          if (bad[0]) throw new BeckError('bad-record', { problem: bad[0].problem })
        })
      const left = Buffer.from(output, 'latin1')
      if (operator?.role === 'pair') {
        const sides = [open(operator.reads[0]), open(operator.reads[1])] as const
        const running = operator.open(sides[0].context, sides[1].context)
        for (const port of [1, 0] as const) {
          const bytes = port === 1 ? readFileSync(operator.table) : left
          give(sides[port].scanner, bytes, (batch) => running.processBatch(batch, out, port))
          running.onEndOf?.(port, out)
        }
        running.onEnd?.(out)
      } else if (operator?.role === 'partitions') {
        const { scanner, context } = open(operator.reads)
        const running = operator.open(context)
        give(scanner, left, (batch) => running.processBatch(batch))
        // Each goes through `cat`.
        running.onEnd((_partition, bytes) => void text(bytes))
      } else if (operator?.role === 'operator') {
        const { scanner, context } = open(operator.reads)
        const running = operator.open(context)
        give(scanner, left, (batch) => running.processBatch(batch, out, 0))
        running.onEnd?.(out)
      } else throw new Error('not a stage of records')
    } catch (error) {
      isLoose ||= made?.role === 'pair' && made.reading === 'together'
      errors.push(saying(`beck ${words[0]}`, error))
      exit = error instanceof BeckError ? error.exit : 70
    } finally {
      for (const scanner of scanners) scanner.close()
    }
    output = Buffer.concat(parts).toString('latin1')
  }
  return { output, exit, errors, isLoose }
}

const fused = (text: string, rewrites: Rewrites, threads = false): Promise<Result> =>
  runText(text, rewrites, join(folder, 'output'), threads)

const names = Object.keys(rewriteNames) as RewriteName[]
const long = process.env['BECK_PIPELINES'] === 'all'
const numRuns = long ? 40 : 20

/** What chance has found: joins that give out records before their end, lines on their way to the next stage when one fails, who refuses a bad line, and joins that refuse records. */
const found: [string[][], string[], number, number][] = [
  [
    [
      ['shuffle', '--by', 'k', '--partitions', '4'],
      ['filter', 'r.n > 1'],
      ['reduce', 'count, list(n), first(t)', '--by', 'k'],
    ],
    ['{"n":2,"t":"2026-01-01T00:00:00.000Z"}', '{"k":"a","n":}'],
    1,
    0,
  ],
  [
    [
      ['join', table, '--on', 'k', '--type', 'full'],
      ['reduce', 'count', '--by', 'k'],
    ],
    ['{"k":"a","t":"2026-01-01T00:00:00.000Z"}', '{"n":1}'],
    0,
    0,
  ],
  [
    [
      ['map', '{k: r.k, n: r.n, t: r.t}'],
      ['sort', '--by', 'n'],
      ['filter', 'r.k === "a" || r.n >= 2'],
    ],
    ['{"t":"2026-01-01T00:00:00.000Z"}', '{"n":2,"t":"2026-01-01T00:00:00.000Z"}', '{"k":"a","n":}'],
    1,
    0,
  ],
  [
    [
      ['join', table, '--on', 'k', '--nest', 'u'],
      ['join', table, '--on', 'k', '--nest', 'u'],
      ['filter', 'r.n > 2'],
    ],
    ['{"k":"a","n":"x","t":"2026-01-01T00:00:01Z"}'],
    0,
    0,
  ],
  [
    [
      ['shuffle', '--by', 'k,ok', '--partitions', '2'],
      ['reduce', 'sum(n), last(n)', '--by', 'k,o=ok'],
      ['sort', '--by', 'n'],
    ],
    ['{"k":"b"'],
    0,
    0,
  ],
]

describe('pipelines of all kinds', { timeout: 240_000 }, () => {
  it('give the same bytes, fused or stage by stage, with and without each rewrite', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(pipeline, lines, fc.nat(2), fc.nat(names.length - 1), async (stages, records, cut, without) => {
        const files = writeParts(join(folder, String(run)), records, cut + 1)
        run++
        // A program that begins is given files, and asked nothing.
        const [first, ...rest] = [(stages[0] ?? []).filter((word) => word !== '--lines'), ...stages.slice(1)]
        const text = [[...first, ...files], ...rest].map((words) => words.map(quoted).join(' ')).join(' | ')
        const expected = await stagewise(stages, records.map((line) => `${line}\n`).join(''))
        const all = await fused(text, allRewrites)
        const threaded = await fused(text, allRewrites, true)
        const { isLoose } = expected
        const same = ({ output, exit }: Result) => ({ ...(!isLoose && { output }), exit: Math.min(exit, 1) })
        expect(same(all), text).toEqual(same(expected))
        expect(same(threaded), `${text} on several threads`).toEqual(same(expected))
        // Behind a stage that has failed, a shell's pipes may let another one fail, or not.
        expect(expected.errors, text).toEqual(expect.arrayContaining([...all.errors]))
        for (const name of long ? names : [names[without]!])
          expect(same(await fused(text, chooseRewrites([name]))), `${text} without ${name}`).toEqual(same(expected))
        expect(same(await fused(text, chooseRewrites(names))), `${text} without any rewrite`).toEqual(same(expected))
      }),
      { numRuns, examples: found },
    )
    // What a pipeline has of the kernel's memory is given back when it ends, and what nobody has closed when it is collected: that has its turn first.
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    for (let turn = 0; turn < 3; turn++) {
      collect()
      await new Promise(setImmediate)
    }
    expect(heap().usedBytes).toBeLessThan(256 << 20)
  })

  it('give the same bytes in tasks, and in pipes', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(pipeline, lines, fc.nat(names.length - 1), async (stages, records, without) => {
        const cwd = join(folder, `tasks-${run++}`)
        // A file is a piece at least.
        const files = writeParts(cwd, records, 3)
        // A program that begins is given files, and asked nothing.
        const [first, ...rest] = [(stages[0] ?? []).filter((word) => word !== '--lines'), ...stages.slice(1)]
        const text = [[...first, ...files], ...rest].map((words) => words.map(quoted).join(' ')).join(' | ')
        const { output, exit, isLoose } = await stagewise(stages, records.map((line) => `${line}\n`).join(''))
        const tasks = '--mode parallel --workers 2'
        for (const options of [tasks, `${tasks} --without ${names[without] as string}`, '--mode pipes']) {
          const line = `beck run ${options} "$TEXT"`
          const got = await shell(line, { cwd, env: { TEXT: text } })
          const same = { output: isLoose ? output : got.stdout.toString('latin1'), exit: Math.min(got.exit, 1) }
          expect(same, `${text} ${options}\n${got.stderr}`).toEqual({ output, exit: Math.min(exit, 1) })
        }
      }),
      { numRuns: long ? 15 : 4 },
    )
  }, 180_000)
})
