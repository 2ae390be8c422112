/**
 * What windows of other systems answer, recreated as tables of facts: input → result. Each table names its origin. Where beck means
 * something else on purpose, the table says so (docs/semantics.md has the reasons). Times are milliseconds.
 */
import { describe, expect, it } from 'vitest'
import { runWindow, type Step } from './run.ts'

type Bounds = readonly [start: number, end: number]

const HOUR = 3_600_000
const DAY = 24 * HOUR

interface Line {
  readonly window: { readonly start: string; readonly end: string }
  readonly [name: string]: unknown
}
const parse = (lines: readonly string[]): Line[] => lines.map((line) => JSON.parse(line) as Line)
const bounds = ({ window: { start, end } }: Line): Bounds => [Date.parse(start), Date.parse(end)]

/** The windows that one record at `t` is in. */
const windowsOf = async (flags: string, t: number): Promise<Bounds[]> =>
  parse((await runWindow('count', `--time t --time-unit ms ${flags}`, [{ t }])).lines).map(bounds)

/** The windows of a whole input, waiting for all of it, with the times in each. */
const contentsOf = async (flags: string, times: readonly number[]): Promise<[...Bounds, number[]][]> => {
  const { lines } = await runWindow(
    'each',
    `--time t --time-unit ms --delay 1000d ${flags}`,
    times.map((t) => ({ t })),
  )
  const contents = new Map<string, [...Bounds, number[]]>()
  for (const line of parse(lines)) {
    const [start, end] = bounds(line)
    const known = contents.get(`${start} ${end}`)
    if (known) known[2].push(line['t'] as number)
    else contents.set(`${start} ${end}`, [start, end, [line['t'] as number]])
  }
  return [...contents.values()]
    .map(([start, end, times]): [...Bounds, number[]] => [start, end, times.sort((a, b) => a - b)])
    .sort((a, b) => a[1] - b[1] || a[0] - b[0])
}

describe('Apache Flink: TumblingEventTimeWindowsTest, TimeWindowTest', () => {
  it.each([
    // testWindowAssignment
    ['--tumbling 5s', 0, [0, 5000]],
    ['--tumbling 5s', 4999, [0, 5000]],
    ['--tumbling 5s', 5000, [5000, 10_000]],
    // testWindowAssignmentWithGlobalOffset
    ['--tumbling 5s --offset 100ms', 100, [100, 5100]],
    ['--tumbling 5s --offset 100ms', 5099, [100, 5100]],
    ['--tumbling 5s --offset 100ms', 5100, [5100, 10_100]],
    // testWindowAssignmentWithNegativeGlobalOffset
    ['--tumbling 5s --offset -100ms', 0, [-100, 4900]],
    ['--tumbling 5s --offset -100ms', 4899, [-100, 4900]],
    ['--tumbling 5s --offset -100ms', 4900, [4900, 9900]],
    // testTimeUnits
    ['--tumbling 5s --offset 1s', 1000, [1000, 6000]],
    ['--tumbling 5s --offset 1s', 5999, [1000, 6000]],
    ['--tumbling 5s --offset 1s', 6000, [6000, 11_000]],
    // testGetWindowStartWithOffset
    ['--tumbling 7ms', 1, [0, 7]],
    ['--tumbling 7ms', 6, [0, 7]],
    ['--tumbling 7ms', 7, [7, 14]],
    ['--tumbling 7ms', 8, [7, 14]],
    ['--tumbling 7ms --offset 3ms', 1, [-4, 3]],
    ['--tumbling 7ms --offset 3ms', 2, [-4, 3]],
    ['--tumbling 7ms --offset 3ms', 3, [3, 10]],
    ['--tumbling 7ms --offset 3ms', 9, [3, 10]],
    ['--tumbling 7ms --offset 3ms', 10, [10, 17]],
    ['--tumbling 7ms --offset -2ms', 1, [-2, 5]],
    ['--tumbling 7ms --offset -2ms', -2, [-2, 5]],
    ['--tumbling 7ms --offset -2ms', 3, [-2, 5]],
    ['--tumbling 7ms --offset -2ms', 4, [-2, 5]],
    ['--tumbling 7ms --offset -2ms', 7, [5, 12]],
    ['--tumbling 7ms --offset -2ms', 12, [12, 19]],
    ['--tumbling 1d --offset -8h', 1_470_902_048_450, [1_470_844_800_000, 1_470_844_800_000 + DAY]],
    // Below zero and a negative remainder, where Flink once had a bug (FLINK-24907): floor division.
    ['--tumbling 7ms', -1, [-7, 0]],
    ['--tumbling 7ms', -7, [-7, 0]],
    ['--tumbling 7ms', -8, [-14, -7]],
  ] as const)('%s puts %d into %j', async (flags, t, window) => {
    expect(await windowsOf(flags, t)).toEqual([window])
  })
})

