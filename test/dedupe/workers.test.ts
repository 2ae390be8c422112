import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
/** Large enough for a second thread. First few keys, then all different ones, then few again. */
beforeAll(() => {
  const key = (n: number): number => (n < 100_000 || n > 250_000 ? n % 999 : n)
  const records = Array.from({ length: 300_000 }, (_, n) => `{"k":${key(n)},"n":${n},"pad":"${'.'.repeat(100)}"}\n`)
  writeFileSync(join(folder, 'input'), records.join(''))
  writeFileSync(join(folder, 'bad'), records.with(200_000, 'no record\n').join(''))
})

const run = (command: string) => shell(command, { cwd: folder, timeoutMs: 60_000 })

it.each(['input', 'bad', '--memory 1MiB input', '--scanner input'])(
  'dedupe %s: one answer, whatever reads it',
  async (rest) => {
    const input = rest.replace('--scanner ', '')
    const env = rest.startsWith('--scanner') ? 'BECK_SCANNER=reference ' : ''
    const one = await run(`beck dedupe --by k --workers 1 ${input}`)
    expect(one.stdout.length).toBeGreaterThan(10_000_000)
    const two = await run(`${env}beck dedupe --by k --workers 2 ${input}`)
    expect(two.stdout.equals(one.stdout)).toBe(true)
    expect([two.exit, two.stderr]).toEqual([one.exit, one.stderr])
    expect(one.exit).toBe(rest === 'bad' ? 1 : 0)
  },
)
