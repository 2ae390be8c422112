// What `--stats json` tells: records in and out of each stage, the same however the pipeline is run.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { allRewrites, chooseRewrites } from '../../src/run/rewrite.ts'
import type { StageStats } from '../../src/run/stats.ts'
import { shell, temporaryFolder } from '../shell.ts'
import { runText } from './in-process.ts'

const folder = temporaryFolder()
const records = Array.from({ length: 500 }, (_, n) => ({
  n,
  k: n % 7,
  t: new Date(1767225600000 + n * 1000).toISOString(),
}))
const lines = records.map((record) => `${JSON.stringify(record)}\n`).join('')
writeFileSync(join(folder, 'in.ndjson'), lines)
writeFileSync(join(folder, 'words'), 'one two three\nfour\n')

interface Stats {
  readonly mode: string
  readonly stages: readonly StageStats[]
  readonly phases: readonly { readonly phase: string; readonly stages: readonly StageStats[] }[]
  readonly rest?: { readonly stages: readonly StageStats[] }
  readonly members?: number
}
const statsOf = (stderr: string): Stats => JSON.parse(stderr.split('\n').find((line) => line.startsWith('{')) ?? '{}')
/** `filter 500→429`: what a stage was given and gave. */
const short = (stages: readonly StageStats[]): string[] =>
  stages.map(({ name, in: into, out }) => `${name} ${into ?? ''}→${out ?? ''}`)

const text =
  "filter 'r.k > 0' in.ndjson | map '{k: r.k, t: r.t}' | window count --tumbling 1m --time t --by k | sort --by -count --limit 5"
const told = ['filter 500→428', 'map 428→428', 'window 428→54', 'sort 54→5']

/** Of a job: what the phases did, then the rest. */
const phasesOf = (stderr: string): [string, string[]][] => {
  const { phases, rest } = statsOf(stderr)
  return [...phases, { phase: 'rest', stages: rest?.stages ?? [] }].map(({ phase, stages }) => [phase, short(stages)])
}