describe('Apache Flink: SlidingEventTimeWindowsTest', () => {
  const hops = (last: number, count: number, advance: number, size: number): Bounds[] =>
    Array.from({ length: count }, (_, index) => last - (count - 1 - index) * advance).map((start) => [
      start,
      start + size,
    ])
  it.each([
    // testWindowAssignment
    ['--hopping 5s/1s', 0, 0],
    ['--hopping 5s/1s', 4999, 4000],
    ['--hopping 5s/1s', 5000, 5000],
    // testWindowAssignmentWithOffset
    ['--hopping 5s/1s --offset 100ms', 100, 100],
    ['--hopping 5s/1s --offset 100ms', 5099, 4100],
    ['--hopping 5s/1s --offset 100ms', 5100, 5100],
    // testWindowAssignmentWithNegativeOffset
    ['--hopping 5s/1s --offset -100ms', 0, -100],
    ['--hopping 5s/1s --offset -100ms', 4899, 3900],
    ['--hopping 5s/1s --offset -100ms', 4900, 4900],
    // testTimeUnits
    ['--hopping 5s/1s --offset 500ms', 100, -500],
    ['--hopping 5s/1s --offset 500ms', 5499, 4500],
    ['--hopping 5s/1s --offset 500ms', 5100, 4500],
  ] as const)('%s puts %d into five windows, the last from %d', async (flags, t, last) => {
    expect(await windowsOf(flags, t)).toEqual(hops(last, 5, 1000, 5000))
  })
})

describe('parameters that are refused', () => {
  it.each([
    // Flink, testInvalidParameters of both assigners
    ['--tumbling -1s', /size, -1s, is not longer than 0/],
    ['--tumbling 10s --offset 20s', /--offset: "20s" is not shorter than the window, 10s/],
    ['--tumbling 10s --offset -11s', /--offset: "-11s" is not shorter/],
    ['--hopping -2s/1s', /size, -2s, is not longer than 0/],
    ['--hopping 2s/-1s', /advance, -1s, is not longer than 0/],
    ['--hopping -20s/10s --offset -1s', /size, -20s, is not longer than 0/],
    ['--hopping 20s/10s --offset -11s', /not shorter than the advance, 10s/],
    ['--hopping 20s/10s --offset 11s', /not shorter than the advance, 10s/],
    // |offset| = size is refused as well (Flink: abs(offset) < size)
    ['--tumbling 10s --offset 10s', /not shorter/],
    ['--tumbling 10s --offset -10s', /not shorter/],
    // Kafka Streams: TimeWindowsTest, SessionWindowsTest
    ['--tumbling 0s', /not longer than 0/],
    ['--tumbling -1ms', /not longer than 0/],
    ['--hopping 123ms/0ms', /advance, 0ms, is not longer than 0/],
    ['--hopping 123ms/-1ms', /advance, -1ms, is not longer than 0/],
    ['--tumbling 3ms --lateness -1ms', /--lateness: "-1ms" is negative/],
    ['--session 0s', /--session: "0s" is not longer than 0/],
    ['--session -1s', /--session: "-1s" is not longer than 0/],
    // beck's own
    ['--tumbling 1m --session 1m', /--tumbling and --session do not go together/],
    ['', /which windows/],
    ['--hopping 1d/1ms', /every record would be in 86400000 windows/],
    ['--hopping 1m', /"1m" is not SIZE\/ADVANCE/],
    ['--hopping 1m/1s/1s', /not SIZE\/ADVANCE/],
    ['--session 1m --offset 1s', /sessions begin with their first record/],
    ['--tumbling 1m --delay -1s', /--delay: "-1s" is negative/],
    ['--tumbling 1m --idle 0s', /--idle/],
    ['--tumbling 1m --emit never', /"never" is not a way to emit/],
    ['--tumbling 1m --emit "every 0s"', /not longer than 0/],
    ['--tumbling 5', /has no unit/],
    ['--tumbling 1d --tz Europe/Berln', /no time zone "Europe\/Berln"/],
    ['--tumbling 1m --processing-time', /--time and --processing-time do not go together/],
    ['--tumbling 1m --by window', /a member "window" of their own/],
  ] as const)('%s', async (flags, message) => {
    await expect(runWindow('count', `--time t ${flags}`, [])).rejects.toThrow(message)
    await expect(runWindow('count', `--time t ${flags}`, [])).rejects.toMatchObject({ exit: 2 })
  })
  it('advance beyond size is allowed, other than in Kafka Streams: the gaps are left out', async () => {
    expect(await windowsOf('--hopping 123ms/124ms', 123)).toEqual([])
    expect(await windowsOf('--hopping 123ms/124ms', 124)).toEqual([[124, 247]])
  })
})

