import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { SpillFolder } from '../../src/pipeline/spill.ts'
import { root, shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
const input = join(folder, 'input.ndjson')
const tmp = join(folder, 'tmp')

beforeAll(() => {
  execFileSync(process.execPath, [join(root, 'scripts/build.mjs'), '--if-stale'], { stdio: 'ignore' })
  mkdirSync(tmp)
  const lines = Array.from(
    { length: 60_000 },
    (_, n) => `{"k":${(n * 7919) % 60_013},"t":${n},"pad":"${'.'.repeat(60)}"}\n`,
  )
  writeFileSync(input, lines.join(''))
})

it('spill files give back what was appended, and have no names', () => {
  const file = new SpillFolder(tmp).create()
  file.append(Buffer.from('abc'))
  file.append(Buffer.from('defg'))
  const into = new Uint8Array(4)
  expect([file.size, file.read(into, 2)]).toEqual([7, 4])
  expect(Buffer.from(into).toString()).toBe('cdef')
  expect(file.read(into, 5)).toBe(2)
  expect(readdirSync(tmp)).toEqual([])
  file.close()
})

const COMMANDS = [
  'sort --by k',
  'shuffle --by k',
  'dedupe --by k',
  'reduce count --by k',
  `join ${input} --on k --merge`,
  'window count,max(k) --time t --time-unit s --tumbling 20000s --by k',
  'window count,max(k) --time t --time-unit s --hopping 20000s/10000s --delay 5000s --by k',
  'window list(k),last(pad) --time t --time-unit s --session 5h --by k',
  'window each --time t --time-unit s --session 1h --by k',
]

describe.each(COMMANDS)('%s', (command) => {
  it('leaves nothing behind when it is killed while it spills', async () => {
    const args = [join(root, 'dist/beck.cjs'), ...command.split(' '), '--memory', '500KB', '--tmp', tmp]
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'ignore'] })
    const ended = new Promise((done) => child.once('exit', (_code, signal) => done(signal)))
    child.stdin.on('error', () => {})
    child.stdin.write(readFileSync(input)) // and no end: it waits for more, with its files open
    const open = (): string[] =>
      readdirSync(`/proc/${child.pid}/fd`).flatMap((fd) => {
        try {
          return [readlinkSync(`/proc/${child.pid}/fd/${fd}`)]
        } catch {
          return []
        }
      })
    while (!open().some((file) => file.startsWith(tmp))) await new Promise((done) => setTimeout(done, 20))
    expect(readdirSync(tmp)).toEqual([])
    child.kill('SIGKILL')
    expect(await ended).toBe('SIGKILL')
    expect(readdirSync(tmp)).toEqual([])
  })

  it('gives the same in little memory, from a file and from a pipe', async () => {
    const quoted = command.replace(/\S+\(.*\)/, "'$&'")
    const all = (await shell(`beck ${quoted} ${input}`, { cwd: folder })).stdout
    const small = `beck ${quoted} --memory 500KB --tmp ${tmp}`
    expect(all.length).toBeGreaterThan(0)
    expect((await shell(`${small} ${input}`, { cwd: folder })).stdout.equals(all)).toBe(true)
    expect((await shell(`cat ${input} | ${small}`, { cwd: folder })).stdout.equals(all)).toBe(true)
  })
})

describe('one giant key', () => {
  const same = join(folder, 'same.ndjson')
  beforeAll(() => writeFileSync(same, readFileSync(input, 'utf8').replaceAll(/"k":\d+/g, '"k":"the one"')))
  it.each([
    'sort --by k',
    'shuffle --by k --partitions 3',
    'dedupe --by k --keep last',
    'reduce list(t),count_distinct(t) --by k',
    'join other --on k --merge --nest o',
    'window list(t),count_distinct(t) --time t --time-unit s --tumbling 1d --by k',
    'window list(t),count_distinct(t) --time t --time-unit s --session 1h --by k',
    'window each --time t --time-unit s --session 1h --by k',
  ])('%s', async (command) => {
    writeFileSync(join(folder, 'other'), '{"k":"the one","o":1}\n{"k":"another"}\n')
    const all = (await shell(`beck ${command.replace(/\S+\(.*\)/, "'$&'")} same.ndjson`, { cwd: folder })).stdout
    const small = `beck ${command.replace(/\S+\(.*\)/, "'$&'")} --memory 500KB --tmp ${tmp}`
    const got = await shell(`cat same.ndjson | ${small}`, { cwd: folder })
    expect(got.exit, got.stderr).toBe(0)
    expect(all.length).toBeGreaterThan(0)
    expect(got.stdout.equals(all)).toBe(true)
  })
})

