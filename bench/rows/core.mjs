// The record core: what the everyday commands cost. What a row is: bench/README.md.
const kb = 'Math.round(r.bytes / 1024)'

export default [
  {
    name: 'reduce by path',
    sides: {
      beck: `beck reduce 'count, avg(latency_ms)' --by path "$CLICKS"`,
      DuckDB: { sql: 'SELECT path, count(*) AS count, avg(latency_ms) AS avg_latency_ms FROM $CLICKS GROUP BY path' },
      jq: {
        tenth: `jq -cn 'reduce inputs as $r ({}; setpath([$r.path]; (getpath([$r.path]) // [0, 0])
                        | [.[0] + 1, .[1] + $r.latency_ms])) | to_entries[]
                        | {path: .key, count: .value[0], avg_latency_ms: (.value[1] / .value[0])}' "$CLICKS"`,
      },
      Miller: {
        tenth: `mlr --ijsonl --ojsonl stats1 -a count,mean -f latency_ms -g path then \\
                        rename latency_ms_count,count,latency_ms_mean,avg_latency_ms "$CLICKS"`,
      },
    },
    bar: { against: 'DuckDB', ratio: 0.5 },
  },
  {
    name: 'reduce by user',
    sides: {
      beck: 'beck reduce count --by user_id "$CLICKS"',
      DuckDB: { sql: 'SELECT user_id, count(*) AS count FROM $CLICKS GROUP BY user_id' },
    },
    bar: { against: 'DuckDB', ratio: 0.4 },
  },
  {
    name: 'filter',
    order: true,
    sides: {
      beck: `beck filter 'r.status >= 500' "$CLICKS"`,
      DuckDB: { sql: 'FROM $CLICKS WHERE status >= 500' },
      jq: { tenth: `jq -c 'select(.status >= 500)' "$CLICKS"` },
      Miller: { tenth: `mlr --ijsonl --ojsonl filter '$status >= 500' "$CLICKS"` },
    },
    bar: { against: 'DuckDB', ratio: 0.35 },
  },
  {
    name: 'map',
    order: true,
    sides: {
      beck: `beck map '{path: r.path, slow: r.latency_ms > 500}' "$CLICKS"`,
      DuckDB: { sql: 'SELECT path, latency_ms > 500 AS slow FROM $CLICKS' },
      jq: { tenth: `jq -c '{path, slow: (.latency_ms > 500)}' "$CLICKS"` },
    },
    bar: { against: 'DuckDB', ratio: 0.5 },
  },
  {
    name: 'map the whole record',
    order: true,
    sides: {
      beck: `beck map 'r => ({...r, kb: ${kb}})' "$CLICKS"`,
      'bare loop': { node: 'node "$BENCH/peers/bare-loop.mjs" "$CLICKS"' },
    },
    bar: { against: 'bare loop', ratio: 1.15 },
  },
  {
    name: 'reduce from a pipe',
    compare: false,
    sides: {
      beck: `cat "$CLICKS" | beck reduce 'count, avg(latency_ms)' --by path`,
      'cat | cat': 'cat "$CLICKS" | cat',
    },
    bar: { against: 'cat | cat', ratio: 1.6 },
  },
  ...[
    { work: '--version', line: 'beck --version', most: 15 },
    { work: 'filter of one line', line: `beck filter 'r.a > 0' < one.ndjson`, most: 30 },
  ].map(({ work, line, most }) => ({
    name: `start of ${work.split(' ')[0]}`,
    work,
    unit: 'ms beyond `node -e 0`',
    bar: { most },
    measure({ run, inTurn, median }) {
      run(`echo '{"a":1}' > one.ndjson`)
      const times = inTurn(21, { beck: () => run(line), node: () => run('node -e 0') })
      return median(times.beck) - median(times.node)
    },
  })),
  ...[1, 10].map((times) => ({
    name: `memory, ${0.4 * times} GB`,
    work: `peak memory of the first row, ${0.4 * times} GB`,
    unit: 'MB',
    bar: { most: 150 },
    measure: ({ peak, clicks }) =>
      peak(`beck reduce 'count, avg(latency_ms)' --by path "$CLICKS"`, { file: clicks(times) }),
  })),
  {
    name: 'slow writer',
    work: `a line from a slow writer through filter`,
    unit: 'ms, slowest of 20',
    bar: { most: 50 },
    measure: ({ slowest }) => slowest(`beck filter 'r.a > 0'`, '{"a":1}\n', 20),
  },
]
