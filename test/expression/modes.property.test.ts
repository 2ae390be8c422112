// Random expressions over random records: every way to run an expression gives the same bytes, and they are what plain JavaScript gives.
import { array, assert, constantFrom, letrec, oneof, property, record, tuple, type Arbitrary } from 'fast-check'
import { expect, it } from 'vitest'

import type { FieldPath } from '../../src/core/field-path.ts'
import { MODES, runFilter, runMap, type RunOptions } from './run.ts'

/** An expression for beck, and the same with `?.` for JavaScript. */
interface Pair {
  readonly beck: string
  readonly plain: string
}
const both = (text: string): Pair => ({ beck: text, plain: text })
const join = (strings: TemplateStringsArray, ...parts: readonly Pair[]): Pair => ({
  beck: String.raw({ raw: strings }, ...parts.map(({ beck }) => beck)),
  plain: String.raw({ raw: strings }, ...parts.map(({ plain }) => plain)),
})

/** Every path of up to two of these, so that one scanner reads them for all expressions. */
const PARTS: readonly (readonly [string, string | number])[] = [
  ['.a', 'a'],
  ['.b', 'b'],
  ['["c d"]', 'c d'],
  ['[0]', 0],
  ['["1"]', '1'],
]
const reads = [
  ['length'],
  ...PARTS.flatMap(([, part]) => [[part], ...PARTS.map(([, second]) => [part, second])]),
] as unknown as FieldPath[]
const path: Arbitrary<Pair> = tuple(
  array(constantFrom(...PARTS.map(([text]) => text)), { maxLength: 2 }),
  constantFrom('', '', '', '.length'),
).map(([parts, last]) => {
  const all = last ? [...parts, last] : parts
  return {
    beck: `r${all.join('')}`,
    plain: `r${all.map((text) => (text.startsWith('.') ? `?${text}` : `?.${text}`)).join('')}`,
  }
})
const literal = constantFrom(
  '0',
  '1',
  '-2',
  '1.5',
  '"x"',
  '"1"',
  '""',
  '"é"',
  'null',
  'undefined',
  'true',
  'false',
  'args.one',
).map(both)
const operator = constantFrom('<', '>', '<=', '>=', '==', '!=', '===', '!==')

const { expression } = letrec<{ expression: Pair; object: Pair; predicate: Pair }>((tie) => ({
  predicate: oneof(
    { maxDepth: 3, withCrossShrink: true },
    tuple(path, operator, literal).map(([a, op, b]) => join`(${a} ${both(op)} ${b})`),
    tuple(literal, operator, path).map(([a, op, b]) => join`(${a} ${both(op)} ${b})`),
    path,
    tuple(tie('predicate'), constantFrom('&&', '||'), tie('predicate')).map(
      ([a, op, b]) => join`(${a} ${both(op)} ${b})`,
    ),
    tie('predicate').map((a) => join`!${a}`),
  ),
  object: array(
    oneof(
      tuple(constantFrom('a', 'b', '"c d"', 'z'), tie('expression')).map(
        ([name, value]) => join`${both(name)}: ${value}`,
      ),
      path.map((spread) => join`...${spread}`),
      { arbitrary: constantFrom(both('...r')), weight: 2 },
    ),
    { maxLength: 4 },
  ).map((members) => ({
    beck: `{${members.map(({ beck }) => beck).join(', ')}}`,
    plain: `{${members.map(({ plain }) => plain).join(', ')}}`,
  })),
  expression: oneof(
    { maxDepth: 3, withCrossShrink: true },
    path,
    literal,
    tie('predicate'),
    tie('object').map((object) => join`(${object})`),
    tuple(tie('predicate'), tie('expression'), tie('expression')).map(([a, b, c]) => join`(${a} ? ${b} : ${c})`),
    tuple(tie('expression'), constantFrom('&&', '||', '??'), tie('expression')).map(
      ([a, op, b]) => join`(${a} ${both(op)} ${b})`,
    ),
    array(tie('expression'), { maxLength: 3 }).map((items) => ({
      beck: `[${items.map(({ beck }) => beck).join(', ')}]`,
      plain: `[${items.map(({ plain }) => plain).join(', ')}]`,
    })),
    tuple(path, tie('expression')).map(
      ([list, value]) => join`(Array.isArray(${list}) ? ${list}.map(x => ({x, y: ${value}})) : 0)`,
    ),
    path.map((value) => join`typeof ${value}`),
    path.map((value) => join`(Number(String(${value})) || 0)`),
    tie('expression').map((value) => join`((o) => o)(${value})`),
    tie('object').map((object) => join`Object.keys(${object}).length`),
    tie('object').map((object) => ({
      beck: `(() => { const o = ${object.beck}; o.q = 1; return o })()`,
      plain: `(() => { const o = ${object.plain}; o.q = 1; return o })()`,
    })),
  ),
}))

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
const { value, object } = letrec<{ value: Json; object: Json }>((tie) => ({
  object: record(
    { a: tie('value'), b: tie('value'), 'c d': tie('value'), '1': tie('value'), '\u0101': tie('value') },
    { requiredKeys: [] },
  ) as Arbitrary<Json>,
  value: oneof(
    { maxDepth: 2 },
    constantFrom<Json>(0, 1, -2, 1.5, 1e21, 'x', '1', '', 'é', '\ud800', 'a"\\\n', null, true, false),
    tie('object'),
    array(tie('value'), { maxLength: 3 }),
  ),
}))

