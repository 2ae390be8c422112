import { BeckError } from '../core/errors.ts'
import type { Arguments, OptionSpec } from '../core/spec.ts'
import { choose } from './choose.ts'

/** One of the things that a command like `beck topic ACTION` does. */
export interface Action<Run> {
  readonly run: Run
  /** How many words it takes after its name. */
  readonly words: number
  /** The options of the command that belong to it. */
  readonly options?: readonly string[]
}

/**
 * The action that the first word names. What does not belong to it is refused: ignoring it would leave people thinking it was done.
 * @throws BeckError usage, bad-option
 */
export function chooseAction<Run>(
  command: string,
  actions: Readonly<Record<string, Action<Run>>>,
  { program: [name = '', ...words], options }: Arguments,
  specs: readonly OptionSpec[],
): Run {
  const action = choose('action', actions, name)
  if (words.length > action.words) {
    const takes =
      action.words === 0 ? 'takes no name' : `takes ${action.words === 1 ? 'one name' : `${action.words} names`}`
    throw new BeckError('usage', {
      problem: `"${words[action.words]}" is too much: beck ${command} ${name} ${takes}`,
      hint: `write beck ${[command, name, ...words.slice(0, action.words)].join(' ')}`,
    })
  }
  for (const { flag } of specs) {
    if (options[flag] === undefined || action.options?.includes(flag)) continue
    const homes = Object.keys(actions).filter((other) => actions[other]?.options?.includes(flag))
    throw new BeckError('bad-option', {
      option: `--${flag}`,
      problem: `does not belong to beck ${command} ${name}`,
      hint: `it goes with ${homes.map((home) => `beck ${command} ${home}`).join(', ')}`,
    })
  }
  return action.run
}
