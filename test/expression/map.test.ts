import { describe, expect, it } from 'vitest'
import { MODES, runFilter, runMap } from './run.ts'

/** Expression, record, result: the same in every way to run it. */
const MAPPED: readonly (readonly [string, string, string])[] = [
  ['r', '{"b":1.0, "a":-0}', '{"b":1.0, "a":-0}'],
  ['r.a', '{"a":1.0}', '1.0'],
  ['r.a', '{"a":1e400}', '1e400'],
  ['r.a', '{"b":1}', 'null'],
  ['{next: r.id}', '{"id":9007199254740993}', '{"next":9007199254740993}'],
  ['({next: r.id})', '{"id":12345678901234567890}', '{"next":12345678901234567890}'],
  ['r => ({next: r.id})', '{"id":-0}', '{"next":-0}'],
  ['r => {next: r.id}', '{"id":1}', '{"next":1}'],
  ['r => {a: r.x, b: r.y}', '{"x":1,"y":"\\u0041"}', '{"a":1,"b":"\\u0041"}'],
  ['r => { return {a: r.x} }', '{"x":1.50}', '{"a":1.50}'],
  ['r.id + 1n', '{"id":9007199254740993}', '9007199254740994'],
  ['{...r, b: 9}', '{"a": 1.0, "b":2 , "c":3}', '{"a": 1.0, "b":9 , "c":3}'],
  ['{...r, b: 9}', '{"b":1,"a":1.0,"b":2}', '{"b":9,"a":1.0}'],
  ['{...r, d: 9}', '{ "a":1 }', '{ "a":1 ,"d":9}'],
  ['{...r, b: 9}', '{"b":1,"\\u0062":2}', '{"b":9}'],
  ['{...r, d: 9}', '{}', '{"d":9}'],
  ['{...r, d: 9}', '{ }', '{ "d":9}'],
  ['{...r, b: undefined}', '{"a":1, "b":2, "c":3}', '{"a":1, "c":3}'],
  ['{...r, a: undefined}', '{"a":1, "b":2, "c":3}', '{"b":2, "c":3}'],
  ['{...r, c: undefined}', '{"a":1, "b":2, "c":3}', '{"a":1, "b":2}'],
  ['{...r, a: undefined}', '{"a":1}', '{}'],
  ['{...r, b: 1}', '{"a":1,"\\u0062":2}', '{"a":1,"\\u0062":1}'],
  ['{...r, b: 1}', '{"a":"\\"b\\":","c":{"b":2}}', '{"a":"\\"b\\":","c":{"b":2},"b":1}'],
  ['{...r, 1: 2}', '{"b":1,"2":1,"1":1}', '{"b":1,"2":1,"1":2}'],
  ['{...r, 1: 2}', '{"b":1}', '{"b":1,"1":2}'],
  ['{...r, n: r.a}', '{"a":1.0}', '{"a":1.0,"n":1.0}'],
  ['{...r, a: 1}', '{"a":1.0}', '{"a":1}'],
  ['{...r.a, ...r.b}', '{"a":{"x":1.0,"y":2},"b":{"y":3e0}}', '{"x":1.0,"y":3e0}'],
  ['{x: 1, ...r}', '{"y":1.0,"x":2.0}', '{"x":2.0,"y":1.0}'],
  ['{...r, n: Object.keys(r).length}', '{"2":1.0,"1":2}', '{"2":1.0,"1":2,"n":2}'],
  ['r => { r.kb = 1; return r }', '{"2":1.0,"1":2}', '{"2":1.0,"1":2,"kb":1}'],
  ['r => { delete r.a; return r }', '{"a":1, "b":1.0}', '{"b":1.0}'],
  ['r => { r.t.sort(); return {t: r.t} }', '{"t":[2,1]}', '{"t":[1,2]}'],
  ['{t: r.t, n: r.t.length}', '{"t":[1.0, 2]}', '{"t":[1.0, 2],"n":2}'],
  ['r.name.length', '{"name":"äö"}', '2'],
  ['r.name.length', '{"name":{"length":7}}', '7'],
  ['r.length', '{"length":7}', '7'],
  ['r.length', '[1,2]', '2'],
  ['r[1]', '{"1":1.0}', '1.0'],
  ['r[1]', '[1,2.0]', '2.0'],
  ['r.t[0]', '{"t":"äb"}', '"ä"'],
  ['r.t[0].x', '{"t":[{"x":1.0}]}', '1.0'],
  ['r.a.b.c', '{"a":5}', 'null'],
  ['r.a.split(",")', '{"b":1}', 'null'],
  ['r.a.split(",")', '{"a":"x,é"}', '["x","é"]'],
  ['{k: r[args.k], d: r[args.k].x}', '{"z":{"x":3}}', '{"k":{"x":3},"d":3}'],
  ['{a: r.a ?? 0, b: r.b || "x"}', '{"a":1.0,"b":""}', '{"a":1.0,"b":"x"}'],
  ['{a: r.x ?? r.a ?? 0}', '{"a":1.0}', '{"a":1.0}'],
  ['{a: r.a ? {b: r.b} : [r.b]}', '{"a":0,"b":1.0}', '{"a":[1.0]}'],
  ['r.t.map(x => ({...r, t: x}))', '{"a":1.0,"t":[1,2]}', '[{"a":1.0,"t":1},{"a":1.0,"t":2}]'],
  ['r => { const o = {...r}; o.x = 1; return o }', '{"2":1.0,"1":-0}', '{"2":1.0,"1":-0,"x":1}'],
  ['r => { const o = {...r, a: 1, n: r.b}; return o }', '{"a": 1.0, "b":2.0}', '{"a": 1, "b":2.0,"n":2.0}'],
  ['r.t.flatMap(x => [{t: x, a: r.a}]).filter(x => x.t > 1)', '{"a":1e2,"t":[1,2]}', '[{"t":2,"a":1e2}]'],
  ['((o) => { o.a = 5; return o })({b: r.b, a: 1})', '{"b":1.0}', '{"b":1.0,"a":5}'],
  ['Object.keys({...r, f: x => x})', '{"a":1.0}', '["a","f"]'],
  ['((0, 1), [r.a, (2, r.a)])', '{"a":1.0}', '[1.0,1.0]'],
  ['String((1, r.a))', '{"a":"x"}', '"x"'],
  ['(r.a ? parseInt : String)("7")', '{"a":1}', '7'],
  ['(r.a || String)(7)', '{"a":0}', '"7"'],
  ['(1, r.a) ? "y" : "n"', '{"a":0}', '"n"'],
  ['((o) => o)({...r, a: (1, r.a), [(1, "b")]: 2})', '{"a":3}', '{"a":3,"b":2}'],
  ['[1].map(x => (x, r.a)).at(0)', '{"a":"z"}', '"z"'],
  ['r => { let x; x = (1, r.a); return x }', '{"a":2}', '2'],
  ['(() => r.a)()', '{"a":2}', '2'],
  ['r.a /* a */ + // b\n 1', '{"a":2}', '3'],
  ['`${r.a}$`', '{"a":2}', '"2$"'],
  ['(r["a"] ?? 0, r.b)', '{"b":1.0}', '1.0'],
  ['{__proto__: r.a}', '{"a":{"x":1}}', '{"__proto__":{"x":1}}'],
  ['{...r, b: 1}', '{"__proto__":{"x":1}}', '{"__proto__":{"x":1},"b":1}'],
  ['r.__proto__', '{"__proto__":{"x":1}}', '{"x":1}'],
  ['r.constructor', '{}', 'null'],
  ['{s: r.s + "!"}', '{"s":"\\ud800"}', '{"s":"\\ud800!"}'],
  ['{d: new Date(0)}', '{}', '{"d":"1970-01-01T00:00:00.000Z"}'],
  ['{i}', '{}', '{"i":0}'],
  ['(x, n) => [x.a, n]', '{"a":1}', '[1,0]'],
  ['({a, b: {c}}) => ({a, c, n: a + 1})', '{"a":1.0,"b":{"c":2.0}}', '{"a":1.0,"c":2.0,"n":2}'],
  ['({a, b: {c}}) => ({a, c})', '{"a":1.0}', '{"a":1.0}'],
  ['({a}) => { a += 1; return {a} }', '{"a":1.0}', '{"a":2}'],
  ['({t}) => { t.sort(); return {t} }', '{"t":[2,1]}', '{"t":[1,2]}'],
  [
    'r => { const {a, t} = r; const x = r.b.c, y = t; return {a, x, y, n: a + 1} }',
    '{"a":1.0,"b":{"c":2.0},"t":[3.0]}',
    '{"a":1.0,"x":2.0,"y":[3.0],"n":2}',
  ],
  ['r => { const f = () => a; const a = r.a\n return {a, f: f()} }', '{"a":2.50}', '{"a":2.50,"f":2.5}'],
  ['r => { const a = r.a; r.a = 5; return {a, b: r.a} }', '{"a":1}', '{"a":1,"b":5}'],
  ['r => { const a = r.a; { const a = 7; return {a} } }', '{"a":1}', '{"a":7}'],
  ['r => { const {length} = r.t; for (const x of r.t) return {length, x} }', '{"t":[1,2]}', '{"length":2,"x":1}'],
  ['({a, b = 2}) => ({a, b})', '{"a":1}', '{"a":1,"b":2}'],
  ['[r.a, , undefined]', '{"a":1}', '[1,null,null]'],
  ['{a: r.a === "x", b: !r.b, c: r.c == null}', '{"a":"\\u0078","b":""}', '{"a":true,"b":true,"c":true}'],
  ['{a: r.a > 5, b: r.a == "7"}', '{"a":"7"}', '{"a":true,"b":true}'],
  ['r', '12', '12'],
  ['r', '1.0', '1.0'],
  ['{...r}', '[1.0,2]', '{"0":1.0,"1":2}'],
  ['{...r, a: 1}', 'null', '{"a":1}'],
  ['r.a / 0', '{"a":1}', '!the result is Infinity, which JSON cannot say'],
  [
    '{x: r.id + 1}',
    '{"id":9007199254740993}',
    '!the expression failed: Cannot mix BigInt and other types, use explicit conversions',
  ],
  ['() => { throw "x" }', '{"a":1}', '!the expression failed: it threw x'],
  ['new Map()', '{}', '!the result is a Map, which JSON cannot say'],
  ['{f: r => r}', '{}', "!the result's f is a function, which JSON cannot say"],
]

