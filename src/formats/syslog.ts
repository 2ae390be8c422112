/**
 * Syslog lines: RFC 5424, RFC 3164 (BSD), and what syslog daemons write to files, which is RFC 3164 without `<PRI>` and
 * perhaps with a full time.
 *
 *     <165>1 2003-10-11T22:14:15.003Z host app 8710 ID47 [id@32473 iut="3"] message     RFC 5424
 *     <34>Oct 11 22:14:15 host su[42]: message                                          RFC 3164
 *     2026-03-14T08:00:12.5+01:00 host sshd[42]: message                                rsyslog's files
 */
import type { Problem } from '../core/operator.ts'
import { quote } from './json-text.ts'
import type { LineFormat } from './line-decoder.ts'
import { isDay, monthNumber } from './log-time.ts'

const FACILITIES =
  'kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clock ' +
  'local0 local1 local2 local3 local4 local5 local6 local7'
const facilities = FACILITIES.split(' ')
const severities = 'emerg alert crit err warning notice info debug'.split(' ')
const LEAP_YEAR = 2000

/**
 * `year`: that of the first line. The times of RFC 3164 have neither year nor zone: without `year` they stay as written; with it
 * they become `2026-03-14T08:00:01` (no zone), and going back by more than a month begins the next year.
 */
export function syslogFormat(year: number | undefined): LineFormat {
  const calendar = new Calendar(year)
  return {
    encoding: 'latin1',
    decode(line) {
      const found = /^<(0|[1-9]\d{0,2})>/.exec(line)
      const priority = found ? Number(found[1]) : undefined
      if (priority !== undefined && priority > 191) return broken('the priority is above 191', 2)
      const at = found?.[0].length ?? 0
      return priority !== undefined && line.startsWith('1 ', at)
        ? decode5424(line, at + 2, priority)
        : decode3164(line, at, priority, calendar)
    },
  }
}

/** Knows the year of times that have none. */
class Calendar {
  private year: number | undefined
  private month = 0
  constructor(year: number | undefined) {
    this.year = year
  }
  /** RFC 3339 without a zone, or as written where no year is known; undefined when it is no time. */
  time(name: string, day: string, clock: string, year: number | undefined): string | undefined {
    const month = monthNumber(name)
    if (month === undefined || !isDay(year ?? LEAP_YEAR, month, Number(day))) return undefined
    const of = year ?? this.yearOf(month)
    if (of === undefined) return `${name} ${day} ${clock}`
    return `${of}-${String(month).padStart(2, '0')}-${day.trimStart().padStart(2, '0')}T${clock}`
  }
  private yearOf(month: number): number | undefined {
    if (this.year === undefined) return undefined
    // Lines may be a little late: December just after New Year is of the year before, a month earlier is no new year.
    if (this.month === 1 && month === 12) return this.year - 1
    if (this.month - month > 1) this.year++
    else if (month < this.month) return this.year
    this.month = month
    return this.year
  }
}

interface Message {
  readonly priority: number | undefined
  readonly time: string | undefined
  readonly host: string | undefined
  readonly app: string | undefined
  readonly pid: string | undefined
  readonly id: string | undefined
  /** JSON text. */
  readonly data: string | undefined
  readonly message: string
}

/** All records have the same members, so that they make a table. */
function record({ priority, time, host, app, pid, id, data, message }: Message): string {
  const text = (value: string | undefined): string => (value === undefined ? 'null' : quote(value))
  const name = (names: readonly string[], code: number): string => quote(names[code] as string)
  const who = priority === undefined ? 'null' : name(facilities, priority >> 3)
  const how = priority === undefined ? 'null' : name(severities, priority & 7)
  return (
    `{"priority":${priority ?? 'null'},"facility":${who},"severity":${how},"time":${text(time)},"host":${text(host)},` +
    `"app":${text(app)},"pid":${text(pid)},"id":${text(id)},"data":${data ?? 'null'},"message":${text(message)}}`
  )
}

const broken = (problem: string, column: number, hint?: string): Problem => ({
  problem,
  column,
  ...(hint && { hint }),
})

// RFC 5424, 6: TIMESTAMP HOSTNAME APP-NAME PROCID MSGID, then the structured data.
const HEADER =
  /(?:(-)|(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d))) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)(?: |$)/y

