// Event-time windows. One record in twenty of the click file is up to a minute late: beck drops those without --delay, DuckDB knows no
// late records, so the outputs are compared with a delay that drops none.
const tumbling = `beck window count --time ts --tumbling 1m --by status -q "$CLICKS"`
const buckets =
  'SELECT time_bucket(INTERVAL 1 MINUTE, ts) AS start, status, count(*) AS count FROM $CLICKS GROUP BY ALL'

export default [
  {
    name: 'tumbling window',
    sides: { beck: tumbling, DuckDB: { sql: buckets } },
    compare: {
      beck: `beck window count --time ts --tumbling 1m --by status --delay 2m "$CLICKS" |
        beck map '{start: r.window.start, status: r.status, count: r.count}'`,
      DuckDB: { sql: buckets },
    },
    bar: { against: 'DuckDB', ratio: 0.5 },
  },
  {
    name: 'hopping window',
    compare: false,
    sides: {
      beck: `beck window count --time ts --hopping 5m/1m --by status -q "$CLICKS"`,
      'tumbling window': { node: tumbling },
    },
    bar: { against: 'tumbling window', ratio: 1.5 },
  },
  {
    name: 'session window',
    compare: false,
    sides: {
      beck: `beck window count --time ts --session 30m --by user_id -q "$CLICKS"`,
      'tumbling window': { node: tumbling },
    },
    bar: { against: 'tumbling window', ratio: 2.5 },
  },
  {
    name: 'window memory',
    work: 'peak memory of the tumbling window, 4 GB against 0.4 GB',
    unit: '×',
    bar: { most: 1.2 },
    measure: ({ peak, clicks }) => peak(tumbling, { file: clicks(10) }) / peak(tumbling),
  },
]
