import type { OptionSpec } from '../core/spec.ts'

/** How the times of both sides are written. */
export const timeOptions: readonly OptionSpec[] = [
  { flag: 'tz', value: 'ZONE', description: 'zone of times without one', default: 'UTC' },
  {
    flag: 'time-unit',
    value: 'UNIT',
    choices: ['s', 'ms', 'us', 'ns'],
    description: 'of epoch numbers',
    default: 'by magnitude',
  },
  { flag: 'time-format', value: 'FORMAT', description: "how times are written (strptime): '%d/%m/%Y %H:%M:%S'" },
]