describe('Apache Beam: FixedWindowsTest', () => {
  it.each([
    // testSimpleFixedWindow
    [
      '--tumbling 10ms',
      [1, 2, 5, 9, 10, 11, 100],
      [
        [0, 10, [1, 2, 5, 9]],
        [10, 20, [10, 11]],
        [100, 110, [100]],
      ],
    ],
    // testFixedOffsetWindow
    [
      '--tumbling 10ms --offset 5ms',
      [1, 2, 5, 9, 10, 11, 100],
      [
        [-5, 5, [1, 2]],
        [5, 15, [5, 9, 10, 11]],
        [95, 105, [100]],
      ],
    ],
    // testTimeUnit
    [
      '--tumbling 10s --offset 5s',
      [1, 2, 1000, 5000, 5001, 10_000],
      [
        [-5000, 5000, [1, 2, 1000]],
        [5000, 15_000, [5000, 5001, 10_000]],
      ],
    ],
  ] as const)('%s holds %j', async (flags, times, wanted) => {
    expect(await contentsOf(flags, times)).toEqual(wanted)
  })
})

describe('Apache Beam: SlidingWindowsTest', () => {
  const simple = [1, 2, 5, 9, 10, 11]
  const tables = [
    // testSimple
    [
      '--hopping 10ms/5ms',
      simple,
      [
        [-5, 5, [1, 2]],
        [0, 10, [1, 2, 5, 9]],
        [5, 15, [5, 9, 10, 11]],
        [10, 20, [10, 11]],
      ],
    ],
    // testSlightlyOverlapping
    [
      '--hopping 7ms/5ms',
      simple,
      [
        [-5, 2, [1]],
        [0, 7, [1, 2, 5]],
        [5, 12, [5, 9, 10, 11]],
        [10, 17, [10, 11]],
      ],
    ],
    // testElidings: only the first 3 ms of every 10
    [
      '--hopping 3ms/10ms',
      [1, 2, 3, 5, 9, 10, 11, 100],
      [
        [0, 3, [1, 2]],
        [10, 13, [10, 11]],
        [100, 103, [100]],
      ],
    ],
    // testOffset
    [
      '--hopping 10ms/5ms --offset 2ms',
      simple,
      [
        [-8, 2, [1]],
        [-3, 7, [1, 2, 5]],
        [2, 12, [2, 5, 9, 10, 11]],
        [7, 17, [9, 10, 11]],
      ],
    ],
    // testTimeUnit
    [
      '--hopping 10s/5s',
      [1, 2, 1000, 5000, 5001, 10_000],
      [
        [-5000, 5000, [1, 2, 1000]],
        [0, 10_000, [1, 2, 1000, 5000, 5001]],
        [5000, 15_000, [5000, 5001, 10_000]],
        [10_000, 20_000, [10_000]],
      ],
    ],
  ] as const
  it.each(tables)('%s holds %j', async (flags, times, wanted) => {
    expect(await contentsOf(flags, times)).toEqual(wanted)
  })
  // The same tables read the other way: one record, its windows.
  const single = tables.flatMap(([flags, times, wanted]) =>
    times.map(
      (t) =>
        [
          flags,
          t,
          wanted.filter(([, , held]) => (held as readonly number[]).includes(t)).map(([start, end]) => [start, end]),
        ] as const,
    ),
  )
  it.each(single)('%s puts %d into %j', async (flags, t, wanted) => {
    expect(await windowsOf(flags, t)).toEqual(wanted)
  })
})

