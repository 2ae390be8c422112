#!/usr/bin/env node
// Chaos on one store: producers and consumers that are killed, stopped and run again, and a checker of what must hold all the same.
// Usage: chaos.mjs [--records 100000] [--producers 8] [--consumers 8] [--seed N] [--kill-ms 60] [--acks batch]
// Prints one line of figures; exits 1 and says what was violated. Needs a built beck (npm run build).
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '100000' },
    producers: { type: 'string', default: '8' },
    consumers: { type: 'string', default: '8' },
    partitions: { type: 'string', default: '4' },
    seed: { type: 'string', default: String(Date.now() % 100000) },
    'kill-ms': { type: 'string', default: '60' },
    acks: { type: 'string', default: 'batch' },
  },
})
const records = Number(values.records)
const producers = Number(values.producers)
const consumers = Number(values.consumers)
const killMs = Number(values['kill-ms'])
const beck = fileURLToPath(new URL('../../dist/beck.cjs', import.meta.url))
const store = mkdtempSync(join(tmpdir(), 'beck-chaos-'))
const env = { ...process.env, BECK_STORE: store }
delete env.NODE_EXTRA_CA_CERTS // it costs each process 30 ms

let seed = Number(values.seed)
const random = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return seed / 2 ** 32
}
const pick = (list) => list[Math.floor(random() * list.length)]
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const violations = []
const violated = (what) => violations.push(what)
const run = (...args) => {
  const { stdout, status, stderr } = spawnSync(process.execPath, [beck, ...args], {
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  })
  if (status !== 0) violated(`beck ${args.join(' ')} exits ${status}: ${stderr}`)
  return stdout
}

run('topic', 'create', 't', '--partitions', values.partitions, '--by', 'k', '--segment', '200KB')

const victims = new Set()
let kills = 0
let stops = 0
const phase = { busy: true, polling: true }
/** Kills or stops somebody now and then. */
async function reaper() {
  while (phase.busy) {
    await sleep(random() * 2 * killMs)
    const victim = pick([...victims])
    // One that is killed stays among them until its output is read to the end; it dies once.
    if (!victim || victim.exitCode !== null || victim.wasKilled) continue
    if (random() < 0.4) {
      stops++
      victim.kill('SIGSTOP')
      setTimeout(() => victim.kill('SIGCONT'), random() * 300)
    } else {
      kills++
      victim.wasKilled = true
      victim.killedAt = performance.now()
      victim.kill('SIGKILL')
    }
  }
}

const perProducer = Math.ceil(records / producers)
const lineOf = (p, s) => `{"p":${p},"s":${s},"k":"k${(s * 7919 + p) % 97}","pad":"${'x'.repeat((s * 31) % 90)}"}\n`

/** Gives its whole input again and again, in other pieces each time, until a run ends well. */
async function producer(p) {
  const input = Buffer.from(Array.from({ length: perProducer }, (_, s) => lineOf(p, s)).join(''))
  for (let attempt = 0; ; attempt++) {
    const child = spawn(process.execPath, [beck, 'append', 't', '--producer', `p${p}`, '--acks', values.acks], {
      env,
      stdio: ['pipe', 'ignore', 'pipe'],
    })
    victims.add(child)
    let stderr = ''
    child.stderr.on('data', (data) => (stderr += data))
    child.stdin.on('error', () => {})
    const ended = new Promise((resolve) => child.on('close', (code) => resolve(code)))
    const most = 1 + Math.floor(random() * 60_000)
    for (let at = 0; at < input.length && child.exitCode === null && !child.wasKilled;) {
      const to = Math.min(input.length, at + 1 + Math.floor(random() * most))
      if (!child.stdin.write(input.subarray(at, to))) {
        await Promise.race([new Promise((resolve) => child.stdin.once('drain', resolve)), ended])
      }
      at = to
      if (random() < 0.2) await sleep(random() * 8)
    }
    child.stdin.end()
    const code = await ended
    victims.delete(child)
    if (code === 0) return
    if (code !== null) return violated(`producer ${p} exits ${code}: ${stderr}`)
  }
}

