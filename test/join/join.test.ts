import { array, assert, asyncProperty, constantFrom, record, tuple } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { join } from '../../commands/join.ts'
import type { BeckError } from '../../src/core/errors.ts'
import type { JoinType } from '../../src/join/table.ts'
import { lines, runStage } from '../stage.ts'

type Row = Readonly<Record<string, unknown>>
const TYPES: readonly JoinType[] = ['inner', 'left', 'right', 'full', 'semi', 'anti']

const key = constantFrom(1, 2, '1', '2', null, undefined, true, 1.5, [1], { a: 1 })
const rows = (side: string) =>
  array(record({ k: key, v: constantFrom('a', 'b') }), { maxLength: 12 }).map((items): Row[] =>
    // Some have a name that clashes, and a name that the renamed one would clash with.
    items.map((item, n) => ({ ...item, [side]: n, ...(n % 3 === 1 && { right_v: n }), ...(n % 4 === 2 && { w: n }) })),
  )

function merged(left: Row, right: Row): Row {
  const result: Record<string, unknown> = { ...left }
  for (const [name, value] of Object.entries(right)) {
    if (name === 'k' || value === undefined) continue
    let other = name
    if (name in left && left[name] !== undefined) {
      do other = `right_${other}`
      while (other in result || (other in right && right[other] !== undefined))
    }
    result[other] = value
  }
  return result
}

/** Every pair is looked at. */
function nested(left: readonly Row[], right: readonly Row[], type: JoinType, nest: string | undefined): Row[] {
  const matches = (a: Row, b: Row): boolean =>
    a['k'] !== null && a['k'] !== undefined && JSON.stringify(a['k']) === JSON.stringify(b['k'])
  const alone = (row: Row): Row => (nest ? { ...row, [nest]: null } : row)
  const result: Row[] = []
  for (const a of left) {
    const partners = right.filter((b) => matches(a, b))
    if (type === 'semi' || type === 'anti') {
      if (partners.length > 0 === (type === 'semi')) result.push(a)
    } else if (partners.length > 0) for (const b of partners) result.push(nest ? { ...a, [nest]: b } : merged(a, b))
    else if (type === 'left' || type === 'full') result.push(alone(a))
  }
  if (type !== 'right' && type !== 'full') return result
  for (const b of right) if (!left.some((a) => matches(a, b))) result.push(nest ? { [nest]: b } : b)
  return result
}

const sorted = (text: string): string[] => text.split('\n').sort()

describe.each(TYPES)('%s join', (type) => {
  it.each([undefined, 'r'])('is every pair that matches, in the order of the left side (nest: %s)', async (nest) => {
    await assert(
      asyncProperty(tuple(rows('l'), rows('r')), async ([left, right]) => {
        const options = { on: 'k', type, ...(nest && { nest }) }
        const table = lines(right)
        const expected = lines(nested(left, right, type, nest))
        const cuts = [30, 90, 200]
        const got = await runStage(join, lines(left), { options, table, cuts })
        expect(got.output).toBe(expected)
        const merging = { options: { ...options, merge: true }, table, cuts, memoryBytes: 500 }
        expect(sorted((await runStage(join, lines(left), merging)).output)).toEqual(sorted(expected))
      }),
      { numRuns: 100 },
    )
  })
})

it('gives the same in the kernel', async () => {
  await assert(
    asyncProperty(tuple(rows('l'), rows('r'), constantFrom(...TYPES)), async ([left, right, type]) => {
      const options = { on: 'k', type }
      const got = await runStage(join, lines(left), {
        options,
        table: lines(right),
        cuts: [40, 80, 120, 160, 200, 240],
        scanner: 'wasm',
      })
      expect(got.output).toBe(lines(nested(left, right, type, undefined)))
    }),
    { numRuns: 40 },
  )
})

