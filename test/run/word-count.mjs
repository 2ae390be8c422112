#!/usr/bin/env node
// Counts the words of 1 GB of text (BECK_TEXT_BYTES) in tasks: undisturbed; with a random worker killed every half second; and with the driver
// killed three times and resumed. All three must have the same output, and a resumed job must not do again what is done. Takes some minutes.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const bytes = Number(process.env.BECK_TEXT_BYTES ?? 1e9)
const program = fileURLToPath(new URL('../../dist/beck.cjs', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'beck-words-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const text = join(folder, 'text')
const workers = 2

let seed = Number(process.env.BECK_SEED ?? Date.now() % 2 ** 31)
say(`seed ${seed}`)
const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32

function writeText() {
  const words = Array.from({ length: 50_000 }, (_, i) => `${'abcdefghijklmnopqrstuvwxyz'[i % 26]}${i.toString(36)}`)
  const fd = openSync(text, 'w')
  for (let written = 0; written < bytes;) {
    let piece = ''
    while (piece.length < 1 << 20) {
      // Few words are most of the text.
      for (let i = 0; i < 12; i++) piece += `${words[Math.floor(words.length * random() ** 4)]} `
      piece += '\n'
    }
    writeSync(fd, piece)
    written += piece.length
  }
  closeSync(fd)
}

/** Runs a job, and lets `disturb` at it. */
function run(words, disturb = () => () => {}) {
  const child = spawn(process.execPath, [program, 'run', '--workers', String(workers), '--stats', 'json', ...words], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (piece) => (stderr += piece))
  const calm = disturb(child)
  return new Promise((resolve) =>
    child.once('close', (exit, signal) => {
      calm()
      const stats = /^\{"phases".*$/m.exec(stderr)?.[0]
      resolve({ exit, signal, stderr, phases: stats ? JSON.parse(stats).phases : [] })
    }),
  )
}

const digest = (out) => {
  const hash = createHash('sha256')
  const files = readdirSync(join(folder, out)).toSorted()
  for (const file of files) hash.update(file).update(readFileSync(join(folder, out, file)))
  return hash.digest('hex')
}
function say(line) {
  writeSync(1, `${line}\n`)
}
function check(condition, what) {
  say(`${condition ? 'ok    ' : 'FAILED'} ${what}`)
  if (!condition) process.exitCode = 1
}
const sum = (phases, what) => phases.reduce((total, phase) => total + phase[what], 0)
const job = (out) => [
  '--mode',
  'parallel',
  '--out',
  out,
  '--attempts',
  '1000',
  '--split',
  '4MiB',
  'from words text | shuffle --by word --partitions 8 | reduce count --by word',
]

writeText()
let started = Date.now()
const plain = await run(job('plain'))
check(plain.exit === 0, `undisturbed: ${sum(plain.phases, 'tasks')} tasks, ${(Date.now() - started) / 1000} s`)
const expected = digest('plain')

started = Date.now()
let kills = 0
const killed = await run(job('killed'), (driver) => {
  const timer = setInterval(() => {
    const children = readFileSync(`/proc/${driver.pid}/task/${driver.pid}/children`, 'latin1')
      .split(' ')
      .filter(Boolean)
    if (children.length === 0) return
    kills++
    process.kill(Number(children[Math.floor(random() * children.length)]), 'SIGKILL')
  }, 500)
  return () => clearInterval(timer)
})
check(
  killed.exit === 0 && digest('killed') === expected,
  `${kills} workers killed: ${sum(killed.phases, 'retried')} tasks done again, ${(Date.now() - started) / 1000} s`,
)

started = Date.now()
let finished = 0
let resumed = await run(job('resumed'), killLater)
for (let death = 1; death <= 3; death++) {
  check(resumed.signal === 'SIGKILL', `the driver was killed before its end (${death})`)
  finished = readFileSync(join(folder, 'resumed/_job/journal'), 'utf8').split('\n').length - 2
  resumed = await run(['--resume', 'resumed', '--attempts', '1000'], death < 3 ? killLater : undefined)
}
check(
  resumed.exit === 0 && digest('resumed') === expected,
  `the driver killed three times: the same output, ${(Date.now() - started) / 1000} s`,
)
check(sum(resumed.phases, 'resumed') === finished, `${finished} tasks were done, and were not done again`)

function killLater(driver) {
  const timer = setTimeout(() => driver.kill('SIGKILL'), 1500 + random() * 1500)
  return () => clearTimeout(timer)
}