describe('Apache Beam: SessionsTest', () => {
  // Beam merges when times are less than a gap apart, beck (and Flink and Kafka Streams) when at most a gap apart: Beam's gap of 10 ms joins
  // what beck joins with 9, and its windows end a millisecond later.
  it.each([
    // testSimple
    [
      '--session 9ms',
      [0, 10, 101],
      [
        [0, 9, [0]],
        [10, 19, [10]],
        [101, 110, [101]],
      ],
    ],
    [
      '--session 10ms',
      [0, 10, 101],
      [
        [0, 20, [0, 10]],
        [101, 111, [101]],
      ],
    ],
    // testConsecutive
    [
      '--session 9ms',
      [1, 2, 5, 9, 100, 101],
      [
        [1, 18, [1, 2, 5, 9]],
        [100, 110, [100, 101]],
      ],
    ],
    // testMerging
    [
      '--session 9ms',
      [1, 15, 30, 100, 101, 95, 22, 10],
      [
        [1, 39, [1, 10, 15, 22, 30]],
        [95, 110, [95, 100, 101]],
      ],
    ],
    // testTimeUnit
    [
      '--session 999ms',
      [1, 2, 1000, 5000, 5001, 10_000],
      [
        [1, 1999, [1, 2, 1000]],
        [5000, 6000, [5000, 5001]],
        [10_000, 10_999, [10_000]],
      ],
    ],
  ] as const)('%s of %j', async (flags, times, wanted) => {
    expect(await contentsOf(flags, times)).toEqual(wanted)
  })
})

describe('Kafka Streams: TimeWindowsTest', () => {
  it.each([
    // shouldComputeWindowsForHoppingWindows, …BarelyOverlappingHoppingWindows, …TumblingWindows
    [
      '--hopping 12ms/5ms',
      21,
      [
        [10, 22],
        [15, 27],
        [20, 32],
      ],
    ],
    ['--hopping 6ms/5ms', 7, [[5, 11]]],
    ['--tumbling 12ms', 21, [[12, 24]]],
  ] as const)('%s puts %d into %j', async (flags, t, wanted) => {
    expect(await windowsOf(flags, t)).toEqual(wanted)
  })
})

describe('Kafka Streams: KStreamWindowAggregateTest, testAggBasic', () => {
  // Windows of 10 ms every 5, an update after each record, values concatenated (here: counted), 24 hours of grace.
  const steps = [
    ['A', 0],
    ['B', 1],
    ['C', 2],
    ['D', 3],
    ['A', 4],
    ['A', 5],
    ['B', 6],
    ['D', 7],
    ['B', 8],
    ['C', 9],
    ['A', 10],
    ['B', 11],
    ['D', 12],
    ['B', 13],
    ['C', 14],
    ['A', 0],
    ['B', 1],
    ['D', 2],
    ['B', 3],
    ['C', 9],
  ] as const
  // Per record the counts of [-5, 5), which Kafka does not have below zero, [0, 10), [5, 15) and [10, 20), as far as the record is in them.
  const wanted = [
    { '0': 1 },
    { '0': 1 },
    { '0': 1 },
    { '0': 1 },
    { '0': 2 },
    { '0': 3, '5': 1 },
    { '0': 2, '5': 1 },
    { '0': 2, '5': 1 },
    { '0': 3, '5': 2 },
    { '0': 2, '5': 1 },
    { '5': 2, '10': 1 },
    { '5': 3, '10': 1 },
    { '5': 2, '10': 1 },
    { '5': 4, '10': 2 },
    { '5': 2, '10': 1 },
    { '0': 4 },
    { '0': 4 },
    { '0': 3 },
    { '0': 5 },
    { '0': 3, '5': 3 },
  ]
  it.each(steps.map((step, index) => [index, ...step, wanted[index]] as const))(
    'record %d, %s at %d, makes %j',
    async (index, k, _t, counts) => {
      const input = steps.map(([k, t]) => ({ k, t }))
      const flags = '--time t --time-unit ms --hopping 10ms/5ms --by k --emit changes --lateness 24h'
      const { lines, after } = await runWindow('count', flags, input, { batchRows: 1 })
      const made = parse(lines.slice(index === 0 ? 0 : after[index - 1], after[index])).filter(
        (line) => bounds(line)[0] >= 0,
      )
      expect(made.every((line) => line['k'] === k)).toBe(true)
      expect(Object.fromEntries(made.map((line) => [String(bounds(line)[0]), line['count']]))).toEqual(counts)
    },
  )
})

