#!/usr/bin/env node
// Shows that each guard of the store is needed: takes one sync, checksum or fence away at a time and expects the tests to fail.
// Usage: mutations.mjs ['WORD|WORD' [FROM COUNT]]: only those whose name has such a word, and of these COUNT from the FROM-th (0 is the first).
// Works on a copy; takes about half an hour for all. Exits 1 if a guard is not missed.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Name, file in src/log, what to replace, by what. `nth`: which of several. */
const mutations = [
  [
    'sync of a segment',
    'store.ts',
    'named(layout.records(this.folder, name, stem), () => this.env.sync(segment.records))',
    '',
  ],
  [
    'sync of an index',
    'store.ts',
    'named(layout.index(this.folder, name, stem), () => this.env.sync(segment.index))',
    '',
  ],
  ['sync of a new segment’s folder', 'store.ts', 'if (created) this.env.syncFolder(', 'if (created) void ('],
  ['sync of unsynced segments before a synced line', 'store.ts', 'if (transaction.deletes(name)) continue', 'continue'],
  ['sync before the journal rolls', 'store.ts', 'this.syncAll(unsyncable)', ''],
  ['sync of the journal’s folder of a new store', 'store.ts', 'env.syncFolder(layout.journal(folder))', ''],
  ['sync of the new store’s folder', 'store.ts', 'env.syncFolder(folder)\n', '\n'],
  ['sync of the folder that holds a new store', 'store.ts', 'env.syncFolder(parentOf(folder))', ''],
  ['sync of a journal line', 'journal.ts', 'named(this.path, () => this.env.sync(fd))', ''],
  ['sync of a new journal file', 'journal.ts', 'env.sync(fd)\n      env.rename', 'env.rename'],
  ['sync of the journal’s folder', 'journal.ts', 'env.syncFolder(folder)', ''],
  ['sync of store.json and topic.json', 'env.ts', 'env.sync(fd)', ''],
  ['sync of the folder of store.json and topic.json', 'env.ts', 'env.syncFolder(folder)', ''],
  [
    'sync of a new topic’s folder',
    'topics.ts',
    'env.syncFolder(layout.topics(folder))\n  transaction.topic(name, config)',
    'transaction.topic(name, config)',
  ],
  [
    'sync of a topic’s new name',
    'topics.ts',
    'env.syncFolder(layout.topics(folder))\n  transaction.topic(name, null)',
    'transaction.topic(name, null)',
  ],
  [
    'sync of the journal’s folder after a death',
    'recovery.ts',
    'if (cause.fromDead) env.syncFolder(layout.journal(store))',
    '',
  ],
  ['sync of compacted records', 'compaction.ts', 'this.env.sync(records)', ''],
  ['sync of a compacted index', 'compaction.ts', 'this.env.sync(index)', ''],
  ['sync of the folder of compacted segments', 'compaction.ts', 'this.env.syncFolder(', 'void ('],
  [
    'sync of a rehomed index',
    'rehome.ts',
    'writeAll(env, target, bytes.subarray(0, readAll(env, source, bytes, 0)), 0)\n    env.sync(target)',
    'writeAll(env, target, bytes.subarray(0, readAll(env, source, bytes, 0)), 0)',
  ],
  ['sync of rehomed records', 'rehome.ts', 'env.sync(target)\n    return true', 'return true'],
  ['sync of the folder of rehomed segments', 'rehome.ts', 'env.syncFolder(', 'void ('],
  ['sync of an identity', 'lock.ts', 'env.sync(fd)', ''],
  ['offsets always sync', 'transaction.ts', 'this.line.o !== undefined ||', ''],
  ['what frees files always syncs', 'transaction.ts', 'this.unlinks.length > 0 || this.after.length > 0 ||', ''],
  [
    'a failed sync replaces the segment',
    'store.ts',
    'const copy = rehome(',
    'const copy = ((..._: unknown[]) => undefined)(',
  ],
  [
    'a failed sync replaces the journal',
    'journal.ts',
    "if (stage === 'sync') this.roll(",
    "if (stage === 'sync' && Math.random() > 2) this.roll(",
  ],
  ['a failed write takes the segment back', 'store.ts', 'transaction.takeBack()', ''],
  [
    'a failed roll takes the new name back',
    'journal.ts',
    'for (const name of [temporary, `${folder}/${padded(n)}.ndjson`])',
    'for (const name of [temporary])',
  ],
  [
    'checksum of a journal line',
    'journal.ts',
    'if (!text.endsWith(`,"crc":"${crc32(bytes.subarray(0, body)).toString(16).padStart(8, \'0\')}"}`)) return undefined',
    '',
  ],
  ['number of a journal line', 'journal.ts', ': line.n !== this.state.n + 1', ': false'],
  ['checksum of an index entry', 'index-file.ts', 'if (crc32(entry) !== crc) return undefined', 'void crc'],
  [
    'checksum of records that are read',
    'reader.ts',
    'bytes.length === batch.length && crc32(bytes) === batch.crc',
    'bytes.length === batch.length && crc32(bytes) >= 0',
  ],
  ['checksum of records in verify', 'verify.ts', 'crc32(bytes) !== batch.crc', 'crc32(bytes) < 0'],
  [
    'checksum after a reboot',
    'recovery.ts',
    'crc32(bytes) !== crc) return false',
    'crc32(bytes) + crc < 0) return false',
  ],
  ['checksum of a copy', 'rehome.ts', 'crc32(bytes) !== batch.crc', 'crc32(bytes) < 0'],
  [
    'checksum of store.json',
    'store.ts',
    'if (text === formatMark()) return true',
    'if (text.length === formatMark().length) return true',
  ],
  [
    'checksum of an identity',
    'lock.ts',
    'return crc === `${crc32(text).toString(16)}\\n` ?',
    'return crc !== undefined && crc32(text) >= 0 ?',
  ],
  ['fence: the lock is still ours', 'store.ts', 'if (!lock.stillHeld())', 'if (lock.generation === 0)'],
  [
    'fence: rivals after linking',
    'lock.ts',
    'if (others.some((other) => generationOf(other) >= generation))',
    'if (others.length < 0)',
  ],
  [
    'fence: a lock is taken from the dead only',
    'lock.ts',
    "if (holder !== 'gone' && liveness === 'dead')",
    "if (holder !== 'gone')",
  ],
  ['fence: a producer’s epoch', 'producer.ts', '?.[0] !== this.epoch', '?.[0] === -1'],
  ['fence: a member that is out', 'groups.ts', 'if (!this.isIn) throw this.fenced()', ''],
  ['fence: a partition of another member', 'groups.ts', 'if (owners[name] !== this.member.id) throw this.fenced()', ''],
  [
    'fence: a life of a member',
    'groups.ts',
    'id === this.member.id && life === this.member.life',
    'id === this.member.id',
  ],
  [
    'a tail of unknown origin is left alone',
    'transaction.ts',
    'return length === last.length ? segment : undefined',
    'return segment',
  ],
  ['missing bytes are told', 'transaction.ts', 'if (length < last.length) throw', 'if (length < 0) throw'],
  ['recovery cuts tails', 'recovery.ts', 'if (length > committed) env.truncate(fd, committed)', ''],
  ['recovery cuts the journal after a reboot', 'recovery.ts', 'journal.cut(at)', ''],
  ['recovery finishes deletions', 'recovery.ts', 'finishDeletions(env, store, journal.state.topics)', ''],
  [
    'recovery removes what no commit names',
    'recovery.ts',
    'removeIfThere(env, `${layout.partition(store, name)}/${file}`)',
    'void 0',
  ],
]

