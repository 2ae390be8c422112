// Stores that would take long to make by commands, written by hand as docs/log-format.md says.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

const hex = (text) => crc32(text).toString(16).padStart(8, '0')
const seal = (value) => {
  const body = JSON.stringify(value).slice(0, -1)
  return `${body},"crc":"${hex(body)}"}\n`
}
const stem = '0'.repeat(20)

function store(folder, lines, first) {
  rmSync(folder, { recursive: true, force: true })
  for (const part of ['lock', 'journal', 'topics']) mkdirSync(join(folder, part), { recursive: true })
  writeFileSync(join(folder, `journal/${String(first).padStart(20, '0')}.ndjson`), lines)
  const mark = '{"format":"beck store","version":1'
  writeFileSync(join(folder, 'store.json'), `${mark},"crc":"${hex(mark)}"}\n`)
}

// With this boot's id: after a reboot, commits that were not synced would be verified first, and these cut.
const state = (n, topics) => ({
  n,
  gen: n,
  at: Date.now(),
  boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  sync: true,
  state: { topics, groups: {}, producers: {}, handles: {} },
})

/** A topic `t` after 1,000,000 commits of one record each, with a journal that is about to be replaced: as long as it gets. */
export function manyCommits(folder) {
  const record = '{"a":1}\n'
  const crc = crc32(record)
  const commits = 1_000_000
  const inJournal = 4000
  const first = commits - inJournal
  const before = first - 1
  const topics = {
    t: { config: { partitions: 1 }, partitions: [[0, before, 0, [[stem, 0, before, before * 8, before, Date.now()]]]] },
  }
  let lines = seal(state(first, topics))
  for (let n = first + 1; n <= commits; n++) {
    const records = n - 2
    lines += seal({ n, gen: n, at: Date.now(), w: { 't/0': [stem, records * 8, 8, 1, crc, records + 1] } })
  }
  store(folder, lines, first)
  mkdirSync(join(folder, 'topics/t/0'), { recursive: true })
  writeFileSync(join(folder, `topics/t/0/${stem}.ndjson`), record.repeat(commits - 1))
  // The index is never read by an append.
  writeFileSync(join(folder, `topics/t/0/${stem}.idx`), Buffer.alloc((commits - 1) * 80))
}
