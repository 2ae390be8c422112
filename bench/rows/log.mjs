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
]
