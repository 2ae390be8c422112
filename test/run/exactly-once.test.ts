// Exactly-once pipelines in one process: killed and run again, in turn with a process a stage, they write what an undisturbed run writes.
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadSqlite } from '../../src/connectors/sqlite/load.ts'
import { quoted } from '../../src/run/shell-line.ts'
import { program, shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
const records = Array.from({ length: 60_000 }, (_, n) => {
  const t = new Date(1767225600000 + n * 250).toISOString()
  return `{"t":"${t}","k":"k${(n * 7919) % 13}","id":${n % 50_000},"ok":${n % 3 > 0}}\n`
})
writeFileSync(join(folder, 'in.ndjson'), records.join(''))

const STAGES =
  "filter r.ok | map '{t: r.t, k: r.k, i: r.id}' | dedupe --by i | window 'count, first(i)' --time t --tumbling 1m --by k"
const consuming = (group: string, more: string): string =>
  `consume in --group ${group} --exactly-once ${more} | ${STAGES} | append ${group}`

function start(store: string, words: readonly string[]): ChildProcess {
  const env = { ...process.env, BECK_STORE: store }
  return spawn(process.execPath, [program, 'run', ...words], { cwd: folder, env, stdio: 'ignore', detached: true })
}
const ended = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) =>
    child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve(child.exitCode),
  )

async function prepare(store: string): Promise<string> {
  const made = await shell('beck append in in.ndjson', { cwd: folder, env: { BECK_STORE: store } })
  expect(made.exit, made.stderr).toBe(0)
  return undisturbed(store)
}
async function undisturbed(store: string): Promise<string> {
  const alone = STAGES.split(' | ')
    .map((stage) => `beck ${stage}`)
    .join(' | ')
  const got = await shell(`beck replay in | ${alone}`, { cwd: folder, env: { BECK_STORE: store } })
  expect(got.exit, got.stderr).toBe(0)
  return got.stdout.toString()
}
const replay = async (store: string, topic: string): Promise<string> =>
  (await shell(`beck replay ${topic}`, { cwd: folder, env: { BECK_STORE: store } })).stdout.toString()

/** Asks again until the answer is there. */
async function until<Answer>(ask: () => Promise<Answer | undefined> | Answer | undefined): Promise<Answer> {
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    await new Promise((resolve) => void setTimeout(resolve, 20))
  }
}
/** The epoch that a pipeline has committed. */
async function epochOf(store: string, group: string): Promise<number> {
  const { stdout } = await shell('beck pipeline list', { cwd: folder, env: { BECK_STORE: store } })
  const lines = stdout.toString().split('\n').filter(Boolean)
  const found = lines.map((line) => JSON.parse(line) as { pipeline: string; epoch: number })
  return found.find(({ pipeline }) => pipeline === group)?.epoch ?? 0
}
const committed = async (store: string, group: string): Promise<true | undefined> =>
  (await epochOf(store, group)) > 0 || undefined

