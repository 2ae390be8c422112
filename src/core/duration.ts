import { BeckError } from './errors.ts'

/** A length of time. `calendarDays` is set when it was written in days and weeks alone: those can follow a calendar. */
export interface Duration {
  readonly ms: number
  readonly calendarDays?: number
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Units as decimal fractions of a millisecond, in thousandths, so that sums stay whole numbers. */
const MICROS: Readonly<Record<string, number>> = {
  us: 1,
  µs: 1,
  ms: 1000,
  s: SECOND * 1000,
  sec: SECOND * 1000,
  m: MINUTE * 1000,
  min: MINUTE * 1000,
  h: HOUR * 1000,
  d: DAY * 1000,
  w: 7 * DAY * 1000,
}
const ISO =
  /^([+-])?P(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?(?:T(?=\d)(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?$/i
const ISO_UNITS = ['w', 'd', 'h', 'm', 's'] as const
const HINT = 'write 500ms, 30s, 1h30m, 1d or PT1M'

/**
 * Reads `500ms 30s 1h30m 1d 1.5h -8h PT1M P1DT2H`. The result is whole milliseconds.
 * @param option the option it came from, for the message
 * @throws BeckError bad-option
 */
export function parseDuration(text: string, option: string): Duration {
  const fail = (problem: string, hint = HINT): never => {
    throw new BeckError('bad-option', { option, problem, hint })
  }
  const parts: (readonly [amount: number, unit: string])[] = []
  let negative = false
  const iso = ISO.exec(text)
  if (iso && /\d/.test(text)) {
    negative = iso[1] === '-'
    ISO_UNITS.forEach((unit, index) => {
      const amount = iso[index + 2]
      if (amount !== undefined) parts.push([Number(amount), unit])
    })
  } else {
    const body = text.replace(/^[+-]/, '')
    negative = text.startsWith('-')
    const part = /\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z\u00b5]+)?/iy
    while (part.lastIndex < body.length) {
      const at = part.lastIndex
      const match = part.exec(body)
      if (!match) {
        const rest = body.slice(at)
        return fail(`"${text}" is not a duration${rest === text ? '' : ` (at "${rest}")`}`)
      }
      const unit = match[2]
      if (unit === undefined) {
        if (Number(match[1]) === 0 && parts.length === 0 && part.lastIndex === body.length) return { ms: 0 }
        return fail(`"${text}" has no unit`, `write ${match[1]}s, ${match[1]}m or ${match[1]}ms`)
      }
      if (unit === 'M' || /^(mo|mon|months?|y|years?)$/.test(unit)) {
        return fail(`"${text}": months and years differ in length`, 'write days, as in 30d; m is minutes')
      }
      const known = Object.hasOwn(MICROS, unit) ? unit : spelledOut(unit)
      if (known === undefined)
        return fail(`"${text}": there is no unit "${unit}"`, 'units are us, ms, s, m, h, d and w')
      parts.push([Number(match[1]), known])
    }
    if (parts.length === 0) return fail(text === '' ? 'is empty' : `"${text}" is not a duration`)
  }
  const micros = parts.reduce((sum, [amount, unit]) => sum + amount * (MICROS[unit] as number), 0)
  const ms = Math.round(micros) / 1000
  if (!Number.isInteger(ms)) return fail(`"${text}" is finer than a millisecond`, 'the smallest step is 1ms')
  if (!Number.isSafeInteger(ms * 1000)) return fail(`"${text}" is too long`)
  const signed = negative && ms !== 0 ? -ms : ms
  const days = ms / DAY
  return parts.every(([, unit]) => unit === 'd' || unit === 'w') && Number.isInteger(days)
    ? { ms: signed, calendarDays: negative && days !== 0 ? -days : days }
    : { ms: signed }
}

/** The same for a length that is never below zero, in milliseconds. @throws BeckError bad-option */
export function parseLength(text: string, option: string): number {
  const { ms } = parseDuration(text, option)
  if (ms < 0) throw new BeckError('bad-option', { option, problem: `"${text}" is negative` })
  return ms
}

/** And for one that is not 0 either. @throws BeckError bad-option */
export function parsePositiveLength(text: string, option: string): number {
  const { ms } = parseDuration(text, option)
  if (ms <= 0) throw new BeckError('bad-option', { option, problem: `"${text}" is not longer than 0` })
  return ms
}

/** `second(s)`, `minutes` and so on. */
function spelledOut(unit: string): string | undefined {
  const word = /^(?:(?:millisecond|milli)s?|(?:second|sec)s?|(?:minute|min)s?|(?:hour|hr)s?|days?|weeks?)$/.exec(
    unit,
  )?.[0]
  if (word === undefined) return undefined
  return word.startsWith('milli') ? 'ms' : (word[0] as string)
}

/** The shortest spelling: 5400000 → `1h30m`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s'
  let text = ms < 0 ? '-' : ''
  let rest = Math.abs(ms)
  for (const [unit, length] of [
    ['d', DAY],
    ['h', HOUR],
    ['m', MINUTE],
    ['s', SECOND],
    ['ms', 1],
  ] as const) {
    const amount = Math.floor(rest / length)
    if (amount > 0) text += `${amount}${unit}`
    rest -= amount * length
  }
  return text
}
