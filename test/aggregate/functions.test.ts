import { describe, expect, test } from 'vitest'
import { runReduce } from './run.ts'

/** The one row's members, for `x` values given as JSON texts. */
async function of(program: string, values: readonly (string | undefined)[]): Promise<string> {
  const { lines, rejected } = await runReduce(
    program,
    values.map((value, index) => (value === undefined ? `{"i":${index}}` : `{"i":${index},"x":${value}}`)),
  )
  expect(rejected).toEqual([])
  expect(lines).toHaveLength(1)
  return lines[0]!
}

describe('results', () => {
  test.each<[program: string, values: (string | undefined)[], expected: string]>([
    ['count', ['1', 'null', undefined], '"count":3'],
    ['count(x)', ['1', 'null', undefined, 'false', '""'], '"count_x":3'],
    ['count(1)', ['1', undefined], '"count_1":2'],
    ['sum(x)', ['0.1', '0.2'], '"sum_x":0.3'],
    ['sum(x)', ['12345678901234567890', '1'], '"sum_x":12345678901234567891'],
    ['sum(x)', ['9007199254740993', '-1', '0.5'], '"sum_x":9007199254740992.5'],
    ['sum(x)', ['1e20', '1e-20', '-1e20'], '"sum_x":0.00000000000000000001'],
    ['sum(x)', ['9007199254740991', '9007199254740991', '9007199254740991'], '"sum_x":27021597764222973'],
    ['sum(x)', ['0.8414709848078965', '0.90929742682568171'], '"sum_x":1.75076841163357821'],
    ['sum(x)', ['1e400', '1'], `"sum_x":1${'0'.repeat(399)}1`],
    ['sum(x)', ['-0', '0.0'], '"sum_x":0'],
    ['sum(x)', ['null', undefined], '"sum_x":null'],
    ['avg(x)', ['1', '2', '2'], '"avg_x":1.6666666666666667'],
    ['avg(x)', ['9007199254740993', '9007199254740993'], '"avg_x":9007199254740992'],
    ['avg(x)', ['1e309', '1e309'], '"avg_x":1e+309'],
    [
      'min(x), max(x)',
      ['3', '1.0', '1', '12345678901234567891', '12345678901234567890'],
      '"min_x":1.0,"max_x":12345678901234567891',
    ],
    ['min(x), max(x)', ['0.30000000000000001', '0.3', '1e400', '1e401'], '"min_x":0.3,"max_x":1e401'],
    ['min(x), max(x)', ['"b"', '"\\u0061"', '7', 'true'], '"min_x":true,"max_x":"b"'],
    ['min(x), max(x)', ['null'], '"min_x":null,"max_x":null'],
    [
      'var(x), stddev(x)',
      ['2', '4', '4', '4', '5', '5', '7', '9'],
      '"var_x":4.571428571428571,"stddev_x":2.138089935299395',
    ],
    ['var(x)', ['1000000000000.1', '1000000000000.2', '1000000000000.3'], '"var_x":0.01'],
    ['var(x)', ['9007199254740991', '-9007199254740991'], '"var_x":1.6225927682921333e+32'],
    ['var(x), stddev(x)', ['5'], '"var_x":null,"stddev_x":null'],
    ['first(x), last(x)', ['null', '"a"', '[1, 2]', undefined], '"first_x":"a","last_x":[1, 2]'],
    ['list(x)', ['1.0', 'null', '"é"', '{"a":[]}'], '"list_x":[1.0,"é",{"a":[]}]'],
    ['list(x), distinct(x)', [], '"list_x":[],"distinct_x":[]'],
    [
      'distinct(x)',
      ['1.0', '1', '"1"', '10e-1', '{"a":1,"b":2}', '{"b":2,"a":1.0}'],
      '"distinct_x":[1.0,"1",{"a":1,"b":2}]',
    ],
    ['count_distinct(x)', ['1', '1.0', '"1"', 'null'], '"count_distinct_x":2'],
    ['mode(x)', ['"a"', '"b"', '"b"', '"a"', '"c"'], '"mode_x":"a"'],
    ['median(x)', ['0.1', '0.2'], '"median_x":0.15'],
    ['median(x)', ['9007199254740993', '9007199254740995'], '"median_x":9007199254740994'],
    ['median(x)', ['3', '1', '0.10000000000000000000001'], '"median_x":1'],
    ['p0(x), p25(x), p99.9(x), p100(x)', ['4', '1', '2', '3'], '"p0_x":1,"p25_x":1.75,"p99_9_x":3.997,"p100_x":4'],
    ['median(x)', [], '"median_x":null'],
    ['top(x, 2)', ['1', '3', '2', '3.0'], '"top_x":[3,3.0]'],
    ['top(x, 2)', ['3.0', '1', '3', '3'], '"top_x":[3.0,3]'],
    ['top(x, 9)', ['"b"', '1', 'null', '"a"'], '"top_x":["b","a",1]'],
    ['argmin(i, x), argmax(i, x)', ['2', '1', '1', 'null', '2'], '"argmin_i":1,"argmax_i":0'],
    ['argmax(x, i)', ['"a"', 'null', undefined], '"argmax_x":"a"'],
    [
      'histogram(x, 2)',
      ['0', '0.5', '1', '0.49'],
      '"histogram_x":[{"from":0,"to":0.5,"count":2},{"from":0.5,"to":1,"count":2}]',
    ],
    ['histogram(x, 3)', ['7', '7'], '"histogram_x":[{"from":7,"to":7,"count":2}]'],
    ['concat(x, ", ")', ['"a\\n"', '1.0', 'true', 'null'], '"concat_x":"a\\n, 1.0, true"'],
    ['concat(x)', ['"ü"', '"b"'], '"concat_x":"üb"'],
    ['approx_median(x), approx_p0(x)', ['5', '5', '5'], '"approx_median_x":5,"approx_p0_x":5'],
    ['approx_count_distinct(x)', ['1', '1.0', '"1"', 'null'], '"approx_count_distinct_x":2'],
    ['n = count where r.x > 1', ['1', '2', '3', undefined], '"n":2'],
    ['total = sum(r.x * 2), "a b" = sum(x)', ['1', '2.5'], '"total":7,"a b":3.5'],
    ['s = list(r => [r.x, r.i])', ['1', '"q"'], '"s":[[1,0],["q",1]]'],
    ['n = count where i % 2 == 0', ['1', '1', '1'], '"n":2'],
    ['f = fold((s, r) => s + r.x, 0)', ['1', '2'], '"f":3'],
    ['f = fold((s, r) => { s.push(r.x); return s }, [])', ['1', '"b"'], '"f":[1,"b"]'],
  ])('%s of %j', async (program, values, expected) => expect(await of(program, values)).toBe(`{${expected}}`))

  test('approx_p90 is within 0.4 % of the value at that rank', async () => {
    const values = Array.from({ length: 5000 }, (_, i) => ((i * 7919) % 5000) ** 2 / 1000 - 30)
    const sorted = values.toSorted((a, b) => a - b)
    const names = ['p1', 'p10', 'p50', 'p90', 'p99'].map((name) => `${name} = approx_${name}(x)`)
    const row = JSON.parse(await of(names.join(','), values.map(String))) as Record<string, number>
    for (const [name, value] of Object.entries(row)) {
      const exact = sorted[Math.round((Number(name.slice(1)) / 100) * 4999)]!
      expect(Math.abs(value - exact)).toBeLessThanOrEqual(Math.abs(exact) * 0.004)
    }
  })

  test('approx_count_distinct is within 5 % beyond what it counts exactly', async () => {
    for (const count of [600, 20_000]) {
      const values = Array.from({ length: 2 * count }, (_, i) => `"user ${i % count}"`)
      const row = JSON.parse(await of('n = approx_count_distinct(x)', values)) as { n: number }
      expect(Math.abs(row.n - count) / count).toBeLessThan(0.05)
    }
  })
})

