import type { Arguments, OptionSpec } from './spec.ts'
import { timeReader, type TimeReader, type TimeUnit } from './time.ts'
import type { Zone } from './zone.ts'

type Options = Arguments['options']

/** How times are written. */
export const timeSpellingOptions: readonly OptionSpec[] = [
  {
    flag: 'time-unit',
    value: 'UNIT',
    choices: ['s', 'ms', 'us', 'ns'],
    description: 'of epoch numbers',
    default: 'by magnitude',
  },
  { flag: 'time-format', value: 'FORMAT', description: "how times are written (strptime): '%d/%m/%Y %H:%M:%S'" },
]

/** The same, with the zone, where that says nothing else. */
export const timeOptions: readonly OptionSpec[] = [
  { flag: 'tz', value: 'ZONE', description: 'zone of times without one', default: 'UTC' },
  ...timeSpellingOptions,
]

/** The zone of `--tz`, if it is given. @throws BeckError bad-option */
export const zoneOption = async ({ tz }: Options): Promise<Zone | undefined> =>
  tz === undefined ? undefined : (await import('./zone.ts')).openZone(tz as string)

/** Reads times as `--time-unit` and `--time-format` say. @throws BeckError bad-option */
export const timeReaderOf = (options: Options, zone: Zone | undefined): TimeReader =>
  timeReader({
    unit: options['time-unit'] as TimeUnit | undefined,
    format: options['time-format'] as string | undefined,
    toInstant: zone?.toInstant,
  })