describe('an exactly-once pipeline in one process', () => {
  it('is killed, goes on in either mode, and writes what an undisturbed one writes', async () => {
    const store = join(folder, 'killed')
    const env = { BECK_STORE: store }
    const part = async (number: number): Promise<void> => {
      writeFileSync(join(folder, 'part.ndjson'), records.slice(number * 15_000, (number + 1) * 15_000).join(''))
      expect((await shell('beck append in part.ndjson', { cwd: folder, env })).exit).toBe(0)
    }
    const killed = async (): Promise<void> => {
      const before = await epochOf(store, 'a')
      const child = start(store, [consuming('a', '--follow --checkpoint 1ms')])
      await until(async () => (await epochOf(store, 'a')) > before || undefined)
      process.kill(-child.pid!, 'SIGKILL')
      await ended(child)
    }
    await part(0)
    await killed()
    await part(1)
    expect(await ended(start(store, ['--mode', 'pipes', consuming('a', '')]))).toBe(0)
    await part(2)
    await killed()
    await part(3)
    expect(await ended(start(store, [consuming('a', '--drain')]))).toBe(0)
    expect(await replay(store, 'a')).toBe(await undisturbed(store))
  })

  it('of two topics, with a program and dead letters, goes on in either mode', async () => {
    const stages = (drain: string): string =>
      `consume in -g l --exactly-once ${drain} | map 'r.id % 997 ? r : NaN' --dead-letter NAME.bad --quiet | join (consume in -g r --exactly-once ${drain} | filter 'r.id % 5 === 0') --on k --within 2s --time t | via -- sed s/k1/K1/ | window 'count, sum(right_id)' --time t --tumbling 1m --by k | append out`
    const run = async (name: string, modes: readonly string[]): Promise<object> => {
      const env = { BECK_STORE: join(folder, name) }
      for (const [number, mode] of modes.entries()) {
        const size = records.length / modes.length / 2
        writeFileSync(join(folder, `${name}.part`), records.slice(number * size, (number + 1) * size).join(''))
        const drain = number === modes.length - 1 ? '--drain' : ''
        const text = stages(drain).replace('NAME', name)
        const line = `beck append in ${name}.part && beck run --mode ${mode} ${quoted(text)}`
        expect(await shell(line, { cwd: folder, env }), text).toMatchObject({ exit: 0, stderr: '' })
      }
      return { out: await replay(env.BECK_STORE, 'out'), bad: readFileSync(join(folder, `${name}.bad`), 'utf8') }
    }
    expect(await run('in-turn', ['fused', 'pipes', 'fused'])).toEqual(
      await run('in-pipes', ['pipes', 'pipes', 'pipes']),
    )
  })

  it('takes part in a pipe of processes, and goes on in either mode', async () => {
    const env = { BECK_STORE: join(folder, 'stage') }
    for (const [number, mode] of ['fused', 'pipes', 'fused'].entries()) {
      writeFileSync(join(folder, 'stage.part'), records.slice(number * 20_000, (number + 1) * 20_000).join(''))
      const drain = number === 2 ? '--drain' : ''
      const stages = STAGES.split(' | ')
      const runs = [stages.slice(0, 2), [...stages.slice(2), 'append out']].map(
        (part) => `beck run --mode ${mode} ${quoted(part.join(' | '))}`,
      )
      const line = `beck append in stage.part && beck consume in -g g --exactly-once ${drain} --checkpoint 5ms | ${runs.join(' | ')}`
      expect(await shell(line, { cwd: folder, env })).toMatchObject({ exit: 0, stderr: '' })
    }
    expect(await replay(env.BECK_STORE, 'out')).toBe(await undisturbed(env.BECK_STORE))
  })

  it('commits nothing of a pipe that loses something on its way to the run, or cannot be committed', async () => {
    const env = { BECK_STORE: join(folder, 'lost') }
    writeFileSync(join(folder, 'few.ndjson'), records.slice(0, 1000).join(''))
    await shell('beck append in few.ndjson', { cwd: folder, env })
    const consume = 'beck consume in -g g --exactly-once'
    const refused = [
      [4, 'records before barrier 1 are missing', `${consume} | grep -v k3 | beck run 'filter r.ok | append out'`],
      [4, 'the stream ended without its "end"', `${consume} | head -100 | beck run 'filter r.ok | append out'`],
      [4, 'within its first line', `${consume} | head -c 30 | beck run 'filter r.ok' | beck append out`],
      [4, 'no control frames have come', `true | false ${consume} | beck run 'reduce count | append out'`],
      [2, '--mode pipes', `${consume} --per-partition | beck run 'filter r.ok | append out'`],
      [2, 'can have one, which commits', `${consume} | beck run 'filter r.ok | tee (append no) | append out'`],
      [2, 'can have one, which commits', `beck run '${consume.slice(5)} | tee (append no) | append out'`],
      [
        3,
        'a stage before this one has failed',
        `${consume} | beck run 'join missing --on k' | beck reduce count; exit \${PIPESTATUS[1]}`,
      ],
      [2, 'no other input', `${consume} | beck run 'filter r.ok - stage.part | append out'`],
      [2, 'writes to a file', `${consume} | beck run 'filter r.ok' > out.ndjson`],
      [2, 'writes another format', `${consume} | beck run 'filter r.ok | to csv' | cat`],
    ] as const
    for (const [exit, message, line] of refused) {
      const got = await shell(`set +o pipefail; ${line}`, { cwd: folder, env })
      expect(got.stderr, line).toContain(message)
      expect(got.exit, `${line}: ${got.stderr}`).toBe(line.endsWith('cat') ? 0 : exit)
    }
    const { stdout } = await shell('beck pipeline describe g; beck topic list', { cwd: folder, env })
    expect(stdout.toString()).not.toMatch(/"epoch":[1-9]|"topic":"(?:out|no)".*"records":[1-9]/)
  })

  it.each(['beck append out', '(sleep 2; beck append out)'])('refuses a second end of the pipe: %s', async (end) => {
    const env = { BECK_STORE: join(folder, `ends-${end.length}`) }
    writeFileSync(join(folder, 'few.ndjson'), records.slice(0, 1000).join(''))
    const line = `beck append in few.ndjson; beck consume in -g g --exactly-once | beck filter r.ok | tee >(beck append other; echo $? >&2) | ${end}`
    const got = await shell(line, { cwd: folder, env })
    // Whichever comes second; a moment later the first one, too.
    expect(got.stderr).toContain('two ends of the pipe "g" commit')
  })

  it('writes rows of a database once each, killed and in either mode', async () => {
    const store = join(folder, 'rows')
    const expected = await prepare(store)
    const into = (more: string): string =>
      `consume in --group r --exactly-once ${more} | ${STAGES} | into sqlite:rows.db windows`
    for (let death = 0; death < 3; death++) {
      const before = await epochOf(store, 'r')
      const child = start(store, [into('--follow --checkpoint 1ms')])
      await until(async () => (await epochOf(store, 'r')) > before || child.exitCode !== null || undefined)
      process.kill(-child.pid!, 'SIGKILL')
      await ended(child)
      const more = join(folder, 'more-rows.ndjson')
      writeFileSync(more, '{"ok":false}\n')
      await shell(`beck append in ${more}`, { cwd: folder, env: { BECK_STORE: store } })
    }
    expect(await ended(start(store, [into('--drain')]))).toBe(0)
    const rows = new (loadSqlite().DatabaseSync)(join(folder, 'rows.db')).prepare('SELECT * FROM windows').all()
    const texts = rows.map((row) => `${JSON.stringify({ ...row, window: JSON.parse(row['window'] as string) })}\n`)
    expect(texts.join('')).toBe(expected)
  })

  it('ends at a checkpoint after Ctrl-C, and goes on from there', async () => {
    const store = join(folder, 'stopped')
    const expected = await prepare(store)
    const child = start(store, [consuming('b', '--follow --checkpoint 5ms')])
    await until(() => committed(store, 'b'))
    child.kill('SIGINT')
    expect(await ended(child)).toBe(130)
    expect(await ended(start(store, [consuming('b', '--drain')]))).toBe(0)
    expect(await replay(store, 'b')).toBe(expected)
  })

  it('is started again when it is killed, under --restart', async () => {
    const store = join(folder, 'restarted')
    const expected = await prepare(store)
    const keeper = start(store, ['--restart', consuming('c', '--follow --checkpoint 5ms')])
    const childOf = (): number | undefined => {
      const [pid] = readFileSync(`/proc/${keeper.pid}/task/${keeper.pid}/children`, 'utf8').split(' ').filter(Boolean)
      return pid === undefined ? undefined : Number(pid)
    }
    await until(() => committed(store, 'c'))
    const first = await until(childOf)
    process.kill(first, 'SIGKILL')
    await until(() => {
      const next = childOf()
      return next === first ? undefined : next
    })
    writeFileSync(join(folder, 'more.ndjson'), '{"t":"2027-01-01T00:00:00Z","k":"new","id":-1,"ok":true}\n')
    await shell('beck append in more.ndjson', { cwd: folder, env: { BECK_STORE: store } })
    // The new record closes the windows of all others.
    await until(async () => ((await replay(store, 'c')) === expected ? true : undefined))
    keeper.kill('SIGTERM')
    expect(await ended(keeper)).toBe(143)
  })

  it('does not begin again what has no checkpoint', async () => {
    const got = await shell("beck run --restart 'filter r.ok in.ndjson'", { cwd: folder })
    expect(got.exit).toBe(2)
    expect(got.stderr).toContain('would begin again')
  })
})