describe('Kafka Streams: KStreamSessionWindowAggregateProcessorTest', () => {
  // Kafka's sessions end with their last record, beck's a gap later. Its gap there is 5 minutes.
  const GAP = 300_000
  const sessions = async (input: readonly (readonly [string, number])[]): Promise<[string, ...Bounds, unknown][]> => {
    const { lines } = await runWindow(
      'count',
      `--time t --time-unit ms --session 5m --by k --delay 1d`,
      input.map(([k, t]) => ({ k, t })),
    )
    return parse(lines).map((line) => [line['k'] as string, ...bounds(line), line['count']])
  }
  it.each([
    [
      'shouldCreateSingleSessionWhenWithinGap',
      [
        ['john', 0],
        ['john', 500],
      ],
      [['john', 0, 500 + GAP, 2]],
    ],
    [
      'shouldMergeSessions',
      [
        ['mel', 0],
        ['mel', GAP + 1],
        ['mel', GAP / 2],
      ],
      [['mel', 0, 2 * GAP + 1, 3]],
    ],
    [
      'shouldUpdateSessionIfTheSameTime',
      [
        ['mel', 0],
        ['mel', 0],
      ],
      [['mel', 0, GAP, 2]],
    ],
    [
      'shouldHaveMultipleSessionsForSameIdWhenTimestampApartBySessionGap',
      [
        ['mel', 0],
        ['mel', GAP + 1],
        ['mel', GAP + 1],
        ['mel', 2 * GAP + 2],
        ['mel', 2 * GAP + 2],
        ['mel', 2 * GAP + 2],
      ],
      [
        ['mel', 0, GAP, 1],
        ['mel', GAP + 1, 2 * GAP + 1, 2],
        ['mel', 2 * GAP + 2, 3 * GAP + 2, 3],
      ],
    ],
    [
      'shouldRemoveMergedSessionsFromStateStore',
      [
        ['a', 0],
        ['a', GAP - 1],
      ],
      [['a', 0, 2 * GAP - 1, 2]],
    ],
    [
      'shouldHandleMultipleSessionsAndMerging',
      [
        ['a', 0],
        ['b', 0],
        ['c', 0],
        ['d', 0],
        ['d', GAP / 2],
        ['a', GAP + 1],
        ['b', GAP + 1],
        ['a', GAP + 1 + GAP / 2],
        ['c', GAP + 1 + GAP / 2],
      ],
      [
        ['a', 0, GAP, 1],
        ['b', 0, GAP, 1],
        ['c', 0, GAP, 1],
        ['d', 0, GAP + GAP / 2, 2],
        ['b', GAP + 1, 2 * GAP + 1, 1],
        ['a', GAP + 1, 2 * GAP + 1 + GAP / 2, 2],
        ['c', GAP + 1 + GAP / 2, 2 * GAP + 1 + GAP / 2, 1],
      ],
    ],
  ] as const)('%s', async (_name, input, wanted) => {
    expect(await sessions(input)).toEqual(wanted)
  })
})

/** A Flink watermark says "no more events up to and including w", beck's "all before W": W = w + 1. */
const watermark = (w: number): Step => ({ watermark: w + 1 })
const record = (k: string, n: number, t: number): Step => ({ k, n, t })

/** Runs steps, and gives what each step from outside (a record or a watermark) made: `key sum start end`. */
const made = async (flags: string, steps: readonly Step[]): Promise<string[][]> => {
  const { lines, after } = await runWindow('sum(n)', `--time t --time-unit ms --by k --delay 1000d ${flags}`, steps, {
    batchRows: 1,
    end: false,
  })
  return after.map((to, index) =>
    parse(lines.slice(index === 0 ? 0 : after[index - 1], to)).map(
      (line) => `${line['k'] as string} ${line['sum_n'] as number} ${bounds(line).join(' ')}`,
    ),
  )
}
const outOfOrder = [
  record('key2', 1, 3999),
  record('key2', 1, 3000),
  record('key1', 1, 20),
  record('key1', 1, 0),
  record('key1', 1, 999),
  record('key2', 1, 1998),
  record('key2', 1, 1999),
  record('key2', 1, 1000),
]

