// What people see of a run: on a terminal (a pseudo-terminal of `script`) a line a stage, which is gone at the end; nothing anywhere else.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { bin, shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()

/** A line that runs in a terminal of 100 columns. */
interface Seen {
  readonly child: ChildProcess
  /** What the terminal was sent. */
  text(): string
  readonly ended: Promise<void>
}

function onTerminal(line: string, cwd = folder, env: Readonly<Record<string, string>> = {}): Seen {
  const path = [bin, dirname(process.execPath), process.env['PATH']].join(delimiter)
  writeFileSync(join(cwd, 'line.sh'), `stty cols 100 rows 30\n${line}\n`)
  const child = spawn('script', ['-qec', 'bash line.sh', '/dev/null'], {
    cwd,
    env: { ...process.env, PATH: path, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()))
  return { child, text: () => text, ended: new Promise((resolve) => child.once('close', () => resolve())) }
}

/** The lines that a terminal shows in the end. */
function screen(text: string): string[] {
  const lines = ['']
  let row = 0
  let column = 0
  for (const [piece] of text.matchAll(/\u001b\[(\d*)([A-Z])|[^]/gu)) {
    if (piece === '\n') lines[++row] ??= ''
    else if (piece === '\r') column = 0
    else if (piece.endsWith('A') && piece.length > 1) row -= Number(piece.slice(2, -1))
    else if (piece === '\u001b[J') {
      lines.length = row + 1
      lines[row] = lines[row]!.slice(0, column)
    } else if (piece.length > 1 && piece.startsWith('\u001b')) throw new Error(`an escape: ${JSON.stringify(piece)}`)
    else {
      lines[row] = lines[row]!.slice(0, column) + piece + lines[row]!.slice(column + 1)
      column++
    }
  }
  return lines.filter((line, at) => line !== '' || at < row)
}

async function until(look: () => unknown): Promise<void> {
  while (!look()) await new Promise((resolve) => setTimeout(resolve, 20))
}

const records = Array.from(
  { length: 2000 },
  (_, n) => `${JSON.stringify({ a: n % 7, t: new Date(1767225600000 + n * 100).toISOString() })}\n`,
).join('')
const text = "filter 'r.a > 0' | window count --tumbling 1m --time t --by a --quiet | reduce count"

/** A run whose input is held open until `seen` says so. */
async function held(name: string, line: string, seen: (text: string) => unknown): Promise<Seen> {
  const cwd = join(folder, name)
  mkdirSync(cwd)
  await shell('mkfifo input', { cwd })
  const run = onTerminal(`cat input | ${line}`, cwd)
  const input = openSync(join(cwd, 'input'), 'r+')
  writeSync(input, records)
  await until(() => seen(run.text()))
  closeSync(input)
  await run.ended
  return run
}

describe.concurrent('progress on a terminal', () => {
  for (const mode of ['fused', 'pipes']) {
    it(`a line a stage: records, rate, watermark (${mode})`, async () => {
      const line = `beck run --mode ${mode} "${text}" > output`
      const { text: sent } = await held(mode, line, (so) =>
        /1 filter +2,000 records +[\d.]+k?\/s[^]*2 window +1,71\d records .*watermark 2026-01-01T00:03:19[^]*3 reduce/.test(
          so,
        ),
      )
      expect(screen(sent())).toEqual([])
      expect(readFileSync(join(folder, mode, 'output'), 'utf8')).toBe('{"count":24}\n')
    })
  }

  it('what programs say stands above it, and stays', async () => {
    const line = `beck run "via -- sh -c 'echo one >&2; printf two >&2; cat' | ${text}" > output`
    const { text: sent } = await held('said', line, (so) => /2 filter +2,000 records/.test(so))
    expect(screen(sent())).toEqual(['one', 'two'])
  })

  it('is not shown with --quiet, nor between records on the same terminal', async () => {
    const quiet = { done: false }
    const loud = held('loud', `beck run "${text}" > output`, (so) => so.includes('records')).then(
      () => (quiet.done = true),
    )
    const runs = [
      held('quiet', `beck run --quiet "${text}" > output`, () => quiet.done),
      held('quiet-pipes', `beck run --quiet --mode pipes "${text}" > output`, () => quiet.done),
      held('same', `beck run "${text}"`, () => quiet.done),
      held('same-pipes', `beck run --mode pipes "${text}"`, () => quiet.done),
    ]
    await loud
    const [one, two, three, four] = await Promise.all(runs)
    expect([one, two, three, four].map((run) => run?.text())).toEqual(['', '', '{"count":24}\r\n', '{"count":24}\r\n'])
  })

  it('tasks: done, running', async () => {
    writeFileSync(join(folder, 'many.ndjson'), records.split(/^/m).slice(0, 800).join(''))
    const slow = `map 'Array.from({length: 20000}, (_, i) => i + r.a).length' many.ndjson`
    const run = onTerminal(`beck run --mode parallel --workers 2 --split 16KiB "${slow}" > tasks`)
    await run.ended
    expect(run.text()).toMatch(/1 map +[\d,]+ records +[\d.]+k?\/s {2}\d+ of \d+ tasks done, [12] running/)
    expect(screen(run.text())).toEqual([])
  })

  it('members of a group: all of them together, and how far they are behind', async () => {
    const env = { BECK_STORE: join(folder, 'store') }
    const made = 'beck topic create in --partitions 2 && beck append in'
    writeFileSync(join(folder, 'records'), records)
    await shell(`${made} records`, { cwd: folder, env })
    const run = onTerminal(
      `beck run --mode parallel --workers 2 'consume in -g g --follow | filter "r.a >= 0"' > members & echo $! > pid; wait`,
      folder,
      env,
    )
    await until(() => /1 consume +2,000 records +[\d.]+k?\/s {2}lag 0[^]*2 filter +2,000 records/.test(run.text()))
    process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')), 'SIGTERM')
    await run.ended
    // A member may have said that it has no partitions yet.
    expect(screen(run.text()).filter((line) => !line.includes('idle'))).toEqual([])
  })
})
