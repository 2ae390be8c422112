// Long files are appended by several threads: the topic, the errors and what a kill leaves are as without them.
import { spawn } from 'node:child_process'
import { appendFileSync, openSync, readFileSync, statSync, writeFileSync, writeSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { program, shell, temporaryFolder } from '../shell.ts'

const cwd = temporaryFolder()
const time = Date.UTC(2026, 0, 1)

/** Some 36 MB, more than it takes for threads. */
function write(name: string, odd: (i: number) => string | undefined = () => undefined): string {
  const file = join(cwd, name)
  const fd = openSync(file, 'w')
  const pad = 'x'.repeat(115)
  for (let from = 0; from < 180_000; from += 10_000) {
    let text = ''
    for (let i = from; i < from + 10_000; i++) {
      const ts = new Date(time + i * 1000).toISOString()
      text +=
        odd(i) ?? `{"ts":"${ts}","user":"u${(i * 7919) % 5000}","n":${i},"tags":{"a":[${i % 9}]},"pad":"${pad}"}\n`
    }
    writeSync(fd, text)
  }
  closeSync(fd)
  expect(statSync(file).size).toBeGreaterThan(32 << 20)
  return file
}
const plain = write('plain.ndjson')

async function run(line: string) {
  const { stdout, stderr, exit } = await shell(line, { cwd })
  return { stdout: stdout.toString(), stderr, exit }
}

test.each(['', '--partitions 4 --by user --time ts', '--partitions 2 --by tags', '--partitions 3'])(
  'append %s gives back what it got',
  async (options) => {
    const line = `rm -rf .beck; beck append t plain.ndjson ${options} && beck replay t | cmp - plain.ndjson && beck topic verify t | grep -vc '"ok":true'`
    expect(await run(line)).toEqual({ stdout: '0\n', stderr: '', exit: 1 })
  },
  60_000,
)

test('partitions and times are those of a pipe', async () => {
  const options = '--partitions 4 --by user --time ts'
  const both = `rm -rf a b; beck append t plain.ndjson --store a ${options} && beck append t --store b ${options} <plain.ndjson`
  expect(await run(both)).toEqual({ stdout: '', stderr: '', exit: 0 })
  for (const p of [0, 1, 2, 3]) {
    const cmp = `cmp <(cat a/topics/t/${p}/*.ndjson) <(cat b/topics/t/${p}/*.ndjson)`
    expect(await run(cmp)).toEqual({ stdout: '', stderr: '', exit: 0 })
  }
  const at = new Date(time + 170_000_500).toISOString()
  const both2 = await Promise.all(
    ['a', 'b'].map((store) => run(`beck replay t --store ${store} --from ${at} --limit 3`)),
  )
  expect(both2[0]).toEqual(both2[1])
  expect(both2[0]?.stdout).toContain('"n":170001')
}, 60_000)

test('records that are odd, empty, spaced, long, without a key or without a line end', async () => {
  const file = write('odd.ndjson', (i) => {
    if (i === 20_000) return '\r\n  \n'
    if (i === 40_001) return ' {"user" : 1.0, "n":40001}\t\r\n'
    if (i === 90_000) return '{"user":null}\n'
    if (i === 100_000) return `{"user":"long","pad":"${'y'.repeat(3 << 20)}"}\n`
    return i === 120_000 ? '{"user":"\\u0075"}\n' : undefined
  })
  appendFileSync(file, '{"user":"last"}')
  const options = '--partitions 4 --by user'
  const line = `rm -rf a b; beck append t odd.ndjson --store a ${options} && cat odd.ndjson | beck append t --store b ${options} && beck topic verify t --store a >/dev/null`
  expect(await run(line)).toEqual({ stdout: '', stderr: '', exit: 0 })
  for (const p of [0, 1, 2, 3]) {
    const cmp = `cmp <(cat a/topics/t/${p}/*.ndjson) <(cat b/topics/t/${p}/*.ndjson)`
    expect(await run(cmp)).toEqual({ stdout: '', stderr: '', exit: 0 })
  }
  expect(await run('cmp <(beck replay t --store a) <(beck filter true odd.ndjson)')).toEqual({
    stdout: '',
    stderr: '',
    exit: 0,
  })
}, 60_000)

test('a bad record: everything before it is kept, and its place is told; dead letters keep it', async () => {
  write('bad.ndjson', (i) => (i === 150_000 ? '{"n":\n' : undefined))
  const first = await run(
    'rm -rf .beck; beck append t bad.ndjson; echo $?; beck replay t | cmp - <(head -150000 bad.ndjson)',
  )
  expect(first.stdout).toBe('1\n')
  expect(first.stderr).toContain('bad.ndjson:150001:')
  const second = await run(
    'rm -rf .beck; beck append t bad.ndjson --dead-letter dead && cat dead; beck replay t | cmp - <(grep -v \'^{"n":$\' bad.ndjson)',
  )
  expect(second).toMatchObject({ stdout: '{"n":\n', exit: 0 })
}, 60_000)

test('a kill leaves whole commits', async () => {
  const bytes = readFileSync(plain)
  for (const [attempt, acks] of ['none', 'batch', 'none', 'batch'].entries()) {
    const store = `killed-${attempt}`
    const child = spawn(process.execPath, [program, 'append', 't', 'plain.ndjson', '--store', store, '--acks', acks], {
      cwd,
    })
    const ended = new Promise((done) => child.on('close', done))
    // Somewhere in the middle: once a part of the file is there.
    const segment = join(cwd, store, 'topics/t/0/00000000000000000000.ndjson')
    const size = () => statSync(segment, { throwIfNoEntry: false })?.size ?? 0
    while (child.exitCode === null && size() < (attempt + 1) * (4 << 20))
      await new Promise((passed) => setImmediate(passed))
    child.kill('SIGKILL')
    await ended
    const { stdout, exit } = await shell(`beck topic verify t --store ${store} >&2 && beck replay t --store ${store}`, {
      cwd,
    })
    expect(exit).toBe(0)
    expect(stdout.length).toBeGreaterThan(0)
    expect(stdout.equals(bytes.subarray(0, stdout.length))).toBe(true)
    expect(stdout.at(-1)).toBe(10)
  }
}, 60_000)

test('one record a segment, and no second thread', async () => {
  writeFileSync(
    join(cwd, 'some.ndjson'),
    readFileSync(plain)
      .subarray(0, 1 << 20)
      .toString()
      .replace(/[^\n]*$/, ''),
  )
  const line = (more: string) =>
    `rm -rf .beck; beck topic create t --segment 64KiB && ${more} beck append t some.ndjson && beck replay t | cmp - some.ndjson`
  expect(await run(line(''))).toEqual({ stdout: '', stderr: '', exit: 0 })
  expect(await run(line('BECK_SCANNER=reference'))).toEqual({ stdout: '', stderr: '', exit: 0 })
  expect(
    await run(
      'rm -rf .beck; taskset -c 0 beck append t plain.ndjson --partitions 4 --by user && beck replay t | cmp - plain.ndjson',
    ),
  ).toEqual({ stdout: '', stderr: '', exit: 0 })
}, 60_000)
