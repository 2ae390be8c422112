import { parseDuration } from './duration.ts'
import { BeckError } from './errors.ts'
import type { EventTime } from './operator.ts'

/** How times are read. */
export interface TimeOptions {
  /** The unit of epoch numbers; without it their magnitude tells. */
  readonly unit?: TimeUnit | undefined
  /** A strptime format for strings; nothing else is read then. */
  readonly format?: string | undefined
  /** Turns the local time of a string without a zone into an instant; UTC when not there (src/core/zone.ts). */
  readonly toInstant?: ((local: number) => EventTime) | undefined
}
export type TimeUnit = 's' | 'ms' | 'us' | 'ns'
/** Reads event times; NaN is "not a time". Times are whole milliseconds, finer ones are cut down (floor). */
export interface TimeReader {
  string(text: string): EventTime
  number(value: number): EventTime
  /** A number by its JSON text: for those that a double does not hold. */
  numberText(text: string): EventTime
}

/** Somewhat less than what a Date holds (8.64e15), so that the ends of windows can be printed too. */
const MAX_TIME = 8.6e15
const UNIT_MS: Readonly<Record<TimeUnit, number>> = { s: 1000, ms: 1, us: 1e-3, ns: 1e-6 }

/** @throws BeckError bad-option: unknown unit or format */
export function timeReader(options: TimeOptions = {}): TimeReader {
  const zone = options.toInstant ?? ((local: number) => local)
  const unit = options.unit
  if (unit !== undefined && !Object.hasOwn(UNIT_MS, unit)) {
    throw new BeckError('bad-option', {
      option: '--time-unit',
      problem: `"${unit}" is not a unit`,
      hint: 'write s, ms, us or ns',
    })
  }
  const format = options.format === undefined ? undefined : compileFormat(options.format, zone)
  const number = (value: number): EventTime => epochToTime(value, unit)
  const numberText = (text: string): EventTime =>
    /^-?\d{16,25}$/.test(text) ? bigEpochToTime(BigInt(text), unit) : number(Number(text))
  return {
    number,
    numberText,
    string(text) {
      if (format) return format(text)
      // Short digits are a year or a day (`2026`, `20260131`) as likely as seconds: only a unit makes them a time.
      return (unit ? /^-?\d+(\.\d+)?$/ : /^-?\d{9,}(\.\d+)?$/).test(text) ? numberText(text) : parseTimeText(text, zone)
    },
  }
}

/** Seconds until the year 5138, beyond that milliseconds until the same, then microseconds, then nanoseconds. */
function unitOf(magnitude: number): TimeUnit {
  return magnitude < 1e11 ? 's' : magnitude < 1e14 ? 'ms' : magnitude < 1e17 ? 'us' : 'ns'
}

function epochToTime(value: number, unit = unitOf(Math.abs(value))): EventTime {
  const ms = unit === 'us' ? value / 1e3 : unit === 'ns' ? value / 1e6 : value * UNIT_MS[unit]
  // 1700000000.123 s is not exactly 1700000000123 ms as a double: what is within a microsecond of a whole one is it.
  const whole = Math.round(ms)
  return checked(Math.abs(ms - whole) < 1e-3 && !Number.isInteger(value) ? whole : Math.floor(ms))
}

function bigEpochToTime(value: bigint, unit?: TimeUnit): EventTime {
  const divisor = { s: 0n, ms: 1n, us: 1000n, ns: 1_000_000n }[unit ?? unitOf(Math.abs(Number(value)))]
  if (divisor === 0n) return checked(Number(value) * 1000)
  const floor = value / divisor - (value < 0n && value % divisor !== 0n ? 1n : 0n)
  return checked(Number(floor))
}

// `+ 0` makes -0 a plain 0.
const checked = (ms: number): EventTime => (Math.abs(ms) <= MAX_TIME ? ms + 0 : NaN)

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

