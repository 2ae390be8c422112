import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  addDecimals,
  compareNumberTexts,
  type Decimal,
  formatDecimal,
  formatRatio,
  formatRootOfRatio,
  formatSmallDecimal,
  numberParts,
  parseDecimal,
} from '../../src/core/decimal.ts'

const decimal = (text: string): Decimal => parseDecimal(text) as Decimal

/** JSON numbers of every spelling. */
const numberText = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(fc.bigInt({ min: 0n, max: 10n ** 25n }), fc.bigInt({ min: 0n, max: 1000n })),
    fc.option(fc.stringMatching(/^[0-9]{1,20}$/)),
    fc.option(fc.tuple(fc.constantFrom('e', 'E'), fc.constantFrom('', '+', '-'), fc.nat(30))),
  )
  .map(
    ([sign, whole, part, exp]) =>
      `${sign}${whole}${part === null ? '' : `.${part}`}${exp === null ? '' : exp.join('')}`,
  )

describe('parse and format', () => {
  test.each([
    ['0', '0'],
    ['-0', '0'],
    ['0.000', '0'],
    ['1.0', '1'],
    ['1e3', '1000'],
    ['1.50e1', '15'],
    ['12.5e-3', '0.0125'],
    ['-0.10', '-0.1'],
    ['12345678901234567890', '12345678901234567890'],
    ['1E+2', '100'],
    ['100', '100'],
  ])('%s is %s', (text, expected) => expect(formatDecimal(decimal(text))).toBe(expected))

  test('an exponent beyond the limit is not computed', () => {
    expect(parseDecimal('1e5001')).toBeUndefined()
    expect(parseDecimal('1e-99999999999999999999')).toBeUndefined()
    expect(parseDecimal('0e99999999999')).toEqual({ mantissa: 0n, scale: 0 })
  })

  test('equal values have equal parts', () => {
    const one = numberParts('1')
    for (const text of ['1.0', '10e-1', '0.1e1', '1E0', '0.001e3']) expect(numberParts(text)).toEqual(one)
  })

  test('small decimals print like large ones', () =>
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.nat(22), (mantissa, scale) => {
        expect(formatSmallDecimal(mantissa, scale)).toBe(formatDecimal({ mantissa: BigInt(mantissa), scale }))
      }),
    ))
})

test('0.1 + 0.2 is 0.3', () => expect(formatDecimal(addDecimals(decimal('0.1'), decimal('0.2')))).toBe('0.3'))

test('numbers compare by exact value', () => {
  const sorted = [
    '-1e400',
    '-10',
    '-9.5',
    '-0.1',
    '0',
    '1e-400',
    '0.1',
    '9007199254740992',
    '9007199254740993',
    '1e400',
  ]
  for (let i = 0; i < sorted.length; i++) {
    for (let j = 0; j < sorted.length; j++) {
      expect(Math.sign(compareNumberTexts(sorted[i] as string, sorted[j] as string)) + 0).toBe(Math.sign(i - j))
    }
  }
  expect(compareNumberTexts('-0', '0.0')).toBe(0)
  expect(compareNumberTexts('100', '1e2')).toBe(0)
})

describe('ratios are rounded once', () => {
  test('a number by one is its nearest double, as JavaScript reads it', () =>
    fc.assert(
      fc.property(numberText, (text) => {
        expect(Number(formatRatio(decimal(text), decimal('1')))).toBe(Number(text) + 0)
      }),
      { numRuns: 2000 },
    ))

  test('also among subnormal numbers and at the edges of the range', () => {
    for (const text of [
      '5e-324',
      '2.4703282292062328e-324',
      '7.4e-324',
      '2.2250738585072011e-308',
      '1.7976931348623157e308',
    ]) {
      expect(Number(formatRatio(decimal(text), decimal('1')))).toBe(Number(text))
    }
    expect(formatRatio(decimal('2e-324'), decimal('1'))).toBe('0')
    expect(formatRatio(decimal('1e400'), decimal('4'))).toBe('2.5e+399')
    expect(formatRatio(decimal('-2e309'), decimal('3'))).toBe('-6.6666666666666667e+308')
  })

  test('quotients of safe integers are what IEEE division gives', () =>
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.integer({ min: 1, max: 2 ** 31 - 1 }), (a, b) => {
        expect(formatRatio(decimal(String(a)), decimal(String(b)))).toBe(String(a / b + 0))
      }),
    ))

  test('roots of safe integers are what IEEE gives', () =>
    fc.assert(
      fc.property(fc.nat(), (a) => {
        expect(formatRootOfRatio(decimal(String(a)), decimal('1'))).toBe(String(Math.sqrt(a)))
      }),
    ))

  test('roots of what doubles cannot hold', () => {
    expect(formatRootOfRatio(decimal('1e400'), decimal('1'))).toBe('1e+200')
    expect(formatRootOfRatio(decimal('1e-400'), decimal('4'))).toBe('5e-201')
    expect(formatRootOfRatio(decimal('1e1000'), decimal('1'))).toBe('1e+500')
    expect(formatRootOfRatio(decimal('2'), decimal('1'))).toBe(String(Math.SQRT2))
  })
})
