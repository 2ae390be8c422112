import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'

/**
 * The real binary on a real disk, killed before its n-th system call of a kind, or given an error by it (strace -e inject). The
 * simulated disk tries every point; this makes sure that the real files behave alike. BECK_CRASH=full tries every call here, too; else
 * it is one of each kind.
 */
const beck = fileURLToPath(new URL('../../dist/beck.cjs', import.meta.url))
const hasStrace = spawnSync('strace', ['-V']).status === 0
const full = process.env['BECK_CRASH'] === 'full'
const folder = mkdtempSync(join(tmpdir(), 'beck-strace-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const kinds = ['pwrite64', 'fdatasync', 'fsync', 'rename', 'link', 'unlink', 'mkdir', 'ftruncate'] as const
const env = { ...process.env, UV_THREADPOOL_SIZE: '1', BECK_STORE: join(folder, 'store') }
/** Every call of all of these is tried in the full programme, so they are few there. */
const count = full ? 16 : 40
const records = Array.from({ length: count }, (_, i) => `{"k":"k${i % 5}","n":${i}}\n`).join('')
const input = join(folder, 'input')
writeFileSync(input, records)

interface Result {
  readonly status: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}
function run(args: readonly string[], inject: readonly string[] = []): Result {
  const trace = join(folder, 'trace')
  const command =
    inject.length > 0 ? ['strace', '-f', '-qq', '-o', trace, ...inject, process.execPath] : [process.execPath]
  const [program = '', ...rest] = [...command, beck, ...args]
  const { status, signal, stdout, stderr } = spawnSync(program, rest, { env, encoding: 'utf8' })
  return { status, signal, stdout, stderr }
}

const append = (acks: string): string[] => [
  'append',
  't',
  input,
  '--producer',
  'p',
  '--acks',
  acks,
  '--partitions',
  '3',
  '--by',
  'k',
]
const commands: readonly { name: string; before: readonly string[][]; args: readonly string[] }[] = [
  { name: 'append, a new store', before: [], args: append('none') },
  {
    name: 'append, acks batch',
    before: [['topic', 'create', 't', '--partitions', '3', '--by', 'k', '--segment', '200']],
    args: append('batch'),
  },
  {
    name: 'append, acks all',
    before: [['topic', 'create', 't', '--partitions', '3', '--by', 'k']],
    args: append('all'),
  },
  { name: 'consume', before: [append('none')], args: ['consume', 't', '--group', 'g'] },
]

describe.skipIf(!hasStrace)('system calls fail or kill', () => {
  // In the short suite every second one.
  test.each(commands.filter((_, at) => full || at % 2 === 0))(
    '$name',
    { timeout: full ? 7_200_000 : 600_000 },
    ({ before, args }) => {
      const reset = (): void => {
        rmSync(env.BECK_STORE, { recursive: true, force: true })
        for (const words of before) expect(run(words)).toMatchObject({ status: 0 })
      }
      reset()
      run(args, ['-e', `trace=${kinds.join(',')}`])
      const trace = readFileSync(join(folder, 'trace'), 'utf8')
      let points = 0
      for (const call of kinds) {
        const calls = trace.split('\n').filter((line) => new RegExp(`^\\d+ +${call}\\(`).test(line)).length
        const all = Array.from({ length: calls }, (_, i) => i + 1)
        const writes = call === 'pwrite64' || call === 'fdatasync'
        for (const n of full ? all : all.slice(calls >> 1, (calls >> 1) + 1)) {
          for (const fault of full || writes ? ['signal=KILL', 'error=EIO', 'error=ENOSPC'] : ['signal=KILL']) {
            reset()
            const result = run(args, ['-e', `trace=${call}`, '-e', `inject=${call}:${fault}:when=${n}`])
            const where = `${fault} at ${call} ${n}: ${result.stderr}`
            points++
            if (fault === 'signal=KILL')
              expect(result.signal ?? result.status, where).toSatisfy((end) => end === 'SIGKILL' || end === 137)
            else expect([0, 3], where).toContain(result.status)
            check(args, where)
          }
        }
      }
      expect(points).toBeGreaterThan(0)
    },
  )
})

/** After the accident: the same command again ends well, and everything is there once. */
function check(args: readonly string[], where: string): void {
  if (args[0] === 'consume') {
    const before = JSON.parse(run(['group', 'describe', 'g']).stdout || '{"partitions":[]}') as {
      partitions: { offset: number | null }[]
    }
    const committed = before.partitions.reduce((sum, { offset }) => sum + (offset ?? 0), 0)
    const again = run(args)
    expect(again, where).toMatchObject({ status: 0 })
    expect(again.stdout.split('\n').length - 1, where).toBe(count - committed)
    return
  }
  const again = run(args)
  expect(again.stderr, where).not.toContain('bug in beck')
  expect(again, where).toMatchObject({ status: 0 })
  expect(run(['replay', 't']).stdout, where).toBe(records)
  expect(run(['topic', 'verify', 't']), where).toMatchObject({ status: 0 })
}

test('strace is there', ({ skip }) => {
  if (!hasStrace) skip('strace is missing: the real binary was not crashed')
  expect(existsSync(beck)).toBe(true)
})
