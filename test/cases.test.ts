// Golden cases: test/cases/<command>/<name>/ holds
//   cmd            a shell line; `beck` is on the PATH, the folder is a copy of the case's, ../../../../fixtures is reachable
//   input          standard input (else empty)
//   expected       standard output, byte for byte
//   expected-err   lines that standard error must contain (without this file, a case that ends well must leave it empty)
//   expected-exit  exit code (else 0)
// Each runs as real processes, with both scanners (every sixteenth with the readable one; all of them with BECK_CASES=all). BECK_BIN=FILE runs them
// against a packaged executable.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root, shell, temporaryFolder } from './shell.ts'

const cases = readdirSync(join(root, 'test/cases'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name: command }) => readdirSync(join(root, 'test/cases', command)).map((name) => `${command}/${name}`))

const all = process.env['BECK_CASES'] === 'all'

describe.concurrent.each([
  { scanner: 'the default scanner', env: {}, chosen: cases },
  {
    scanner: 'the reference scanner',
    env: { BECK_SCANNER: 'reference' },
    chosen: cases.filter((_, index) => all || index % 16 === 0),
  },
])('golden cases with $scanner', ({ env, chosen }) => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'test'))
  cpSync(join(root, 'test/cases'), join(folder, 'test/cases'), { recursive: true })
  symlinkSync(join(root, 'fixtures'), join(folder, 'fixtures'))

  it.for(chosen)('%s', async (name, { expect }) => {
    const cwd = join(folder, 'test/cases', name)
    const read = (file: string) => (existsSync(join(cwd, file)) ? readFileSync(join(cwd, file)) : undefined)
    const command = read('cmd')?.toString()
    const expected = read('expected')
    const expectedErrors = read('expected-err')?.toString().split('\n').filter(Boolean)
    const expectedExit = Number(read('expected-exit') ?? 0)
    expect(command, 'the case has no file "cmd"').toBeDefined()
    expect(expected, 'the case has no file "expected"').toBeDefined()

    const input = join(cwd, 'input')
    const got = await shell(command!, { cwd, env, ...(existsSync(input) && { input }) })
    expect({ stdout: got.stdout.toString(), exit: got.exit }, got.stderr).toEqual({
      stdout: expected!.toString(),
      exit: expectedExit,
    })
    expect(got.stdout.equals(expected!), 'differs in bytes that are not UTF-8').toBe(true)
    for (const line of expectedErrors ?? []) expect(got.stderr).toContain(line)
    if (!expectedErrors && expectedExit === 0) expect(got.stderr).toBe('')
  })
})

it('there are golden cases', () => expect(cases.length).toBeGreaterThan(0))
