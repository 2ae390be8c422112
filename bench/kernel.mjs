#!/usr/bin/env node
// What the scanner costs by itself, step by step: node bench/kernel.mjs [FILE] (default bench/data/clicks.ndjson, see bench/clicks.mjs).
// Scans the first 100 MiB 15 times, takes each block's best time, and scales the sum to 409 MB, so that a busy machine hardly shows.
import { build } from 'esbuild'
import { mkdtempSync, openSync, readSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const file = process.argv[2] ?? join(here, 'data/clicks.ndjson')
const folder = mkdtempSync(join(tmpdir(), 'beck-kernel-'))
const outfile = join(folder, 'ndjson.cjs')
await build({
  entryPoints: [join(here, '../src/ndjson/index.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20.19',
  loader: { '.wasm': 'binary' },
})
const { createScanner } = createRequire(import.meta.url)(outfile)
rmSync(folder, { recursive: true })

const mask = (batch) => {
  const { values } = batch.numbers(0)
  const kept = new Uint8Array(batch.count)
  for (let row = 0; row < kept.length; row++) kept[row] = values[row] >= 500 ? 1 : 0
  return kept
}
const template = (batch) => ({
  members: [
    { name: 'path', value: { kind: 'field', field: 0 } },
    { name: 'slow', value: { kind: 'flags', flags: batch.kinds(0) } },
  ],
})
/** Fields, and steps by name; a step gets the batch, the key table and what the step before it gave. */
const jobs = [
  [[], {}],
  [
    ['path', 'latency_ms'],
    {
      intern: (batch, table) => table.intern(batch),
      numbers: (batch) => batch.numbers(1),
      decimals: (batch) => batch.decimals(1),
    },
  ],
  [['user_id'], { intern: (batch, table) => table.intern(batch) }],
  [['status'], { compare: mask, lines: (batch, _, kept) => batch.lines(kept, 0, batch.count) }],
  [['path', 'latency_ms'], { render: (batch) => batch.render(template(batch), 0, batch.count) }],
  [['tags', 'region'], { kinds: (batch) => batch.kinds(0) }, 'nested'],
  [['path'], {}, 'strict'],
]

const descriptor = openSync(file)
const LIMIT = 100 << 20
for (const [fields, steps, how] of jobs) {
  const reads = how === 'nested' ? [fields] : fields.map((name) => [name])
  const scanner = createScanner({ reads, strict: how === 'strict' })
  const table = scanner.keyTable([0])
  const best = { read: [], scan: [] }
  let bytes = 0
  for (let run = 0; run < 15; run++) {
    scanner.begin({ file, base: 0, lineAt: () => 1 })
    table.clear()
    bytes = 0
    for (let block = 0; bytes < LIMIT; block++) {
      let before = performance.now()
      const lap = (name) => {
        const now = performance.now()
        const times = (best[name] ??= [])
        times[block] = Math.min(times[block] ?? Infinity, now - before)
        before = performance.now()
      }
      const room = scanner.room()
      const length = readSync(descriptor, room, 0, room.length, bytes)
      if (length === 0) break
      bytes += length
      lap('read')
      const { batch } = scanner.scan(length, false)
      lap('scan')
      let result
      for (const [name, step] of Object.entries(steps)) {
        result = step(batch, table, result)
        lap(name)
      }
    }
  }
  const times = Object.entries(best).map(([name, blocks]) => {
    const sum = blocks.reduce((total, time) => total + time, 0)
    return `${name} ${Math.round((sum / bytes) * 408_959_102)}`
  })
  console.log(
    `${(how === 'nested' ? fields.join('.') : fields.join(', ')) || 'no field'}${how === 'strict' ? ', strict' : ''}: ${times.join(' · ')} ms`,
  )
}
