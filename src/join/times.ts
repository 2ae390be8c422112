import { BeckError } from '../core/errors.ts'
import type { FieldPath } from '../core/field-path.ts'
import type { Arguments } from '../core/spec.ts'
import { timeReaderOf, zoneOption } from '../core/time-options.ts'
import { parseDuration } from '../core/duration.ts'
import { TimeColumn } from '../window/times.ts'
import type { EventTimes } from './broadcast.ts'

/** Makes readers of event times, one a worker and side. @throws BeckError bad-option */
export async function timesOf(options: Arguments['options']): Promise<(path: FieldPath, field: number) => EventTimes> {
  const reader = timeReaderOf(options, await zoneOption(options))
  const option = options['as-of'] === undefined ? '--time' : '--as-of'
  return (path, field) => {
    const column = new TimeColumn(field, reader, options['time-format'] === undefined)
    return { read: (batch) => column.read(batch), problem: (batch, row) => column.problem(batch, row, path, option) }
  }
}

/** Reads `5m` (from −5m to 5m) and `-1s..10s`: bounds of right time − left time. @throws BeckError bad-option */
export function parseWithin(text: string): { readonly lowerMs: number; readonly upperMs: number } {
  const [first = '', second, ...more] = text.split('..')
  const from = parseDuration(first, '--within').ms
  if (more.length > 0) throw new BeckError('bad-option', { option: '--within', problem: `"${text}" is not a range` })
  if (second === undefined) {
    if (from < 0) {
      throw new BeckError('bad-option', {
        option: '--within',
        problem: `${text} is below zero`,
        hint: `write --within ${text}..0s for records of the table before those of the left side`,
      })
    }
    return { lowerMs: -from, upperMs: from }
  }
  const to = parseDuration(second, '--within').ms
  if (to < from) {
    throw new BeckError('bad-option', {
      option: '--within',
      problem: `${first} is later than ${second}`,
      hint: `write --within ${second}..${first}`,
    })
  }
  return { lowerMs: from, upperMs: to }
}
