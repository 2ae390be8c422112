#!/usr/bin/env node
// Counts the words of 1 GB of text (BECK_TEXT_BYTES) in tasks: undisturbed; with a random worker killed every half second; with the driver killed
// three times and resumed; and on a disk that is too small, until it is made larger. All must have the same output, which never shows by halves,
// and a resumed job must not do again what is done. Takes some minutes.
//
// Usage: word-count.mjs [killed] [resumed] [full]: these parts; default all. BECK_WORDS=DIR keeps the text and the undisturbed output for the next part.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const bytes = Number(process.env.BECK_TEXT_BYTES ?? 1e9)
const program = fileURLToPath(new URL('../../dist/beck.cjs', import.meta.url))
const kept = process.env.BECK_WORDS
const folder = kept ?? mkdtempSync(join(tmpdir(), 'beck-words-'))
if (!kept) process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
mkdirSync(folder, { recursive: true })
const text = join(folder, 'text')
const workers = 2
const wanted = process.argv.slice(2)
const parts = wanted.length > 0 ? wanted : ['killed', 'resumed', 'full']

let seed = Number(process.env.BECK_SEED ?? Date.now() % 2 ** 31)
say(`seed ${seed}`)
const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32

function writeText() {
  const words = Array.from({ length: 50_000 }, (_, i) => `${'abcdefghijklmnopqrstuvwxyz'[i % 26]}${i.toString(36)}`)
  const fd = openSync(`${text}.fresh`, 'w')
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
  renameSync(`${text}.fresh`, text)
}

