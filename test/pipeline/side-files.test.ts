import { appendFileSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'

const run = (folder: string, line: string) => shell(`set -o pipefail; ${line}`, { cwd: folder, timeoutMs: 60_000 })
/** A folder whose store has the topic `in` with numbers, of which even ones cannot be mapped. */
async function folderWith(...numbers: number[]): Promise<string> {
  const folder = temporaryFolder()
  await add(folder, ...numbers)
  return folder
}
async function add(folder: string, ...numbers: number[]): Promise<void> {
  const { exit, stderr } = await run(folder, `printf '{"n":%d}\\n' ${numbers.join(' ')} | beck append in`)
  expect(exit, stderr).toBe(0)
}
const map = `beck map '{n: r.n % 2 ? r.n : NaN}' --dead-letter bad --quiet`
const pipe = `beck consume in -g g --exactly-once --checkpoint 1ms | ${map} | beck append out`
const bad = (folder: string): string => readFileSync(join(folder, 'bad'), 'utf8')

describe('files beside the output of an exactly-once pipe', () => {
  test('go on over runs, also drained ones, whose options may change then', async () => {
    const folder = await folderWith(1, 2, 3, 4)
    expect((await run(folder, pipe)).exit).toBe(0)
    await add(folder, 5, 6)
    expect((await run(folder, pipe.replace('-g g', '-g g --drain'))).exit).toBe(0)
    await add(folder, 8)
    const { exit, stderr } = await run(folder, pipe.replace('r.n % 2', 'r.n % 2 === 1'))
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(bad(folder)).toBe('{"n":2}\n{"n":4}\n{"n":6}\n{"n":8}\n')
  })

  test('what was not committed goes; a run that was taken over writes into a file that nobody sees', async () => {
    const folder = await folderWith(2, 4)
    await run(folder, pipe)
    const { ino } = statSync(join(folder, 'bad'))
    appendFileSync(join(folder, 'bad'), '{"n":"not committed"}\n{"to')
    await add(folder, 6)
    await run(folder, pipe)
    expect(bad(folder)).toBe('{"n":2}\n{"n":4}\n{"n":6}\n')
    expect(statSync(join(folder, 'bad')).ino).not.toBe(ino)
    expect(existsSync(join(folder, 'bad.restoring'))).toBe(false)
  })

  test('one that was moved away begins anew; one that was changed is refused', async () => {
    const folder = await folderWith(2, 4)
    await run(folder, pipe)
    renameSync(join(folder, 'bad'), join(folder, 'bad.1'))
    await add(folder, 6)
    await run(folder, pipe)
    expect(bad(folder)).toBe('{"n":6}\n')
    for (const [text, problem] of [
      ['{"n":', 'holds 5 bytes, and 8 were committed'],
      ['{"n":7}\n', 'is not what was committed'],
    ] as const) {
      writeFileSync(join(folder, 'bad'), text)
      await add(folder, 8)
      const { exit, stderr } = await run(folder, pipe)
      expect(exit).not.toBe(0)
      expect(stderr).toContain(problem)
      expect(bad(folder)).toBe(text)
    }
  })

  test('dead letters of a table come once', async () => {
    const folder = await folderWith(1, 2)
    writeFileSync(join(folder, 'table'), '{"n":1,"a":1}\n[2]\nno\n')
    const joined = `beck consume in -g g --exactly-once | beck join table --on n --type left --dead-letter bad --quiet | beck append out`
    for (const n of [3, 4]) {
      await add(folder, n)
      const { exit, stderr } = await run(folder, joined)
      expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    }
    expect(bad(folder)).toBe('no\n')
  })

  test('a pipe that ends at once leaves them as they are', async () => {
    const folder = await folderWith(2)
    await run(folder, pipe)
    await run(folder, `: | ${map}`)
    expect(bad(folder)).toBe('{"n":2}\n')
    await run(folder, `echo '{"n":1}' | ${map}`)
    expect(bad(folder)).toBe('')
  })

  test.each([
    ['a device', `beck map r.n.n.n --dead-letter /dev/null`, 'is no regular file'],
    ['of the end of a pipe', `beck append out --dead-letter bad`, 'take bad records out before'],
  ])('%s is refused', async (_, stage, problem) => {
    const folder = await folderWith(2)
    const { exit, stderr } = await run(folder, `beck consume in -g g --exactly-once | ${stage} | beck append out`)
    expect(exit).not.toBe(0)
    expect(stderr).toContain(problem)
  })
})
