#!/usr/bin/env node
// Chaos on a chain of topics: A → window → B, B joined with C → D. Producers and pipelines are killed, stopped and given full disks, and
// run again; in the end D is what one computation over A and C gives.
// Usage: chain.mjs [--records 20000] [--seed N] [--kill-ms 250] [--seconds 25: at least]. Prints one line of figures; exits 1 and says what was violated.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '20000' },
    seed: { type: 'string', default: String(Date.now() % 100000) },
    'kill-ms': { type: 'string', default: '250' },
    seconds: { type: 'string', default: '25' },
  },
})
const records = Number(values.records)
const folder = mkdtempSync(join(tmpdir(), 'beck-chain-'))
mkdirSync(join(folder, 'bin'))
symlinkSync(fileURLToPath(new URL('../../dist/beck.cjs', import.meta.url)), join(folder, 'bin/beck'))
const env = {
  ...process.env,
  BECK_STORE: join(folder, 'store'),
  PATH: [join(folder, 'bin'), dirname(process.execPath), process.env.PATH].join(delimiter),
}
delete env.NODE_EXTRA_CA_CERTS // it costs each process 30 ms

let seed = Number(values.seed)
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return seed / 2 ** 32
}
const pick = (list) => list[Math.floor(random() * list.length)]
const sleep = (ms) => new Promise((passed) => setTimeout(passed, ms))
const count = { kills: 0, stops: 0, full: 0, runs: 0 }
const violations = []

/** Time from one accident to the next, on average. */
let pace = Number(values['kill-ms'])

// Times with some disorder; C has a record for some windows of B.
const time = (i, late) => new Date(Date.UTC(2026, 0, 1) + i * 100 - Math.floor(random() * late)).toISOString()
const a = Array.from(
  { length: records },
  (_, i) => `{"ts":"${time(i, 1500)}","k":"k${(i * 7919) % 13}","n":${i % 100}}\n`,
)
const c = Array.from(
  { length: records / 20 },
  (_, i) => `{"at":"${time(i * 20, 900)}","k":"k${(i * 31) % 17}","c":${i}}\n`,
)
writeFileSync(join(folder, 'a'), a.join(''))
writeFileSync(join(folder, 'c'), c.join(''))

const window = `beck window 'n = count, s = sum(n)' --tumbling 5s --delay 2s --time ts --by k | beck map '{at: r.window.end, ...r}'`
const joined = (right) => `beck join ${right} --on k --within -10s..10s --time at --delay 12s --type left`
const source = (topic, group, drain) =>
  `beck consume ${topic} -g ${group} --exactly-once --checkpoint 20ms --session-timeout ${Math.round(6 * pace)}ms${drain ? ' --drain' : ''}`
const lines = {
  windows: (drain) => `${source('A', 'windows', drain)} | ${window} | beck append B`,
  joins: (drain) => `${source('B', 'left', drain)} | ${joined(`<(${source('C', 'right', drain)})`)} | beck append D`,
}

/** A line of the shell, in a process group of its own. */
function start(line) {
  count.runs++
  // A full disk: no file may grow beyond some size, so that appends and snapshots fail half-way.
  const full = random() < 0.15
  if (full) count.full++
  const limit = full ? `ulimit -f ${1 + Math.floor(random() * 400)}; ` : ''
  const child = spawn('bash', ['-o', 'pipefail', '-c', limit + line], {
    env,
    cwd: folder,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  child.full = full
  child.text = ''
  child.stderr.on('data', (data) => (child.text += data))
  child.ended = new Promise((resolve) => child.on('close', (code) => resolve(code ?? 137)))
  return child
}

/** The processes of a line, without the shell. */
function processesOf(pid) {
  try {
    const own = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
    return own.flatMap((one) => [one, ...processesOf(one)])
  } catch {
    return []
  }
}

const phase = { busy: true }
const running = new Set()
/** Runs a line again and again; something happens to most runs. */
async function again(makeLine, pauseMs) {
  while (phase.busy) {
    const child = start(makeLine())
    running.add(child)
    const code = await child.ended
    running.delete(child)
    // Without a hand laid on it, and on a disk with room, a run ends well, or another one was at work, or has taken over.
    if (code !== 0 && code !== 4 && !child.hurt && !child.full) violations.push(`exit ${code}: ${child.text}`)
    await sleep(random() * pauseMs)
  }
}
async function reaper() {
  while (phase.busy) {
    await sleep(random() * 2 * pace)
    const child = pick([...running])
    const victim = child && pick(processesOf(child.pid))
    if (!victim) continue
    child.hurt = true
    try {
      if (random() < 0.3) {
        count.stops++
        process.kill(victim, 'SIGSTOP')
        // Longer than the session timeout now and then: then others have taken over.
        setTimeout(
          () => {
            try {
              process.kill(victim, 'SIGCONT')
            } catch {
              // It is dead.
            }
          },
          random() * 12 * pace,
        )
      } else {
        count.kills++
        process.kill(victim, 'SIGKILL')
      }
    } catch {
      // It was quicker.
    }
  }
}

const must = (line) => {
  const { status, stdout, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', line], {
    env,
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  })
  if (status !== 0) violations.push(`exit ${status}: ${line}\n${stderr}`)
  return stdout
}
const begin = Date.now()
for (const topic of ['A', 'B', 'C', 'D']) must(`beck topic create ${topic}`)
// On a machine that has much else to do, a pipeline has to get somewhere too before it is killed.
pace = Math.max(pace, Math.min(Date.now() - begin, 1500))

// The input comes bit by bit, by producers that are killed as well.
let given = 0.02
const append = (topic, file, all) => () => {
  given = Math.min(1, given + 0.04)
  return `head -n ${Math.ceil(all * given)} ${file} | beck append ${topic} --producer ${file}`
}
const reaping = reaper()
const working = [
  again(append('A', 'a', a.length), 300),
  again(append('C', 'c', c.length), 300),
  again(() => lines.windows(false), 50),
  again(() => lines.windows(false), 50),
  again(() => lines.joins(false), 50),
]
const lineCount = (text) => text.split('\n').length - 1
/** What has come out so far. */
const results = () => lineCount(must('beck replay D'))
const seconds = Number(values.seconds)
for (let waited = 0; waited < seconds || (waited < 6 * seconds && results() === 0); waited++) await sleep(1000)
phase.busy = false
await reaping
await sleep(12 * pace + 100) // all that were stopped go on
await Promise.all(working)
count.midway = results()

// The rest in peace, and the same in one piece, without topics between and without epochs.
must('beck append A a --producer a; beck append C c --producer c')
must(lines.windows(true))
must(lines.joins(true))
const batch = must(`beck replay A | ${window} | ${joined('<(beck replay C)')}`)
const chained = must('beck replay D')
const sorted = (text) => text.split('\n').toSorted().join('\n')
if (must('beck replay A') !== a.join('')) violations.push('A is not what was given')
if (sorted(chained) !== sorted(batch)) violations.push('D has other records than one computation over A and C')
else if (chained !== batch) violations.push('D has the records in another order')
const all = lineCount(batch)
if (count.midway === 0 || count.midway === all)
  violations.push(`${count.midway} of ${all} results came amid the chaos: this shows nothing`)
writeSync(
  1,
  `${JSON.stringify({ seed: Number(values.seed), ...count, pace, results: all, violations: violations.length })}\n`,
)
if (violations.length > 0) {
  for (const violation of violations.slice(0, 5)) writeSync(2, `${violation}\n`)
  writeSync(2, `kept: ${folder}\n`)
  process.exit(1)
}
rmSync(folder, { recursive: true, force: true })
