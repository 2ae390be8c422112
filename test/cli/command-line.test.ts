import { describe, expect, it } from 'vitest'
import { parseCommandLine, type Parsed } from '../../src/cli/command-line.ts'
import { completionScript } from '../../src/cli/completion.ts'
import { commandHelp, usageLine } from '../../src/cli/help.ts'
import { runSettings } from '../../src/cli/common-options.ts'
import type { BeckError } from '../../src/core/errors.ts'
import type { CommandSpec } from '../../src/core/spec.ts'

const spec: CommandSpec = {
  name: 'example',
  summary: 'shows the command line',
  program: [{ name: 'EXPRESSION', description: 'what to do' }],
  files: true,
  options: [
    { flag: 'by', value: 'KEYS', description: 'keys' },
    { flag: 'limit', short: 'n', value: 'N', description: 'at most N' },
    { flag: 'late', value: 'POLICY', description: 'late data', choices: ['drop', 'update', 'correct'] },
    { flag: 'flat', description: 'none or many' },
  ],
  common: ['input', 'args', 'workers'],
  cost: { time: 'O(n)', memory: 'O(1)' },
  examples: [{ says: 'an example', command: "beck example 'r.a' FILE" }],
  create: () => ({ role: 'operator', reads: [], open: () => ({ processBatch() {} }) }),
}
const parse = (...words: string[]): Parsed => {
  const parsed = parseCommandLine(spec, words)
  if (parsed === 'help') throw new Error('help')
  return parsed
}
function failure(run: () => unknown): BeckError {
  try {
    run()
  } catch (error) {
    return error as BeckError
  }
  throw new Error('did not fail')
}

describe('parseCommandLine', () => {
  it('takes the program first, then files, with options anywhere', () => {
    const { args } = parse('--flat', 'r.a', '-n', '3', 'x.ndjson', '--by', '-count', '-')
    expect(args.program).toEqual(['r.a'])
    expect(args.files).toEqual(['x.ndjson', '-'])
    expect(args.options).toEqual({ flat: true, limit: '3', by: '-count' })
  })
  it('takes a program that begins with "-" after --', () => {
    expect(parse('--', '-r.a > 0', '-x').args).toMatchObject({ program: ['-r.a > 0'], files: ['-x'] })
    const error = failure(() => parse('-r.a > 0'))
    expect(error).toMatchObject({ code: 'usage', exit: 2 })
    expect(error.hint).toContain('beck example --')
  })
  it('reads --arg as strings, an equals sign in the value too', () => {
    expect({ ...parse('r', '--arg', 'a=1', '--arg', 'b=x=y', '--arg', '__proto__=z').args.args }).toEqual({
      a: '1',
      b: 'x=y',
      ['__proto__']: 'z',
    })
    expect(failure(() => parse('r', '--arg', 'novalue')).exit).toBe(2)
  })
  it('suggests options and choices', () => {
    expect(failure(() => parse('r', '--limt', '3')).hint).toBe('did you mean "--limit"?')
    expect(failure(() => parse('r', '--late', 'dorp')).hint).toBe('did you mean "drop"?')
  })
  it('says which word is missing, with an example that runs', () => {
    const error = failure(() => parse())
    expect(error.message).toBe('EXPRESSION is missing: what to do')
    expect(error.hint).toContain(spec.examples[0]?.command)
    expect(failure(() => parse('r', '--by')).message).toContain('needs a value: --by KEYS')
  })
})

describe('runSettings', () => {
  it('refuses what is no number of threads, no size, no scanner', () => {
    for (const workers of ['0', '-1', '1.5', 'two', ''])
      expect(failure(() => runSettings({ workers }, {})).exit).toBe(2)
    expect(failure(() => runSettings({ memory: '12 parsecs' }, {})).exit).toBe(2)
    expect(failure(() => runSettings({}, { BECK_SCANNER: 'warm' })).exit).toBe(2)
    expect(runSettings({ workers: '3', memory: '1MiB', 'max-line': '2KiB' }, {})).toMatchObject({
      workers: 3,
      memoryBytes: 1 << 20,
      maxLineBytes: 2048,
    })
  })
})

describe('what is made from a spec', () => {
  it('help shows every option, the cost and examples', () => {
    const help = commandHelp(spec)
    expect(usageLine(spec)).toBe('beck example EXPRESSION [options] [FILE…]')
    for (const part of [
      '--by KEYS',
      '-n, --limit N',
      'drop, update, correct',
      '--dead-letter FILE',
      'O(n)',
      '# an example',
    ]) {
      expect(help).toContain(part)
    }
  })
  it('completion knows commands, options and choices, and is a program each shell reads', async () => {
    const registry = { example: async () => spec }
    for (const shell of ['bash', 'zsh', 'fish']) {
      const script = await completionScript(shell, registry)
      for (const part of ['example', 'dead-letter', 'drop update correct']) expect(script).toContain(part)
    }
    await expect(completionScript('fsh', registry)).rejects.toMatchObject({ exit: 2 })
  })
})
