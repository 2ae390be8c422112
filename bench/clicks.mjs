#!/usr/bin/env node
// Deterministic click-stream generator for the benchmarks. Usage: clicks.mjs RECORDS > clicks.ndjson
// About 204 bytes a record; 5 % of the records are up to one minute late; about 69,000 users, 1,009 paths.
import { writeSync } from 'node:fs'

const records = Number(process.argv[2] ?? 2_000_000)
let seed = 12345
const random = () => {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
  return seed / 4294967296
}
const pick = (list) => list[Math.floor(random() * list.length)]
const paths = [
  '/',
  '/home',
  '/cart',
  '/checkout',
  '/search',
  '/product/',
  '/api/v1/items',
  '/login',
  '/logout',
  '/static/app.js',
]
const agents = [
  'Mozilla/5.0 (X11; Linux x86_64)',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)',
  'curl/8.4.0',
  'Googlebot/2.1 (+http://www.google.com/bot.html)',
]

function write(text) {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at)
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error
    }
  }
}

let time = Date.UTC(2026, 0, 1)
let chunk = ''
for (let i = 0; i < records; i++) {
  time += Math.floor(random() * 20)
  const user = 'u' + Math.floor(random() ** 3 * 100_000)
  const late = random() < 0.05 ? Math.floor(random() * 60_000) : 0
  const path = pick(paths)
  const status = random() < 0.03 ? 500 : random() < 0.08 ? 404 : 200
  chunk +=
    JSON.stringify({
      ts: new Date(time - late).toISOString(),
      user_id: user,
      method: random() < 0.9 ? 'GET' : 'POST',
      path: path.endsWith('/') && path.length > 1 ? path + Math.floor(random() * 1000) : path,
      status,
      bytes: Math.floor(random() * 50_000),
      latency_ms: Math.round(random() * 1e5) / 100,
      ua: pick(agents),
      tags: { region: pick(['eu', 'us', 'ap']), exp: Math.floor(random() * 10) },
    }) + '\n'
  if (chunk.length > 1 << 20) {
    write(chunk)
    chunk = ''
  }
}
write(chunk)