describe('Apache Flink: WindowOperatorTest, windows that are on time', () => {
  it.each([
    // testSlidingEventTimeWindows: 3 s every 1 s
    ['--hopping 3s/1s', 999, ['key1 3 -2000 1000']],
    ['--hopping 3s/1s', 1999, ['key1 3 -1000 2000', 'key2 3 -1000 2000']],
    ['--hopping 3s/1s', 2999, ['key1 3 0 3000', 'key2 3 0 3000']],
    ['--hopping 3s/1s', 3999, ['key2 5 1000 4000']],
    ['--hopping 3s/1s', 4999, ['key2 2 2000 5000']],
    ['--hopping 3s/1s', 5999, ['key2 2 3000 6000']],
    ['--hopping 3s/1s', 6999, []],
    ['--hopping 3s/1s', 7999, []],
    // testTumblingEventTimeWindows: 3 s
    ['--tumbling 3s', 999, []],
    ['--tumbling 3s', 1999, []],
    ['--tumbling 3s', 2999, ['key1 3 0 3000', 'key2 3 0 3000']],
    ['--tumbling 3s', 3999, []],
    ['--tumbling 3s', 4999, []],
    ['--tumbling 3s', 5999, ['key2 2 3000 6000']],
    ['--tumbling 3s', 6999, []],
  ] as const)('%s at watermark %d', async (flags, at, wanted) => {
    const watermarks = [999, 1999, 2999, 3999, 4999, 5999, 6999, 7999]
    const results = await made(flags, [...outOfOrder, ...watermarks.map(watermark)])
    expect(results[outOfOrder.length + watermarks.indexOf(at)]).toEqual(wanted)
  })

  it.each([
    [
      'testSessionWindows',
      [
        record('key2', 1, 0),
        record('key2', 2, 1000),
        record('key2', 3, 2500),
        record('key1', 1, 10),
        record('key1', 2, 1000),
        record('key1', 3, 2500),
      ],
    ],
    [
      'testReduceSessionWindows',
      [
        record('key2', 1, 0),
        record('key1', 1, 10),
        record('key2', 2, 1000),
        record('key1', 2, 1000),
        record('key2', 3, 2500),
        record('key1', 3, 2500),
      ],
    ],
  ])('%s: gap 3 s', async (_name, first) => {
    const steps = [
      ...first,
      record('key2', 4, 5501),
      record('key2', 5, 6000),
      record('key2', 5, 6000),
      record('key2', 6, 6050),
      watermark(12_000),
    ]
    expect((await made('--session 3s', steps)).flat()).toEqual(
      ['key1 6 10 5500', 'key2 6 0 5500', 'key2 20 5501 9050'].sort(
        (a, b) =>
          Number(a.split(' ')[3]) - Number(b.split(' ')[3]) || Number(a.split(' ')[2]) - Number(b.split(' ')[2]),
      ),
    )
    const more = [...steps, record('key2', 10, 15_000), record('key2', 20, 15_000), watermark(17_999)]
    // Flink closes [15000, 18000) now; beck one millisecond later, since a record at 18000 would still belong to it.
    expect((await made('--session 3s', more)).at(-1)).toEqual([])
    expect((await made('--session 3s', [...more, watermark(18_000)])).at(-1)).toEqual(['key2 30 15000 18000'])
  })
})

