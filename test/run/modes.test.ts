// Every golden case that is a pipeline of beck commands gives the same bytes, the same exit code and the same messages in each mode of
// `beck run`. npm test takes every fourth; BECK_MODES=all takes them all.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commands } from '../../commands/index.ts'
import { quoted } from '../../src/run/shell-line.ts'
import { parsePipeline } from '../../src/run/text.ts'
import { root, shell, temporaryFolder } from '../shell.ts'

const casesFolder = join(root, 'test/cases')
const read = (name: string, file: string, encoding: 'latin1' | 'utf8' = 'latin1'): string | undefined => {
  const path = join(casesFolder, name, file)
  return existsSync(path) ? readFileSync(path, encoding) : undefined
}

/** The text of a case that is one pipeline of commands, each behind `beck`. */
function textOf(name: string): string | undefined {
  const text = read(name, 'cmd', 'utf8')?.trim()
  if (text === undefined || !/^beck (?!run|explain|-|help|completion)/.test(text)) return undefined
  try {
    const { stages } = parsePipeline({ name, text, folder: join(casesFolder, name) })
    const all = stages.every(
      ({ name: command, at }) => text.startsWith('beck ', at) && Object.hasOwn(commands, command),
    )
    return all && !/--help|(^| )-h( |$)/.test(text) ? text : undefined
  } catch {
    return undefined // redirections, variables, several commands: a shell's business
  }
}

const names = readdirSync(casesFolder, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => readdirSync(join(casesFolder, name)).map((one) => `${name}/${one}`))
const texts = names.flatMap((name) => {
  const text = textOf(name)
  return text === undefined ? [] : [{ name, text }]
})
const all = process.env['BECK_MODES'] === 'all'
const chosen = all ? texts : texts.filter((_, index) => index % 4 === 0)

const modes = ['fused', 'parallel --split 64KiB --workers 2', 'pipes']

describe.concurrent.each(all ? modes : modes.slice(0, 1))('golden cases with --mode %s', (mode) => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'test'))
  cpSync(casesFolder, join(folder, 'test/cases'), { recursive: true })
  symlinkSync(join(root, 'fixtures'), join(folder, 'fixtures'))

  it.for(chosen)('$name', async ({ name, text }, { expect }) => {
    const cwd = join(folder, 'test/cases', name)
    const input = join(cwd, 'input')
    const line = `beck run --mode ${mode} ${quoted(text)}`
    const got = await shell(line, { cwd, ...(existsSync(input) && { input }) })
    const exit = Number(read(name, 'expected-exit') ?? 0)
    expect({ stdout: got.stdout.toString('latin1'), exit: got.exit }, got.stderr).toEqual({
      stdout: read(name, 'expected'),
      exit,
    })
    const errors = read(name, 'expected-err', 'utf8')?.split('\n').filter(Boolean)
    // What is wrong with a command line is said before anything runs, with its place in the text.
    if (exit === 2) return
    for (const said of errors ?? []) expect(got.stderr).toContain(said)
    if (!errors && exit === 0) expect(got.stderr).toBe('')
  })
})

it('most golden cases are pipelines', () => expect(texts.length).toBeGreaterThan(150))
