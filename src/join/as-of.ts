import type { JoinTable } from './table.ts'

/** Which right record of a key is the partner of a left one, by their times. */
export interface AsOfRules {
  readonly direction: 'backward' | 'forward' | 'nearest'
  /** How far apart they may be. */
  readonly toleranceMs: number
  /** Whether the same time counts. */
  readonly exact: boolean
}

/**
 * Finds the partner among `table.rows[from..to]`, which are in order of time: an index into `rows`, or -1. Of right records of one
 * time the last wins backwards and the first forwards; of two that are equally near the earlier one. As pandas' merge_asof. O(log rows).
 */
export function chooseAsOf({
  direction,
  toleranceMs,
  exact,
}: AsOfRules): (table: JoinTable, from: number, to: number, time: number) => number {
  return ({ rows, times }, from, to, time) => {
    // The first at or after (after) the time: everything before it is earlier (or as early).
    const first = (after: boolean): number => {
      let low = from
      let high = to
      while (low < high) {
        const middle = (low + high) >> 1
        const there = times[rows[middle]!]!
        if (there < time || (after && there === time)) low = middle + 1
        else high = middle
      }
      return low
    }
    const distance = (index: number): number => Math.abs(times[rows[index]!]! - time)
    let before = direction === 'forward' ? -1 : first(exact) - 1
    if (before < from || distance(before) > toleranceMs) before = -1
    let after = direction === 'backward' ? to : first(!exact)
    if (after >= to || distance(after) > toleranceMs) after = -1
    if (before < 0 || after < 0) return Math.max(before, after)
    return distance(before) <= distance(after) ? before : after
  }
}