function decode5424(line: string, at: number, priority: number): string | Problem {
  HEADER.lastIndex = at
  const match = HEADER.exec(line)
  if (!match) return broken('expected TIME HOST APP PROCID MSGID of RFC 5424, with "-" for what is missing', at + 1)
  const part = (index: number): string | undefined => (match[index] === '-' ? undefined : match[index])
  const dataAt = HEADER.lastIndex
  const data = structuredData(line, dataAt)
  if ('problem' in data) return data
  if (data.end < line.length && line[data.end] !== ' ')
    return broken('expected a space after the structured data', data.end + 1)
  let message = line.slice(data.end + 1)
  if (message.startsWith('\u00ef\u00bb\u00bf')) message = message.slice(3) // a BOM says that the message is UTF-8
  return record({
    priority,
    time: match[2],
    host: part(3),
    app: part(4),
    pid: part(5),
    id: part(6),
    data: data.json,
    message,
  })
}

const ELEMENT = /\[([^ =\]"]+)/y
const PARAMETER = / ([^ =\]"]+)="((?:[^"\\\]]|\\[^])*)"/y

/** `[id name="value" …][…]`, or `-`. A name given twice has a list of its values. */
function structuredData(line: string, at: number): { json: string | undefined; end: number } | Problem {
  if (line[at] === '-') return { json: undefined, end: at + 1 }
  const elements: string[] = []
  while (line[at] === '[') {
    ELEMENT.lastIndex = at
    const id = ELEMENT.exec(line)
    if (!id) return broken('expected the name of an element of the structured data', at + 2)
    at = ELEMENT.lastIndex
    const values = new Map<string, string[]>()
    for (;;) {
      PARAMETER.lastIndex = at
      const parameter = PARAMETER.exec(line)
      if (!parameter) break
      at = PARAMETER.lastIndex
      const name = parameter[1] as string
      const value = quote((parameter[2] as string).replace(/\\(["\\\]])/g, '$1'))
      values.set(name, [...(values.get(name) ?? []), value])
    }
    if (line[at] !== ']') return broken('expected name="value" or "]" in the structured data', at + 1)
    at++
    const members = [...values].map(
      ([name, all]) => `${quote(name)}:${all.length === 1 ? all[0] : `[${all.join(',')}]`}`,
    )
    elements.push(`${quote(id[1] as string)}:{${members.join(',')}}`)
  }
  if (elements.length === 0) return broken('expected structured data or "-"', at + 1)
  return { json: `{${elements.join(',')}}`, end: at }
}

const BSD_TIME = /([A-Z][a-z]{2}) ( \d|\d\d?) (?:(\d{4}) )?((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?) /y
const FULL_TIME = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) /y
const TAG = /([^ :[]+)(?:\[([^\] ]*)\])?:(?: |$)/y

function decode3164(line: string, at: number, priority: number | undefined, calendar: Calendar): string | Problem {
  let time: string | undefined
  FULL_TIME.lastIndex = BSD_TIME.lastIndex = at
  const full = FULL_TIME.exec(line)
  if (full) {
    time = full[1]
    at = FULL_TIME.lastIndex
  } else {
    const bsd = BSD_TIME.exec(line) as unknown as [string, string, string, string | undefined, string] | null
    if (bsd) time = calendar.time(bsd[1], bsd[2], bsd[4], bsd[3] === undefined ? undefined : Number(bsd[3]))
    if (time !== undefined) at = BSD_TIME.lastIndex
  }
  if (time === undefined && priority === undefined)
    return broken('expected a priority like <34> or a time like "Oct 11 22:14:15"', 1)

  let host: string | undefined
  let tag: RegExpExecArray | null = null
  if (time !== undefined) {
    // A local program's message has no host: then the tag comes first. Without a time (RFC 3164, 4.3.2) all is message.
    TAG.lastIndex = at
    tag = TAG.exec(line)
    const hostEnd = line.indexOf(' ', at)
    if (!tag && hostEnd > at) {
      host = line.slice(at, hostEnd)
      at = TAG.lastIndex = hostEnd + 1
      tag = TAG.exec(line)
    }
    if (tag) at = TAG.lastIndex
  }
  const message = line.slice(at)
  return record({ priority, time, host, app: tag?.[1], pid: tag?.[2], id: undefined, data: undefined, message })
}