const ZONE = String.raw`(?:\s*(z|utc|gmt|[+-]\d{2}(?::?\d{2})?(?::?\d{2})?))?`
/** `2026-01-31`, `2026/01/31T10:00`, `2026-01-31 10:00:00.123 +0100`; compact `20260131T100000Z`. */
const ISO = new RegExp(
  String.raw`^([+-]\d{6}|\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:(?:[t_]|\s+|,\s*)(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?${ZONE})?$`,
  'i',
)
const COMPACT = new RegExp(String.raw`^(\d{4})(\d{2})(\d{2})t(\d{2})(\d{2})(?:(\d{2})(?:[.,](\d+))?)?${ZONE}$`, 'i')
/** HTTP and mail dates: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `6 Nov 1994 08:49`. */
const HTTP = new RegExp(
  String.raw`^(?:[a-z]{3,9},?\s+)?(\d{1,2})[\s-]([a-z]{3})[a-z]*[\s-](\d{4}|\d{2})\s+(\d{1,2}):(\d{2})(?::(\d{2}))?${ZONE}$`,
  'i',
)
/** `Sun Nov  6 08:49:37 1994`. */
const ASCTIME = /^[a-z]{3}\s+([a-z]{3})\s+(\d{1,2})\s+(\d{1,2}):(\d{2}):(\d{2})(?:\s+(?:utc|gmt))?\s+(\d{4})$/i
/** The common log's `[10/Oct/2000:13:55:36 -0700]`. */
const COMMON_LOG = new RegExp(
  String.raw`^\[?(\d{1,2})/([a-z]{3})/(\d{4}):(\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?${ZONE}\]?$`,
  'i',
)

function parseTimeText(text: string, zone: (local: number) => EventTime): EventTime {
  const at = text.trim()
  let match = ISO.exec(at)
  if (match) return assemble(zone, match[1], match[3], match[4], match[5], match[6], match[7], match[8], match[9])
  match = COMPACT.exec(at)
  if (match) return assemble(zone, match[1], match[2], match[3], match[4], match[5], match[6], match[7], match[8])
  match = COMMON_LOG.exec(at)
  if (match) {
    return assemble(zone, match[3], month(match[2]), match[1], match[4], match[5], match[6], match[7], match[8])
  }
  match = HTTP.exec(at)
  if (match) {
    const year = match[3] as string
    // RFC 6265: two digits, 70 to 99 are 19xx.
    const full = year.length === 4 ? year : Number(year) >= 70 ? `19${year}` : `20${year}`
    return assemble(zone, full, month(match[2]), match[1], match[4], match[5], match[6], undefined, match[7])
  }
  match = ASCTIME.exec(at)
  if (match)
    return assemble(zone, match[6], month(match[1]), match[2], match[3], match[4], match[5], undefined, undefined)
  return NaN
}

const month = (name: string | undefined): string => String(MONTHS.indexOf((name as string).toLowerCase()) + 1)

function assemble(
  zone: (local: number) => EventTime,
  year: string | undefined,
  month: string | undefined,
  day: string | undefined,
  hour: string | undefined = '0',
  minute: string | undefined = '0',
  second: string | undefined = '0',
  fraction: string | undefined,
  offset: string | undefined,
): EventTime {
  const local = civil(Number(year), Number(month), Number(day), Number(hour), Number(minute), Number(second), fraction)
  if (Number.isNaN(local)) return NaN
  if (offset === undefined) return checked(zone(local))
  return checked(local - offsetMs(offset))
}

/** Milliseconds of a civil date and time, NaN when there is no such one. Second 60 (a leap second) is the next minute's first. */
function civil(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
  fraction = '',
): number {
  if (hour > 23 || minute > 59 || second > 60) return NaN
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return NaN
  const ms = Number(fraction.slice(0, 3).padEnd(3, '0'))
  return date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000 + ms
}

