import type { OptionSpec } from '../core/spec.ts'

/** `--on-corrupt`, of the commands that read records. */
export const onCorrupt: OptionSpec = {
  flag: 'on-corrupt',
  value: 'WHAT',
  choices: ['fail', 'skip'],
  default: 'fail',
  description: 'what to do about damaged records',
}
