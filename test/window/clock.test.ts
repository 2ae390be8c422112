import { describe, expect, it } from 'vitest'
import { runWindow } from './run.ts'

const at = (clock: number): { clock: number } => ({ clock })
const starts = (lines: readonly string[]): string[] =>
  lines.map((line) => {
    const { window, count, revision } = JSON.parse(line) as Record<string, { start: string }>
    return [Date.parse(window!.start), count, revision].filter((word) => word !== undefined).join(' ')
  })

describe('--idle', () => {
  const flags = '--time t --time-unit ms --tumbling 10s --idle 5s'
  it('goes on with the clock from the newest time, once nothing has come for so long', async () => {
    const { after, lines } = await runWindow(
      'count',
      flags,
      [{ t: 1000 }, at(1_000_000), at(1_004_999), at(1_008_999), at(1_009_000)],
      {
        end: false,
        clock: 1_000_000,
      },
    )
    expect(after).toEqual([0, 0, 0, 0, 1])
    expect(starts(lines)).toEqual(['0 1'])
  })
  it('keeps the delay, and the watermark that has moved on makes later records late', async () => {
    const steps = [{ t: 1000 }, at(1_010_999), at(1_011_000), { t: 2000 }, { t: 11_000 }]
    const ran = await runWindow('count', `${flags} --delay 2s`, steps, { clock: 1_000_000, end: false })
    expect(ran.after).toEqual([0, 0, 1, 1, 1])
    expect(ran.late).toBe(1)
  })
  it('does nothing before the first record', async () => {
    const ran = await runWindow('count', flags, [at(9_000_000), { t: 1000 }, { t: 500 }], { clock: 0 })
    expect(starts(ran.lines)).toEqual(['0 2'])
  })
  it('closes sessions too', async () => {
    const ran = await runWindow(
      'count',
      '--time t --time-unit ms --session 1s --idle 1s',
      [{ t: 0 }, at(1000), at(1001)],
      { end: false },
    )
    expect(ran.after).toEqual([0, 0, 1])
  })
})

describe('--processing-time', () => {
  it('takes the clock for every record, and closes windows when it is over', async () => {
    const steps = [{ a: 1 }, at(9999), { a: 2 }, at(10_000), { a: 3 }, at(20_000), at(30_000)]
    const ran = await runWindow('count', '--processing-time --tumbling 10s', steps, {
      end: false,
      clock: 0,
      batchRows: 1,
    })
    expect(ran.after).toEqual([0, 0, 0, 1, 1, 2, 2])
    expect(starts(ran.lines)).toEqual(['0 2', '10000 1'])
  })
  it('never goes back when the clock does', async () => {
    const ran = await runWindow(
      'count',
      '--processing-time --tumbling 10s',
      [{ a: 1 }, at(25_000), at(3000), { a: 2 }],
      { clock: 0, batchRows: 1 },
    )
    expect(starts(ran.lines)).toEqual(['0 1', '20000 1'])
    expect(ran.late).toBe(0)
  })
  it('makes sessions', async () => {
    const ran = await runWindow(
      'count',
      '--processing-time --session 5s',
      [{ a: 1 }, at(5000), { a: 2 }, at(10_000), at(10_001)],
      { clock: 0, batchRows: 1, end: false },
    )
    expect(ran.after).toEqual([0, 0, 0, 0, 1])
    expect(starts(ran.lines)).toEqual(['0 2'])
  })
})

