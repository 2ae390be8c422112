// What ends a run from outside: Ctrl-C, once and twice, and the death of the process that leads it.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { program, shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
writeFileSync(join(folder, 'in.ndjson'), '{"a":1}\n')

function start(words: readonly string[], store = ''): ChildProcess {
  const env = { ...process.env, BECK_STORE: store }
  return spawn(process.execPath, [program, 'run', ...words], { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] })
}
const ended = (child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> =>
  new Promise((resolve) => void child.once('exit', (code, signal) => resolve({ code, signal })))

async function until<Result>(look: () => Result | undefined | false): Promise<Result> {
  for (;;) {
    const found = look()
    if (found !== undefined && found !== false) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The process that has written its number there. */
const pidIn = (name: string): Promise<number> =>
  until(() => {
    const file = join(folder, name)
    return existsSync(file) && Number(readFileSync(file, 'utf8')) > 0 && Number(readFileSync(file, 'utf8'))
  })

/** What the system knows of a process: `S`, `R`, `T` (stopped) … Undefined when it has ended. */
function look(pid: number): { readonly state: string; readonly parent: number; readonly group: number } | undefined {
  try {
    const [state = 'Z', parent, group] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    return state === 'Z' ? undefined : { state, parent: Number(parent), group: Number(group) }
  } catch {
    return undefined
  }
}

/** The processes of the group that a process belongs to. */
function groupOf(pid: number): number[] {
  const own = look(pid)?.group
  return readdirSync('/proc')
    .map(Number)
    .filter((other) => other > 0 && look(other)?.group === own)
}

const waiting = (name: string): string => `via -- sh -c 'echo $$ > ${name}; exec sleep 1000' | sort --by a`

describe('a process a stage', () => {
  it('all stages end when the process that started them is killed', async () => {
    const child = start(['--mode', 'pipes', waiting('killed.pid')])
    const stage = await pidIn('killed.pid')
    const members = groupOf(stage)
    // The shell and what watches for us, via and its program, sort.
    expect(members.length).toBeGreaterThanOrEqual(5)
    child.kill('SIGKILL')
    await until(() => members.every((pid) => look(pid) === undefined))
  })

  it('Ctrl-C ends all of them, a second one also those that do not listen', async () => {
    const child = start(['--mode', 'pipes', `filter true in.ndjson | ${waiting('twice.pid')}`])
    const stage = await pidIn('twice.pid')
    const members = groupOf(stage)
    // The beck that waits for it. A process that is stopped takes no signal but one.
    const deaf = look(stage)?.parent as number
    process.kill(deaf, 'SIGSTOP')
    await until(() => look(deaf)?.state === 'T')
    child.kill('SIGINT')
    await until(() => look(stage) === undefined)
    expect(look(deaf)?.state).toBe('T')
    expect(child.exitCode).toBe(null)
    child.kill('SIGINT')
    expect(await ended(child)).toEqual({ code: 130, signal: null })
    await until(() => members.every((pid) => look(pid) === undefined))
  })

  const many = Array.from({ length: 3000 }, (_, n) => `{"n":${n}}\n`).join('')
  /** A store with 3000 records in a topic of two partitions. */
  async function filled(name: string): Promise<string> {
    const store = join(folder, name)
    writeFileSync(join(folder, `${name}.ndjson`), many)
    const line = `beck append in --partitions 2 --by n ${name}.ndjson`
    expect((await shell(line, { cwd: folder, env: { BECK_STORE: store } })).exit).toBe(0)
    return store
  }
  const lagOf = async (store: string): Promise<number> => {
    const { stdout } = await shell('beck group list', { cwd: folder, env: { BECK_STORE: store } })
    return (JSON.parse(stdout.toString()) as { lag: number }).lag
  }
  const copied = async (store: string): Promise<number> => {
    const { stdout } = await shell('beck replay out', { cwd: folder, env: { BECK_STORE: store } })
    return stdout.toString().split('\n').length - 1
  }

  it.each(['', '--per-partition'])('an exactly-once pipeline ends at a checkpoint %s', async (how) => {
    const store = await filled(`gently${how}`)
    const seen = join(store, 'seen')
    // The program keeps what it is given, and goes on for as long as its input does.
    const text = `consume in -g g --exactly-once --follow ${how} --checkpoint ${how ? '1ms' : '1h'} | filter true | via --lines -- tee -a ${seen} | append out`
    const child = start(['--mode', 'pipes', text], store)
    // All is read, and nothing of it would be committed for an hour.
    await until(() => existsSync(seen) && readFileSync(seen, 'utf8').split('\n').length > 3000)
    child.kill('SIGINT')
    expect(await ended(child)).toEqual({ code: 130, signal: null })
    expect(await lagOf(store)).toBe(0)
    expect(await copied(store)).toBe(3000)
  })

  it('one whose end hangs is ended by a second Ctrl-C, and commits nothing', async () => {
    const store = await filled('hanging')
    const text = `consume in -g g --exactly-once --follow --checkpoint 1h | via -- sh -c 'echo $$ > begun.pid; cat; echo $$ > hanging.pid; exec sleep 1000' | append out`
    const child = start(['--mode', 'pipes', text], store)
    await pidIn('begun.pid')
    child.kill('SIGTERM')
    // The first one lets the epoch end.
    const program = await pidIn('hanging.pid')
    child.kill('SIGTERM')
    expect(await ended(child)).toEqual({ code: 143, signal: null })
    await until(() => look(program) === undefined)
    expect(await lagOf(store)).toBe(3000)
  })

  it('one that waits for its turn ends at once', async () => {
    const store = await filled('waiting')
    const text = 'consume in -g g --exactly-once --follow --checkpoint 1ms | append out'
    const first = start([text], store)
    await until(() => /"g\b/.test(journalOf(store)))
    for (const mode of ['pipes', 'fused']) {
      const second = start(['--mode', mode, text], store)
      let said = ''
      second.stderr?.on('data', (piece: Buffer) => (said += piece.toString()))
      await until(() => said.includes('waiting to take over'))
      second.kill('SIGINT')
      expect(await ended(second)).toEqual({ code: 130, signal: null })
    }
    first.kill('SIGINT')
    expect(await ended(first)).toEqual({ code: 130, signal: null })
  })

  it('the end of the pipeline is not held up', async () => {
    const got = await shell("beck run --mode pipes 'filter true in.ndjson | sort --by a' | cat", { cwd: folder })
    expect({ ...got, stdout: got.stdout.toString() }).toEqual({ stdout: '{"a":1}\n', stderr: '', exit: 0 })
  })
})

describe('one process', () => {
  it('a second Ctrl-C ends it without a checkpoint', async () => {
    const store = join(folder, 'store')
    await shell(`beck append in in.ndjson && beck topic create out`, { cwd: folder, env: { BECK_STORE: store } })
    const child = start(['consume in -g g --exactly-once --follow --checkpoint 1ms | append out'], store)
    await until(() => /"g\b/.test(journalOf(store)))
    // Both are there when it goes on.
    child.kill('SIGSTOP')
    await until(() => look(child.pid as number)?.state === 'T')
    child.kill('SIGINT')
    child.kill('SIGTERM')
    child.kill('SIGCONT')
    const { code, signal } = await ended(child)
    expect(code).toBe(null)
    expect(['SIGINT', 'SIGTERM']).toContain(signal)
  })
})

describe('tasks', () => {
  it('what runs once, behind the tasks, ends at the first Ctrl-C', async () => {
    // Backtracks for ever.
    const text = `map '{a: r.a}' in.ndjson | sort --by a | filter '/^(a+)+$/.test("a".repeat(99) + r.a)'`
    const child = start(['--mode', 'parallel', '--out', 'rest', '--workers', '1', text])
    await until(() => existsSync(join(folder, 'rest/_job/part-00000.ndjson')))
    child.kill('SIGINT')
    expect(await ended(child)).toEqual({ code: null, signal: 'SIGINT' })
    expect(readdirSync(join(folder, 'rest'))).toEqual(['_job'])
  })
})

const journalOf = (store: string): string => {
  const path = join(store, 'journal')
  if (!existsSync(path)) return ''
  return readdirSync(path)
    .map((name) => readFileSync(join(path, name), 'utf8'))
    .join('')
}