describe.concurrent('--stats json', () => {
  for (const mode of ['fused', 'pipes']) {
    it(`stages, ${mode}`, async () => {
      const got = await shell(`beck run --mode ${mode} --stats json "${text}"`, { cwd: folder })
      expect(got.exit).toBe(0)
      expect(got.stdout.toString().split('\n')).toHaveLength(6)
      const stats = statsOf(got.stderr)
      expect(stats.mode).toBe(mode)
      expect(short(stats.stages)).toEqual(told)
      expect(stats.stages.map(({ stage }) => stage)).toEqual([1, 2, 3, 4])
      // Where its last record is.
      expect(stats.stages[2]?.watermark).toBe('2026-01-01T00:08:19.000Z')
    })

    it(`branches and tables, ${mode}`, async () => {
      const cwd = join(folder, mode)
      mkdirSync(cwd)
      const line = `from words ../words | tee (filter 'r.word > \\"p\\"' | append late) | join (filter true ../in.ndjson | map '{word: \\"two\\", n: r.n}') --on word | to csv`
      const got = await shell(`beck run --mode ${mode} --stats json "${line}"`, { cwd })
      expect(got.exit, got.stderr).toBe(0)
      const [from, filter, map, ...rest] = short(statsOf(got.stderr).stages)
      expect([from, filter]).toEqual(['from →4', 'filter 500→500'])
      // Who reads a table does not say how much.
      expect(map).toBe(mode === 'fused' ? 'map 500→500' : 'map 500→')
      expect(rest).toEqual(['join 4→500', 'to 500→', 'filter 4→2', 'append 2→'])
    })

    it(`nothing comes, or a stage fails, ${mode}`, async () => {
      const none = await shell(`beck run --mode ${mode} --stats json "filter false | reduce count" < /dev/null`, {
        cwd: folder,
      })
      expect(short(statsOf(none.stderr).stages)).toEqual(['filter 0→0', 'reduce 0→1'])
      const bad = await shell(
        `printf '{"a":1}\\n{"a":2}\\n!\\n' | beck run --mode ${mode} --stats json "filter r.a | sort --by a"`,
        { cwd: folder },
      )
      expect(bad.exit).toBe(1)
      expect(short(statsOf(bad.stderr).stages)[1]).toBe('sort 2→2')
    })

    it(`stages that read by themselves, ${mode}`, async () => {
      const line = `filter 'r.k > 0' in.ndjson | via -- cat | join --merge in.ndjson --on n | via -- head -n 3 | shuffle --by k --exec cat`
      const got = await shell(`beck run --mode ${mode} --stats json "${line}"`, { cwd: folder })
      expect(got.exit, got.stderr).toBe(0)
      const [filter, ...rest] = short(statsOf(got.stderr).stages)
      // Nobody counts what a program reads.
      expect(filter).toBe(mode === 'fused' ? 'filter 500→428' : 'filter 500→')
      expect(rest).toEqual(['via →', 'join 928→', 'via →3', 'shuffle 3→3'])
    })

    it(`exactly once, ${mode}`, async () => {
      const cwd = join(folder, `${mode}-topic`)
      mkdirSync(cwd)
      await shell('beck append clicks --partitions 2 ../in.ndjson', { cwd })
      const line = `consume clicks --group g --exactly-once | filter 'r.k > 0' | append good`
      const got = await shell(`beck run --mode ${mode} --stats json "${line}"`, { cwd })
      expect(got.exit, got.stderr).toBe(0)
      expect(short(statsOf(got.stderr).stages)).toEqual(['consume →500', 'filter 500→428', 'append 428→'])
    })
  }

  it('a reader that goes away ends the pipes', async () => {
    const got = await shell(
      `beck run --mode pipes --stats json "filter true in.ndjson" | head -n 1; echo \${PIPESTATUS[0]}`,
      {
        cwd: folder,
      },
    )
    expect(got.stdout.toString()).toBe(`${JSON.stringify(records[0])}\n0\n`)
    expect(statsOf(got.stderr).stages[0]?.name).toBe('filter')
  })

  it('phases of a job, also of one that goes on', async () => {
    const line = `filter 'r.k > 0' in.ndjson | shuffle --by k --partitions 2 | reduce count --by k | sort --by k --limit 1`
    const run = (more: string) => shell(`beck run --mode parallel --workers 2 ${more} "${line}"`, { cwd: folder })
    const expected = [
      ['map', ['filter 500→428', 'reduce 428→6', 'shuffle 6→6']],
      ['reduce', ['shuffle 6→6', 'reduce 6→6']],
      ['rest', ['sort 6→1']],
    ]
    expect(phasesOf((await run('--stats json')).stderr)).toEqual(expected)
    const full = await shell(`ulimit -f 0; beck run --mode parallel --out job "${line}"`, { cwd: folder })
    expect(full.exit).toBe(3)
    expect(phasesOf((await run('--out job2 --stats json')).stderr)).toEqual(expected)
  })

  it('a state that tasks write, and what comes of all of them', async () => {
    const got = await shell(
      `beck run --mode parallel --workers 2 --split 4KiB --stats json "map '{k: r.k}' in.ndjson | reduce count --by k | to csv"`,
      { cwd: folder },
    )
    expect(phasesOf(got.stderr)).toEqual([
      ['map', ['map 500→500', 'reduce 500→']],
      ['rest', ['reduce →7', 'to 7→']],
    ])
    expect(statsOf(got.stderr).rest?.stages.map(({ stage }) => stage)).toEqual([2, 3])
  })

  it('members of a group, together', async () => {
    const cwd = join(folder, 'members')
    mkdirSync(cwd)
    await shell('beck append clicks --by k --partitions 4 ../in.ndjson', { cwd })
    const line = "consume clicks --group g | filter 'r.k > 0'"
    const got = await shell(`beck run --mode parallel --workers 2 --stats json "${line}"`, { cwd })
    expect(statsOf(got.stderr).members).toBe(2)
    expect(short(statsOf(got.stderr).stages)).toEqual(['consume →500', 'filter 500→428'])
  })
})

describe('on threads and on one', () => {
  const texts = [
    text,
    "filter 'r.k > 0' in.ndjson | reduce count --by k",
    "map '{k: r.k}' in.ndjson | filter 'r.k > 3'",
    "map --flat '[r, r]' in.ndjson | dedupe --by n | reduce 'sum(n)'",
    'window count --session 5s --time t in.ndjson | filter true',
  ].map((line) => line.replace('in.ndjson', join(folder, 'in.ndjson')))
  for (const line of texts) {
    it(line.replace(folder, ''), async () => {
      const runs: string[][] = []
      for (const threads of [false, true]) {
        for (const rewrites of [allRewrites, chooseRewrites(['projection', 'fuse'])]) {
          const { stats } = await runText(line, rewrites, join(folder, 'out'), threads)
          runs.push(short(stats))
        }
      }
      for (const run of runs) expect(run).toEqual(runs[0])
      expect(runs[0]?.[0]).toMatch(/ 500→/)
    })
  }
})
