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
      const types = constantFrom('inner', 'left', 'right', 'full', 'semi', 'anti')
      await assert(
        asyncProperty(
          tuple(events('l', 20), events('r', 20), tolerance, constantFrom(true, false), types),
          async (given) => {
            const [left, right, tolerance, exact, type] = given
            const pairs = left.map((l) => {
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
              return { l, n: { backward: before, forward: after, nearest }[direction] }
            })
            const filters = type === 'semi' || type === 'anti'
            const alone = type === 'left' || type === 'full' || type === 'anti'
            const kept = pairs.filter(({ n }) => (n ? type !== 'anti' : alone))
            const rest = right.filter((r) => (type === 'right' || type === 'full') && !pairs.some(({ n }) => n === r))
            const expected = [
              ...kept.map(({ l, n }) => (filters ? l : { ...l, n: n ?? null })),
              ...rest.map((n) => ({ n })),
            ]
            const options = {
              on: 'k',
              'as-of': 't',
              'time-unit': 'ms',
              direction,
              tolerance: `${tolerance}ms`,
              type,
              nest: 'n',
              ...(!exact && { 'no-exact': true }),
            }
            expect((await runStage(join, lines(left), { options, table: lines(right) })).output).toBe(lines(expected))
          },
        ),
        { numRuns: 200 },
      )
    },
  )
})

describe('join --as-of of two streams', () => {
  interface Given {
    readonly direction: 'backward' | 'forward' | 'nearest'
    readonly tolerance: number
    readonly exact: boolean
    readonly delay: number
    readonly type: JoinType
  }
  /** What a search of all finds, of records that are not late, by when it is decided. */
  function expected(left: readonly Event[], right: readonly Event[], given: Given): Found[] {
    const { direction, tolerance, exact, type } = given
    const onTime = (items: readonly Event[]): Side[] =>
      side(items, given.delay).filter(({ event, before }) => event.t >= before)
    const rs = onTime(right)
    const found: Found[] = []
    const filters = type === 'semi' || type === 'anti'
    const taken = new Set<Side>()
    const asked = new Map<Side, number>()
    for (const l of onTime(left)) {
      const { t, k } = l.event
      const near = rs.filter(
        ({ event: r }) => k !== null && r.k === k && Math.abs(r.t - t) <= tolerance && (exact || r.t !== t),
      )
      let before: Side | undefined
      let after: Side | undefined
      for (const r of near) {
        if (r.event.t <= t && !(before && before.event.t > r.event.t)) before = r
        if (r.event.t >= t && !(after && after.event.t <= r.event.t)) after = r
      }
      if (direction === 'forward') before = undefined
      const far = before ? t - before.event.t : Infinity
      const nearest = before && !(after && after.event.t - t < far) ? before : after
      const partner = direction === 'backward' ? before : nearest
      let time = t
      if (direction !== 'backward' && k !== null) {
        time = partner && partner === after && partner !== before ? partner.event.t : t + Math.min(tolerance, far)
      }
      if (before) asked.set(before, Math.max(asked.get(before) ?? -Infinity, time))
      if (partner) taken.add(partner)
      const alone = [time, t, -1, l.arrival, -1]
      if (filters) {
        if ((partner !== undefined) === (type === 'semi')) {
          found.push({ row: l.event, order: [time, t, partner?.event.t ?? -1, l.arrival, partner?.arrival ?? -1] })
        }
      } else if (partner) {
        found.push({
          row: { ...l.event, n: partner.event },
          order: [time, t, partner.event.t, l.arrival, partner.arrival],
        })
      } else if (type === 'left' || type === 'full') found.push({ row: { ...l.event, n: null }, order: alone })
    }
    for (const r of type === 'right' || type === 'full' ? rs : []) {
      if (taken.has(r)) continue
      const { t, k } = r.event
      let time = t
      if (direction !== 'forward' && k !== null) {
        const next = rs
          .filter((other) => other.event.k === k && (other.event.t - t || other.arrival - r.arrival) > 0)
          .map(({ event }) => event.t)
        time = Math.min(...next, t + tolerance * (direction === 'nearest' ? 2 : 1))
        time = Math.max(time, asked.get(r) ?? -Infinity)
      }
      found.push({ row: { n: r.event }, order: [time, -1, t, -1, r.arrival] })
    }
    return found.sort(
      (a, b) => a.order.map((value, n) => (value === b.order[n] ? 0 : value - b.order[n]!)).find(Boolean) ?? 0,
    )
  }

  it.each(['backward', 'forward', 'nearest'] as const)(
    '%s: what a search of all finds, however the two arrive beside each other, over a restart',
    async (direction) => {
      const given = record({
        direction: constantFrom(direction),
        tolerance: constantFrom(0, 1, 3, 9, Infinity),
        exact: constantFrom(true, false),
        delay: constantFrom(0, 0, 3, 30),
        type: constantFrom(...TYPES),
      })
      const turns = array(constantFrom(0 as const, 1 as const), { maxLength: 30 })
      await assert(
        asyncProperty(
          tuple(events('l', 20), events('r', 20), given, turns, integer({ min: -1, max: 30 })),
          async ([left, right, given, turns, restartAfter]) => {
            const { tolerance, exact, delay, type } = given
            const options = {
              on: 'k',
              'as-of': 't',
              'time-unit': 'ms',
              direction,
              delay: `${delay}ms`,
              type,
              nest: 'n',
              ...(tolerance < Infinity && { tolerance: `${tolerance}ms` }),
              ...(!exact && { 'no-exact': true }),
            }
            const got = await runStage(join, lines(left), { options, table: lines(right), turns, restartAfter })
            expect(got.output).toBe(lines(expected(left, right, given).map(({ row }) => row)))
            const late = (items: readonly Event[]): number =>
              side(items, delay).filter(({ event, before }) => event.t < before).length
            expect(got.counts).toEqual({
              ...(late(right) > 0 && { 'late on the right: dropped': late(right) }),
              ...(late(left) > 0 && { 'late on the left: dropped': late(left) }),
            })
          },
        ),
        { numRuns: 300 },
      )
    },
  )

  it('finds what it finds in a table, when both are in order', async () => {
    const inOrder = (side: string) => events(side, 30).map((items) => [...items].sort((a, b) => a.t - b.t))
    await assert(
      asyncProperty(
        tuple(inOrder('l'), inOrder('r'), constantFrom('backward', 'forward', 'nearest')),
        async ([left, right, direction]) => {
          const options = { on: 'k', 'as-of': 't', 'time-unit': 'ms', direction, type: 'left' }
          const whole = await runStage(join, lines(left), { options, table: lines(right) })
          const streams = await runStage(join, lines(left), {
            options: { ...options, delay: '0s' },
            table: lines(right),
            turns: [0, 1, 0, 0, 1],
          })
          expect(sorted(streams.output)).toEqual(sorted(whole.output))
        },
      ),
      { numRuns: 100 },
    )
  })
})
