import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
const START = Date.UTC(2026, 0, 1)

/** Large enough for several threads; one record in twenty is up to a minute late. */
function records(bytes: number, badAt = Infinity): string {
  const lines: string[] = []
  let seed = 1
  const below = (n: number): number => (seed = (seed * 48271) % 2147483647) % n
  for (let length = 0, row = 0; length < bytes; row++) {
    const time = START + row * 20 - (below(20) === 0 ? below(60_000) : 0)
    const t = row === badAt ? '"soon"' : `"${new Date(time).toISOString()}"`
    const line = `{"t":${t},"k":${below(4)},"n":${below(1000) / 100},"pad":"${'x'.repeat(200)}"}\n`
    lines.push(line)
    length += line.length
  }
  return lines.join('')
}

it('any number of threads gives the same bytes, counts and errors', { timeout: 120_000 }, async () => {
  writeFileSync(join(folder, 'good.ndjson'), records(36e6))
  writeFileSync(join(folder, 'bad.ndjson'), records(36e6, 100_000))
  for (const [file, exit] of [
    ['good', 0],
    ['bad', 1],
  ] as const) {
    for (const kind of ['--tumbling 1m --by k', '--hopping 5m/1m --lateness 10s', '--tumbling 1s --delay 30s --by k']) {
      const run = (workers: number) =>
        shell(`beck window 'count, sum(n), first(t)' --time t ${kind} --workers ${workers} ${file}.ndjson`, {
          cwd: folder,
        })
      const one = await run(1)
      expect(one.exit, one.stderr).toBe(exit)
      expect(one.stdout.length).toBeGreaterThan(1000)
      for (const workers of kind.startsWith('--hopping') ? [2, 5] : [3]) {
        const other = await run(workers)
        expect({ exit: other.exit, stderr: other.stderr }).toEqual({ exit, stderr: one.stderr })
        expect(other.stdout.equals(one.stdout)).toBe(true)
      }
    }
  }
})