/** NaN when out of range, which makes the time NaN. */
function offsetMs(text: string): number {
  if (!/^[+-]/.test(text)) return 0
  const digits = text.slice(1).replaceAll(':', '')
  const [hours, minutes, seconds] = [digits.slice(0, 2), digits.slice(2, 4), digits.slice(4, 6)].map(Number) as [
    number,
    number,
    number,
  ]
  if (hours > 23 || minutes > 59 || seconds > 59) return NaN
  const ms = ((hours * 60 + minutes) * 60 + seconds) * 1000
  return text.startsWith('-') ? -ms : ms
}

type Part = 'Y' | 'y' | 'm' | 'd' | 'H' | 'I' | 'M' | 'S' | 'f' | 'p' | 'z' | 'b' | 'j' | 's' | 'Q'
/** strptime's directives; those with no part are matched and not used. */
const DIRECTIVES: Readonly<Record<string, readonly [pattern: string, part?: Part]>> = {
  Y: ['([+-]?\\d{4})', 'Y'],
  y: ['(\\d{2})', 'y'],
  m: ['(\\d{1,2})', 'm'],
  d: ['\\s*(\\d{1,2})', 'd'],
  e: ['\\s*(\\d{1,2})', 'd'],
  H: ['\\s*(\\d{1,2})', 'H'],
  k: ['\\s*(\\d{1,2})', 'H'],
  I: ['\\s*(\\d{1,2})', 'I'],
  l: ['\\s*(\\d{1,2})', 'I'],
  M: ['(\\d{1,2})', 'M'],
  S: ['(\\d{1,2})', 'S'],
  f: ['(\\d{1,9})', 'f'],
  L: ['(\\d{1,3})', 'f'],
  N: ['(\\d{1,9})', 'f'],
  p: ['([ap]\\.?m\\.?)', 'p'],
  z: ['(z|[+-]\\d{2}(?::?\\d{2})?)', 'z'],
  Z: ['(z|utc|gmt)', 'z'],
  b: ['([a-z]{3})[a-z]*', 'b'],
  h: ['([a-z]{3})[a-z]*', 'b'],
  B: ['([a-z]{3})[a-z]*', 'b'],
  a: ['[a-z]{2,9}'],
  A: ['[a-z]{3,9}'],
  j: ['(\\d{1,3})', 'j'],
  s: ['(-?\\d+)', 's'],
  Q: ['(-?\\d+)', 'Q'],
  n: ['\\s+'],
  t: ['\\s+'],
  '%': ['%'],
}
const SHORTHANDS: Readonly<Record<string, string>> = { T: '%H:%M:%S', R: '%H:%M', D: '%m/%d/%y', F: '%Y-%m-%d' }

