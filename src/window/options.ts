import { parseDuration, parseLength, parsePositiveLength, type Duration } from '../core/duration.ts'
import { BeckError } from '../core/errors.ts'
import type { Arguments } from '../core/spec.ts'
import type { Zone } from '../core/zone.ts'
import type { Policy } from './engine.ts'
import { calendarPanes, fixedPanes, type Panes } from './panes.ts'

/** Which windows: panes for tumbling and hopping ones, a gap for sessions. */
export type WindowKind =
  | { readonly kind: 'aligned'; readonly panes: Panes }
  | { readonly kind: 'session'; readonly gapMs: number }

type Options = Arguments['options']

/** More windows a record than this are a slip of the pen. */
const MOST_WINDOWS = 100_000

const refuse = (option: string, problem: string, hint?: string): never => {
  throw new BeckError('bad-option', { option, problem, hint })
}

const duration = (options: Options, flag: string): Duration | undefined =>
  options[flag] === undefined ? undefined : parseDuration(options[flag] as string, `--${flag}`)

/** A duration that must not be negative, in milliseconds. @throws BeckError bad-option */
export const lengthOption = (options: Options, flag: string): number | undefined =>
  options[flag] === undefined ? undefined : parseLength(options[flag] as string, `--${flag}`)

/** The same, but not 0 either. @throws BeckError bad-option */
export const positiveOption = (options: Options, flag: string): number | undefined =>
  options[flag] === undefined ? undefined : parsePositiveLength(options[flag] as string, `--${flag}`)

/** Reads `--tumbling`, `--hopping` or `--session`, with `--offset`. @throws BeckError bad-option, usage */
export function windowKind(options: Options, zone: Zone | undefined): WindowKind {
  const given = (['tumbling', 'hopping', 'session'] as const).filter((flag) => options[flag] !== undefined)
  const hint = 'write --tumbling 1m, --hopping 5m/1m or --session 30m'
  const [flag] = given
  if (flag === undefined) throw new BeckError('usage', { problem: 'which windows?', hint })
  if (given.length > 1) {
    throw new BeckError('usage', {
      problem: `--${given.join(' and --')} do not go together`,
      hint: `one of them: ${hint}`,
    })
  }
  if (flag === 'session') {
    if (options['offset'] !== undefined) refuse('--offset', 'sessions begin with their first record, not at an offset')
    return { kind: 'session', gapMs: positiveOption(options, 'session') as number }
  }
  const text = options[flag] as string
  const [sizeText, advanceText = sizeText, ...rest] = flag === 'hopping' ? text.split('/') : [text]
  if (sizeText === undefined || rest.length > 0 || (flag === 'hopping' && !text.includes('/'))) {
    return refuse(
      '--hopping',
      `"${text}" is not SIZE/ADVANCE`,
      'write --hopping 5m/1m: 5 minutes long, one every minute',
    )
  }
  const size = parseDuration(sizeText, `--${flag}`)
  const advance = parseDuration(advanceText as string, `--${flag}`)
  if (size.ms <= 0) refuse(`--${flag}`, `the size, ${sizeText}, is not longer than 0`)
  if (advance.ms <= 0) refuse(`--${flag}`, `the advance, ${advanceText}, is not longer than 0`)
  if (size.ms / advance.ms > MOST_WINDOWS) {
    refuse(
      '--hopping',
      `every record would be in ${Math.ceil(size.ms / advance.ms)} windows`,
      'make the advance longer',
    )
  }
  const offsetMs = duration(options, 'offset')?.ms ?? 0
  if (Math.abs(offsetMs) >= advance.ms) {
    refuse(
      '--offset',
      `"${options['offset'] as string}" is not shorter than ${flag === 'hopping' ? 'the advance' : 'the window'}, ${advanceText}`,
    )
  }
  const panes =
    zone && size.calendarDays !== undefined && advance.calendarDays !== undefined
      ? calendarPanes(size.calendarDays, advance.calendarDays, offsetMs, zone)
      : fixedPanes(size.ms, advance.ms, offsetMs)
  return { kind: 'aligned', panes }
}

/** Reads `--late`, `--lateness` and `--emit`. @throws BeckError bad-option */
export function policyOptions(options: Options): { policy: Policy; everyMs: number | undefined } {
  const latenessMs = lengthOption(options, 'lateness') ?? 0
  const late = (options['late'] ?? 'drop') as Policy['late']
  const text = ((options['emit'] as string | undefined) ?? 'final').trim()
  const every = /^every\s+(.+)$/.exec(text)?.[1]
  if (every !== undefined) {
    const everyMs = positiveOption({ emit: every }, 'emit')
    return { policy: { late, latenessMs, emit: 'every' }, everyMs }
  }
  if (text !== 'final' && text !== 'changes') {
    refuse('--emit', `"${text}" is not a way to emit`, 'write --emit final, --emit changes or --emit every 5s')
  }
  return { policy: { late, latenessMs, emit: text as 'final' | 'changes' }, everyMs: undefined }
}