describe('groups', () => {
  test('in order of first appearance, keys as first spelt, missing is null', async () => {
    const { lines } = await runReduce('count', ['{"k":1.0}', '{"k":"1"}', '{"k":1}', '{}', '{"k":null}'], { by: 'k' })
    expect(lines).toEqual(['{"k":1.0,"count":2}', '{"k":"1","count":1}', '{"k":null,"count":2}'])
  })

  test('several keys, with other names', async () => {
    const { lines } = await runReduce('count', ['{"a":{"b":1},"c":[2]}'], { by: 'b2=a.b,c' })
    expect(lines).toEqual(['{"b2":1,"c":[2],"count":1}'])
  })

  test('nothing in, no groups; without --by one row', async () => {
    expect((await runReduce('count', [], { by: 'k' })).lines).toEqual([])
    expect((await runReduce('count, sum(x)', [])).lines).toEqual(['{"count":0,"sum_x":null}'])
  })
})

describe('bad values', () => {
  test.each([
    ['sum(x)', '"1"', 'sum(x) needs numbers, and this is a string'],
    ['avg(x)', 'true', 'avg(x) needs numbers, and this is true'],
    ['p99(x)', '[1]', 'p99(x) needs numbers, and this is an array'],
    ['concat(x)', '{}', 'concat(x) needs strings or numbers, and this is an object'],
    ['sum(x)', '1e5001', 'sum(x) computes exactly, and this number is beyond 1e±5000'],
    ['sum(x)', '1e-999999999999', 'sum(x) computes exactly, and this number is beyond 1e±5000'],
    ['y = sum(r.x.foo())', '1', 'the expression failed'],
    ['n = count where r.x.foo()', '1', 'the expression failed'],
    ['y = sum(0 / r.x)', '0', 'which JSON cannot say'],
    ['f = fold((s, r) => r.x.foo(), 0)', '1', 'the expression failed'],
  ])('%s of %s', async (program, value, problem) => {
    const { lines, rejected } = await runReduce(`${program}, n2 = count`, [`{"x":${value}}`])
    expect(rejected).toHaveLength(1)
    expect(rejected[0]).toContain(problem)
    // Nothing of the record counts.
    expect(lines[0]).toMatch(/"n2":0}$/)
  })

  test('what the condition leaves out is not looked at', async () => {
    const { lines, rejected } = await runReduce('s = sum(x) where r.ok', ['{"x":"a","ok":false}', '{"x":2,"ok":true}'])
    expect({ lines, rejected }).toEqual({ lines: ['{"s":2}'], rejected: [] })
  })

  test('a fold that fails takes the record from all others too', async () => {
    const { lines, rejected } = await runReduce(
      'count, f = fold((s, r) => { if (r.x === null) throw Error("no"); return s + r.x.length }, 0)',
      ['{"k":"a","x":null}', '{"k":"b","x":"12"}', '{"k":"a","x":"3"}', '{"k":"c","x":null}'],
      { by: 'k' },
    )
    expect(rejected).toHaveLength(2)
    expect(lines).toEqual(['{"k":"b","count":1,"f":2}', '{"k":"a","count":1,"f":1}'])
  })

  test('a group that begins with a rejected record appears with its first good one', async () => {
    const input = [
      '{"k":"a","x":"bad"}',
      '{"k":"b","x":1}',
      '{"k":"c","x":"bad"}',
      '{"k":"d","x":1}',
      '{"k":"a","x":2}',
    ]
    for (const batchRows of [1, 2, 3, 9]) {
      const { lines } = await runReduce('sum(x)', input, { by: 'k', batchRows })
      expect(lines).toEqual(['{"k":"b","sum_x":1}', '{"k":"d","sum_x":1}', '{"k":"a","sum_x":2}'])
    }
  })
})