describe('Apache Flink: WindowOperatorTest, late data', () => {
  const late = async (flags: string, steps: readonly Step[]): Promise<{ results: string[]; late: number }> => {
    const ran = await runWindow('sum(n)', `--time t --time-unit ms --by k --delay 1000d ${flags}`, steps, {
      batchRows: 1,
      end: false,
    })
    const results = parse(ran.lines).map((line) =>
      [
        line['sum_n'],
        ...bounds(line),
        line['revision'] && `revision ${String(line['revision'])}`,
        line['replaces'] &&
          `replaces ${JSON.stringify((line['replaces'] as string[][]).map((pair) => pair.map((text) => Date.parse(text))))}`,
      ]
        .filter((word) => word !== undefined)
        .join(' '),
    )
    return { results, late: ran.late }
  }
  const one = (t: number): Step => record('key2', 1, t)

  it('testLateness: tumbling 2 s, lateness 500 ms', async () => {
    const steps = [
      one(500),
      watermark(1500),
      one(1300),
      watermark(2300),
      one(1997),
      watermark(6000),
      one(1998),
      watermark(7000),
    ]
    // Flink purges here and fires 1 for the late record; beck accumulates: the full result, as a revision.
    expect(await late('--tumbling 2s --lateness 500ms --late update', steps)).toEqual({
      results: ['2 0 2000', '3 0 2000 revision 1'],
      late: 1,
    })
  })
  it('testDropDueToLatenessTumbling: 2 s, no lateness', async () => {
    const steps = [
      one(500),
      watermark(1985),
      one(1980),
      watermark(1999),
      one(1998),
      one(2001),
      watermark(2999),
      watermark(3999),
    ]
    expect(await late('--tumbling 2s', steps)).toEqual({ results: ['2 0 2000', '1 2000 4000'], late: 1 })
  })
  it('testDropDueToLatenessSliding: 3 s every 1 s, no lateness', async () => {
    const steps = [
      one(1000),
      watermark(1999),
      one(2000),
      one(3001),
      watermark(2999),
      one(2400),
      watermark(3000),
      one(2400),
      watermark(3999),
      watermark(6000),
    ]
    expect(await late('--hopping 3s/1s', steps)).toEqual({
      results: ['1 -1000 2000', '2 0 3000', '5 1000 4000', '4 2000 5000', '1 3000 6000'],
      late: 0,
    })
  })
  const session = [
    one(1000),
    watermark(1999),
    one(2000),
    watermark(4998),
    one(4500),
    one(8500),
    watermark(7400),
    one(7000),
    watermark(11_501),
    one(11_600),
    watermark(14_600),
  ]
  it('testDropDueToLatenessSessionZeroLateness', async () => {
    const steps = [...session, one(10_000), one(14_500), watermark(20_000), watermark(100_000)]
    expect(await late('--session 3s', steps)).toEqual({
      results: ['5 1000 11500', '1 11600 14600', '1 14500 17500'],
      late: 1,
    })
  })
  it('testDropDueToLatenessSessionZeroLatenessPurgingTrigger: late ones are not merged with each other either', async () => {
    const steps = [...session, one(10_000), one(10_100), one(14_500), watermark(20_000)]
    expect(await late('--session 3s', steps)).toEqual({
      results: ['5 1000 11500', '1 11600 14600', '1 14500 17500'],
      late: 2,
    })
  })
  it('testDropDueToLatenessSessionWithLateness: 10 ms, judged after merging', async () => {
    const steps = [...session, one(10_000), one(14_500), watermark(20_000), watermark(100_000)]
    expect(await late('--session 3s --lateness 10ms --late update', steps)).toEqual({
      results: [
        '5 1000 11500',
        '1 11600 14600',
        '2 10000 14600 replaces [[11600,14600]]',
        '3 10000 17500 replaces [[10000,14600]]',
      ],
      late: 0,
    })
  })
  it('testDropDueToLatenessSessionWithHugeLateness: 10 s, a late record joins two sessions', async () => {
    const steps = [...session, one(10_000), one(14_500), watermark(20_000), watermark(100_000)]
    expect(await late('--session 3s --lateness 10s --late update', steps)).toEqual({
      results: [
        '5 1000 11500',
        '1 11600 14600',
        '7 1000 14600 replaces [[1000,11500],[11600,14600]]',
        '8 1000 17500 replaces [[1000,14600]]',
      ],
      late: 0,
    })
  })
  it.each([
    [
      'testCleanupTimerWithEmptyListStateForTumblingWindows',
      '--tumbling 2s --lateness 1ms',
      [one(1000), watermark(1599), watermark(1999), watermark(2000), watermark(5000)],
      ['1 0 2000'],
    ],
    [
      'testCleanupTimerWithEmptyListStateForTumblingWindows2',
      '--tumbling 2s --lateness 100ms',
      [one(1000), watermark(1599), watermark(1999), watermark(2100), watermark(5000)],
      ['1 0 2000'],
    ],
    [
      'testCleanupTimerWithEmptyListStateForSessionWindows',
      '--session 3s --lateness 10ms',
      [one(1000), watermark(4998), watermark(14_600)],
      ['1 1000 4000'],
    ],
  ] as const)('%s', async (_name, flags, steps, wanted) => {
    expect(await late(`${flags} --late update`, steps)).toEqual({ results: wanted, late: 0 })
  })
})

