import { describe, expect, it } from 'vitest'
import { assert, integer, property } from 'fast-check'
import { formatDuration, parseDuration } from '../../src/core/duration.ts'
import { parseSize, formatSize } from '../../src/core/size.ts'

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1h30m', 5_400_000],
    ['1h 30m', 5_400_000],
    ['1d', 86_400_000],
    ['1w', 604_800_000],
    ['PT1M', 60_000],
    ['P1DT2H', 93_600_000],
    ['pt0.5s', 500],
    ['-PT8H', -28_800_000],
    ['-8h', -28_800_000],
    ['1.5h', 5_400_000],
    ['0.001s', 1],
    ['1000us', 1],
    ['0', 0],
    ['0s', 0],
    ['5 minutes', 300_000],
    ['2 days', 172_800_000],
    ['0.1s', 100],
    ['1.1s', 1100],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text, '--x').ms).toBe(ms)
  })

  it.each([
    ['', /is empty/],
    ['5', /has no unit/],
    ['5x', /no unit "x"/],
    ['1M', /months and years/],
    ['1mo', /months and years/],
    ['abc', /not a duration/],
    ['1h30', /has no unit/],
    ['P', /not a duration/],
    ['PT', /not a duration/],
    ['P1Y', /not a duration/],
    ['1us', /finer than a millisecond/],
    ['1h-30m', /not a duration/],
    ['99999999999999d', /too long/],
    ['constructor', /not a duration/],
    ['1constructor', /no unit/],
  ])('%j is refused', (text, message) => {
    expect(() => parseDuration(text, '--x')).toThrow(message)
  })

  it('tells days of the calendar from hours', () => {
    expect(parseDuration('1d', '--x').calendarDays).toBe(1)
    expect(parseDuration('2w', '--x').calendarDays).toBe(14)
    expect(parseDuration('P1D', '--x').calendarDays).toBe(1)
    expect(parseDuration('24h', '--x').calendarDays).toBeUndefined()
    expect(parseDuration('1d12h', '--x').calendarDays).toBeUndefined()
  })

  it('prints what it reads', () => {
    assert(
      property(integer({ min: -1e12, max: 1e12 }), (ms) => {
        expect(parseDuration(formatDuration(ms), '--x').ms).toBe(ms)
      }),
    )
  })
})

describe('sizes', () => {
  it.each([
    ['64KiB', 65_536],
    ['1GB', 1_000_000_000],
    ['1.5MiB', 1_572_864],
    ['4096', 4096],
    ['10 mb', 10_000_000],
    ['64k', 65_536],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text, '--memory')).toBe(bytes)
  })
  it.each(['', 'x', '1.5', '-1MB', '1PBB', '1e3'])('%j is refused', (text) => {
    expect(() => parseSize(text, '--memory')).toThrow(/not a/)
  })
  it('prints them for people', () => {
    expect([0, 1023, 1536, 150 * 1024 ** 2].map(formatSize)).toEqual(['0 B', '1023 B', '1.5 KiB', '150 MiB'])
  })
})
