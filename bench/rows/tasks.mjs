// Jobs in tasks: beck run --mode parallel.
const job = (workers, text) => `beck run --mode parallel --workers ${workers} "${text}"`
const byUser = 'reduce count --by user_id $COPIES'
const words = 'from words $INPUT | shuffle --by word --partitions 8 | reduce count --by word'
const split =
  "SELECT word, count(*) AS count FROM (SELECT unnest(regexp_split_to_array(line, '\\s+')) AS word FROM $LINES) WHERE word <> '' GROUP BY word"

export default [
  {
    name: 'five files, one worker or two',
    work: 'reduce count --by user_id over five click files, --mode parallel --workers 2',
    compare: false,
    sides: { beck: job(2, byUser), 'one worker': { node: job(1, byUser) } },
    bar: { against: 'one worker', ratio: 0.65 },
  },
  {
    name: 'five files',
    work: 'the same',
    sides: {
      beck: job(2, byUser),
      DuckDB: { sql: 'SELECT user_id, count(*) AS count FROM $COPIES GROUP BY user_id' },
    },
    bar: { against: 'DuckDB', ratio: 0.4 },
  },
  {
    name: 'word count',
    work: 'word count of 1 GB of text, --mode parallel --workers 2',
    input: 'text',
    rounds: 3,
    sides: { beck: job(2, words), DuckDB: { sql: split } },
    bar: { against: 'DuckDB', ratio: 0.5 },
  },
  {
    name: 'word count, mawk',
    work: 'the same',
    input: 'text',
    rounds: 3,
    sides: {
      beck: job(2, words),
      mawk: `mawk '{ for (i = 1; i <= NF; i++) n[$i]++ } END { for (w in n) printf "{\\"word\\":\\"%s\\",\\"count\\":%d}\\n", w, n[w] }' "$INPUT"`,
    },
    bar: { against: 'mawk', ratio: 1 },
  },
  {
    name: 'empty job',
    work: 'one line in, one line out, --mode parallel',
    unit: 'ms beyond `node -e 0`',
    bar: { most: 150 },
    measure({ run, inTurn, median }) {
      run(`echo '{"a":1}' > one.ndjson`)
      const line = job(2, 'filter r.a one.ndjson')
      const times = inTurn(21, { beck: () => run(line), node: () => run('node -e 0') })
      return median(times.beck) - median(times.node)
    },
  },
]
