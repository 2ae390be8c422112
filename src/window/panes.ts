import type { EventTime } from '../core/operator.ts'
import type { Zone } from '../core/zone.ts'

/**
 * The time line cut into panes, numbered without gaps, such that every window is a run of whole panes: each record is aggregated once
 * into its pane, and a window is put together from its panes when it fires.
 *
 *     hopping 5m/2m:   pane  0   1   2   3   4   5   6      (1m each)
 *     window 0              [--------------------)
 *     window 2                      [--------------------)
 *
 * A window has the number of its first pane. Tumbling windows are one pane each.
 */
export interface Panes {
  /** The pane that holds an instant: floor division, so it is right below 0 too. */
  paneOf(time: EventTime): number
  startOf(pane: number): EventTime
  /** Panes of a window. */
  readonly size: number
  /** Panes from one window's start to the next one's. Beyond `size` there are gaps, whose records belong to no window. */
  readonly advance: number
}

/** Windows of `sizeMs` every `advanceMs`, aligned to 1970-01-01T00:00:00Z plus `offsetMs`. All whole milliseconds, the first two positive. */
export function fixedPanes(sizeMs: number, advanceMs: number, offsetMs: number): Panes {
  const pane = gcd(sizeMs, advanceMs)
  return {
    paneOf: (time) => Math.floor((time - offsetMs) / pane),
    startOf: (index) => index * pane + offsetMs,
    size: sizeMs / pane,
    advance: advanceMs / pane,
  }
}

/**
 * Windows of whole days of a zone's calendar, from midnight plus `offsetMs` on the local clock: 23 and 25 hours long when the clocks
 * change. Days count from 1970-01-01 there, as they do in UTC.
 */
export function calendarPanes(sizeDays: number, advanceDays: number, offsetMs: number, zone: Zone): Panes {
  const pane = gcd(sizeDays, advanceDays)
  const startOf = (index: number): EventTime => zone.startOfDay(index * pane, offsetMs)
  return {
    paneOf(time) {
      let index = Math.floor((zone.toLocal(time) - offsetMs) / DAY / pane)
      // The local clock can be off by a change between midnight and now.
      while (startOf(index) > time) index--
      while (startOf(index + 1) <= time) index++
      return index
    },
    startOf,
    size: sizeDays / pane,
    advance: advanceDays / pane,
  }
}

/** The number of the last window that begins at or before a pane. */
export const lastWindow = ({ advance }: Panes, pane: number): number => Math.floor(pane / advance) * advance

/** The number of the first window that reaches a pane; beyond `lastWindow` when the pane lies in a gap. */
export const firstWindow = ({ size, advance }: Panes, pane: number): number =>
  (Math.floor((pane - size) / advance) + 1) * advance

const DAY = 86_400_000

function gcd(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b]
  return a
}
