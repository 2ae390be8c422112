// Pipelines in one process, against the same as a process a stage. What a row is: bench/README.md.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const stages = [
  `filter 'r.status < 500' "$CLICKS"`,
  `map '{ts: r.ts, path: r.path, ms: r.latency_ms}'`,
  'window count --tumbling 1m --time ts --by path --quiet',
  'sort --by -count',
]
const fused = (list) => `beck run '${list.join(' | ').replaceAll("'", "'\\''").replaceAll('"$CLICKS"', `'"$CLICKS"'`)}'`
const pipes = (list) => list.map((stage) => `beck ${stage}`).join(' | ')
const counting = [`filter 'r.status >= 500' "$CLICKS"`, 'reduce count --by path']

/** Seconds of processor time of a line, all its processes together. */
function processorTime({ run, scratch }, line) {
  const file = join(scratch, 'processor-time')
  run(`bash -c 'TIMEFORMAT="%3U %3S"; { time eval "$LINE" > /dev/null; } 2> "$NOTE"'`, {
    more: { LINE: line, NOTE: file },
  })
  return readFileSync(file, 'utf8')
    .split(/\s+/)
    .reduce((sum, seconds) => sum + Number(seconds), 0)
}

export default [
  {
    name: 'four stages fused',
    work: 'filter | map | window | sort, in one process',
    sides: { beck: fused(stages), 'four processes': { node: pipes(stages) } },
    order: true,
    bar: { against: 'four processes', ratio: 0.7 },
  },
  {
    name: 'four stages fused, processor time',
    work: 'the same: processor time of all processes and threads',
    unit: '× that of four processes',
    bar: { most: 0.5 },
    measure(kit) {
      const times = kit.inTurn(5, {
        fused: () => processorTime(kit, fused(stages)),
        pipes: () => processorTime(kit, pipes(stages)),
      })
      return kit.median(times.fused) / kit.median(times.pipes)
    },
  },
  {
    name: 'filter and reduce fused',
    work: "filter 'r.status >= 500' | reduce count --by path, in one process",
    unit: '× the slower of the two alone',
    bar: { most: 1.1 },
    measure({ run, inTurn, median }) {
      const times = inTurn(9, {
        fused: () => run(fused(counting)),
        filter: () => run(`beck filter 'r.status >= 500' "$CLICKS"`),
        reduce: () => run('beck reduce count --by path "$CLICKS"'),
      })
      return median(times.fused) / Math.max(median(times.filter), median(times.reduce))
    },
  },
  {
    name: 'empty pipeline',
    work: 'one line in, one line out, filter | map, in one process',
    unit: 'ms beyond `node -e 0`',
    bar: { most: 40 },
    measure({ run, inTurn, median }) {
      run(`echo '{"a":1}' > one.ndjson`)
      const line = `beck run "filter 'r.a > 0' one.ndjson | map '{a: r.a}'"`
      const times = inTurn(21, { beck: () => run(line), node: () => run('node -e 0') })
      return median(times.beck) - median(times.node)
    },
  },
]