/** What each life of a consumer has delivered: `p/s` of whole lines. */
const lives = []
async function consumer(c) {
  for (let life = 0; phase.busy; life++) {
    const child = spawn(
      process.execPath,
      [beck, 'consume', 't', '--group', 'g', '--follow', '--member', `c${c}-${life}`],
      {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    const record = { child, delivered: [] }
    lives.push(record)
    let rest = ''
    let stderr = ''
    child.stdout.setEncoding('latin1')
    child.stdout.on('data', (data) => {
      const lines = (rest + data).split('\n')
      rest = lines.pop()
      for (const line of lines) {
        const { p, s } = JSON.parse(line)
        record.delivered.push({ id: p * perProducer + s, time: performance.now() })
      }
    })
    child.stderr.on('data', (data) => (stderr += data))
    victims.add(child)
    const code = await new Promise((resolve) => child.on('close', (code) => resolve(code)))
    victims.delete(child)
    if (code !== null && code !== 0) violated(`consumer ${c} exits ${code}: ${stderr}`)
  }
}

const started = Date.now()
const reaping = reaper()
const consuming = Array.from({ length: consumers }, (_, c) => consumer(c))
/** Offsets of the group, seen from outside, never go back. */
const seen = new Map()
async function watch() {
  while (phase.polling) {
    const child = spawn(process.execPath, [beck, 'group', 'describe', 'g'], {
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let text = ''
    child.stdout.on('data', (data) => (text += data))
    await new Promise((resolve) => child.on('close', resolve))
    for (const { partition, offset } of text ? JSON.parse(text).partitions : []) {
      if ((offset ?? 0) < (seen.get(partition) ?? 0))
        violated(`the offset of partition ${partition} went from ${seen.get(partition)} to ${offset}`)
      seen.set(partition, offset ?? 0)
    }
    await sleep(300)
  }
}
const watching = watch()
await Promise.all(Array.from({ length: producers }, (_, p) => producer(p)))
const produced = Date.now() - started
// Let the consumers drain, with no more kills.
phase.busy = false
await reaping
for (let waited = 0; ; waited++) {
  for (const child of victims) child.kill('SIGCONT')
  const { partitions } = JSON.parse(run('group', 'describe', 'g'))
  if (partitions.every(({ lag }) => lag === 0)) break
  if (waited > 120) {
    violated(`the consumers do not finish: ${JSON.stringify(partitions)}`)
    break
  }
  await sleep(500)
  // All may have been killed at the end: one more.
  if (victims.size === 0) consuming.push(consumerOnce())
}
async function consumerOnce() {
  const record = { child: {}, delivered: [] }
  lives.push(record)
  for (const line of run('consume', 't', '--group', 'g').split('\n').slice(0, -1)) {
    const { p, s } = JSON.parse(line)
    record.delivered.push({ id: p * perProducer + s, time: performance.now() })
  }
}
await sleep(300)
phase.polling = false
await watching
for (const child of victims) child.kill('SIGKILL')
await Promise.all(consuming)

// What is in the topic: all that was acknowledged, once, in order.
const place = new Map()
const last = new Map()
const expected = Array.from({ length: Number(values.partitions) }, () => 0)
for (const line of run('replay', 't', '--meta').split('\n').slice(0, -1)) {
  const { partition, offset, value } = JSON.parse(line)
  const id = value.p * perProducer + value.s
  if (place.has(id)) violated(`producer ${value.p} record ${value.s} is there twice`)
  if (offset !== expected[partition]++) violated(`partition ${partition}: offset ${offset} out of turn`)
  const key = `${value.p}/${partition}`
  if (value.s <= (last.get(key) ?? -1)) violated(`partition ${partition}: producer ${value.p} re-ordered at ${value.s}`)
  last.set(key, value.s)
  place.set(id, [partition, offset])
}
for (let id = 0; id < producers * perProducer; id++) if (!place.has(id)) violated(`record ${id} is lost`)
for (const line of run('topic', 'verify', 't').split('\n').slice(0, -1)) if (!JSON.parse(line).ok) violated(line)

// What was delivered: everything; in order within a partition and a life; twice only after a kill.
const deliveredBy = new Map()
let duplicates = 0
/** One of the two was dead when the other delivered it; which life began first says nothing. */
const inTurn = (a, b) => (a.child.killedAt ?? Infinity) <= b.time || (b.child.killedAt ?? Infinity) <= a.time
for (const { child, delivered } of lives) {
  const at = new Map()
  for (const { id, time } of delivered) {
    const [partition, offset] = place.get(id) ?? [-1, -1]
    if (offset <= (at.get(partition) ?? -1))
      violated(`a consumer got offset ${offset} of partition ${partition} after ${at.get(partition)}`)
    at.set(partition, offset)
    const others = deliveredBy.get(id) ?? []
    for (const other of others) {
      duplicates++
      if (!inTurn(other, { child, time }))
        violated(`record ${id} was delivered by two members, and none was killed before: owned twice`)
    }
    deliveredBy.set(id, [...others, { child, time }])
  }
}
for (const id of place.keys()) if (!deliveredBy.has(id)) violated(`record ${id} was never delivered`)

rmSync(store, { recursive: true, force: true })
writeSync(
  1,
  `${producers} × ${consumers}, ${place.size} records, ${kills} kills, ${stops} stops, ${lives.length} consumer lives, ${duplicates} redelivered, ${(produced / 1000).toFixed(1)} s, seed ${values.seed}: ${violations.length} violations\n`,
)
for (const what of violations.slice(0, 20)) writeSync(2, `${what}\n`)
process.exit(violations.length > 0 ? 1 : 0)