it('fits a memory or does not, and gives the same without room for the kernel', async () => {
  const left = Array.from({ length: 300 }, (_, n) => ({ k: n % 70, ...(n % 3 ? { r: n } : {}) }))
  const right = Array.from({ length: 50 }, (_, n) => ({ k: n, r: n, name: `number ${n}` }))
  const run = async (memoryBytes: number): Promise<string | undefined> => {
    try {
      const options = { options: { on: 'k' }, table: lines(right), scanner: 'wasm' as const, cuts: [2000], memoryBytes }
      return (await runStage(join, lines(left), options)).output
    } catch (error) {
      expect((error as BeckError).code).toBe('table-too-large')
      return undefined
    }
  }
  const all = await run(1 << 30)
  let fitted = false
  for (let memoryBytes = 1000; memoryBytes < 20_000; memoryBytes += 500) {
    const got = await run(memoryBytes)
    if (fitted || got !== undefined) expect(got).toBe(all)
    else expect(got).toBeUndefined()
    fitted ||= got !== undefined
    if (memoryBytes === 1000) expect(fitted).toBe(false)
  }
  expect(fitted).toBe(true)
})

it('spills a merge join, with the same output as in memory', async () => {
  const left = lines(Array.from({ length: 3000 }, (_, n) => ({ k: (n * 7) % 400, l: n })))
  const table = lines(Array.from({ length: 3000 }, (_, n) => ({ k: (n * 11) % 500, r: n })))
  const options = { on: 'k', type: 'full', merge: true }
  const cuts = Array.from({ length: 40 }, (_, n) => n * 1000)
  const [large, small] = await Promise.all(
    [1 << 30, 60_000].map((memoryBytes) => runStage(join, left, { options, table, memoryBytes, cuts })),
  )
  expect(large!.spilled).toBe(0)
  expect(small!.spilled).toBeGreaterThan(4)
  expect(small!.output).toBe(large!.output)
})

it('joins a key with more right records than fit in memory', async () => {
  const right = Array.from({ length: 2000 }, (_, r) => ({ k: 'giant', r }))
  const left = [
    { k: 'giant', l: 1 },
    { k: 'giant', l: 2, r: 0 },
  ]
  const options = { on: 'k', merge: true }
  const got = await runStage(join, lines(left), { options, table: lines(right), memoryBytes: 20_000 })
  expect(got.output).toBe(lines(left.flatMap((l) => right.map((r) => merged(l, r)))))
  expect(got.spilled).toBeGreaterThan(0)
})

it.each(['reference', 'wasm'] as const)('forgets left keys that the table does not have (%s)', async (scanner) => {
  const left = Array.from({ length: 150_000 }, (_, n) => ({ k: n, l: 1 }))
  const right = [
    { k: 149_999, r: 1 },
    { k: 3, r: 2 },
  ]
  const got = await runStage(join, lines(left), { options: { on: 'k' }, table: lines(right), scanner })
  expect(got.output).toBe(lines([merged(left[3]!, right[1]!), merged(left[149_999]!, right[0]!)]))
})

it('keeps the spelling of both sides', async () => {
  const left = '{ "k" : 1.0 , "a":1e400 ,"\\u0061b":"\\u0041" }\n'
  const table = '{"ab": -0 ,"k":1,"__proto__":[ 1 ],"k2":{}}\n'
  const got = await runStage(join, left, { options: { on: 'k' }, table })
  expect(got.output).toBe('{ "k" : 1.0 , "a":1e400 ,"\\u0061b":"\\u0041","right_ab": -0,"__proto__":[ 1 ],"k2":{}}\n')
})

it.each([
  { left: '{"k":1,"n":2}', right: '{"k":1}', problem: 'the record has a member of that name already: {"k":1,"n":2}' },
  { left: '[1]', right: '{"k":2}', problem: 'only objects can be joined: [1]' },
])('rejects a left record that cannot take a member: $left', async ({ left, right, problem }) => {
  const options = { on: 'k', nest: 'n', type: 'left' }
  const got = await runStage(join, `${left}\n`, { options, table: `${right}\n` })
  expect(got.rejected).toEqual([problem])
  expect(got.output).toBe('')
})
