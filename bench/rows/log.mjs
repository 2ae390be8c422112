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
]
