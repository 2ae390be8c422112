import { Temporal } from 'temporal-polyfill'
import { BeckError } from './errors.ts'
import type { EventTime } from './operator.ts'

/** The clock of one time zone. Loads temporal-polyfill: import this module only when a zone other than UTC is asked for. */
export interface Zone {
  readonly name: string
  /** What the local clock shows, as if it were UTC: milliseconds, so that floor division finds local hours. */
  toLocal(time: EventTime): number
  /** The instant of a local time (as `toLocal` gives it). In a gap the later, in an overlap the earlier, as RFC 5545 and Temporal. */
  toInstant(local: number): EventTime
  /** Midnight that begins a local day (days since 1970-01-01), plus `offsetMs` on the local clock. */
  startOfDay(day: number, offsetMs: number): EventTime
}

const DAY = 86_400_000

/** @throws BeckError bad-option when there is no such zone */
export function openZone(name: string, option = '--tz'): Zone {
  let id: string
  try {
    id = Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name).timeZoneId
  } catch (error) {
    throw new BeckError(
      'bad-option',
      { option, problem: `there is no time zone "${name}"`, hint: 'write a name as in Europe/Berlin, or +02:00' },
      { cause: error },
    )
  }
  // The offset holds from one transition to the next: asking Temporal costs some 10 µs, so the last span is kept.
  let from = Infinity
  let to = -Infinity
  let offset = 0
  const look = (time: EventTime): void => {
    const zoned = Temporal.Instant.fromEpochMilliseconds(time).toZonedDateTimeISO(id)
    offset = zoned.offsetNanoseconds / 1e6
    to = zoned.getTimeZoneTransition('next')?.epochMilliseconds ?? Infinity
    from = zoned.getTimeZoneTransition('previous')?.epochMilliseconds ?? -Infinity
  }
  const starts = new Map<number, EventTime>()
  return {
    name: id,
    toLocal(time) {
      if (time < from || time >= to) look(time)
      return time + offset
    },
    toInstant(local) {
      // More than a day away from both transitions the offset is certain.
      const likely = local - offset
      if (likely >= from + DAY && likely < to - DAY) return likely
      look(likely)
      return plain(local).toZonedDateTime(id).epochMilliseconds
    },
    startOfDay(day, offsetMs) {
      let start = starts.get(day)
      if (start === undefined) {
        const local = plain(day * DAY + offsetMs)
        start =
          offsetMs === 0
            ? local.toPlainDate().toZonedDateTime(id).epochMilliseconds
            : local.toZonedDateTime(id).epochMilliseconds
        if (starts.size > 10_000) starts.clear()
        starts.set(day, start)
      }
      return start
    },
  }
}

const plain = (local: number): Temporal.PlainDateTime =>
  Temporal.Instant.fromEpochMilliseconds(Math.floor(local)).toZonedDateTimeISO('UTC').toPlainDateTime()
