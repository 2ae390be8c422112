import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

// Pipes that deliver exactly once. The store is in the benchmark's own folder (BECK_BENCH_TMP, else the system's).
const window = "beck window 'count, avg(latency_ms)' --tumbling 1m --time ts --by path"
const pipe = (options) => ({ node: `beck consume clicks -g g$$ ${options} | ${window} | beck append rpm` })
const KEYS = 1_000_000
const EPOCHS = 500
const here = 'BECK_STORE=store; export BECK_STORE;'

/** A topic `t` with 1,000,000 keys, and a pipeline `g` that has seen them. */
function manyKeys({ run, scratch }, stage) {
  const record = (_, i) => `{"k":"user-${(i * 7919) % KEYS}","n":${i % 1000},"ts":${1_700_000_000_000 + i}}\n`
  writeFileSync(join(scratch, 'keys'), Array.from({ length: KEYS }, record).join(''))
  rmSync(join(scratch, 'store'), { recursive: true, force: true })
  run(`${here} beck append t keys && beck consume t -g g --exactly-once | ${stage} | beck append out && sync`)
}

/** The input's committed offset, from the end of the journal. */
function committed(scratch) {
  const folder = join(scratch, 'store/journal')
  const last = readdirSync(folder).toSorted().at(-1)
  const text = readFileSync(join(folder, last), 'latin1')
  const at = text.lastIndexOf('"g":{"t/0":')
  return at < 0 ? -1 : Number.parseInt(text.slice(at + 11, at + 30), 10)
}

export default [
  {
    name: 'checkpoints every second',
    work: `consume --exactly-once --checkpoint 1s | window 'count, avg(latency_ms)' --tumbling 1m --by path | append`,
    compare: false,
    once: `${here} rm -rf store; beck append clicks --acks none "$CLICKS"`,
    sides: {
      beck: { node: `${here} ${pipe('--exactly-once --checkpoint 1s').node}` },
      'without checkpoints': { node: `${here} ${pipe('').node}` },
    },
    bar: { against: 'without checkpoints', ratio: 1.25 },
  },
  {
    name: 'checkpoint of 1,000,000 keys',
    work: "reduce 'count, sum(n)' --by k: 10,000 records of as many keys, from append to the pipeline's commit",
    unit: 'ms, slowest of 110',
    bar: { most: 300 },
    measure: checkpoints,
  },
  {
    name: 'restart with 1,000,000 keys',
    work: 'the whole run over one more record: reduce, dedupe, window, the slowest',
    unit: 'ms, median of 5',
    bar: { most: 500 },
    measure(kit) {
      const stages = [
        "beck reduce 'count, sum(n)' --by k",
        'beck dedupe --by k',
        "beck window 'count, sum(n)' --tumbling 1h --time ts --by k",
      ]
      const times = stages.map((stage) => {
        manyKeys(kit, stage)
        const line = `${here} beck consume t -g g --exactly-once | ${stage} | beck append out`
        const runs = Array.from({ length: 5 }, (_, i) => {
          kit.run(`${here} echo '{"k":"new-${i}","n":1,"ts":1700000001000}' | beck append t`)
          return kit.run(line)
        })
        console.error(`  ${stage}: ${kit.median(runs).toFixed(0)} ms`)
        return kit.median(runs)
      })
      return Math.max(...times)
    },
  },
  {
    name: 'commit of an epoch',
    work: 'consume --exactly-once | append: 500 epochs, less a run of one epoch, less what both wait for the disk',
    unit: 'ms an epoch',
    bar: { most: 5 },
    async measure({ run, start, scratch, inTurn, median }) {
      const note = join(scratch, 'syncs')
      const more = { NODE_OPTIONS: `--require=${join(import.meta.dirname, '../syncs.cjs')}`, BECK_SYNCS: note }
      run(`${here} rm -rf store; beck topic create t --partitions 2`)
      const appender = start(`env BECK_STORE=store beck append t --acks none`)
      for (let i = 0; i < EPOCHS; i++) {
        appender.stdin.write('{"a":1}\n')
        await new Promise((passed) => setTimeout(passed, 10)) // a pause is a commit
      }
      appender.stdin.end()
      await new Promise((closed) => appender.on('close', closed))
      let group = 0
      const once = (checkpoint) => () => {
        rmSync(note, { force: true })
        const line = `beck consume t -g g${++group} --exactly-once --checkpoint ${checkpoint} | beck append out`
        const ms = run(`${here} ${line}`, { more })
        const waited = readFileSync(note, 'utf8').trim().split('\n').map(Number)
        run(`${here} beck pipeline describe g${group}`, { output: join(scratch, 'described') })
        const { epoch } = JSON.parse(readFileSync(join(scratch, 'described'), 'utf8'))
        return { ms: ms - waited.reduce((sum, wait) => sum + wait, 0), epoch }
      }
      const { many, one } = inTurn(5, { many: once('0ms'), one: once('1h') })
      const single = median(one.map(({ ms }) => ms))
      const epochs = median(many.map(({ epoch }) => epoch))
      if (epochs < EPOCHS / 2) throw new Error(`only ${epochs} epochs`)
      return median(many.map(({ ms, epoch }) => (ms - single) / (epoch - 1)))
    },
  },
]

async function checkpoints(kit) {
  const { run, start, scratch } = kit
  const stage = "beck reduce 'count, sum(n)' --by k"
  manyKeys(kit, stage)
  const line = `set -m; beck consume t -g g --exactly-once --follow --checkpoint 1ms | ${stage} | beck append out`
  const child = start(`bash -c "${here} ${line.replaceAll('"', '\\"')}"`)
  const times = []
  try {
    for (let round = 0; round <= 110; round++) {
      const record = (_, i) => `{"k":"user-${(i * 97 + round * 31) % KEYS}","n":1,"ts":1700000000000}\n`
      writeFileSync(join(scratch, 'more'), Array.from({ length: KEYS / 100 }, record).join(''))
      run(`${here} beck append t more --acks none`)
      const begin = performance.now()
      const wanted = KEYS + (round + 1) * (KEYS / 100)
      while (committed(scratch) < wanted) await new Promise((passed) => setTimeout(passed, 1))
      if (round > 0) times.push(performance.now() - begin) // the first waits for the start of the pipe
    }
  } finally {
    run(`pkill -9 -P ${child.pid}; exit 0`)
    child.kill('SIGKILL')
  }
  console.error(`  median ${kit.median(times).toFixed(0)} ms`)
  return Math.max(...times)
}
