// Data larger than memory gives what other tools give, and what more memory, other threads and another way in give.
// BECK_LARGE=1 takes 100 MB, --memory 16MiB, and every combination: npm run large. What it has made stays in BECK_LARGE_FOLDER, so that it can be
// run in pieces (-t NAME).
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { program, shell, temporaryFolder } from '../shell.ts'

const large = process.env['BECK_LARGE'] !== undefined
const folder = large ? (process.env['BECK_LARGE_FOLDER'] ?? join(tmpdir(), 'beck-large')) : temporaryFolder()
mkdirSync(folder, { recursive: true })
const MEMORIES = large ? ['', '--memory 16MiB', '--memory 1MB'] : ['', '--memory 1MB']
const LONG = { timeout: large ? 1_800_000 : 120_000 }

/** Its output, after everything went well. */
async function run(command: string): Promise<string> {
  const line = `set -o pipefail; ${command}`
  const got = await shell(line, { cwd: folder, timeoutMs: large ? 600_000 : 60_000 })
  expect(got.exit, `${command}: ${got.stderr}`).toBe(0)
  return got.stdout.toString()
}

/** The same numbers in every run. */
function numbers(seed: number): (below: number) => number {
  return (below) => (seed = (seed * 48_271) % 2_147_483_647) % below
}

/** Lines until there are so many bytes. */
interface Input {
  readonly bytes: number
  /** Gives the line of an index. */
  make(): (index: number) => string
}

const inputs: Readonly<Record<string, Input>> = {
  text: {
    bytes: large ? 100e6 : 4e6,
    make: () => {
      const next = numbers(7)
      // Few words are frequent, many are rare, as in a language.
      const word = (): string => {
        const rank = Math.floor(2 ** (next(18_000) / 1000))
        return `${['stream', 'Fluß', 'Beck', 'река', '川', 'x'][rank % 6]!}${rank}${next(9) ? '' : [',', '.', '—'][rank % 3]!}`
      }
      return () => Array.from({ length: next(14) }, word).join([' ', '  ', '\t'][next(3)])
    },
  },
  keys: {
    bytes: large ? 100e6 : 5e6,
    make: () => {
      const next = numbers(8)
      const letters = [...'abcXYZ äß\u{10400}川-_09']
      const key = (): string => Array.from({ length: next(12) }, () => letters[next(15)]!).join('')
      return (n) => `{"k":"${key()}","n":${n}}`
    },
  },
  // Enough for a second thread.
  records: {
    bytes: large ? 120e6 : 34e6,
    make: () => {
      const next = numbers(11)
      const pad = 'x'.repeat(large ? 100 : 300)
      return (n) => `{"k":"key ${next(40_000)}","t":${n * 10 + next(2000)},"n":${next(1000) / 100},"pad":"${pad}"}`
    },
  },
  table: { bytes: large ? 20e6 : 1e6, make: () => (n) => `{"k":"key ${n}","name":"number ${n}"}` },
}

/** Sees that these are there. */
function make(...names: readonly string[]): void {
  for (const name of names) {
    const path = join(folder, name)
    if (existsSync(path)) continue
    const { bytes, make } = inputs[name]!
    const line = make()
    const fd = openSync(`${path}.making`, 'w')
    let held: string[] = []
    for (let index = 0, written = 0; written < bytes; index++) {
      held.push(line(index))
      if (index % 10_000 !== 9_999) continue
      written += writeSync(fd, `${held.join('\n')}\n`)
      held = []
    }
    closeSync(fd)
    renameSync(`${path}.making`, path)
  }
}

/** Dedupe works on one thread, and has no --workers. */
const waysOf = (command: string, way: string): string =>
  command.startsWith('dedupe ') ? way.replace(/--workers \d /, '') : way

/** What a command gives, once for each build of beck. */
async function once(command: string): Promise<string> {
  const digest = createHash('sha1')
    .update(`${command} ${statSync(program).mtimeMs}`)
    .digest('hex')
  const path = join(folder, `result-${digest}`)
  if (!existsSync(path)) writeFileSync(path, await run(command))
  return readFileSync(path, 'utf8')
}

describe('as the tools of the system', () => {
  it.each(MEMORIES)('counts words as tr | sort | uniq -c does %s', LONG, async (memory) => {
    make('text')
    const expected = await once(
      String.raw`tr -s ' \t\n' '\n' < text | grep . | LC_ALL=C sort | uniq -c | awk '{ print "{\"word\":\"" $2 "\",\"count\":" $1 "}" }' | tee counts | wc -l`,
    )
    expect(Number(expected)).toBeGreaterThan(10_000)
    await run(
      `beck from words text | beck reduce count --by word ${memory} | beck sort --by word ${memory} | cmp - counts`,
    )
    // As MapReduce would do it: a shuffle, and reducers that see each word's records together.
    await run(
      `beck from words text | beck shuffle --by word --partitions 4 ${memory} --exec 'beck reduce count --by word' | beck sort --by word | cmp - counts`,
    )
  })

  it.each(MEMORIES)('sorts as LC_ALL=C sort does, stable %s', LONG, async (memory) => {
    make('keys')
    await once(String.raw`LC_ALL=C sort -s -t '"' -k 4,4 keys > sorted`)
    await run(`beck sort --by k ${memory} keys | cmp - sorted`)
    await run(`cat keys | beck sort --by k ${memory} | cmp - sorted`)
  })
})

describe('the same whatever the memory, the threads and the way in', () => {
  // What spills on one thread is also in test/pipeline/spill.test.ts.
  const threaded = [
    'join table --on k --type left',
    'shuffle --by k --partitions 3 --sort -n',
    "reduce 'count, sum(n), avg(n), p50(n), last(t)' --by k",
    "window 'count, sum(n), p50(n)' --time t --time-unit ms --tumbling 5m --delay 2s --by k",
  ]
  const others = [
    'sort --by n,-k',
    'join table --on k --merge --type full',
    'join records --on t --merge',
    'dedupe --by k',
    'dedupe --by k --keep last --count',
    "window 'count, sum(n)' --time t --time-unit ms --hopping 10m/5m --delay 2s --by k",
    "window 'count, list(n)' --time t --time-unit ms --session 1m --delay 2s --by k",
  ]
  for (const command of large ? [...threaded, ...others] : threaded) {
    const memory = command.startsWith('join table --on k --type') ? '160MiB' : large ? '16MiB' : '3MiB'
    const reference = '--memory 8GiB --workers 2 records'
    const ways = large
      ? ['8GiB', memory]
          .flatMap((memory) =>
            ['--workers 1 records', '--workers 2 records', '--workers 2 < records', '--workers 1 - < records'].map(
              (way) => `--memory ${memory} ${way}`,
            ),
          )
          .filter((way) => way !== reference)
      : [`--memory ${memory} --workers 2 records`, `--memory ${memory} --workers 1 < records`]
    it.each(ways)(`${command} %s`, LONG, async (way) => {
      make('records', 'table')
      const expected = await once(`beck ${command} ${waysOf(command, reference)} | md5sum`)
      expect(await run(`beck ${command} ${waysOf(command, way)} | md5sum`)).toBe(expected)
    })
  }
})