describe.each(MODES)('map, mode %s', (mode) => {
  it.each(MAPPED)('%s of %s', (expression, record, result) => {
    expect(runMap(expression, `${record}\n`, { mode, args: { k: 'z' } })).toBe(`${result}\n`)
  })
})

it('names the field that a failed expression read', () => {
  expect(runMap('r.a.foo()', '{"a":1}')).toBe('!the expression failed: r.a?.foo is not a function\n')
  expect(runMap('r.a.foo()', '{"a":1}', { mode: 'record' })).toBe(
    '!the expression failed: the field?.foo is not a function\n',
  )
})

const FLAT: readonly (readonly [string, string, string])[] = [
  ['r.t', '{"t":[1.0, {"a": 2}]}', '1.0\n{"a": 2}\n'],
  ['r.t', '{"t":[]}', ''],
  ['r.t', '{}', ''],
  ['r.t', '{"t":null}', 'null\n'],
  ['r.t', '{"t":1.0}', '1.0\n'],
  ['r.line.split(" ").map(word => ({word}))', '{"line":"a b"}', '{"word":"a"}\n{"word":"b"}\n'],
  ['[[1],undefined,2]', '{}', '[1]\n2\n'],
]
describe.each(MODES)('map --flat, mode %s', (mode) => {
  it.each(FLAT)('%s of %s', (expression, record, result) => {
    expect(runMap(expression, `${record}\n`, { mode, flat: true })).toBe(result)
  })
})