describe('days of a calendar', () => {
  // When clocks change: the IANA time zone database, 2026 (and Lord Howe, which changes by half an hour).
  it.each([
    ['Europe/Berlin', '2026-03-28T23:00:00Z', '2026-03-28T23:00:00.000Z', 23],
    ['Europe/Berlin', '2026-03-29T21:59:59Z', '2026-03-28T23:00:00.000Z', 23],
    ['Europe/Berlin', '2026-03-29T22:00:00Z', '2026-03-29T22:00:00.000Z', 24],
    ['Europe/Berlin', '2026-10-24T22:00:00Z', '2026-10-24T22:00:00.000Z', 25],
    ['Europe/Berlin', '2026-10-25T22:59:59Z', '2026-10-24T22:00:00.000Z', 25],
    ['Europe/Berlin', '2026-10-25T23:00:00Z', '2026-10-25T23:00:00.000Z', 24],
    ['America/New_York', '2026-03-08T05:00:00Z', '2026-03-08T05:00:00.000Z', 23],
    ['America/New_York', '2026-03-09T03:59:59Z', '2026-03-08T05:00:00.000Z', 23],
    ['America/New_York', '2026-03-09T04:00:00Z', '2026-03-09T04:00:00.000Z', 24],
    ['America/New_York', '2026-11-01T04:00:00Z', '2026-11-01T04:00:00.000Z', 25],
    ['America/New_York', '2026-11-02T04:59:59Z', '2026-11-01T04:00:00.000Z', 25],
    ['America/New_York', '2026-11-02T05:00:00Z', '2026-11-02T05:00:00.000Z', 24],
    ['Australia/Lord_Howe', '2026-04-05T00:00:00Z', '2026-04-04T13:00:00.000Z', 24.5],
    ['Australia/Lord_Howe', '2026-10-04T00:00:00Z', '2026-10-03T13:30:00.000Z', 23.5],
    ['Asia/Kolkata', '2026-01-01T18:30:00Z', '2026-01-01T18:30:00.000Z', 24],
    ['Pacific/Apia', '2011-12-30T09:59:59Z', '2011-12-29T10:00:00.000Z', 24],
    ['Pacific/Apia', '2011-12-30T10:00:00Z', '2011-12-30T10:00:00.000Z', 24],
    ['America/Sao_Paulo', '2018-11-04T03:00:00Z', '2018-11-04T03:00:00.000Z', 23],
    ['Europe/Berlin', '1966-01-01T12:00:00Z', '1965-12-31T23:00:00.000Z', 24],
  ])('%s at %s: from %s, %d hours', async (zone, t, start, hours) => {
    const { lines } = await runWindow('count', `--time t --tumbling 1d --tz ${zone}`, [{ t }])
    expect(
      parse(lines).map(({ window }) => [window.start, (Date.parse(window.end) - Date.parse(window.start)) / HOUR]),
    ).toEqual([[start, hours]])
  })
  it('a week of days, an offset into the day, and hopping days', async () => {
    const one = async (flags: string, t: string): Promise<unknown> =>
      parse((await runWindow('count', `--time t --tz Europe/Berlin ${flags}`, [{ t }])).lines).map(({ window }) => [
        window.start,
        window.end,
      ])
    // 2026-03-26 is a Thursday, as 1970-01-01 was.
    expect(await one('--tumbling 7d', '2026-03-29T12:00:00Z')).toEqual([
      ['2026-03-25T23:00:00.000Z', '2026-04-01T22:00:00.000Z'],
    ])
    expect(await one('--tumbling 1w --offset 4d', '2026-03-29T12:00:00Z')).toEqual([
      ['2026-03-22T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
    ])
    expect(await one('--tumbling 1d --offset 6h', '2026-03-29T03:59:59Z')).toEqual([
      ['2026-03-28T05:00:00.000Z', '2026-03-29T04:00:00.000Z'],
    ])
    expect(await one('--hopping 2d/1d', '2026-03-29T12:00:00Z')).toEqual([
      ['2026-03-27T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
      ['2026-03-28T23:00:00.000Z', '2026-03-30T22:00:00.000Z'],
    ])
    // 24 hours are not a day of the calendar.
    expect(await one('--tumbling 24h', '2026-03-29T12:00:00Z')).toEqual([
      ['2026-03-29T00:00:00.000Z', '2026-03-30T00:00:00.000Z'],
    ])
  })
})
