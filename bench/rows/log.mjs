import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { manyCommits } from '../long-store.mjs'

// The topic store. Everything happens in the benchmark's own folder (BECK_BENCH_TMP, else the system's), so on one disk.
const append = (options) => ({ before: 'rm -rf store', node: `beck append t --store store ${options} "$CLICKS"` })
const copy = { before: 'rm -f copy', line: 'cat "$CLICKS" > copy' }

export default [
  {
    name: 'append',
    work: 'append --acks none, one partition',
    compare: false,
    sides: { beck: append('--acks none'), 'cat > copy': copy },
    bar: { against: 'cat > copy', ratio: 2 },
  },
  {
    name: 'append to partitions',
    work: 'append --acks none, 4 partitions by user_id',
    compare: false,
    sides: { beck: append('--acks none --partitions 4 --by user_id'), 'cat > copy': copy },
    bar: { against: 'cat > copy', ratio: 3.5 },
  },
  {
    name: 'append synced',
    work: 'append --acks batch, one partition',
    compare: false,
    sides: {
      beck: append('--acks batch'),
      dd: { before: 'rm -f copy', line: 'dd if="$CLICKS" of=copy bs=1M conv=fdatasync status=none' },
    },
    bar: { against: 'dd', ratio: 2 },
  },
  {
    name: 'replay',
    work: 'replay | cat',
    compare: false,
    once: 'rm -rf store; beck append t --store store --acks none "$CLICKS"',
    sides: { beck: 'beck replay t --store store | cat', 'cat | cat': 'cat "$CLICKS" | cat' },
    bar: { against: 'cat | cat', ratio: 1.6 },
  },
  {
    name: 'replay by time',
    work: 'replay --from TIME near the end of 4 GB',
    unit: 'ms',
    bar: { most: 150 },
    measure({ run, clicks, inTurn, median }) {
      run('rm -rf store; beck append t --store store --acks none --time ts "$CLICKS"', { file: clicks(10) })
      run('tail -1000 "$CLICKS" | head -1 | grep -o 2026-[^\\"]* > time', { file: clicks(10) })
      const line = 'beck replay t --store store --from "$(cat time)" --limit 1'
      return median(inTurn(9, { beck: () => run(line) }).beck)
    },
  },
  {
    name: 'many topics',
    work: 'topic list of 1,000 topics',
    unit: 'ms',
    bar: { most: 300 },
    measure({ run, inTurn, median }) {
      run('rm -rf store; for i in $(seq 1000); do beck topic create t$i --store store; done')
      return median(inTurn(9, { beck: () => run('beck topic list --store store') }).beck)
    },
  },
  {
    name: 'many partitions',
    work: 'append --acks none of 10,000 records to 1,000 partitions',
    unit: 'ms',
    bar: { most: 300 },
    measure({ run, inTurn, median }) {
      run('rm -rf store; beck topic create t --store store --partitions 1000; head -10000 "$CLICKS" > some')
      const line = 'beck append t --store store --by user_id --acks none some'
      return median(inTurn(9, { beck: () => run(line) }).beck)
    },
  },
  {
    name: 'end to end',
    work: 'append in one process, consume --follow in another',
    unit: 'ms, slowest of 20',
    bar: { most: 20 },
    measure({ run, slowest }) {
      run('rm -rf store; beck topic create t --store store')
      const both = 'beck consume t --group g --follow --store store & beck append t --store store --acks none'
      return slowest(both, '{"a":1}\n', 20)
    },
  },
  {
    name: 'one record a commit',
    work: 'append --acks all, fed record by record: until one is committed',
    unit: 'ms, median of 1,000',
    bar: { most: 3 },
    measure: oneByOne,
  },
  {
    name: 'long history',
    work: 'append of one record after 1,000,000 commits',
    unit: 'ms',
    bar: { most: 100 },
    measure({ run, median, scratch }) {
      const times = Array.from({ length: 9 }, () => {
        manyCommits(join(scratch, 'store'))
        return run('echo "{}" | beck append t --store store --acks none')
      })
      return median(times)
    },
  },
]

/** Feeds one record at a time, and waits until the journal has its line. */
async function oneByOne({ run, start, median, scratch }) {
  run('rm -rf store; beck topic create t --store store')
  const child = start('beck append t --store store --acks all')
  const folder = join(scratch, 'store/journal')
  const committed = () =>
    readdirSync(folder)
      .map((name) => `${name} ${statSync(join(folder, name)).size}`)
      .join()
  const delays = []
  for (let i = 0; i <= 1000; i++) {
    const before = committed()
    const begin = performance.now()
    child.stdin.write('{"a":1}\n')
    while (committed() === before) await new Promise((passed) => setImmediate(passed))
    if (i > 0) delays.push(performance.now() - begin) // the first waits for the start of the process
  }
  child.stdin.end()
  await new Promise((closed) => child.on('close', closed))
  return median(delays)
}