describe.each(MODES)('filter, mode %s', (mode) => {
  const records = [
    '{"a":1}',
    '{"a": "1"}',
    '{"a":null}',
    '{}',
    '{"a":true}',
    '{"a":""}',
    '{"a":12345678901234567890}',
    '{"a":[0]}',
    '{"a":-0}',
    '{"a":9007199254740992}',
    '{"a":1e400}',
  ]
  it.each([
    ['r.a', [0, 1, 4, 6, 7, 9, 10]],
    ['!r.a', [2, 3, 5, 8]],
    ['r.a >= 1', [0, 1, 4, 6, 9, 10]],
    ['1 > r.a', [2, 5, 7, 8]],
    ['r.a < -1', []],
    ['r.a == 1', [0, 1, 4]],
    ['r.a != 1', [2, 3, 5, 6, 7, 8, 9, 10]],
    ['r.a === 1', [0]],
    ['r.a === "1"', [1]],
    ['r.a !== "1"', [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
    ['r.a == null', [2, 3]],
    ['r.a === undefined', [3]],
    ['r.a === 12345678901234567890', []],
    ['r.a === 9007199254740992', []],
    ['r.a == 9007199254740992', [9]],
    ['r.a === 9007199254740992n', [9]],
    ['r.a > 9007199254740992', [6, 10]],
    ['r.a === Infinity', [10]],
    ['r.a == 0', [5, 7, 8]],
    ['r.a > args.least', [6, 9, 10]],
    ['r.a && i > 0', [1, 4, 6, 7, 9, 10]],
    ['true', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
  ] as const)('%s', (expression, kept) => {
    const expected = kept.map((index) => `${records[index]}\n`).join('')
    expect(runFilter(expression, `${records.join('\n')}\n`, { mode, args: { least: '1' } })).toBe(expected)
  })
})