/** The same value, spelt in other ways: `choose(n)` is a number below n. */
function spell(value: Json, choose: (n: number) => number): string {
  const space = (): string => ['', '', '', ' ', '\t'][choose(5)] as string
  if (typeof value === 'number')
    return [
      String(value),
      value.toExponential(),
      Number.isInteger(value) && value < 1e9 ? `${value}.0` : String(value),
    ][choose(3)] as string
  if (typeof value === 'string') {
    const text = JSON.stringify(value)
    if (choose(2) || text.includes('\\')) return text
    return text.replace(/[a-z]/, (char) => `\\u00${char.charCodeAt(0).toString(16)}`)
  }
  if (Array.isArray(value)) return `[${value.map((item) => space() + spell(item, choose) + space()).join(',')}]`
  if (typeof value !== 'object' || value === null) return String(value)
  const member = ([name, item]: [string, Json]): string =>
    `${space()}${spell(name, choose)}${space()}:${space()}${spell(item, choose)}${space()}`
  const members = Object.entries(value)
  if (choose(3) === 0) members.reverse()
  const doubled = members.length > 0 && choose(4) === 0 ? [[members[0]![0], 'old'] as [string, Json]] : []
  return `{${[...doubled, ...members].map(member).join(',')}}`
}

const args = { one: '1' }
const javascript = (expression: string) =>
  new Function('r', 'args', `return ${expression}`) as (r: Json, a: object) => unknown
const spelled = tuple(
  oneof({ arbitrary: object, weight: 5 }, value),
  array(constantFrom(0, 1, 2, 3, 4), { minLength: 1, maxLength: 20 }),
).map(([value, choices]) => {
  let at = 0
  const text = spell(value, (n) => (choices[at++ % choices.length] as number) % n)
  return { value, text, doubled: /old|\\u006fld/.test(text) }
})

/** Every mode on every scanner that must agree: of duplicate names a lazy scan may have seen the first. */
const ways = (doubled: boolean): RunOptions[] =>
  MODES.flatMap((mode) =>
    (doubled ? (['reference'] as const) : (['reference', 'wasm'] as const)).map((scanner) => ({
      mode,
      scanner,
      args,
      reads,
    })),
  )
const lines = (texts: readonly string[]): string => texts.map((text) => `${text}\n`).join('')
const parsed = (text: string): unknown[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as unknown)
const records = array(spelled, { minLength: 1, maxLength: 5 })
const parameters = { numRuns: Number(process.env['BECK_RUNS'] ?? 300) }

it('maps as JavaScript does, in every mode', () => {
  assert(
    property(expression, records, ({ beck, plain }, records) => {
      const run = javascript(plain)
      const expected = parsed(
        lines(records.map(({ value }) => JSON.stringify(run(structuredClone(value), args)) ?? 'null')),
      )
      const canonical = lines(records.map(({ value }) => JSON.stringify(value)))
      for (const way of ways(false))
        expect(parsed(runMap(beck, canonical, way)), `${way.mode} ${way.scanner}`).toEqual(expected)

      const input = lines(records.map(({ text }) => text))
      const all = ways(records.some(({ doubled }) => doubled))
      const first = runMap(beck, input, all[0])
      expect(parsed(first)).toEqual(expected)
      for (const way of all.slice(1)) expect(runMap(beck, input, way), `${way.mode} ${way.scanner}`).toBe(first)
    }),
    parameters,
  )
})

it('filters as JavaScript does, in every mode', () => {
  assert(
    property(expression, records, ({ beck, plain }, records) => {
      const run = javascript(plain)
      const kept = records.filter(({ value }) => run(structuredClone(value), args))
      const expected = lines(kept.map(({ text }) => text))
      const input = lines(records.map(({ text }) => text))
      for (const way of ways(records.some(({ doubled }) => doubled))) {
        expect(runFilter(beck, input, way), `${way.mode} ${way.scanner}`).toBe(expected)
      }
    }),
    parameters,
  )
})

/** Numbers that JavaScript does not hold, and sums, comparisons and methods that may fail on them. */
const odd = array(
  tuple(
    constantFrom('a', 'b', 'c d', '1'),
    constantFrom(
      '9007199254740993',
      '-9007199254740992',
      '9007199254740992',
      '1e400',
      '-0',
      '0.10',
      '1E2',
      '"9007199254740993"',
      '[1.0]',
      'null',
      '"x"',
    ),
  ),
  { maxLength: 4 },
).map((members) => `{${members.map(([name, text]) => `"${name}": ${text}`).join(', ')}}`)
const risky = tuple(
  path,
  constantFrom('+', '-', '*', '<', '>=', '===', '==', '!==', '??', '&&'),
  oneof(path, literal, constantFrom(both('9007199254740992'), both('9007199254740993n'), both('1e20'))),
  constantFrom('X', '{...r, a: X}', '{v: X, b: r.b}', '[X, r]', '{v: (X).toFixed(1)}', '(o => ({...o, q: X}))(r)'),
).map(([a, op, b, shape]) => shape.replace('X', () => `(${a.beck} ${op} ${b.beck})`))

it('agrees in every mode on numbers beyond doubles, and on what fails', () => {
  assert(
    property(risky, array(odd, { minLength: 1, maxLength: 5 }), (expression, records) => {
      const input = lines(records)
      const doubled = records.some(
        (text) => new Set(text.match(/"[^"]*":/g)).size < (text.match(/"[^"]*":/g)?.length ?? 0),
      )
      const run = (way: RunOptions): string[] => [
        runMap(expression, input, way).replace(/^!.*$/gm, '!'),
        runFilter(expression, input, way).replace(/^!.*$/gm, '!'),
      ]
      const [first, ...others] = ways(doubled)
      const expected = run(first!)
      for (const way of others) expect(run(way), `${way.mode} ${way.scanner}`).toEqual(expected)
    }),
    parameters,
  )
})
