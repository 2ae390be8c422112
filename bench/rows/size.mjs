// Any size: what sorts, groups and joins whole inputs, in memory and beyond it.
const shuffle = 'beck shuffle --by user_id "$CLICKS"'
const spilling = 'beck shuffle --by user_id --memory 64MiB "$CLICKS"'
const limit = '256MiB'
const many = `beck reduce count --by session --memory ${limit} "$INPUT"`
const others = ['method', 'path', 'status', 'bytes', 'latency_ms', 'ua', 'tags']

export default [
  {
    name: 'shuffle',
    compare: false, // every tool puts the records of one user in its own order
    sides: {
      beck: shuffle,
      DuckDB: { sql: 'FROM $CLICKS ORDER BY user_id' },
      'GNU sort': `LC_ALL=C sort --stable --parallel=2 --buffer-size=2G -t '"' -k 8,8 "$CLICKS"`,
    },
    bar: { against: 'DuckDB', ratio: 0.5 },
  },
  {
    name: 'shuffle beyond memory',
    compare: false,
    sides: { beck: spilling, 'in memory': { node: shuffle } },
    bar: { against: 'in memory', ratio: 2.5 },
  },
  {
    name: 'shuffle memory',
    work: 'peak memory of shuffle --memory 64MiB',
    unit: 'MB',
    bar: { most: 172 }, // 64 MiB + 100 MiB
    measure: ({ peak }) => peak(spilling),
  },
  {
    name: 'join',
    work: 'join users.ndjson --on user_id',
    sides: {
      beck: 'beck join "$USERS" --on user_id "$CLICKS"',
      DuckDB: { sql: 'FROM $CLICKS AS clicks JOIN $USERS AS users USING (user_id)' },
    },
    bar: { against: 'DuckDB', ratio: 0.4 },
  },
  {
    name: 'dedupe',
    sides: {
      beck: 'beck dedupe --by user_id "$CLICKS"',
      DuckDB: { sql: 'SELECT DISTINCT ON (user_id) * FROM $CLICKS' },
    },
    compare: {
      beck: `beck dedupe --by user_id "$CLICKS" | beck map '{user_id: r.user_id}'`,
      DuckDB: { sql: 'SELECT DISTINCT user_id FROM $CLICKS' },
    },
    bar: { against: 'DuckDB', ratio: 0.3 },
  },
  {
    name: 'merge join',
    work: 'join --merge of the click file with itself shifted, at 256 MiB',
    sides: {
      beck: `beck join "$SHIFTED" --merge --on ts,user_id --memory ${limit} "$CLICKS"`,
      DuckDB: {
        sql: `SELECT l.*, ${others.map((name) => `r.${name} AS right_${name}`)} FROM $CLICKS AS l JOIN $SHIFTED AS r USING (ts, user_id)`,
        memory: limit,
      },
    },
    bar: { against: 'DuckDB', ratio: 1.5 },
  },
  {
    name: 'reduce many keys',
    work: 'reduce count of 10,000,000 keys at 256 MiB',
    input: 'sessions',
    sides: {
      beck: many,
      DuckDB: { sql: 'SELECT session, count(*) AS count FROM $INPUT GROUP BY session', memory: limit },
    },
    bar: { against: 'DuckDB', ratio: 1.2 },
  },
  {
    name: 'reduce many keys memory',
    work: 'peak memory of that',
    unit: 'MB',
    bar: { most: 419 }, // 400 MiB
    measure: ({ peak, sessions }) => peak(many, { file: sessions() }),
  },
]
