// How beck starts: from V8's code cache, with and without it, installed or as a single executable (BECK_BIN=FILE).
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { program, root, shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
const version = `${(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version}\n`
const record = '{"a":1}\n'

/** Enough input for a second thread: 71 MB. */
function bigFile(): string {
  const file = join(folder, 'big.ndjson')
  const flights = readFileSync(join(root, 'fixtures/flights.ndjson'))
  writeFileSync(file, Buffer.concat(Array.from({ length: 40 }, () => flights)))
  return file
}

it('workers start, and answer as one thread does', async () => {
  const line = (workers: number) =>
    `beck reduce 'count, sum(delay)' --by origin --workers ${workers} ${bigFile()} | sha256sum`
  const [one, two] = [await shell(line(1), { cwd: folder }), await shell(line(2), { cwd: folder })]
  expect(one.stderr + two.stderr).toBe('')
  expect(two.stdout.toString()).toBe(one.stdout.toString())
})

if (process.env['BECK_BIN']) {
  describe('the single executable', () => {
    it('is not just a copy of node', () => {
      expect(statSync(program).size).toBeGreaterThan(statSync(process.execPath).size)
    })
    it('starts as fast as node does, nearly', () => {
      const fastest = (file: string, word: string, more: string[] = []) => {
        const times = Array.from({ length: 9 }, () => {
          const start = performance.now()
          spawnSync(file, [word, ...more])
          return performance.now() - start
        })
        return Math.min(...times)
      }
      // The benchmark holds it to 15 ms, on a quiet machine.
      expect(fastest(program, '--version')).toBeLessThan(2 * fastest(process.execPath, '-e', ['0']) + 15)
    })
    it('needs no node', async () => {
      copyFileSync(program, join(folder, 'alone'))
      const got = await shell(`env -i ./alone --version`, { cwd: folder })
      expect(got.stdout.toString()).toBe(version)
    })
  })
} else {
  describe('the bundle', () => {
    function install(name: string): string {
      const dist = join(folder, name)
      mkdirSync(dist)
      for (const file of ['beck.cjs', 'main.cjs', 'main.cache'])
        copyFileSync(join(root, 'dist', file), join(dist, file))
      return dist
    }
    const runs = async (line: string) => {
      const got = await shell(`printf '${record.trim()}\\n' | ${line} filter 'r.a > 0'`, { cwd: folder })
      expect({ stdout: got.stdout.toString(), stderr: got.stderr }).toEqual({ stdout: record, stderr: '' })
    }

    it('has a code cache that V8 accepts', () => {
      // In a process of its own: the cache holds for one set of V8's flags, and another test may have set some in this one.
      const check = `
        const { readFileSync } = require('node:fs')
        const cachedData = readFileSync('main.cache')
        const script = new (require('node:vm').Script)(readFileSync('main.cjs', 'latin1'), { filename: 'main.cjs', cachedData })
        console.log(script.cachedDataRejected)`
      const { stdout } = spawnSync(process.execPath, ['-e', check], { cwd: join(root, 'dist'), encoding: 'utf8' })
      expect(stdout).toBe('false\n')
    })
    it('runs without a code cache', async () => {
      const dist = install('no-cache')
      rmSync(join(dist, 'main.cache'))
      await runs(join(dist, 'beck.cjs'))
    })
    it('runs with a code cache of some other Node', async () => {
      const dist = install('foreign-cache')
      writeFileSync(join(dist, 'main.cache'), Buffer.alloc(1000, 7))
      await runs(join(dist, 'beck.cjs'))
    })
    it('runs through a link, from a read-only folder', async () => {
      const dist = install('read-only')
      chmodSync(dist, 0o555)
      symlinkSync(join(dist, 'beck.cjs'), join(folder, 'linked'))
      await runs('./linked')
      chmodSync(dist, 0o755)
    })
  })
}