const root = fileURLToPath(new URL('../..', import.meta.url))
const copy = mkdtempSync(join(tmpdir(), 'beck-mutations-'))
for (const part of ['src', 'test/crash', 'test/log', 'package.json', 'tsconfig.json']) {
  cpSync(join(root, part), join(copy, part), { recursive: true })
}
// No bundle is needed here, so none is built.
const config = readFileSync(join(root, 'vitest.config.ts'), 'utf8').replace(/ *globalSetup.*\n/, '')
writeFileSync(join(copy, 'vitest.config.ts'), config)
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
const vitest = join(root, 'node_modules/.bin/vitest')
/** Tests of the built program: there is none here. */
const programs = ['parallel-append', 'pipelines'].flatMap((name) => ['--exclude', `test/log/${name}.test.ts`])
const failingTests = () => {
  const { stdout, stderr, status } = spawnSync(
    vitest,
    ['run', 'test/crash/crash.test.ts', 'test/log', ...programs, '--bail=1', '--reporter=dot'],
    {
      cwd: copy,
      encoding: 'utf8',
      env: { ...process.env, NO_COLOR: '1' },
    },
  )
  return status === 0 ? undefined : (/FAIL +(.*)/.exec(stdout + stderr)?.[1] ?? 'it does not run')
}

let missed = 0
const [only = '', begin = '0', most = '1000'] = process.argv.slice(2)
const already = failingTests()
if (already) throw new Error(`the tests fail without any mutation: ${already}`)
const words = only.split('|')
const chosen = mutations.filter(([name]) => words.some((word) => name.includes(word)))
for (const [name, file, from, to] of chosen.slice(Number(begin), Number(begin) + Number(most))) {
  const path = join(copy, 'src/log', file)
  const source = readFileSync(path, 'utf8')
  const count = source.split(from).length - 1
  if (count === 0) throw new Error(`${name}: ${file} has no longer: ${from}`)
  writeFileSync(path, source.replaceAll(from, to))
  const failure = failingTests()
  writeFileSync(path, source)
  if (failure && !failure.includes(' > ')) throw new Error(`${name}: the mutated source does not load: ${failure}`)
  if (!failure) missed++
  writeSync(1, `${failure ? 'seen  ' : 'MISSED'} ${name}${failure ? `: ${failure}` : ''}\n`)
}
rmSync(copy, { recursive: true, force: true })
process.exit(missed > 0 ? 1 : 0)