/** Turns a strptime format into a reader of whole strings. @throws BeckError bad-option */
function compileFormat(format: string, zone: (local: number) => EventTime): (text: string) => EventTime {
  const parts: Part[] = []
  let pattern = ''
  const full = format.replaceAll(/%([TRDF])/g, (_, letter: string) => SHORTHANDS[letter] as string)
  for (let at = 0; at < full.length; at++) {
    const char = full[at] as string
    if (char !== '%') {
      pattern += /\s/.test(char) ? '\\s+' : char.replace(/[\\^$.*+?()[\]{}|/]/, '\\$&')
      continue
    }
    const letter = full[++at] ?? ''
    const directive = Object.hasOwn(DIRECTIVES, letter) ? DIRECTIVES[letter] : undefined
    if (!directive) {
      throw new BeckError('bad-option', {
        option: '--time-format',
        problem: `there is no %${letter}`,
        hint: `known are ${Object.keys(DIRECTIVES)
          .concat(Object.keys(SHORTHANDS))
          .map((name) => `%${name}`)
          .join(' ')}; for example --time-format '%d/%m/%Y %H:%M:%S'`,
      })
    }
    pattern += directive[0]
    if (directive[1]) parts.push(directive[1])
  }
  const regex = new RegExp(`^\\s*${pattern}\\s*$`, 'i')
  return (text) => {
    const match = regex.exec(text)
    if (!match) return NaN
    const got: Partial<Record<Part, string>> = {}
    parts.forEach((part, index) => (got[part] = match[index + 1] as string))
    if (got.Q !== undefined) return checked(Number(got.Q))
    if (got.s !== undefined) return checked(Number(got.s) * 1000 + Number((got.f ?? '').slice(0, 3).padEnd(3, '0')))
    const afternoon = got.p?.[0]?.toLowerCase() === 'p'
    const hour12 = got.I === undefined ? undefined : Number(got.I)
    if (hour12 !== undefined && (hour12 < 1 || hour12 > 12)) return NaN
    const hour = hour12 === undefined ? (got.H ?? '0') : String((hour12 % 12) + (afternoon ? 12 : 0))
    // POSIX: two-digit years from 69 are 19xx.
    const year = got.Y ?? (got.y === undefined ? '1970' : String(Number(got.y) + (Number(got.y) >= 69 ? 1900 : 2000)))
    if (got.j !== undefined) {
      const day = Number(got.j)
      const leap = civil(Number(year), 2, 29, 0, 0, 0)
      if (day < 1 || day > (Number.isNaN(leap) ? 365 : 366)) return NaN
      const date = new Date(civil(Number(year), 1, 1, 0, 0, 0) + (day - 1) * 86_400_000)
      const [monthOfDay, dayOfMonth] = [String(date.getUTCMonth() + 1), String(date.getUTCDate())]
      return assemble(zone, year, monthOfDay, dayOfMonth, hour, got.M, got.S, got.f, got.z)
    }
    return assemble(
      zone,
      year,
      got.b === undefined ? (got.m ?? '1') : month(got.b),
      got.d ?? '1',
      hour,
      got.M,
      got.S,
      got.f,
      got.z,
    )
  }
}

const digits = (count: number, width: number, suffix: string): readonly string[] =>
  Array.from({ length: count }, (_, n) => String(n).padStart(width, '0') + suffix)
const MINUTES = digits(60, 2, ':')
const SECONDS = digits(60, 2, '.')
const MILLISECONDS = digits(1000, 3, 'Z')

/** `2026-01-01T00:00:00.000Z`: RFC 3339, UTC, always with milliseconds. Beyond the years 0000 to 9999 with sign and six digits. */
export function formatTime(time: EventTime): string {
  const hour = Math.floor(time / 3_600_000)
  const rest = time - hour * 3_600_000
  const minute = Math.floor(rest / 60_000)
  const second = Math.floor(rest / 1000) - minute * 60
  return `${formatHour(hour)}:${MINUTES[minute]}${SECONDS[second]}${MILLISECONDS[rest % 1000]}`
}

/** Hours formatted lately, each in the place of its lowest bits. */
const HOURS = 64
const hourOf = new Float64Array(HOURS).fill(NaN)
const hourText: string[] = Array.from({ length: HOURS }, () => '')

/** `2026-01-01T00`, from hours since 1970. */
export function formatHour(hour: number): string {
  const place = hour & (HOURS - 1)
  if (hour !== hourOf[place]) {
    hourText[place] = new Date(hour * 3_600_000).toISOString().slice(0, -11)
    hourOf[place] = hour
  }
  return hourText[place] as string
}

/** Reads a time of the command line: RFC 3339 and its everyday spellings, epoch numbers, `now`, `now-1h`. @throws BeckError */
export function parseTimeArgument(text: string, option: string, now: number): EventTime {
  const relative = /^now\s*(?:([+-])\s*(.+))?$/.exec(text.trim())
  if (relative) {
    const offset = relative[2] === undefined ? 0 : parseDuration(relative[2], option).ms
    return relative[1] === '-' ? now - offset : now + offset
  }
  const time = timeReader().string(text)
  if (Number.isNaN(time)) {
    throw new BeckError('bad-option', {
      option,
      problem: `"${text}" is not a time`,
      hint: 'write 2026-01-31T10:00:00Z, 2026-01-31, now-1h, or seconds since 1970',
    })
  }
  return time
}
