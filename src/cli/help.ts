import type { CommandSpec, OptionSpec } from '../core/spec.ts'
import { commonOptions, globalOptions } from './common-options.ts'
import type { Registry } from './registry.ts'

/** `beck filter EXPRESSION [FILE…]` */
export function usageLine(spec: CommandSpec): string {
  const program = (spec.program ?? []).map(({ name, optional, variadic }) => {
    const word = variadic ? `${name}…` : name
    return optional ? `[${word}]` : word
  })
  return ['beck', spec.name, ...program, '[options]', ...(spec.files ? ['[FILE…]'] : [])].join(' ')
}

/** What `beck COMMAND --help` prints. */
export function commandHelp(spec: CommandSpec): string {
  const parts = [`${spec.summary}\n\nUsage: ${usageLine(spec)}\n`]
  if (spec.description) parts.push(`${wrap(spec.description, 0)}\n`)
  if (spec.program?.length)
    parts.push(`Arguments:\n${table(spec.program.map(({ name, description }) => [name, description]))}`)
  if (spec.options.length > 0) parts.push(`Options:\n${optionTable(spec.options)}`)
  parts.push(
    `Common options:\n${optionTable([...spec.common.flatMap((group) => commonOptions[group]), ...globalOptions])}`,
  )
  parts.push(
    `Cost:\n${table([
      ['time', spec.cost.time],
      ['memory', spec.cost.memory],
    ])}`,
  )
  parts.push(
    `Examples:\n${spec.examples.map(({ says, command }) => `  # ${says}\n  ${command.replaceAll('\n', '\n  ')}\n`).join('\n')}`,
  )
  return parts.join('\n')
}

/** What `beck --help` prints. */
export async function overview(registry: Registry): Promise<string> {
  const specs = await Promise.all(Object.values(registry).map((load) => load()))
  return [
    'beck: the stream toolkit for the shell. NDJSON in, NDJSON out, one pipe at a time.\n',
    'Usage: beck COMMAND [PROGRAM] [options] [FILE…]\n',
    `Commands:\n${table(specs.map(({ name, summary }) => [name, summary]))}`,
    'beck COMMAND --help shows its options and examples that run.\n',
  ].join('\n')
}

/** `--limit N` with what it does. */
export function optionRow(option: OptionSpec): [string, string] {
  const choices = option.choices ? ` (${option.choices.join(', ')})` : ''
  const fallback = option.default === undefined ? '' : ` [${option.default}]`
  return [
    `${option.short ? `-${option.short}, ` : ''}--${option.flag}${option.value ? ` ${option.value}` : ''}`,
    option.description + choices + fallback,
  ]
}
const optionTable = (options: readonly OptionSpec[]): string => table(options.map(optionRow))

const WIDTH = 100

/** Two columns, the second wrapped. */
function table(rows: readonly (readonly [string, string])[]): string {
  const left = Math.min(28, Math.max(...rows.map(([name]) => name.length)) + 2)
  return rows
    .map(([name, text]) => {
      const gap = name.length + 2 > left ? `\n${' '.repeat(left + 2)}` : ' '.repeat(left - name.length)
      return `  ${name}${gap}${wrap(text, left + 2)}\n`
    })
    .join('')
}

function wrap(text: string, indent: number): string {
  return text
    .split('\n')
    .map((paragraph) => {
      const lines = ['']
      for (const word of paragraph.split(' ')) {
        const line = lines[lines.length - 1] as string
        if (line && line.length + word.length + 1 > WIDTH - indent) lines.push(word)
        else lines[lines.length - 1] = line ? `${line} ${word}` : word
      }
      return lines.join(`\n${' '.repeat(indent)}`)
    })
    .join(`\n${' '.repeat(indent)}`)
}
