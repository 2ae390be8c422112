// Jobs in tasks: workers and drivers that die, inputs that change, folders that are not free. That the bytes are those of the other modes is
// shown by the golden cases (modes.test.ts).
import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { program, shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
const words = ['stream', 'log', 'window', 'key', 'split', 'task', 'sort', 'merge', 'join', 'é', 'o k'].map(
  (word, index) => `${word}${index}`,
)
const lines = Array.from({ length: 30_000 }, (_, i) => `{"word":"${words[(i * 7919) % words.length]}","n":${i}}\n`)
writeFileSync(join(folder, 'words.ndjson'), lines.join(''))
const text = `filter 'r.n >= 0' words.ndjson | shuffle --by word --partitions 3 | reduce 'count, sum(n), first(n)' --by word`
const undisturbed = shell(`beck run --mode pipes "${text}"`, { cwd: folder })

const outputOf = (name: string): string =>
  readdirSync(join(folder, name))
    .filter((file) => file.startsWith('part-'))
    .toSorted()
    .map((file) => readFileSync(join(folder, name, file), 'utf8'))
    .join('')

interface Phase {
  readonly tasks: number
  readonly done: number
  readonly retried: number
  readonly resumed: number
}
const statsOf = (stderr: string): Phase[] =>
  (JSON.parse(/^\{"phases".*$/m.exec(stderr)?.[0] ?? '{"phases":[]}') as { phases: Phase[] }).phases

/** Starts a job that is to be disturbed. */
function start(args: readonly string[]) {
  const child = spawn(process.execPath, [program, 'run', ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (piece: string) => (stderr += piece))
  const ended = new Promise<{ exit: number | null; stderr: string }>((resolve) =>
    child.once('close', (exit) => resolve({ exit, stderr })),
  )
  return { child, ended }
}
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}
const workersOf = (pid: number): number[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}
const finished = (name: string): string[] => {
  try {
    return readdirSync(join(folder, name, '_job')).filter((file) => /^(map|reduce)-\d+$/.test(file))
  } catch {
    return []
  }
}

describe('a job in tasks', () => {
  test('has the output of the pipes, in files that appear whole', async () => {
    const { stdout } = await undisturbed
    expect(stdout.length).toBeGreaterThan(0)
    const got = await shell(`beck run --mode parallel --out plain --workers 2 --split 100KiB "${text}"`, {
      cwd: folder,
    })
    expect(got).toMatchObject({ exit: 0, stderr: '' })
    expect(readdirSync(join(folder, 'plain'))).toEqual([
      '_SUCCESS',
      'part-00000.ndjson',
      'part-00001.ndjson',
      'part-00002.ndjson',
    ])
    expect(outputOf('plain')).toBe(stdout.toString())
  })

  test('goes on when its workers are killed', async () => {
    const { child, ended } = start([
      '--mode',
      'parallel',
      '--out',
      'killed',
      '--workers',
      '2',
      '--split',
      '50KiB',
      '--stats',
      'json',
      '--attempts',
      '50',
      text,
    ])
    for (let kills = 0; kills < 4; kills++) {
      const before = finished('killed').length
      await until(() => finished('killed').length > before || child.exitCode !== null)
      const [worker] = workersOf(child.pid as number)
      if (worker !== undefined) process.kill(worker, 'SIGKILL')
    }
    const { exit, stderr } = await ended
    expect(exit, stderr).toBe(0)
    expect(statsOf(stderr).reduce((sum, { retried }) => sum + retried, 0)).toBeGreaterThan(0)
    expect(outputOf('killed')).toBe((await undisturbed).stdout.toString())
  })

  test('is resumed when everything is killed, and does nothing twice', async () => {
    const args = ['--workers', '2', '--stats', 'json']
    let run = start(['--mode', 'parallel', '--out', 'resumed', '--split', '50KiB', ...args, text])
    for (let death = 0; death < 3; death++) {
      const before = finished('resumed').length
      await until(() => finished('resumed').length > before + 2 || run.child.exitCode !== null)
      run.child.kill('SIGKILL')
      await run.ended
      expect(existsSync(join(folder, 'resumed/_SUCCESS'))).toBe(false)
      run = start(['--resume', 'resumed', ...args])
    }
    const { exit, stderr } = await run.ended
    expect(exit, stderr).toBe(0)
    const [map] = statsOf(stderr)
    expect(map?.resumed).toBeGreaterThanOrEqual(6)
    expect(outputOf('resumed')).toBe((await undisturbed).stdout.toString())
    expect(readdirSync(join(folder, 'resumed'))).not.toContain('_job')
    expect((await shell('beck run --resume resumed', { cwd: folder })).stderr).toContain('is complete')
  })

  test('stops at Ctrl-C and can go on', async () => {
    const { child, ended } = start([
      '--mode',
      'parallel',
      '--out',
      'stopped',
      '--split',
      '50KiB',
      '--workers',
      '1',
      text,
    ])
    await until(() => finished('stopped').length > 1)
    child.kill('SIGINT')
    const { exit, stderr } = await ended
    expect({ exit, stderr }).toEqual({
      exit: 130,
      stderr: 'beck run: stopped; go on with: beck run --resume stopped\n',
    })
    expect(await shell('beck run --resume stopped', { cwd: folder })).toMatchObject({ exit: 0 })
    expect(outputOf('stopped')).toBe((await undisturbed).stdout.toString())
  })

  test('that cannot be done is tried so often, and then said', async () => {
    const { child, ended } = start([
      '--mode',
      'parallel',
      '--out',
      'never',
      '--workers',
      '1',
      '--attempts',
      '2',
      `map '{n: r.n + Array.from({length: 3e4}).length}' words.ndjson`,
    ])
    while (child.exitCode === null) {
      for (const worker of workersOf(child.pid as number)) process.kill(worker, 'SIGKILL')
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const { exit, stderr } = await ended
    expect(exit).toBe(3)
    expect(stderr).toContain('map-00000: failed 2 times; the last time its worker was killed with SIGKILL')
  })

  test('a bad record names its file and line, and no half output is seen', async () => {
    writeFileSync(
      join(folder, 'bad.ndjson'),
      [...lines.slice(0, 20_000), '{"word":\n', ...lines.slice(20_000)].join(''),
    )
    const got = await shell(
      `beck run --mode parallel --out half --split 100KiB --workers 2 "${text.replace('words.', 'bad.')}"`,
      { cwd: folder },
    )
    expect(got.exit).toBe(1)
    expect(got.stderr).toContain('beck filter: bad.ndjson:20001:9:')
    expect(readdirSync(join(folder, 'half'))).toEqual(['_job'])
  })

  test('names the file and line of a bad record, wherever a task begins and also in a packed file', async () => {
    const bad = `${lines.slice(0, 20_000).join('')}{"n":\n${lines.slice(20_000).join('')}`
    writeFileSync(join(folder, 'bad.ndjson'), bad)
    writeFileSync(join(folder, 'bad.ndjson.gz'), gzipSync(bad))
    for (const file of ['bad.ndjson', 'bad.ndjson.gz']) {
      const job = `beck run --mode parallel --out bad-${file} --split 100KiB "reduce 'sum(n)' words.ndjson ${file}"`
      const { exit, stderr } = await shell(job, { cwd: folder })
      expect({ exit, stderr: stderr.split(' ', 3).join(' ') }).toEqual({
        exit: 1,
        stderr: `beck reduce: ${file}:20001:6:`,
      })
    }
  })

  test('may have small tasks, but not no end of them', async () => {
    writeFileSync(join(folder, 'few.ndjson'), lines.slice(0, 30).join(''))
    const small = await shell(`beck run --mode parallel --split 200 --stats json "filter 'r.n >= 0' few.ndjson"`, {
      cwd: folder,
    })
    expect(small.stdout.toString()).toBe(lines.slice(0, 30).join(''))
    expect(statsOf(small.stderr)[0]!.tasks).toBeGreaterThan(2)
    const many = await shell(`beck run --mode parallel --out many --split 20 "filter r.n words.ndjson"`, {
      cwd: folder,
    })
    expect(many).toMatchObject({ exit: 2 })
    expect(many.stderr).toMatch(
      /--split: 20 B would make \d+ tasks; at most 10000 make sense\n {2}write --split 4MiB, or/,
    )
    expect(existsSync(join(folder, 'many'))).toBe(false)
  })

  test('a full disk is said, and the job goes on when there is space', async () => {
    const got = await shell(
      `ulimit -f 100; beck run --mode parallel --out full --split 1MiB --workers 2 "sort --by word,-n words.ndjson"`,
      { cwd: folder },
    )
    expect(got.stderr).toContain('cannot be cut into tasks')
    const line = `map '{...r, more: r.word}' words.ndjson | shuffle --by word`
    const full = await shell(
      `ulimit -f 100; beck run --mode parallel --out full --split 400KiB --workers 2 "${line}"`,
      { cwd: folder },
    )
    expect(full.exit).toBe(3)
    expect(full.stderr).toMatch(
      /the file is larger than the limit.*\nbeck run: stopped; go on with: beck run --resume full\n/,
    )
    expect(readdirSync(join(folder, 'full'))).toEqual(['_job'])
    expect(await shell('beck run --resume full', { cwd: folder })).toMatchObject({ exit: 0, stderr: '' })
    const { stdout } = await shell(`beck run --mode pipes "${line}"`, { cwd: folder })
    expect(outputOf('full')).toBe(stdout.toString())
  })

  test('an input that has changed is noticed', async () => {
    writeFileSync(join(folder, 'moving.ndjson'), lines.join(''))
    const { child, ended } = start([
      '--mode',
      'parallel',
      '--out',
      'moved',
      '--split',
      '50KiB',
      '--workers',
      '1',
      text.replace('words.', 'moving.'),
    ])
    await until(() => finished('moved').length > 1)
    appendFileSync(join(folder, 'moving.ndjson'), '{"word":"late","n":1}\n')
    const { exit, stderr } = await ended
    expect(child.exitCode).toBe(3)
    expect({ exit, stderr }).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('moving.ndjson: has changed while') as string,
    })
    // It would be refused, as it is here.
    expect(stderr).not.toContain('--resume')
    const resumed = await shell('beck run --resume moved', { cwd: folder })
    expect(resumed).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('has changed since the job began') as string,
    })
  })

  test('options of a run that goes on are those of what runs behind its tasks', async () => {
    const line = 'filter true words.ndjson | sort --by word,-n | dedupe --by n'
    const [first, ...others] = lines
    writeFileSync(join(folder, 'spoilt-once.ndjson'), [first, first, ...others].join(''))
    const { child, ended } = start([
      '--mode=parallel',
      '--out=told',
      '--split=50KiB',
      '--workers=1',
      line.replace('words', 'spoilt-once'),
    ])
    await until(() => finished('told').length > 1)
    child.kill('SIGKILL')
    await ended
    const resume = (options: string) => shell(`beck run --resume told --memory 64KiB ${options}`, { cwd: folder })
    expect(await resume('--tmp not/there')).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('not/there') as string,
    })
    expect(await resume('--quiet')).toMatchObject({ exit: 0, stderr: '' })
  })

  test('two drivers do not work on one job', async () => {
    const { child, ended } = start(['--mode', 'parallel', '--out', 'two', '--split', '50KiB', '--workers', '1', text])
    await until(() => finished('two').length > 0)
    child.kill('SIGSTOP')
    const second = await shell('beck run --resume two', { cwd: folder })
    child.kill('SIGCONT')
    expect(second).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining(`is being worked on by process ${child.pid}`) as string,
    })
    expect((await ended).exit).toBe(0)
    expect(outputOf('two')).toBe((await undisturbed).stdout.toString())
  })

  test('a folder that is not free is left alone', async () => {
    mkdirSync(join(folder, 'mine'))
    writeFileSync(join(folder, 'mine/thesis'), 'x')
    const got = await shell(`beck run --mode parallel --out mine "${text}"`, { cwd: folder })
    expect(got).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('mine: is not empty: there is thesis') as string,
    })
    expect(readdirSync(join(folder, 'mine'))).toEqual(['thesis'])
    expect(await shell('beck run --resume mine', { cwd: folder })).toMatchObject({ exit: 3 })
  })

  test('what needs all records in one place runs once, behind the tasks', async () => {
    const line = `${text} | sort --by -count,word | to csv`
    const got = await shell(`beck run --mode parallel --out table --split 100KiB "${line}"`, { cwd: folder })
    expect(got).toMatchObject({ exit: 0, stderr: '' })
    const { stdout } = await shell(`beck run --mode pipes "${line}"`, { cwd: folder })
    expect(readFileSync(join(folder, 'table/part-00000.csv'), 'utf8')).toBe(stdout.toString())
  })

  test('states of tasks are put together, also those that did not fit their memory', async () => {
    const line = `from lines words.ndjson | map '{n: r.line.length, w: r.line.slice(9, 12)}' | reduce 'count, list(n), first(n)' --by w | sort --by w`
    const { stdout } = await shell(`beck run --mode pipes "${line}" | cksum`, { cwd: folder })
    for (const memory of ['64KiB', '64MiB']) {
      const job = `beck run --mode parallel --split 100KiB --workers 2 --memory ${memory} "${line}"`
      expect((await shell(`${job} | cksum`, { cwd: folder })).stdout.toString()).toBe(stdout.toString())
    }
  })

  test('dead letters of all tasks come in the order of the input', async () => {
    const line = 'filter r.n --dead-letter letters words.ndjson spoilt.ndjson | shuffle --by word'
    const spoilt = lines.slice(0, 9000).map((record, i) => (i % 1000 === 0 ? `bad ${i}\n` : record))
    writeFileSync(join(folder, 'spoilt.ndjson'), spoilt.join(''))
    const got = await shell(`beck run --mode parallel --split 50KiB "${line}" | cksum`, { cwd: folder })
    expect(got.stderr).toBe('beck filter: kept 9 bad records in the dead letters\n')
    expect(readFileSync(join(folder, 'letters'), 'utf8')).toBe(
      spoilt.filter((record) => record.startsWith('bad')).join(''),
    )
    const { stdout } = await shell(`beck run --mode pipes "${line}" | cksum`, { cwd: folder })
    expect(got.stdout.toString()).toBe(stdout.toString())
  })

  test('one task that hangs is tried a second time beside', async () => {
    // A worker that is stopped looks like a slow one.
    const { child, ended } = start([
      '--mode',
      'parallel',
      '--out',
      'slow',
      '--split',
      '50KiB',
      '--workers',
      '2',
      '--speculate',
      '--stats',
      'json',
      text,
    ])
    await until(() => finished('slow').length > 3)
    const [worker] = workersOf(child.pid as number)
    if (worker !== undefined) process.kill(worker, 'SIGSTOP')
    const { exit, stderr } = await ended
    expect(exit, stderr).toBe(0)
    expect(statsOf(stderr)[0]?.retried).toBe(1)
    expect(outputOf('slow')).toBe((await undisturbed).stdout.toString())
  })
})

