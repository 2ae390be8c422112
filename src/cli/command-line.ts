import { Command, CommanderError, Option } from 'commander'
import { BeckError } from '../core/errors.ts'
import type { Arguments, CommandSpec, OptionSpec } from '../core/spec.ts'
import { suggest } from '../core/suggest.ts'
import { commonOptions, expressionArguments, globalOptions } from './common-options.ts'

/** All options of a command, its own first. */
export function optionsOf(spec: CommandSpec): OptionSpec[] {
  return [...spec.options, ...spec.common.flatMap((group) => commonOptions[group]), ...globalOptions]
}

/** `-l, --limit <N>` */
const flags = ({ flag, value, short }: OptionSpec): string =>
  `${short ? `-${short}, ` : ''}--${flag}${value ? ` <${value}>` : ''}`

export interface Parsed {
  readonly args: Arguments
  /** Every option by its flag, the common ones too. */
  readonly values: Readonly<Record<string, unknown>>
}

/** Reads a command's words. `help` when they ask for it. @throws BeckError usage, bad-option */
export function parseCommandLine(spec: CommandSpec, argv: readonly string[]): Parsed | 'help' {
  const options = optionsOf(spec)
  const command = new Command(spec.name)
    .exitOverride()
    .configureOutput({ writeOut: () => {}, writeErr: () => {} })
    .helpOption('-h, --help')
    .argument('[words...]')
  for (const option of options) {
    const made = new Option(flags(option))
    if (option.repeat) made.argParser((value: string, previous: string[] | undefined) => [...(previous ?? []), value])
    command.addOption(made)
  }
  try {
    command.parse(joinPairs(argv, options), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.helpDisplayed') return 'help'
    throw usageError(error, spec, options)
  }
  const given = command.opts<Record<string, unknown>>()
  const values: Record<string, unknown> = {}
  for (const option of options) {
    // Of --no-exact the parser makes exact: false, and true when it is not given.
    const value = option.flag.startsWith('no-')
      ? given[camelCase(option.flag.slice(3))] === false || undefined
      : given[camelCase(option.flag)]
    if (value === undefined) continue
    if (option.choices && !option.choices.includes(value as string)) {
      throw new BeckError('bad-option', {
        option: `--${option.flag}`,
        problem: `"${String(value)}" is not one of ${option.choices.join(', ')}`,
        suggestion: suggest(String(value), option.choices),
      })
    }
    values[option.flag] = value
  }
  return { values, args: splitWords(spec, command.args, values) }
}

/** `--emit every 5s` → `--emit "every 5s"`. */
function joinPairs(argv: readonly string[], options: readonly OptionSpec[]): string[] {
  const words = [...argv]
  const stop = words.indexOf('--')
  for (const { flag, moreAfter = [] } of options) {
    for (let at = 0; at + 2 < (stop < 0 ? words.length : stop); at++) {
      if (words[at] === `--${flag}` && moreAfter.includes(words[at + 1]!))
        words.splice(at + 1, 2, words.slice(at + 1, at + 3).join(' '))
    }
  }
  return words
}

/** Program words first, then files. */
function splitWords(spec: CommandSpec, words: readonly string[], values: Record<string, unknown>): Arguments {
  const program = spec.program ?? []
  const most = program.some(({ variadic }) => variadic) ? Infinity : program.length
  const count = Math.min(spec.programWords?.(words[0]) ?? most, words.length)
  const needed = program.filter(({ optional }) => !optional).length
  if (count < Math.min(needed, spec.programWords?.(words[0]) ?? needed)) {
    const missing = program[count]
    throw new BeckError('usage', {
      problem: `${missing?.name} is missing: ${missing?.description}`,
      hint: `for example: ${spec.examples[0]?.command}`,
    })
  }
  const files = words.slice(count)
  if (!spec.files && files.length > 0) {
    const hint = program.at(-1)?.tooMany ?? `beck ${spec.name} --help`
    throw new BeckError('usage', { problem: `"${files[0]}" is one word too many`, hint })
  }
  const own = spec.options.map(({ flag }) => [flag, values[flag] as Arguments['options'][string]] as const)
  const store = spec.common.includes('store') || spec.common.includes('tmp') ? values : {}
  return {
    program: words.slice(0, count),
    files,
    options: Object.fromEntries(
      [...Object.entries(store), ...own].filter(([, value]) => value !== undefined),
    ) as Arguments['options'],
    args: expressionArguments(values),
  }
}

/** Commander's complaints in our words. */
function usageError(error: CommanderError, spec: CommandSpec, options: readonly OptionSpec[]): BeckError {
  const named = /'([^']+)'/.exec(error.message)?.[1] ?? ''
  const flag = named.replace(/^(?:-\w, )?--/, '').replace(/[ =<].*$/, '')
  const known = options.find((option) => option.flag === flag)
  if (error.code === 'commander.optionMissingArgument' && known) {
    return new BeckError('bad-option', { option: `--${flag}`, problem: `needs a value: --${flag} ${known.value}` })
  }
  if (error.code === 'commander.unknownOption') {
    const near = suggest(
      flag,
      options.map((option) => option.flag),
    )
    const dash = !named.startsWith('--') && (spec.program?.length ?? 0) > 0
    return new BeckError('usage', {
      problem: `there is no option ${named}`,
      suggestion: near && `--${near}`,
      hint: near
        ? undefined
        : dash
          ? spec.program?.some(({ own }) => own)
            ? `options of the program itself come after --: beck ${spec.name} -- jq ${named} …`
            : `a program that begins with "-" comes after --: beck ${spec.name} -- '${named}'`
          : `beck ${spec.name} --help lists them`,
    })
  }
  return new BeckError(
    'usage',
    { problem: error.message.replace(/^error: /, ''), hint: `beck ${spec.name} --help` },
    { cause: error },
  )
}

const camelCase = (flag: string): string => flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
