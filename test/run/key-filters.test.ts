// Filters of keys behind stages that put records together by key: the rewrite changes neither output nor exit code nor what is said about late records.
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { allRewrites, chooseRewrites } from '../../src/run/rewrite.ts'
import { quoted } from '../../src/run/shell-line.ts'
import { temporaryFolder } from '../shell.ts'
import { type FusedResult, runText, writeParts } from './in-process.ts'

const folder = temporaryFolder()
/** What stages are given in between is what rewrites are about. */
const visible = ({ output, exit, errors, counts }: FusedResult) => ({ output, exit, errors, counts })
const without = chooseRewrites(['filter-first'])

/** Keys that are equal and are not spelt alike, that are printed as null, and that a filter may fail on. */
const key = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      '"a"',
      '"b"',
      '"\\u0061"',
      '1',
      '1.0',
      '10e-1',
      '0',
      '-0',
      'null',
      'true',
      'false',
      '""',
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '100000000000000000000',
      '1e20',
      '9007199254740993',
      '-1e400',
      '0.1',
      '[1]',
      '[1.0]',
      '{"x":1,"y":2}',
      '{"y":2,"x":1.0}',
      '{"toString":1}',
    ),
  },
)
const number = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: -3, max: 12 }).map(String) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('null', '2.50', '"x"', 'true', '{"a":1}', '1e2', '1e99999', '12345678901234567890'),
  },
)
const time = fc
  .integer({ min: 0, max: 600 })
  .map((seconds) => JSON.stringify(new Date(1767225600000 + seconds * 1000).toISOString()))
const record = fc
  .record(
    {
      k: key,
      deep: fc.oneof(
        key,
        key.map((inner) => `{"k":${inner}}`),
      ),
      n: number,
      t: time,
    },
    { requiredKeys: ['t'] },
  )
  .map(
    (members) =>
      `{${Object.entries(members)
        .map(([name, text]) => `"${name}":${text}`)
        .join(',')}}`,
  )
const odd = fc.constantFrom('{"k":"a"', '{"k":"b","n":}', '{"k":"b"}', '{"t":"x","k":"c"}', '7', '[{"k":"a"}]', '')
const lines = fc
  .tuple(fc.array(record, { maxLength: 60 }), fc.option(odd, { freq: 6 }), fc.nat(60))
  .map(([records, extra, at]) => (extra === null ? records : records.toSpliced(at, 0, extra)))

const by = fc.constantFrom('k', 'key=k', 'k,deep', 'k=deep', 'deep.k', 'x=deep.k,k=n')
const aggregates = fc.constantFrom(
  'count',
  'count, sum(n)',
  'list(n), last(k)',
  'max(n), first(deep)',
  'count(n)',
  'x2 = count where r.n > 2',
  'c = concat(n)',
  'm = argmax(t, n), p50(n)',
  'f = fold((s, r) => s + (r.n === "x" ? r.n.y.z : 1), 0, (a, b) => a + b)',
)
const window = fc
  .tuple(
    aggregates,
    by,
    fc.constantFrom('--tumbling 1m', '--hopping 2m/1m', '--hopping 1m/2m', '--session 20s'),
    fc.constantFrom(
      '',
      '--delay 2m',
      '--lateness 1m',
      '--late update --lateness 3m',
      '--late correct --lateness 2m --delay 10s',
    ),
    fc.constantFrom('', '', '--emit changes'),
  )
  .map(([what, keys, kind, late, emit]) => {
    const more = [kind, late, emit].flatMap((words) => words.split(' ').filter(Boolean))
    return ['window', what, '--time', 't', '--by', keys, ...more]
  })
const reduce = fc.tuple(aggregates, by).map(([what, keys]) => ['reduce', what, '--by', keys])
const dedupe = fc
  .tuple(by, fc.constantFrom([], ['--keep', 'last'], ['--count']))
  .map(([keys, more]) => ['dedupe', '--by', keys, ...more])
const filter = fc
  .constantFrom(
    'r.k === "a"',
    'r.k == 1',
    'r.k',
    '!r.k',
    'r.k !== null',
    'r.k === undefined',
    'r.k > 0',
    'r.k != "b" && r.k != 1',
    'r.key === "a"',
    'r.key < 5 || r.key === "b"',
    'r.deep === "a"',
    'r.deep.k === "a"',
    'r.k === "a" || r.deep === 1',
    'r.x === 1',
    'r.k === "a" && r.count > 1',
    'r.window.start > "2026-01-01T00:02"',
    'i % 2 === 0 || r.k === "a"',
    'r.k.length > 0',
    'r.k === args.wanted',
  )
  .map((text) => (text.includes('args') ? ['filter', text, '--arg', 'wanted=a'] : ['filter', text]))
const between = fc.constantFrom<string[][]>(
  [],
  [],
  [['sort', '--by', 'k']],
  [['shuffle', '--by', 'k', '--partitions', '2']],
)
const pipeline = fc
  .tuple(fc.oneof({ weight: 3, arbitrary: window }, reduce, dedupe), between, filter, fc.option(filter, { freq: 3 }))
  .map(([groups, others, first, second]) => [groups, ...others, first, ...(second ? [second] : [])])

describe('a filter of keys', { timeout: 120_000 }, () => {
  it('goes before what groups by them, and nothing else changes', async () => {
    let run = 0
    let rewritten = 0
    await fc.assert(
      fc.asyncProperty(pipeline, lines, fc.nat(2), async (stages, records, cut) => {
        const files = writeParts(join(folder, String(run)), records, cut + 1)
        run++
        const [first, ...rest] = stages as [string[], ...string[][]]
        const text = [[...first, ...files], ...rest].map((words) => words.map(quoted).join(' ')).join(' | ')
        for (const threads of [false, true]) {
          const expected = await runText(text, without, join(folder, 'output'), threads)
          const got = await runText(text, allRewrites, join(folder, 'output'), threads)
          if (got.made.some(({ name }) => name === 'filter-first')) rewritten++
          expect(visible(got), `${text} ${threads ? 'on several threads' : ''}`).toEqual(visible(expected))
        }
      }),
      { numRuns: Number(process.env['BECK_KEY_FILTERS'] ?? 40) },
    )
    // It is about pipelines that are rewritten.
    expect(rewritten).toBeGreaterThan(run / 10)
  })
})
