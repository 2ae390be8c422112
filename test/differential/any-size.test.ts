// Data larger than memory gives what other tools give, and what more memory, other threads and another way in give.
// BECK_LARGE=1 takes 100 MB, --memory 16MiB, and every combination: npm run large.
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'

const large = process.env['BECK_LARGE'] !== undefined
const folder = temporaryFolder()
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

/** Writes lines until there are so many bytes. */
function writeLines(file: string, bytes: number, make: (index: number) => string): void {
  const fd = openSync(join(folder, file), 'w')
  let held = ''
  for (let index = 0, written = 0; written < bytes; index++) {
    const line = `${make(index)}\n`
    held += line
    written += Buffer.byteLength(line)
    if (held.length > 1 << 20) {
      writeSync(fd, held)
      held = ''
    }
  }
  writeSync(fd, held)
  closeSync(fd)
}

describe('as the tools of the system', () => {
  beforeAll(() => {
    const next = numbers(7)
    // Few words are frequent, many are rare, as in a language.
    const word = (): string => {
      const rank = Math.floor(2 ** (next(18_000) / 1000))
      return `${['stream', 'Fluß', 'Beck', 'река', '川', 'x'][rank % 6]!}${rank}${next(9) ? '' : [',', '.', '—'][rank % 3]!}`
    }
    writeLines('text', large ? 100e6 : 4e6, () =>
      Array.from({ length: next(14) }, word).join([' ', '  ', '\t'][next(3)]),
    )
    const letters = 'abcXYZ äß\u{10400}川-_09'
    const key = (): string => Array.from({ length: next(12) }, () => [...letters][next(15)]!).join('')
    writeLines('keys', large ? 100e6 : 5e6, (n) => `{"k":"${key()}","n":${n}}`)
  })

  it.each(MEMORIES)('counts words as tr | sort | uniq -c does %s', LONG, async (memory) => {
    const expected = await run(
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
    await run(String.raw`LC_ALL=C sort -s -t '"' -k 4,4 keys > sorted`)
    await run(`beck sort --by k ${memory} keys | cmp - sorted`)
    await run(`cat keys | beck sort --by k ${memory} | cmp - sorted`)
  })
})

describe('the same whatever the memory, the threads and the way in', () => {
  beforeAll(() => {
    const next = numbers(11)
    const pad = 'x'.repeat(large ? 100 : 300)
    // Enough for a second thread.
    writeLines(
      'records',
      large ? 120e6 : 34e6,
      (n) => `{"k":"key ${next(40_000)}","t":${n * 10 + next(2000)},"n":${next(1000) / 100},"pad":"${pad}"}`,
    )
    writeLines('table', large ? 20e6 : 1e6, (n) => `{"k":"key ${n}","name":"number ${n}"}`)
  })

  // What spills on one thread is also in test/pipeline/spill.test.ts.
  const threaded = [
    'join table --on k --type left',
    "reduce 'count, sum(n), avg(n), p50(n), last(t)' --by k",
    "window 'count, sum(n), p50(n)' --time t --time-unit ms --tumbling 5m --delay 2s --by k",
  ]
  const others = [
    'shuffle --by k --partitions 3',
    'sort --by n,-k',
    'join table --on k --merge --type full',
    'dedupe --by k',
    'dedupe --by k --keep last --count',
    "window 'count, sum(n)' --time t --time-unit ms --hopping 10m/5m --delay 2s --by k",
    "window 'count, list(n)' --time t --time-unit ms --session 1m --delay 2s --by k",
  ]
  it.each(large ? [...threaded, ...others] : threaded)('%s', LONG, async (command) => {
    const memory = command.startsWith('join table --on k --type') ? '160MiB' : large ? '16MiB' : '3MiB'
    const [expected] = (await run(`beck ${command} --memory 8GiB --workers 2 records | md5sum`)).split(' ')
    const runs = large
      ? ['8GiB', memory].flatMap((memory) =>
          ['--workers 1 records', '--workers 2 records', '--workers 2 < records', '--workers 1 - < records'].map(
            (way) => `--memory ${memory} ${way}`,
          ),
        )
      : [`--memory ${memory} --workers 2 records`, `--memory ${memory} --workers 1 < records`]
    for (const way of runs) {
      expect((await run(`beck ${command} ${way} | md5sum`)).split(' ')[0], way).toBe(expected)
    }
  })
})