describe('usage', () => {
  test.each([
    ['cont', 'there is no aggregate "cont"'],
    ['count, count', 'two columns are called "count"'],
    ['count, k = sum(x)', 'two columns are called "k"'],
    ['sum', 'sum takes sum(x), not 0 arguments'],
    ['sum(a, b)', 'sum takes sum(x), not 2 arguments'],
    ['top(x)', 'top takes top(x, n), not 1 argument'],
    ['top(x, 0)', '0 is not a whole number from 1 to 100000'],
    ['histogram(x, 1000000000)', '1000000000 is not a whole number from 1 to 100000'],
    ['concat(x, y)', 'y is not a text in double quotes'],
    ['sum(r.x)', '"sum(r.x)" needs a name'],
    ['sum(x * 2)', '"sum(x * 2)" needs a name'],
    ['p101(x)', 'there is no aggregate "p101"'],
    ['count where', '"where" does not belong after count'],
    ['count wher r.x', '"wher r.x" does not belong after count'],
    ['sum(x', 'the bracket after sum is not closed'],
    ['', 'an aggregate is missing'],
    ['count,', 'an aggregate is missing'],
    ['n = count where status > 1', 'status'],
  ])('%s', async (program, problem) => {
    await expect(runReduce(program, [], { by: 'k' })).rejects.toMatchObject({
      code: 'bad-program',
      exit: 2,
      message: expect.stringContaining(problem) as unknown,
    })
  })

  test('an unknown function suggests one', async () => {
    await expect(runReduce('avgg(x)', [])).rejects.toMatchObject({ hint: 'did you mean "avg"?' })
  })

  test('a fold without merge has no partial states', async () => {
    await expect(runReduce('f = fold((s, r) => s, 0)', [], { partial: true })).rejects.toMatchObject({ exit: 2 })
  })
})
