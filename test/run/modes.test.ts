// Every golden case gives the same bytes, the same exit codes and the same messages in each mode of `beck run`. A case that is one pipeline of
// commands is one text. In other lines, each pipe of commands is one, by a stand-in for beck on the PATH (as-runs.ts). npm test takes every eighth case;
// BECK_MODES=all takes them all.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commands } from '../../commands/index.ts'
import { quoted } from '../../src/run/shell-line.ts'
import { parsePipeline } from '../../src/run/text.ts'
import { program, root, shell, temporaryFolder } from '../shell.ts'
import { joinPipes, modeOf, writeStandIn } from './as-runs.ts'

/** Cases that differ in a mode, and why. `says`: with this put in place of that in what is expected; without it, they are left out. */
const exceptions: Readonly<
  Record<string, { readonly why: string; readonly modes: RegExp; readonly says?: readonly [from: string, to: string] }>
> = {
  'append/bad-record-exactly-once': {
    why: 'a control frame is a line of a pipe, and none of what one process hands on in memory',
    modes: /fused|parallel/,
    says: ['stdin:2:1', 'stdin:1:1'],
  },
  ...Object.fromEntries(
    [
      'commit/reader-gone',
      'commit/reader-gone-between-checkpoints',
      'commit/without-frames',
      'into/swallowed-frames',
    ].map((name) => [
      name,
      {
        why: 'the run is a part of an exactly-once pipe of processes, which is one text as a whole',
        modes: /fused|parallel/,
      },
    ]),
  ),
  'consume/hung-member': { why: 'stops the process that leads a run, and not its stages', modes: /pipes|parallel/ },
}

const casesFolder = join(root, 'test/cases')
const read = (name: string, file: string, encoding: 'latin1' | 'utf8' = 'latin1'): string | undefined => {
  const path = join(casesFolder, name, file)
  return existsSync(path) ? readFileSync(path, encoding) : undefined
}
const lineOf = (name: string): string => read(name, 'cmd', 'utf8')!.trim()

/** The text of a case that is one pipeline of commands, each behind `beck`. */
function textOf(name: string): string | undefined {
  const text = lineOf(name)
  if (!text.startsWith('beck ')) return undefined
  try {
    const { stages } = parsePipeline({ name, text, folder: join(casesFolder, name) })
    const all = stages.every(
      ({ name: command, at }) => text.startsWith('beck ', at) && Object.hasOwn(commands, command),
    )
    return all ? text : undefined
  } catch {
    return undefined // redirections, variables, several commands: a shell's business
  }
}

const names = readdirSync(casesFolder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => readdirSync(join(casesFolder, name)).map((one) => `${name}/${one}`))
// Those of other folders that run nothing show help and the like.
const texts = names.filter(
  (name) =>
    !/^(run|explain)\//.test(name) &&
    /\bbeck (?!run|explain|help|completion|-)/.test(lineOf(name)) &&
    !/(--help|-h)\b/.test(lineOf(name)),
)
const all = process.env['BECK_MODES'] === 'all'
const chosen = texts.filter((_, index) => all || index % 8 === 0)

const modes = ['fused', 'parallel --split 64KiB --workers 2', 'pipes']

/** Where a line shows the exit codes of a pipe, that of the last one that failed: what the shell's pipefail shows, and a run has. */
const withPipefail = (output: string): string =>
  output.replaceAll(
    /^exit( \d+)+$/gm,
    (line) =>
      `exit ${
        line
          .split(' ')
          .slice(1)
          .findLast((exit) => exit !== '0') ?? 0
      }`,
  )

describe.concurrent.each(all ? modes : modes.slice(0, 1))('golden cases with --mode %s', (mode) => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'test'))
  cpSync(casesFolder, join(folder, 'test/cases'), { recursive: true })
  symlinkSync(join(root, 'fixtures'), join(folder, 'fixtures'))
  const standIn = join(folder, 'bin')
  mkdirSync(standIn)
  writeStandIn(standIn, program, mode)

  const differs = (name: string) => (exceptions[name]?.modes.test(mode) ? exceptions[name] : undefined)
  const runs = chosen.filter((name) => !differs(name) || differs(name)?.says)
  it.for(runs)('%s', async (name, { expect }) => {
    const cwd = join(folder, 'test/cases', name)
    const input = join(cwd, 'input')
    const text = textOf(name)
    const line = text === undefined ? joinPipes(lineOf(name)) : `beck run --mode ${modeOf(mode, text)} ${quoted(text)}`
    const ran = join(folder, name.replace('/', '-'))
    const env = text === undefined && {
      BECK_RAN: ran,
      PATH: [standIn, dirname(process.execPath), process.env['PATH']].join(delimiter),
    }
    const got = await shell(line, { cwd, ...(env && { env }), ...(existsSync(input) && { input }) })
    const [from, to] = differs(name)?.says ?? ['', '']
    const exit = Number(read(name, 'expected-exit') ?? 0)
    const shown = lineOf(name).includes('PIPESTATUS') ? withPipefail : (output: string) => output
    expect({ stdout: shown(got.stdout.toString('latin1')), exit: got.exit }, got.stderr).toEqual({
      stdout: shown(read(name, 'expected') ?? '').replace(from, to),
      exit,
    })
    expect(text !== undefined || existsSync(ran), 'something was run').toBe(true)
    const errors = read(name, 'expected-err', 'utf8')?.replace(from, to).split('\n').filter(Boolean)
    // What is wrong with a command line is said before anything runs, with its place in the text.
    // What consume says of other processes that have ended: in one process there are none.
    const others = mode === 'pipes' ? /^$/ : /is not committed$/
    for (const said of errors ?? [])
      if (!isSaid(said, got.stderr) && !others.test(said)) expect(got.stderr).toContain(said)
    if (!errors && exit === 0) expect(got.stderr).toBe('')
  })
})

/** What is wrong with a command line is said with its place in the text: `beck run: text:1:1 (filter): --limit …`. */
function isSaid(said: string, stderr: string): boolean {
  const [command = '', ...message] = said.split(': ')
  return stderr
    .split('\n')
    .some(
      (line) =>
        /^beck run: text:\d+:\d+/.test(line) &&
        line.includes(` (${command.replace('beck ', '')}): ${message.join(': ')}`),
    )
}

it('all golden cases of commands are run', () => {
  expect(chosen.length).toBeGreaterThan(all ? 300 : 40)
  for (const name of Object.keys(exceptions)) expect(texts).toContain(name)
})
