import { afterEach, expect, test, vi } from 'vitest'
import { linesOf } from '../../src/cli/board.ts'

afterEach(() => void vi.useRealTimers())

test('a rate is that since the beginning, then that of the last second', () => {
  vi.useFakeTimers({ now: 0 })
  const lines = linesOf()
  const shown = (atMs: number, records: number): string | undefined => {
    vi.setSystemTime(atMs)
    return /[\d.]+k?\/s/.exec(lines([{ name: 'filter', records }])[0]!)?.[0]
  }
  expect([shown(500, 100_000), shown(700, 100_000), shown(1600, 111_000)]).toEqual(['200k/s', '200k/s', '10k/s'])
})

test('tasks: those that are tried again are said when there are any', () => {
  const tasks = { all: 8, done: 3, running: 2, retried: 0 }
  const [none, some] = linesOf()([
    { name: 'map', records: 1, tasks },
    { name: 'reduce', records: 1, tasks: { ...tasks, retried: 2 } },
  ])
  expect([none, some].map((line) => line!.replace(/.*\/s +/, ''))).toEqual([
    '3 of 8 tasks done, 2 running',
    '3 of 8 tasks done, 2 running, 2 again',
  ])
})
