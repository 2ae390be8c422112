import { describe, expect, it } from 'vitest'
import { assert, double, integer, property } from 'fast-check'
import { parseDuration } from '../../src/core/duration.ts'
import { formatTime, parseTimeArgument, timeReader, type TimeOptions } from '../../src/core/time.ts'
import { openZone } from '../../src/core/zone.ts'

const read = (text: string, options: TimeOptions = {}): string => {
  const time = timeReader(options).string(text)
  return Number.isNaN(time) ? 'no' : formatTime(time)
}

describe('strings without a format', () => {
  it.each([
    // RFC 3339 §5.8
    ['1985-04-12T23:20:50.52Z', '1985-04-12T23:20:50.520Z'],
    ['1996-12-19T16:39:57-08:00', '1996-12-20T00:39:57.000Z'],
    ['1990-12-31T23:59:60Z', '1991-01-01T00:00:00.000Z'],
    ['1990-12-31T15:59:60-08:00', '1991-01-01T00:00:00.000Z'],
    ['1937-01-01T12:00:27.87+00:20', '1937-01-01T11:40:27.870Z'],
    ['2026-01-01t10:00:00z', '2026-01-01T10:00:00.000Z'],
    ['2026-01-01 10:00:00.123456789Z', '2026-01-01T10:00:00.123Z'],
    // everyday spellings
    ['2001/01/14 21:55', '2001-01-14T21:55:00.000Z'],
    ['2001-1-4 1:05', '2001-01-04T01:05:00.000Z'],
    ['2001-01-14', '2001-01-14T00:00:00.000Z'],
    ['2026-01-01 10:00:00 +0100', '2026-01-01T09:00:00.000Z'],
    ['2026-01-01T10:00+01', '2026-01-01T09:00:00.000Z'],
    ['2026-01-01 10:00:00,250', '2026-01-01T10:00:00.250Z'],
    ['2026-01-01 10:00:00 UTC', '2026-01-01T10:00:00.000Z'],
    ['20260101T100000Z', '2026-01-01T10:00:00.000Z'],
    ['+010000-01-01T00:00:00Z', '+010000-01-01T00:00:00.000Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['  2026-01-01T10:00:00Z ', '2026-01-01T10:00:00.000Z'],
    // RFC 9110 §5.6.7, all three
    ['Sun, 06 Nov 1994 08:49:37 GMT', '1994-11-06T08:49:37.000Z'],
    ['Sunday, 06-Nov-94 08:49:37 GMT', '1994-11-06T08:49:37.000Z'],
    ['Sun Nov  6 08:49:37 1994', '1994-11-06T08:49:37.000Z'],
    // RFC 5322
    ['Fri, 21 Nov 1997 09:55:06 -0600', '1997-11-21T15:55:06.000Z'],
    // Apache's manual, common log format
    ['10/Oct/2000:13:55:36 -0700', '2000-10-10T20:55:36.000Z'],
    ['[10/Oct/2000:13:55:36 -0700]', '2000-10-10T20:55:36.000Z'],
    // epoch numbers as strings
    ['1700000000', '2023-11-14T22:13:20.000Z'],
    ['1700000000.5', '2023-11-14T22:13:20.500Z'],
    ['1700000000123456789', '2023-11-14T22:13:20.123Z'],
  ])('%s is %s', (text, time) => {
    expect(read(text)).toBe(time)
  })

  it.each([
    '',
    'x',
    '2026',
    '20260131',
    '01/02/2026',
    '2026-13-01',
    '2026-02-29',
    '2026-01-01T24:00:00Z',
    '2026-01-01T10:60:00Z',
    '2026-01-01T10:00:61Z',
    '2026-01-01T10:00:00+25:00',
    '2026-01-01T10:00:00X',
    '2026-01/01',
    '32/Oct/2000:13:55:36 -0700',
    '10/Okt/2000:13:55:36 -0700',
    '2026-01-01T',
    '2026-01-01T10',
    '1e9',
    '+999999-01-01T00:00:00Z',
  ])('%j is not a time', (text) => {
    expect(read(text)).toBe('no')
  })

  it('takes a string without a zone as local time, gaps and overlaps as Temporal does', () => {
    const { toInstant } = openZone('Europe/Berlin')
    const local = { toInstant }
    expect(read('2026-01-14 21:55', local)).toBe('2026-01-14T20:55:00.000Z')
    expect(read('2026-07-14 21:55', local)).toBe('2026-07-14T19:55:00.000Z')
    expect(read('2026-03-29 02:30', local)).toBe('2026-03-29T01:30:00.000Z')
    expect(read('2026-10-25 02:30', local)).toBe('2026-10-25T00:30:00.000Z')
    expect(read('2026-10-25 03:30', local)).toBe('2026-10-25T02:30:00.000Z')
    expect(read('2026-07-14T21:55Z', local)).toBe('2026-07-14T21:55:00.000Z')
    expect(read('10/Oct/2000:13:55:36 -0700', local)).toBe('2000-10-10T20:55:36.000Z')
  })
})

describe('epoch numbers', () => {
  it.each([
    [0, '1970-01-01T00:00:00.000Z'],
    [-1, '1969-12-31T23:59:59.000Z'],
    [1700000000, '2023-11-14T22:13:20.000Z'],
    [1700000000.123, '2023-11-14T22:13:20.123Z'],
    [1700000000.9999, '2023-11-14T22:13:20.999Z'],
    [1700000000123, '2023-11-14T22:13:20.123Z'],
    [1700000000123456, '2023-11-14T22:13:20.123Z'],
    [1.7000000001234568e18, '2023-11-14T22:13:20.123Z'],
    [99999999999, '5138-11-16T09:46:39.000Z'],
    [100000000000, '1973-03-03T09:46:40.000Z'],
  ])('%d is told by its magnitude: %s', (value, time) => {
    expect(formatTime(timeReader().number(value))).toBe(time)
  })
  it.each([
    [100, 's', 100_000],
    [100, 'ms', 100],
    [1999, 'us', 1],
    [-1, 'us', -1],
    [1_999_999, 'ns', 1],
    [-1, 'ns', -1],
  ] as const)('%d in %s is %d ms: floor, below zero too', (value, unit, ms) => {
    expect(timeReader({ unit }).number(value)).toBe(ms)
    expect(timeReader({ unit }).numberText(String(value))).toBe(ms)
  })
  it('keeps the millisecond of nanoseconds that no double holds', () => {
    expect(timeReader().numberText('1700000000122999999')).toBe(1700000000122)
    expect(timeReader().numberText('-1700000000122999999')).toBe(-1700000000123)
  })
  it.each([NaN, Infinity, 1e30])('%d is not a time', (value) => {
    expect(timeReader().number(value)).toBeNaN()
  })
  it('never gives a fraction of a millisecond', () => {
    assert(
      property(double({ noNaN: true }), (value) => {
        const time = timeReader().number(value)
        expect(Number.isNaN(time) || Number.isInteger(time)).toBe(true)
      }),
    )
  })
  it('refuses a unit that is none', () => {
    expect(() => timeReader({ unit: 'min' as never })).toThrow(/--time-unit: "min" is not a unit/)
    expect(() => timeReader({ unit: 'constructor' as never })).toThrow(/not a unit/)
  })
})

describe('--time-format', () => {
  it.each([
    ['%d/%m/%Y %H:%M:%S', '31/12/2025 23:59:58', '2025-12-31T23:59:58.000Z'],
    ['%Y%m%d', '20251231', '2025-12-31T00:00:00.000Z'],
    ['%d %b %y %I:%M %p', '1 Feb 69 12:30 AM', '1969-02-01T00:30:00.000Z'],
    ['%d %B %y %I:%M%p', '1 February 68 12:30pm', '2068-02-01T12:30:00.000Z'],
    ['%a, %d %b %Y %T %z', 'Tue, 10 Mar 2026 10:00:00 +0530', '2026-03-10T04:30:00.000Z'],
    ['%F %T.%f', '2026-03-10 10:00:00.123456', '2026-03-10T10:00:00.123Z'],
    ['%Y-%j', '2024-366', '2024-12-31T00:00:00.000Z'],
    ['%s', '1700000000', '2023-11-14T22:13:20.000Z'],
    ['%Q', '1700000000123', '2023-11-14T22:13:20.123Z'],
    ['%H:%M', '10:30', '1970-01-01T10:30:00.000Z'],
    ['(%Y) 100%%', '(2026) 100%', '2026-01-01T00:00:00.000Z'],
    ['%Y-%j', '2025-366', 'no'],
    ['%d/%m/%Y', '31/02/2025', 'no'],
    ['%d/%m/%Y', '2025-02-01', 'no'],
    ['%I %p', '13 PM', 'no'],
    ['%Y', '1700000000', 'no'],
  ])('%s reads %s as %s', (format, text, time) => {
    expect(read(text, { format })).toBe(time)
  })
  it('names what it does not know', () => {
    expect(() => timeReader({ format: '%Y %K' })).toThrow(/there is no %K/)
    expect(() => timeReader({ format: '%Y %' })).toThrow(/there is no %/)
  })
})

it('prints the ends of all windows of all times', () => {
  expect(timeReader({ unit: 'ms' }).number(8.6e15)).toBe(8.6e15)
  expect(timeReader({ unit: 'ms' }).number(8.6e15 + 1)).toBeNaN()
  expect(formatTime(8.6e15 + 2 * parseDuration('100000d', '--x').ms)).toMatch(/^\+\d{6}-/)
})

it('prints what it reads', () => {
  assert(
    property(integer({ min: -62_167_219_200_000, max: 253_402_300_799_999 }), (ms) => {
      expect(formatTime(ms)).toBe(new Date(ms).toISOString())
      expect(timeReader().string(formatTime(ms))).toBe(ms)
    }),
  )
})

it('reads times of the command line', () => {
  expect(parseTimeArgument('now', '--from', 5_000_000)).toBe(5_000_000)
  expect(parseTimeArgument('now-1h', '--from', 5_000_000)).toBe(1_400_000)
  expect(parseTimeArgument('now + 1s', '--from', 5_000_000)).toBe(5_001_000)
  expect(parseTimeArgument('1970-01-02', '--from', 0)).toBe(86_400_000)
  expect(() => parseTimeArgument('soon', '--from', 0)).toThrow(/--from: "soon" is not a time/)
  expect(() => parseTimeArgument('now-1', '--from', 0)).toThrow(/no unit/)
})

it('says when there is no such zone', () => {
  expect(() => openZone('Europe/Berln')).toThrow(/no time zone "Europe\/Berln"/)
})