describe.each(['a file', 'a pipe'])('%s that does not fit the disk', (how) => {
  it.each([
    'sort --by k --memory 2MB',
    'shuffle --by k --memory 2MB',
    'dedupe --by k --memory 500KB',
    'reduce count --by k --memory 500KB',
    'join INPUT --on k --merge --memory 2MB',
    'window count --time t --time-unit s --tumbling 20000s --by k --memory 2MB',
    'window each --time t --time-unit s --session 1d --by k --memory 2MB',
  ])('%s', async (command) => {
    const line = `beck ${command.replace('INPUT', input)} --tmp ${tmp}`
    // So many blocks of 1 KiB a file: the system answers a larger one as it does a full disk.
    const blocks = /^(dedupe|reduce)/.test(command) ? 1 : 100
    const run = how === 'a file' ? `${line} ${input}` : `cat ${input} | ${line}`
    const got = await shell(`ulimit -f ${blocks}; ${run} > /dev/null`, { cwd: folder })
    expect(got.exit).toBe(3)
    const [, written, more] =
      /no space left in (?:.*) for spill files: ([\d.]+ KiB) are written, and (.*) are needed\n/.exec(got.stderr) ?? []
    expect([written, got.stderr]).toEqual([expect.any(String), expect.stringContaining(`no space left in ${tmp} for`)])
    // Of two inputs, one says nothing about the other.
    expect(more).toMatch(
      how === 'a file' && !command.startsWith('join') ? /^some [\d.]+ [KM]iB in all$/ : /^at least [\d.]+ K?i?B more$/,
    )
    expect(got.stderr).toContain('--tmp DIR')
  })
})

it('in a pipeline, the stage says it that needs the space', async () => {
  const line = `beck run "filter true ${input} | sort --by k --memory 2MB --tmp ${tmp}"`
  const got = await shell(`ulimit -f 100; ${line} > /dev/null`, { cwd: folder })
  expect(got.exit).toBe(3)
  expect(got.stderr).toMatch(/^beck sort: no space left in .* some [\d.]+ MiB in all are needed\n.*\n$/)
})

it('how much is needed is about what is written where there is space', async () => {
  const line = `beck sort --by k --memory 2MB ${input}`
  const full = await shell(`ulimit -f 100; ${line} --tmp ${tmp} > /dev/null`, { cwd: folder })
  const some = Number(/some ([\d.]+) MiB in all/.exec(full.stderr)?.[1])
  // Each line, its key, and some bytes more.
  const size = statSync(input).size / (1 << 20)
  expect(some).toBeGreaterThan(size)
  expect(some).toBeLessThan(1.5 * size)
})

it.skipIf(spawnSync('strace', ['-V']).error)(
  'spills to file systems whose files must have names, and removes what a killed run has left there',
  async () => {
    const own = join(folder, 'named')
    mkdirSync(own)
    const { pid } = spawnSync('true')
    writeFileSync(join(own, `beck-spill-${pid}-1`), 'left behind')
    writeFileSync(join(own, `beck-spill-${process.pid}-1`), 'of a process that lives')
    // The first file without a name is refused, as NFS would.
    const refuse = `strace -f -qq -o /dev/null -P ${own} -e inject=openat:error=EOPNOTSUPP:when=1`
    const command = `beck sort --by k ${input} --memory 500KB --workers 1 --tmp ${own}`
    const got = await shell(`UV_THREADPOOL_SIZE=1 ${refuse} ${command} | cksum`, { cwd: folder })
    expect(got.stderr).toBe('')
    expect(got.stdout.toString()).toBe(
      (await shell(`beck sort --by k ${input} | cksum`, { cwd: folder })).stdout.toString(),
    )
    expect(readdirSync(own)).toEqual([`beck-spill-${process.pid}-1`])
  },
)

it('an empty name of the folder is refused', async () => {
  const got = await shell(`beck sort --by k --tmp "$NO_SUCH_VARIABLE" < ${input}`, { cwd: folder })
  expect([got.exit, got.stderr.split('\n')[0]]).toEqual([2, 'beck sort: --tmp: the name of the folder is empty'])
})

it('says that the folder for spill files is not there', async () => {
  const got = await shell(`beck sort --by k --memory 500KB --tmp ${tmp}/no < ${input}`, { cwd: folder })
  expect([got.exit, got.stderr.split('\n')[0]]).toEqual([3, `beck sort: ${tmp}/no: no such file`])
})
