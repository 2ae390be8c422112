import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assign, type Assignment, strategies, type Subscriber } from '../../src/log/assignors.ts'

const members = (ids: string, topics: string[] = ['t']): Subscriber[] => ids.split(' ').map((id) => ({ id, topics }))
const show = (assignment: Assignment): Record<string, string> =>
  Object.fromEntries([...assignment].map(([id, parts]) => [id, parts.map(([t, p]) => `${t}${p}`).join(' ')]))

describe('range', () => {
  test('the example of the Javadoc of RangeAssignor', () => {
    const two = members('C0 C1', ['t0', 't1'])
    expect(
      show(
        assign(
          'range',
          two,
          new Map([
            ['t0', 3],
            ['t1', 3],
          ]),
        ),
      ),
    ).toEqual({ C0: 't00 t01 t10 t11', C1: 't02 t12' })
  })
})

describe('round robin', () => {
  test('the examples of the Javadoc of RoundRobinAssignor', () => {
    const two = members('C0 C1', ['t0', 't1'])
    expect(
      show(
        assign(
          'roundrobin',
          two,
          new Map([
            ['t0', 3],
            ['t1', 3],
          ]),
        ),
      ),
    ).toEqual({ C0: 't00 t02 t11', C1: 't01 t10 t12' })
    const differing: Subscriber[] = [
      { id: 'C0', topics: ['t0'] },
      { id: 'C1', topics: ['t0', 't1'] },
      { id: 'C2', topics: ['t0', 't1', 't2'] },
    ]
    const partitions = new Map([
      ['t0', 1],
      ['t1', 2],
      ['t2', 3],
    ])
    expect(show(assign('roundrobin', differing, partitions))).toEqual({ C0: 't00', C1: 't10', C2: 't11 t20 t21 t22' })
  })
})

describe('sticky', () => {
  test('the first example of the Javadoc of StickyAssignor: C1 goes, the others keep what they have', () => {
    const topics = ['t0', 't1', 't2', 't3']
    const partitions = new Map(topics.map((topic) => [topic, 2]))
    const first = assign('sticky', members('C0 C1 C2', topics), partitions)
    expect(show(first)).toEqual({ C0: 't00 t11 t30', C1: 't01 t20 t31', C2: 't10 t21' })
    const second = assign('sticky', members('C0 C2', topics), partitions, first)
    for (const id of ['C0', 'C2']) expect(second.get(id)).toEqual(expect.arrayContaining(first.get(id) ?? []))
    expect([...second.values()].map((parts) => parts.length)).toEqual([4, 4])
  })

  test('the second example: members that read different topics', () => {
    const partitions = new Map([
      ['t0', 1],
      ['t1', 2],
      ['t2', 3],
    ])
    const all: Subscriber[] = [
      { id: 'C0', topics: ['t0'] },
      { id: 'C1', topics: ['t0', 't1'] },
      { id: 'C2', topics: ['t0', 't1', 't2'] },
    ]
    expect(show(assign('sticky', all, partitions))).toEqual({ C0: 't00', C1: 't10 t11', C2: 't20 t21 t22' })
  })
})

test.each(strategies)('%s: four partitions for two, four and six members', (strategy) => {
  const sizes = (ids: string): number[] =>
    [...assign(strategy, members(ids), new Map([['t', 4]])).values()].map((p) => p.length)
  expect(sizes('a b')).toEqual([2, 2])
  expect(sizes('a b c d')).toEqual([1, 1, 1, 1])
  expect(sizes('a b c d e f')).toEqual([1, 1, 1, 1, 0, 0])
})

test('every partition has one member; sticky and round robin are even; sticky moves no more than it must', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 20 }),
      fc.nat(8),
      (count, partitions, gone) => {
        const ids = Array.from({ length: count }, (_, i) => `m${i}`)
        const all = ids.map((id) => ({ id, topics: ['t'] }))
        for (const strategy of strategies) {
          const before = assign(strategy, all, new Map([['t', partitions]]))
          const given = [...before.values()].flat().map(([, p]) => p)
          expect(given.sort((a, b) => a - b)).toEqual(Array.from({ length: partitions }, (_, p) => p))
          const sizes = [...before.values()].map((p) => p.length)
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
          if (strategy !== 'sticky' || gone >= count || count === 1) continue
          const rest = all.filter((_, i) => i !== gone)
          const after = assign('sticky', rest, new Map([['t', partitions]]), before)
          for (const { id } of rest) expect(after.get(id)).toEqual(expect.arrayContaining(before.get(id) ?? []))
        }
      },
    ),
  )
})
