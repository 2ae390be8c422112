import { availableParallelism, tmpdir } from 'node:os'
import { BeckError } from '../core/errors.ts'
import { parseSize } from '../core/size.ts'
import type { Arguments, CommandSpec, CommonOption, OptionSpec, Stage } from '../core/spec.ts'
import type { RunSettings, StageIdentity } from '../pipeline/settings.ts'
import { memoryLimit } from './memory-limit.ts'

/** Options that mean the same in every command that has them: one object is their flag, help and completion. */
export const commonOptions: Readonly<Record<CommonOption, readonly OptionSpec[]>> = {
  input: [
    { flag: 'dead-letter', value: 'FILE', description: 'keep bad records in FILE, byte for byte, and go on' },
    { flag: 'strict', description: 'check every line whole, not only what is read of it' },
    { flag: 'max-line', value: 'SIZE', description: 'a longer line is a bad record', default: '16MiB' },
  ],
  args: [{ flag: 'arg', value: 'NAME=VALUE', repeat: true, description: 'a string for expressions, as args.NAME' }],
  workers: [{ flag: 'workers', value: 'N', description: 'threads for files', default: 'one a core' }],
  memory: [
    {
      flag: 'memory',
      value: 'SIZE',
      description: 'what all workers may hold together before they spill',
      default: "a quarter of the machine's",
    },
  ],
  tmp: [{ flag: 'tmp', value: 'DIR', description: 'where spill files go', default: "the system's" }],
  store: [{ flag: 'store', value: 'DIR', description: 'the folder of topics', default: '$BECK_STORE, else ./.beck' }],
}

/** Options of every command. */
export const globalOptions: readonly OptionSpec[] = [
  { flag: 'quiet', short: 'q', description: 'no notices and no progress on stderr' },
  {
    flag: 'color',
    value: 'WHEN',
    description: 'colour in messages',
    choices: ['auto', 'always', 'never'],
    default: 'auto',
  },
]

type Values = Readonly<Record<string, unknown>>
const text = (values: Values, flag: string): string | undefined => values[flag] as string | undefined

/** What the common options of a command line come to. @throws BeckError bad-option */
export function runSettings(values: Values, env: NodeJS.ProcessEnv): Omit<RunSettings, 'stage' | 'inputs'> {
  const workers = Number(text(values, 'workers') ?? availableParallelism())
  if (!Number.isInteger(workers) || workers < 1 || workers > 256) {
    throw new BeckError('bad-option', {
      option: '--workers',
      problem: `"${text(values, 'workers')}" is not a number of threads`,
      hint: 'write --workers 2',
    })
  }
  const scanner = env['BECK_SCANNER'] ?? 'wasm'
  if (scanner !== 'wasm' && scanner !== 'reference') {
    throw new BeckError('usage', {
      problem: `BECK_SCANNER is "${scanner}"`,
      hint: 'set it to wasm or reference, or unset it',
    })
  }
  const memory = text(values, 'memory')
  const tmp = text(values, 'tmp')
  if (tmp === '') {
    throw new BeckError('bad-option', {
      option: '--tmp',
      problem: 'the name of the folder is empty',
      hint: 'name one, or leave --tmp out',
    })
  }
  return {
    scanner,
    strict: values['strict'] === true,
    maxLineBytes: parseSize(text(values, 'max-line') ?? '16MiB', '--max-line', 1),
    deadLetter: text(values, 'dead-letter'),
    newTable: values['new-table'] === true,
    workers,
    memoryBytes: memory === undefined ? Math.floor(memoryLimit() / 4) : parseSize(memory, '--memory'),
    tmp: tmp ?? tmpdir(),
  }
}

/** The command line as far as its results depend on it. A table counts by what is in it, not by its name. */
export function stageIdentity(
  spec: CommandSpec,
  stage: Stage | undefined,
  { program, options, args }: Arguments,
): StageIdentity {
  const own = spec.options
    .map(({ flag, runOnly }) => [flag, runOnly ? undefined : options[flag]])
    .filter(([, value]) => value !== undefined)
  const words = stage?.role === 'table' || stage?.role === 'pair' ? [] : program
  return { name: spec.name, options: JSON.stringify([spec.name, words, own, args]) }
}

/** Reads the `--arg name=value`s. @throws BeckError bad-option */
export function expressionArguments(values: Values): Record<string, string> {
  const args: Record<string, string> = Object.create(null)
  for (const given of (values['arg'] as readonly string[] | undefined) ?? []) {
    const at = given.indexOf('=')
    const name = given.slice(0, Math.max(at, 0))
    if (!/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name)) {
      throw new BeckError('bad-option', {
        option: '--arg',
        problem: `"${given}" is not NAME=VALUE`,
        hint: 'write --arg day=2026-01-01, and args.day in the expression',
      })
    }
    args[name] = given.slice(at + 1)
  }
  return args
}
