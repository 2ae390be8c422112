import { BeckError } from '../core/errors.ts'
import type { CommandSpec, OptionSpec } from '../core/spec.ts'
import { suggest } from '../core/suggest.ts'
import { optionsOf } from './command-line.ts'
import type { Registry } from './registry.ts'

/** Shells that `beck completion SHELL` writes a script for. */
export const shells = ['bash', 'zsh', 'fish'] as const

/** A completion script made from the specs: commands, their options, the words that options take, files. @throws BeckError usage */
export async function completionScript(shell: string | undefined, registry: Registry): Promise<string> {
  const specs = await Promise.all(Object.values(registry).map((load) => load()))
  if (shell === 'bash') return bash(specs)
  if (shell === 'zsh') return `autoload -U +X bashcompinit && bashcompinit\n${bash(specs)}`
  if (shell === 'fish') return fish(specs)
  throw new BeckError('usage', {
    problem: shell ? `there is no completion for "${shell}"` : 'which shell?',
    suggestion: shell && suggest(shell, shells),
    hint: shell && suggest(shell, shells) ? undefined : 'source <(beck completion bash), or zsh or fish',
  })
}

/** Words a spec's own texts put into a script: flags, names and choices are plain, so no quoting is needed. */
const flagWords = (options: readonly OptionSpec[]): string => options.map(({ flag }) => `--${flag}`).join(' ')

function bash(specs: readonly CommandSpec[]): string {
  const cases = specs.map((spec) => {
    const options = optionsOf(spec)
    const choices = options
      .filter((option) => option.choices)
      .map((option) => `${spec.name}:--${option.flag}) words="${option.choices?.join(' ')}" ;;`)
    const first = spec.program?.[0]?.choices
    return {
      flags: `${spec.name}) words="${flagWords(options)}" ;;`,
      choices,
      first: first && `${spec.name}) words="${first.join(' ')}" ;;`,
    }
  })
  return `_beck() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}" words=""
  if [ "$COMP_CWORD" = 1 ]; then
    words="${specs.map(({ name }) => name).join(' ')} completion help"
  else
    case "$command:$before" in
      ${cases.flatMap(({ choices }) => choices).join('\n      ')}
    esac
    if [ -z "$words" ] && [ "\${current#-}" != "$current" ]; then
      case "$command" in
        ${cases.map(({ flags }) => flags).join('\n        ')}
      esac
    elif [ -z "$words" ] && [ "$COMP_CWORD" = 2 ]; then
      case "$command" in
        ${cases.flatMap(({ first }) => first ?? []).join('\n        ') || '*) ;;'}
      esac
    fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _beck beck
`
}

function fish(specs: readonly CommandSpec[]): string {
  const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const lines = specs.flatMap((spec) => [
    `complete -c beck -n __fish_use_subcommand -a ${spec.name} -d ${quote(spec.summary)}`,
    ...optionsOf(spec).map((option) => {
      const takes = option.choices ? ` -x -a ${quote(option.choices.join(' '))}` : option.value ? ' -r' : ''
      return `complete -c beck -n '__fish_seen_subcommand_from ${spec.name}' -l ${option.flag}${takes} -d ${quote(option.description)}`
    }),
  ])
  return `${lines.join('\n')}\n`
}
