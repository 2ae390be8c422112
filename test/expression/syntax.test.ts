import { describe, expect, it } from 'vitest'
import type { BeckError } from '../../src/core/errors.ts'
import { formatFieldPath, Projection } from '../../src/core/field-path.ts'
import { compileExpression, compileFunction, evaluateConstant } from '../../src/expression/index.ts'

const options = { args: { least: '5' } }
const compile = (text: string) => {
  const projection = new Projection()
  const expression = compileExpression(text, projection, options)
  return { expression, reads: projection.paths.map(formatFieldPath) }
}
function errorOf(text: string): BeckError {
  try {
    compile(text)
  } catch (error) {
    return error as BeckError
  }
  throw new Error(`${text} was accepted`)
}

describe('the fields that an expression reads', () => {
  it.each([
    ['r.status >= 500', ['status']],
    ['r => r.a.b + r["c d"]', ['["c d"]', 'a.b']],
    ['r?.a?.b', ['a.b']],
    ['(r.a).b', ['a.b']],
    ['r[`a`]', ['a']],
    ['r.tags[0].name', ['tags', 'tags[0].name']],
    ['r.name.length', ['name']],
    ['r.line.split(" ")', ['line']],
    ['(x) => x.a', ['a']],
    ['r => [1].map(r => r.b)', []],
    ['{...r, kb: r.bytes}', ['bytes', 'kb']],
    ['({a, b: {c}}) => a + c', ['a', 'b.c']],
    ['r => { const {a} = r; const c = r.b.c; return a + c }', ['a', 'b.c']],
    ['r => { const {a, ...rest} = r; return rest }', []],
    ['Object.keys(r)', []],
    ['r[args.least]', []],
    ['r => { r.a = 1; return r.b }', []],
  ])('%s', (text, reads) => {
    expect(compile(text).reads.sort()).toEqual(reads)
  })
})

describe('the index', () => {
  it.each([
    ['r.a', false],
    ['i % 2', true],
    ['(r, n) => n', true],
    ['(r, n) => r.n', false],
    ['r => [1].map((x, i) => i)', false],
    ['{i: r.i}', false],
    ['{i}', true],
    ['(r, n = 1) => 1', true],
  ])('%s', (text, uses) => {
    expect(compile(text).expression.usesIndex).toBe(uses)
  })
})

describe('what is refused', () => {
  it.each([
    ['status >= 500', 'column 1: there is no "status"', 'did you mean r.status?'],
    ['x => x.a + status', 'column 12: there is no "status"', 'did you mean x.status?'],
    ['math.round(r.a)', 'column 1: there is no "math"', 'did you mean Math?'],
    ['round(r.a)', 'column 1: there is no "round"', 'did you mean Math.round?'],
    ['r.a > 0 AND r.b', 'column 9: the expression should have ended here', 'JavaScript writes &&'],
    ['not r.a', 'column 5', 'JavaScript writes !'],
    ['r.a +', 'column 6: unexpected token', '     ^'],
    ['r.a\n  && foo', 'column 6: there is no "foo"', '      ^'],
    ['r.a; r.b', 'column 6', ''],
    ['r.a)', 'column 4', ''],
    ['', 'empty', 'r.status >= 500'],
    ['r.a = 5', 'this assigns', 'did you mean r.a === 5?'],
    ['r => r.a = 5', 'this assigns', 'did you mean r.a === 5?'],
    ['r => { r.a }', 'the function returns nothing', 'return'],
    ['r => { [1].map(x => { return x }) }', 'the function returns nothing', 'return'],
    ['async r => r.a', 'async', ''],
    ['function* (r) { return 1 }', 'generator', ''],
    ['await r.a', 'nothing to wait for', ''],
    ['(r, i, x) => 1', 'takes 2 parameters', ''],
    ['process.exit()', 'no "process"', '--arg name=value'],
    ['require("fs")', 'no "require"', ''],
    ['import("fs")', '"import"', ''],
    ['import.meta', '"import"', ''],
    ['globalThis', 'no "globalThis"', ''],
    ['new Function("1")', 'no "Function"', 'data never becomes code'],
    ['eval("1")', 'no "eval"', 'data never becomes code'],
    ['console.log(r)', 'no "console"', ''],
    ['arguments[0]', 'no "arguments"', ''],
    ['(() => { let a = 1; { let b = 2 } return b })()', 'no "b"', ''],
  ])('%s', (text, problem, hint) => {
    const error = errorOf(text)
    expect(error.exit).toBe(2)
    expect(error.message.replace(/^the expression, at /, '')).toContain(problem)
    expect(error.hint ?? '').toContain(hint)
  })
})

describe('what is in scope', () => {
  it.each([
    'r => { const a = r.x; let b; var c = 1; for (const d of [1]) b = d + c; return a ?? b }',
    'r => { try { return JSON.parse(r.x) } catch ({ message }) { return message } }',
    'r => { function f(n) { return n ? f(n - 1) : arguments.length } return f(2) }',
    'r => { switch (r.a) { case 1: let x = 1; return x; default: return 2 } }',
    'r => { outer: for (;;) { break outer } return 1 }',
    'r => { class A { #p = 1; static q = 2; get v() { return this.#p } } return new A().v }',
    '({ a, b: { c } = {}, ...rest }) => [a, c, rest]',
    '`${r.a} ${args.x}`',
    '[..."abc"].map((char, index) => char + index)',
    'r.a ?? undefined ?? NaN',
    'structuredClone(new Map([[1, new Intl.NumberFormat("de").format(r.x)]])).get(1)',
    'function (r) { return r.a }',
  ])('%s', (text) => {
    expect(() => compile(text)).not.toThrow()
  })
})

describe('functions of values', () => {
  const args = { args: {} }
  it('folds with a state', () => {
    const merge = compileFunction('(a, b) => ({ n: a.n + b.n })', ['value', 'value'], new Projection(), args)
    expect(merge.call(0, { n: 1 }, { n: 2 })).toEqual({ n: 3 })
  })
  it('reads fields of the record parameter', () => {
    const projection = new Projection()
    compileFunction('(state, r) => state + r.bytes', ['value', 'record'], projection, args)
    expect(projection.paths).toEqual([['bytes']])
  })
  it('evaluates a start', () => {
    expect(evaluateConstant('{n: 0, list: []}', new Projection(), args)).toEqual({ n: 0, list: [] })
    expect(() => evaluateConstant('r.a', new Projection(), args)).toThrow('there is no "r" here')
  })
  it('needs a function', () => {
    expect(() => compileFunction('r.a', ['value', 'record'], new Projection(), args)).toThrow(
      'this should be a function',
    )
  })
})
