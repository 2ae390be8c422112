import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
/** Large enough for a second thread. */
beforeAll(() => {
  const lines = Array.from(
    { length: 300_000 },
    (_, n) => `{"k":${(n * 7919) % 90_001},"n":${n},"pad":"${'.'.repeat(90)}"}\n`,
  )
  writeFileSync(join(folder, 'left'), lines.join(''))
  const right = Array.from(
    { length: 60_000 },
    (_, n) => `{"k":${n * 2},${n % 9 ? '' : `"n":${n},`}"name":"number ${n}"}\n`,
  )
  writeFileSync(join(folder, 'right'), right.join(''))
})

it.each(['--type full', '--type anti', '--nest r', '--merge --type full'])(
  'join %s: one answer, whatever reads it',
  async (options) => {
    const run = async (command: string): Promise<Buffer> =>
      (await shell(command, { cwd: folder, timeoutMs: 60_000 })).stdout
    const one = await run(`beck join right --on k ${options} --workers 1 left`)
    expect(one.length).toBeGreaterThan(0)
    expect((await run(`beck join right --on k ${options} --workers 2 left`)).equals(one)).toBe(true)
    expect((await run(`beck join right --on k ${options} --memory 16MiB < left`)).equals(one)).toBe(true)
  },
)

it('join --merge of inputs in order, whose lines are read again from there', async () => {
  // Both are 37 MB: runs of 3 MB, of which those after the first 16 MB refer to lines of the file.
  const run = async (memory: string): Promise<string> => {
    const command = `beck join left --on n --merge --type full --memory ${memory} left | cksum`
    return (await shell(command, { cwd: folder, timeoutMs: 60_000 })).stdout.toString()
  }
  expect(await run('8MiB')).toBe(await run('1GiB'))
})

it('loses nothing when more threads than cores end at different times', async () => {
  const lines = (workers: number): Promise<string> =>
    shell(`taskset -c 0 beck join right --on k --type anti --workers ${workers} left | cksum`, {
      cwd: folder,
      timeoutMs: 60_000,
    }).then(({ stdout }) => stdout.toString())
  const one = await lines(1)
  for (let run = 0; run < 4; run++) expect(await lines(4)).toBe(one)
})

it('counts what each thread has of the table', async () => {
  const run = (workers: number) =>
    shell(`beck join right --on k --memory 20MB --workers ${workers} left`, { cwd: folder, timeoutMs: 60_000 })
  expect((await run(2)).exit).toBe(0)
  const many = await run(64)
  expect([many.exit, many.stderr]).toEqual([3, expect.stringContaining('does not fit --memory 19.1 MiB')])
})