describe('--emit every', () => {
  it('emits what has changed since, and what is final', async () => {
    const steps = [{ t: 0 }, { t: 1 }, at(5000), { t: 2 }, at(9999), at(10_000), at(15_000), { t: 60_000 }]
    const ran = await runWindow('count', '--time t --time-unit ms --tumbling 1m --emit "every 5s"', steps, {
      batchRows: 1,
      end: false,
    })
    expect(starts(ran.lines)).toEqual(['0 2', '0 3 1'])
    expect(ran.after).toEqual([0, 0, 1, 1, 1, 2, 2, 2])
  })
  it('does not repeat what was said when a window closes, and says what was not', async () => {
    const flags = '--time t --time-unit ms --tumbling 1m --by k --emit "every 5s"'
    const steps = [{ t: 0, k: 'a' }, at(5000), { t: 1, k: 'b' }, { t: 60_000, k: 'c' }]
    const ran = await runWindow('count', flags, steps, { batchRows: 1, end: false })
    expect(starts(ran.lines)).toEqual(['0 1', '0 1'])
    expect(ran.lines[1]).toContain('"k":"b"')
  })
  it('retracts with --late correct', async () => {
    const flags = '--time t --time-unit ms --tumbling 1m --late correct --emit "every 5s"'
    const ran = await runWindow('count', flags, [{ t: 0 }, at(5000), { t: 1 }, at(10_000)], {
      batchRows: 1,
      end: false,
    })
    expect(ran.lines.map((line) => (JSON.parse(line) as { op: string; count: number }).op)).toEqual([
      'insert',
      'retract',
      'insert',
    ])
  })
  it('replaces sessions that have grown', async () => {
    const flags = '--time t --time-unit ms --session 10ms --emit "every 5s"'
    const ran = await runWindow('count', flags, [{ t: 0 }, at(5000), { t: 5 }, at(10_000)], { batchRows: 1 })
    expect(ran.lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { count: 1 },
      { count: 2, replaces: [['1970-01-01T00:00:00.000Z', '1970-01-01T00:00:00.010Z']] },
    ])
  })
})

describe('--max-ahead', () => {
  it('is by the clock', async () => {
    const ran = await runWindow(
      'count',
      '--time t --time-unit ms --tumbling 1s --max-ahead 1s',
      [{ t: 1500 }, { t: 2001 }, { t: 2000 }],
      {
        clock: 1000,
        deadLetters: true,
      },
    )
    expect(ran.rejected).toEqual(['{"t":2001}'])
    expect(starts(ran.lines)).toEqual(['1000 1', '2000 1'])
  })
})

describe('bad records', () => {
  const flags = '--time t --time-unit ms --tumbling 10ms'
  it('are rejected in the order of the rows, whoever finds them', async () => {
    const rows = [{ t: 0, n: 'x' }, { n: 1 }, { t: 1, n: 1 }, { t: 'later' }, { t: 2, n: [] }]
    const ran = await runWindow('sum(n)', flags, rows, { deadLetters: true })
    expect(ran.rejected).toEqual([rows[0], rows[1], rows[3], rows[4]].map((row) => JSON.stringify(row)))
    expect(ran.lines.length).toBe(1)
  })
  it.each([
    [{ t: 100, n: 'x' }, /sum/],
    [{ n: 1 }, /has no t/],
    [{ t: 'x' }, /not a time/],
  ])('%j stops after everything before it', async (bad, message) => {
    const lines: string[] = []
    await expect(
      runWindow('sum(n)', flags, [{ t: 0, n: 1 }, { t: 10, n: 2 }, bad, { t: 20, n: 4 }], {
        onLine: (line) => lines.push(line),
      }),
    ).rejects.toThrow(message)
    expect(lines.length).toBe(1)
  })
  it('open no window', async () => {
    const ran = await runWindow(
      'sum(n)',
      flags,
      [
        { t: 5, n: 'x' },
        { t: 100, n: 'x' },
        { t: 1, n: 1 },
      ],
      { deadLetters: true },
    )
    expect(ran.lines.length).toBe(1)
    expect(ran.late).toBe(0)
  })
})

describe('keys that come and go', () => {
  it.each(['--tumbling 1s', '--session 500ms'])(
    'are forgotten, and mean the same when they come again: %s',
    async (kind) => {
      const keys = 80_000
      const rows = Array.from({ length: 120_000 }, (_, index) => ({ t: index, k: `key ${index % keys}` }))
      const ran = await runWindow('count', `--time t --time-unit ms --by k ${kind}`, rows, { batchRows: 5000 })
      const counted = new Map<string, number>()
      for (const line of ran.lines) {
        const { k, count } = JSON.parse(line) as { k: string; count: number }
        counted.set(k, (counted.get(k) ?? 0) + count)
      }
      expect(counted.size).toBe(keys)
      expect([...counted].filter(([k, count]) => count !== (Number(k.slice(4)) < 40_000 ? 2 : 1))).toEqual([])
    },
  )
})
