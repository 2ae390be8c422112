import { array, assert, asyncProperty, constantFrom, integer, record, tuple } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { join } from '../../commands/join.ts'
import type { JoinType } from '../../src/join/table.ts'
import { lines, runStage } from '../stage.ts'

const TYPES: readonly JoinType[] = ['inner', 'left', 'right', 'full', 'semi', 'anti']

interface Event {
  readonly t: number
  readonly k: string | null
}
const events = (side: string, most: number) =>
  array(record({ t: integer({ min: 0, max: most }), k: constantFrom('a', 'b', null) }), { maxLength: 15 }).map(
    (items) => items.map((item, n) => ({ ...item, [side]: n })),
  )
const sorted = (text: string): string[] => text.split('\n').sort()

interface Side {
  readonly event: Event
  /** The watermark of its side before it. */
  readonly before: number
  readonly arrival: number
}
function side(items: readonly Event[], delay: number): Side[] {
  let watermark = -Infinity
  return items.map((event, arrival) => {
    const before = watermark
    watermark = Math.max(watermark, event.t - delay)
    return { event, before, arrival }
  })
}
const isOrderly = (items: readonly Event[], delay: number): boolean =>
  items.every((event, n) => event.t + delay >= Math.max(...items.slice(0, n + 1).map(({ t }) => t)))

interface Found {
  readonly row: object
  /** Time of the result, left time, right time, left and right arrival; −1 for what is not there. */
  readonly order: readonly number[]
}
const byOrder = (a: Found, b: Found): number => a.order.map((value, n) => value - b.order[n]!).find(Boolean) ?? 0

describe('join --within', () => {
  it.each(TYPES)('%s: every pair that counts and what has none, in order of time', async (type) => {
    const lower = integer({ min: -4, max: 2 })
    const width = integer({ min: 0, max: 4 })
    const delay = integer({ min: 0, max: 6 })
    await assert(
      asyncProperty(
        tuple(events('l', 30), events('r', 30), lower, width, delay),
        async ([left, right, lower, width, delay]) => {
          const upper = lower + width
          const late = ({ event, before }: Side): boolean => before > event.t + width
          const [allLeft, allRight] = [side(left, delay), side(right, delay)]
          const ls = allLeft.filter((item) => !late(item))
          const rs = allRight.filter((item) => !late(item))
          const counts = (l: Side, r: Side): boolean =>
            l.event.k !== null &&
            l.event.k === r.event.k &&
            r.event.t - l.event.t >= lower &&
            r.event.t - l.event.t <= upper &&
            l.before <= r.event.t - lower &&
            r.before <= l.event.t + upper
          const found: Found[] = []
          const filters = type === 'semi' || type === 'anti'
          for (const l of ls) {
            const partners = rs.filter((r) => counts(l, r))
            const { t } = l.event
            const alone = [Math.max(t, t + upper), t, -1, l.arrival, -1]
            if (filters) {
              if (partners.length > 0 === (type === 'semi')) found.push({ row: l.event, order: alone })
              continue
            }
            for (const r of partners) {
              const order = [Math.max(t, r.event.t), t, r.event.t, l.arrival, r.arrival]
              found.push({ row: { ...l.event, n: r.event }, order })
            }
            if (partners.length === 0 && (type === 'left' || type === 'full')) {
              found.push({ row: { ...l.event, n: null }, order: alone })
            }
          }
          for (const r of type === 'right' || type === 'full' ? rs : []) {
            const { t } = r.event
            const order = [Math.max(t, t - lower), -1, t, -1, r.arrival]
            if (!ls.some((l) => counts(l, r))) found.push({ row: { n: r.event }, order })
          }
          const got = await runStage(join, lines(left), {
            options: {
              on: 'k',
              within: `${lower}ms..${upper}ms`,
              time: 't',
              'time-unit': 'ms',
              delay: `${delay}ms`,
              type,
              nest: 'n',
            },
            table: lines(right),
            cuts: [40, 80, 120],
          })
          const lateLeft = allLeft.length - ls.length
          const lateRight = allRight.length - rs.length
          expect(got.counts).toEqual({
            ...(lateRight > 0 && { 'late on the right: dropped': lateRight }),
            ...(lateLeft > 0 && { 'late on the left: dropped': lateLeft }),
          })
          const expected = lines(found.sort(byOrder).map(({ row }) => row))
          // A record later than the delay can still count, but its rows may be after later ones.
          if (isOrderly(left, delay) && isOrderly(right, delay)) expect(got.output).toBe(expected)
          else expect(sorted(got.output)).toEqual(sorted(expected))
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('join --as-of', () => {
  it.each(['backward', 'forward', 'nearest'] as const)(
    '%s: the record that a search of all finds',
    async (direction) => {
      const tolerance = integer({ min: 0, max: 9 })
      await assert(
        asyncProperty(tuple(events('l', 20), events('r', 20), tolerance, constantFrom(true, false)), async (given) => {
          const [left, right, tolerance, exact] = given
          const expected = left.map((l) => {
            const near = right.filter(
              (r) => l.k !== null && r.k === l.k && Math.abs(r.t - l.t) <= tolerance && (exact || r.t !== l.t),
            )
            let before: Event | undefined
            let after: Event | undefined
            for (const r of near) {
              if (r.t <= l.t && !(before && before.t > r.t)) before = r
              if (r.t >= l.t && !(after && after.t <= r.t)) after = r
            }
            const nearest = before && !(after && after.t - l.t < l.t - before.t) ? before : after
            return { ...l, n: { backward: before, forward: after, nearest }[direction] ?? null }
          })
          const options = {
            on: 'k',
            'as-of': 't',
            'time-unit': 'ms',
            direction,
            tolerance: `${tolerance}ms`,
            type: 'left',
            nest: 'n',
            ...(!exact && { 'no-exact': true }),
          }
          expect((await runStage(join, lines(left), { options, table: lines(right) })).output).toBe(lines(expected))
        }),
        { numRuns: 200 },
      )
    },
  )
})
