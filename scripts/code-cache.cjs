#!/usr/bin/env node
// Usage: code-cache.cjs BUNDLE CACHE: runs the bundle for a few everyday commands and keeps what V8 compiled.
'use strict'
const { EventEmitter } = require('node:events')
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { setFlagsFromString } = require('node:v8')
const { Script } = require('node:vm')

const [bundle, cache] = process.argv.slice(2)
// What has not run for a while would not be kept. Set back before the cache is made, since that holds for one set of flags.
setFlagsFromString('--no-flush-bytecode')
const script = new Script(readFileSync(bundle, 'latin1'), { filename: 'main.cjs' }) // the cache keeps the name
const start = script.runInThisContext()
const folder = mkdtempSync(join(tmpdir(), 'beck-cache-'))
const input = join(folder, 'input.ndjson')
writeFileSync(input, '{"a":1,"b":"x","t":"2026-01-01T00:00:00Z"}\n')
// Enough for a second thread.
const large = join(folder, 'large.ndjson')
writeFileSync(large, '{"a":1.5,"b":"x","c":200,"t":"2026-01-01T00:00:00Z"}\n'.repeat(33 * 20_000))
const commandLines = [
  ['--version'],
  ['filter', 'r.a > 0', input],
  ['map', '{b: r.b}', input],
  ['map', 'r => ({...r, c: r.a + 1})', input],
  ['reduce', 'count, avg(a), p90(a)', '--by', 'b', input],
  ['sort', '--by', '-a', '--limit', '3', input],
  ['window', 'count', '--time', 't', '--tumbling', '1m', input],
  ['from', 'lines', input],
  ['run', `filter 'r.a > 0' ${input} | reduce count --by b | sort --by -count`],
  ['to', 'table', input],
  ['append', 'topic', '--store', join(folder, 'store'), input],
  ['replay', 'topic', '--store', join(folder, 'store')],
  ['reduce', 'count, avg(a)', '--by', 'b', '--workers', '2', large],
  ['reduce', 'count', '--by', 'b', '--workers', '2', large],
  ['filter', 'r.c > 500', '--workers', '2', large],
  ['window', 'count', '--time', 't', '--tumbling', '1m', '--by', 'c', '--workers', '2', large],
  ['run', `filter 'r.c > 500' --workers 2 ${large} | reduce count --by b --workers 2`],
]

// What other threads run is to be in the cache as well: here they are more programs in this one.
const threads = require('node:worker_threads')
threads.Worker = class extends EventEmitter {
  #port = new EventEmitter()
  constructor(program, { argv }) {
    super()
    this.#port.postMessage = (message) => this.emit('message', structuredClone(message))
    threads.parentPort = this.#port
    process.argv.splice(2, Infinity, ...argv)
    start(module.exports, require, module, 'main.cjs', undefined)
    process.argv.splice(1, Infinity, 'beck', ...words)
  }
  postMessage(task) {
    setImmediate(() => this.#port.emit('message', task))
  }
}

// The bundle ends the process when a command is done: here the next command line follows. Each listens for the end of its own.
process.setMaxListeners(0)
const exit = process.exit
let words
function next(code = 0) {
  if (code !== 0) throw new Error(`exit ${code} from beck ${words.join(' ')}`)
  words = commandLines.shift()
  if (words) {
    process.argv.splice(1, Infinity, 'beck', ...words)
    start(module.exports, require, module, 'main.cjs', undefined)
  } else {
    rmSync(folder, { recursive: true })
    setFlagsFromString('--flush-bytecode')
    writeFileSync(cache, script.createCachedData())
    exit(0)
  }
}
process.exit = (code) => setImmediate(next, code)
next()