/** Runs a job whose output is in `out`, and lets `disturb` at it. */
function run(out, words, disturb = () => () => {}) {
  const child = spawn(process.execPath, [program, 'run', '--workers', String(workers), '--stats', 'json', ...words], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (piece) => (stderr += piece))
  const calm = disturb(child)
  const seen = watch(out)
  return new Promise((resolve) =>
    child.once('close', (exit, signal) => {
      calm()
      seen()
      const stats = /^\{"phases".*$/m.exec(stderr)?.[0]
      resolve({ exit, signal, stderr, phases: stats ? JSON.parse(stats).phases : [] })
    }),
  )
}

/** What of an output was visible while it was made, by path: as it was when it was seen first. */
const visible = new Map()
function watch(out) {
  const look = () => {
    const names = existsSync(out) ? readdirSync(out).filter((name) => name !== '_job') : []
    for (const name of names) {
      const path = join(out, name)
      if (!visible.has(path)) visible.set(path, describe(path))
      // Listed before the parts are looked for again.
      if (name === '_SUCCESS') visible.set(`${out} complete`, readdirSync(out).filter(isPart).length)
    }
  }
  const timer = setInterval(look, 5)
  return () => clearInterval(timer)
}
const describe = (path) => {
  const { ino, size, mtimeMs } = statSync(path)
  return `${ino} ${size} ${mtimeMs}`
}
const isPart = (name) => name.startsWith('part-')
/** Nothing that was seen has changed afterwards, and the mark came last. */
function checkVisible(out) {
  const seen = [...visible].filter(([path]) => path.startsWith(`${out}/`))
  const complete = visible.get(`${out} complete`) ?? 8
  check(complete === 8 && seen.every(([path, was]) => describe(path) === was), `${out}: nothing half was visible`)
}

const digest = (out) => {
  const hash = createHash('sha256')
  for (const file of readdirSync(out).toSorted()) hash.update(file).update(readFileSync(join(out, file)))
  return hash.digest('hex')
}
function say(line) {
  writeSync(1, `${line}\n`)
}
function check(condition, what, more = '') {
  say(`${condition ? 'ok    ' : 'FAILED'} ${what}${condition ? '' : `\n${more}`}`)
  if (!condition) process.exitCode = 1
}
const sum = (phases, what) => phases.reduce((total, phase) => total + phase[what], 0)
// So small that a worker that lives a second does some, so large that there are not thousands.
const split = Math.max(4 << 20, Math.round(bytes / 128))
const mapTasks = Math.ceil(bytes / split)
const job = (out) => [
  '--mode',
  'parallel',
  '--out',
  out,
  '--attempts',
  '1000',
  '--split',
  String(split),
  `from words ${text} | shuffle --by word --partitions 8 | reduce count --by word`,
]
const fresh = (name) => {
  const out = join(folder, name)
  rmSync(out, { recursive: true, force: true })
  return out
}
const since = (started) => `${((Date.now() - started) / 1000).toFixed(1)} s`
/** Tasks that a job which has been stopped has done: lines of its journal behind the header. */
const doneBy = (out) => readFileSync(join(out, '_job/journal'), 'utf8').split('\n').length - 2

/** The right answer, without beck: words in no order. */
function rightCounts() {
  const file = join(folder, 'right')
  if (existsSync(file)) return readFileSync(file, 'latin1')
  const counting = `tr -s ' \\n' '\\n\\n' < "$0" | LC_ALL=C awk 'NF { n[$0]++ } END { for (w in n) print "{\\"word\\":\\"" w "\\",\\"count\\":" n[w] "}" }' | LC_ALL=C sort`
  const { stdout } = spawnSync('sh', ['-c', counting, text], { maxBuffer: 1 << 28 })
  writeFileSync(file, stdout)
  return stdout.toString('latin1')
}

const plainOut = join(folder, 'plain')
if (!existsSync(text)) writeText()
if (!existsSync(join(plainOut, '_SUCCESS'))) {
  const started = Date.now()
  const plain = await run(plainOut, job(fresh('plain')))
  check(plain.exit === 0, `undisturbed: ${sum(plain.phases, 'tasks')} tasks, ${since(started)}`, plain.stderr)
  checkVisible(plainOut)
  const lines = readdirSync(plainOut)
    .filter(isPart)
    .flatMap((name) => readFileSync(join(plainOut, name), 'latin1').split('\n').filter(Boolean))
  // Both are ASCII.
  check(`${lines.toSorted().join('\n')}\n` === rightCounts(), 'undisturbed: the counts of awk')
}
const expected = digest(plainOut)

if (parts.includes('killed')) {
  const out = fresh('killed')
  const started = Date.now()
  let kills = 0
  const killed = await run(out, job(out), (driver) => {
    const timer = setInterval(() => {
      const file = `/proc/${driver.pid}/task/${driver.pid}/children`
      const children = existsSync(file) ? readFileSync(file, 'latin1').split(' ').filter(Boolean) : []
      if (children.length === 0) return
      kills++
      process.kill(Number(children[Math.floor(random() * children.length)]), 'SIGKILL')
    }, 500)
    return () => clearInterval(timer)
  })
  check(
    killed.exit === 0 && digest(out) === expected,
    `${kills} workers killed: ${sum(killed.phases, 'retried')} tasks done again, ${since(started)}`,
    killed.stderr,
  )
  checkVisible(out)
}

if (parts.includes('resumed')) {
  const out = fresh('resumed')
  const started = Date.now()
  let finished = 0
  let resumed = await run(out, job(out), killAt(out, 1))
  for (let death = 1; death <= 3; death++) {
    check(resumed.signal === 'SIGKILL', `the driver was killed before its end (${death})`, resumed.stderr)
    finished = doneBy(out)
    resumed = await run(out, ['--resume', out, '--attempts', '1000'], death < 3 ? killAt(out, death + 1) : undefined)
  }
  check(
    resumed.exit === 0 && digest(out) === expected,
    `the driver killed three times: the same output, ${since(started)}`,
    resumed.stderr,
  )
  check(sum(resumed.phases, 'resumed') === finished, `${finished} tasks were done, and were not done again`)
  checkVisible(out)
}

if (parts.includes('full')) await onFullDisk()

/** What tasks hand on is about a fifth of the text: a disk of a tenth is too small. */
async function onFullDisk() {
  const disk = join(folder, 'disk')
  mkdirSync(disk, { recursive: true })
  const mount = (...words) => spawnSync('mount', [...words, disk]).status === 0
  if (!mount('-t', 'tmpfs', '-o', `size=${Math.ceil(bytes / 10)}`, 'tmpfs')) {
    say('left out: a full disk, since nothing can be mounted here')
    return
  }
  // Before the folder is removed.
  process.prependListener('exit', () => spawnSync('umount', [disk]))
  const out = join(disk, 'out')
  const started = Date.now()
  const full = await run(out, job(out))
  check(
    full.exit === 3 &&
      /: no space left on the device/.test(full.stderr) &&
      full.stderr.includes('go on with: beck run --resume'),
    `a disk that fills up: ${full.stderr.trim().split('\n')[0]}`,
    full.stderr,
  )
  check(readdirSync(out).join() === '_job', 'a disk that fills up: no output')
  const finished = doneBy(out)
  check(finished > 0, `${finished} tasks were done before`)
  const again = await run(out, ['--resume', out])
  check(again.exit === 3, 'resumed without space: the same error', again.stderr)
  const still = doneBy(out)
  mount('-o', `remount,size=${bytes}`)
  const resumed = await run(out, ['--resume', out])
  check(
    resumed.exit === 0 && digest(out) === expected,
    `resumed with space: the same output, ${since(started)}`,
    resumed.stderr,
  )
  check(sum(resumed.phases, 'resumed') === still, `${still} tasks were done, and were not done again`)
  checkVisible(out)
}

/** Kills the driver for the first, second or third time: somewhere in that quarter of the map tasks, by its own journal. */
function killAt(out, death) {
  const tasks = ((death - 1 + random()) / 4) * mapTasks
  return (driver) => {
    const timer = setInterval(() => {
      if (existsSync(join(out, '_job/journal')) && doneBy(out) >= tasks) driver.kill('SIGKILL')
    }, 10)
    return () => clearInterval(timer)
  }
}