describe('a pipeline of a consumer group in several processes', () => {
  const text = (group: string, end: string): string => `consume words --group ${group} | map '{n: r.n}'${end}`
  const numbers = (lines: string): number[] =>
    lines
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { n: number }).n)
      .toSorted((a, b) => a - b)
  const everything = Array.from({ length: lines.length }, (_, n) => n)
  const topic = shell('beck append words --by word --partitions 4 words.ndjson', { cwd: folder })

  test('each record comes once, in whole lines', async () => {
    await topic
    const got = await shell(`beck run --mode parallel --workers 3 "${text('g', '')}"`, { cwd: folder })
    expect(got.exit, got.stderr).toBe(0)
    expect(numbers(got.stdout.toString())).toEqual(everything)
    const group = await shell('beck group list', { cwd: folder })
    expect(JSON.parse(group.stdout.toString())).toMatchObject({ group: 'g', lag: 0 })
  })

  test('what is read is committed after what came of it is there, since one kill ends both', async () => {
    await topic
    expect((await shell(`beck run "${text('order', ' | append ordered')}"`, { cwd: folder })).exit).toBe(0)
    const journal = readFileSync(join(folder, '.beck/journal/00000000000000000001.ndjson'), 'utf8').split('\n')
    const written = journal.findIndex((line) => line.includes('"w":{"ordered/0"'))
    const read = journal.findIndex((line) => line.includes('"o":{"order":'))
    expect(written).toBeGreaterThan(0)
    expect(read).toBeGreaterThan(written)
  })

  test('a member that is killed is replaced', async () => {
    await topic
    const { child, ended } = start(['--mode', 'parallel', '--workers', '2', text('h', ' | append copies')])
    await until(() => existsSync(join(folder, '.beck/topics/copies')) || child.exitCode !== null)
    const [member] = workersOf(child.pid as number)
    if (member !== undefined) process.kill(member, 'SIGKILL')
    expect((await ended).exit).toBe(0)
    const copies = numbers((await shell('beck replay copies', { cwd: folder })).stdout.toString())
    // At least once: what a member had written without committing comes again.
    expect([...new Set(copies)]).toEqual(everything)
  })

  test('each member has the options of the run', async () => {
    await topic
    const run = (options: string) => shell(`beck run --mode parallel --workers 2 ${options}`, { cwd: folder })
    expect(await run('--memory 64KiB --tmp not/there "consume words -g nowhere | reduce count --by n"')).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('beck reduce: not/there') as string,
    })
    const bad = (group: string): string => `"consume words -g ${group} | reduce 'sum(word)' --dead-letter /dev/null"`
    expect(await run(bad('loud'))).toMatchObject({ exit: 0, stderr: expect.stringContaining('bad records') as string })
    expect(await run(`--quiet ${bad('quiet')}`)).toMatchObject({ exit: 0, stderr: '' })
  })

  test('a member that finds nothing to do ends well', async () => {
    expect((await shell('beck append alone words.ndjson', { cwd: folder })).exit).toBe(0)
    // One partition: a second member stands by to the end, or finds all done.
    const line = 'consume alone -g idle --exactly-once --per-partition | dedupe --by n | append kept'
    const got = await shell(`beck run --mode parallel --workers 2 "${line}"`, { cwd: folder })
    expect(got.exit, got.stderr).toBe(0)
    const kept = await shell('beck replay kept | cmp - words.ndjson', { cwd: folder })
    expect(kept, kept.stderr).toMatchObject({ exit: 0 })
  })

  test('with a limit it has one member', async () => {
    await topic
    const limited = (group: string): string => `"consume words -g ${group} --limit 7"`
    const got = await shell(`beck run --mode parallel ${limited('seven')} | wc -l`, { cwd: folder })
    expect(got.stdout.toString()).toBe('7\n')
    expect(await shell(`beck run --mode parallel --workers 2 ${limited('fourteen')}`, { cwd: folder })).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('as --limit says') as string,
    })
  })

  test('one that delivers exactly once needs partitions apart', async () => {
    await topic
    const line = `beck run --mode parallel --workers 2 "consume words --group x --exactly-once | append y"`
    expect(await shell(line, { cwd: folder })).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('add --per-partition') as string,
    })
  })
})
