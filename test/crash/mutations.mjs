#!/usr/bin/env node
// Shows that each guard of the store is needed: takes one sync, checksum or fence away at a time and expects the tests to fail.
// Usage: mutations.mjs ['WORD|WORD' [FROM COUNT]]: only those whose name has such a word, and of these COUNT from the FROM-th (0 is the first).
// Works on a copy; takes about an hour for all. Exits 1 if a guard is not missed.
import { execFileSync, spawnSync } from 'node:child_process'
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
  ['a commit looks again when others were there', 'store.ts', 'again && this.settled', 'this.settled'],
  ['a commit looks again when the journal has changed', 'store.ts', ' && this.journal.isUnchanged', ''],
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

/** The same beyond the store: name, file, what to replace, by what, and the tests that have to see it. */
const SYNCS = 'test/crash/syncs.test.ts'
const PIPES = 'test/pipeline/exactly-once.test.ts'
const CHANGED = `${PIPES} -t change`
const FRAMES = 'test/pipeline/frames.test.ts'
const JOINED = 'test/pipeline/joined-inputs.test.ts'
const FENCES = 'test/connectors/fences.test.ts'
const EPOCHS = 'test/log/pipelines.test.ts'
const TASKS = 'test/pipeline/framed-stages.test.ts'
const SIDES = 'test/pipeline/side-files.test.ts'
const beyond = [
  ['sync of a snapshot', 'src/pipeline/snapshot.ts', 'env.sync(fd)', '', SYNCS],
  [
    'sync of a snapshot’s folder',
    'src/pipeline/snapshot.ts',
    'env.syncFolder(parent)\n    return { file',
    'return { file',
    SYNCS,
  ],
  [
    'sync of the folders that lead to snapshots',
    'src/pipeline/snapshot.ts',
    'env.syncFolder(parent)\n      parent',
    'parent',
    SYNCS,
  ],
  ['sync of such folders that others have made', 'src/pipeline/snapshot.ts', ' || !isLed', '', SYNCS],
  ['sync of a snapshot by another thread', 'src/pipeline/written-aside.ts', 'fs.fdatasyncSync(fd)', '', SYNCS],
  ['sync of a part', 'src/connectors/file/sink.ts', 'fdatasyncSync(this.fd)', '', SYNCS],
  [
    'sync of a part’s first name',
    'src/connectors/file/sink.ts',
    'realEnv.syncFolder(folder)\n    return',
    'return',
    SYNCS,
  ],
  ['sync of a part’s last name', 'src/pipeline/part-files.ts', 'env.syncFolder(folder)', '', SYNCS],
  [
    'sync of a part’s name without frames',
    'src/connectors/file/sink.ts',
    'temporary))\n        realEnv.syncFolder(folder)',
    'temporary))',
    SYNCS,
  ],
  ['sync of new folders', 'src/core/folders.ts', 'syncFolder(dirname(at))', '', SYNCS],
  ['sync of all new folders', 'src/core/folders.ts', 'first === undefined || at === first', 'true', SYNCS],
  ['sync of a file beside the output', 'src/pipeline/side-files.ts', 'fdatasyncSync(this.#fd)', '0', SYNCS],
  ['sync of its copy', 'src/pipeline/side-files.ts', 'fsyncSync(to)', '', SYNCS],
  ['sync of its name', 'src/pipeline/side-files.ts', 'syncFolder(dirname(this.path))', '', SYNCS],
  ['sync of the output before a commit', 'commands/commit.ts', 'if (this.isFile) fdatasyncSync(1)', '', SYNCS],
  ['sync of a file in a folder of output', 'src/pipeline/output-folder.ts', 'fsyncSync(fd)', '', SYNCS],
  ['sync of names before _SUCCESS', 'src/pipeline/output-folder.ts', 'sync()\n    this', 'this', SYNCS],
  ['sync of _SUCCESS', 'src/pipeline/output-folder.ts', 'finish()\n    sync()', 'finish()', SYNCS],
  ['sync of what a task writes', 'src/run/batch/task.ts', 'if (this.#lasting) fsyncSync(this.#fd)', '', SYNCS],
  ['sync of the folder of what a task writes', 'src/run/batch/job-folder.ts', 'syncFolder(attempt)', 'void 0', SYNCS],
  ['sync of a task’s name', 'src/run/batch/job-folder.ts', 'syncFolder(this.#job)\n', '\n', SYNCS],
  [
    'sync of a line of a job',
    'src/run/batch/job-folder.ts',
    'appendFileSync(fd, line)\n      fsyncSync(fd)',
    'appendFileSync(fd, line)',
    SYNCS,
  ],
  [
    'sync of a job’s header',
    'src/run/batch/job-folder.ts',
    'writeSync(fd, text)\n    fsyncSync(fd)',
    'writeSync(fd, text)',
    SYNCS,
  ],
  ['sync of a job’s journal’s name', 'src/run/batch/job-folder.ts', 'syncFolder(folder.#job)', '', SYNCS],
  [
    'sync of the names of a job’s output',
    'src/run/batch/job-folder.ts',
    'syncFolder(out)\n        closeSync',
    'closeSync',
    SYNCS,
  ],
  ['sync of a job’s _SUCCESS', 'src/run/batch/job-folder.ts', "'w'))\n        syncFolder(out)", "'w'))", SYNCS],
  ['sync of an SQLite file', 'src/connectors/sqlite/database.ts', 'synchronous = EXTRA', 'synchronous = OFF', SYNCS],
  [
    'sync of an SQLite journal’s end',
    'src/connectors/sqlite/database.ts',
    'synchronous = EXTRA',
    'synchronous = FULL',
    SYNCS,
  ],
  [
    'checksum of a snapshot',
    'src/pipeline/snapshot.ts',
    'crc32(bytes) !== crc',
    'crc32(bytes) < 0',
    'test/pipeline/snapshot.test.ts',
  ],
  ['checksum of a file beside the output', 'src/pipeline/side-files.ts', 'crc !== committed?.crc', 'crc < 0', SIDES],
  [
    'checksum of a part',
    'src/pipeline/part-files.ts',
    'part.length !== bytes || crc32(part) !== crc',
    'crc32(part) < 0',
    'test/pipeline/part-files.test.ts',
  ],
  [
    'what tells a torn line of the journal from a damaged one',
    'src/log/journal.ts',
    '&& !unsealLine(bytes.subarray(0, -1))',
    '',
    'test/log',
  ],
  [
    'a look at the journal behind one’s own last line',
    'src/log/store.ts',
    ' && this.journal.isUnchanged',
    '',
    'test/log',
  ],
  [
    'which topic of its name is read',
    'src/log/reader.ts',
    'if (topic?.made === this.made) return',
    'if (topic !== null) return',
    'test/log/store.test.ts',
  ],
  [
    'which topic of its name is committed for',
    'src/log/groups.ts',
    'this.check()\n      check?.()',
    'this.check()',
    'test/log/store.test.ts',
  ],
  [
    'offsets in a topic that is gone',
    'src/log/state.ts',
    'if (this.partition(partition)) group',
    'if (true) group',
    'test/log/store.test.ts',
  ],
  ['a line end in the journal’s tail', 'src/log/journal.ts', '!bytes.includes(10) && ', '', 'test/log'],
  ['damage before good lines, after a reboot', 'src/log/journal.ts', '!showsDamage(tail.bytes)', 'true', 'test/log'],
  ['fence: a later run', 'src/log/pipelines.ts', 'pipeline?.generation === generation', 'pipeline', EPOCHS],
  [
    'fence: an epoch follows the last one',
    'src/log/pipelines.ts',
    'epoch === commit.epoch - 1 && !prepared',
    'epoch < Infinity',
    EPOCHS,
  ],
  ['fence: an epoch is decided first', 'src/log/pipelines.ts', ' && !prepared', '', EPOCHS],
  [
    'an epoch twice is once',
    'src/log/pipelines.ts',
    ').epoch >= epoch)) return false',
    ').epoch >= Infinity)) return false',
    EPOCHS,
  ],
  [
    'an epoch prepared twice is once',
    'src/log/pipelines.ts',
    'before.epoch >= commit.epoch',
    'before.epoch >= Infinity',
    EPOCHS,
  ],
  ['fence: one run at a time', 'src/log/pipelines.ts', 'before && isRunning(store, name)', 'before && !before', PIPES],
  ['a gap in the barriers', 'src/pipeline/frames.ts', 'frame.epoch !== expected', 'frame.epoch < 0', FRAMES],
  ['the count of records', 'src/pipeline/frames.ts', 'frame.records !== records', 'frame.records < 0', FRAMES],
  [
    'a stage that fails at its start tells the next one',
    'src/pipeline/failed-start.ts',
    'isSource || (isPipe(0) && isBehind())',
    'isSource && words.length < 0',
    'test/pipeline/failed-start.test.ts',
  ],
  [
    'the same of one in the middle',
    'src/pipeline/failed-start.ts',
    '(isPipe(0) && isBehind())',
    'words.length < 0',
    'test/pipeline/failed-start.test.ts',
  ],
  [
    'a shell that says that there are to be frames',
    'src/pipeline/shell-text.ts',
    'text !== undefined && leadsFromConsume',
    'text === undefined && leadsFromConsume',
    'test/pipeline/shell-text.test.ts',
  ],
  [
    'the slots of a window that an earlier file of a chain has filled',
    'src/window/operator.ts',
    'if (slot < seen) content.clear(slot)',
    'if (slot < 0) content.clear(slot)',
    'test/pipeline/changes.test.ts',
  ],
  [
    'the same of a reduce',
    'src/aggregate/group-by.ts',
    'if (slots[at]! < seen) this.#set.clear(',
    'if (slots[at]! < 0) this.#set.clear(',
    'test/pipeline/changes.test.ts',
  ],
  ['a missing end', 'src/pipeline/frames.ts', 'if (!this.#ended) throw', 'if (this.start === undefined) throw', FRAMES],
  [
    'records behind the end',
    'src/pipeline/frames.ts',
    'if (this.#ended && records > 0) throw',
    'if (records < 0) throw',
    FRAMES,
  ],
  ['frames behind the end', 'src/pipeline/frames.ts', 'if (this.#ended) throw', 'if (records < 0) throw', FRAMES],
  [
    'a second start',
    'src/pipeline/frames.ts',
    "if (frame.kind === 'start') {",
    "if (frame.kind === 'start' && records < 0) {",
    FRAMES,
  ],
  [
    'records before another task',
    'src/pipeline/task-frames.ts',
    'if (records > 0 || this.#ended) throw',
    'if (records < 0) throw',
    TASKS,
  ],
  ['a task twice', 'src/pipeline/task-frames.ts', 'if (known) throw', 'if (records < 0) throw', TASKS],
  [
    'records of a task behind its last barrier',
    'src/pipeline/task-frames.ts',
    'if (records > 0) throw',
    'if (records < 0) throw',
    TASKS,
  ],
  [
    'tasks without an end',
    'src/pipeline/task-frames.ts',
    'if (!this.#ended || records > 0) throw',
    'if (records < 0) throw',
    TASKS,
  ],
  [
    'the options that state belongs to',
    'src/pipeline/kept-state.ts',
    'handle.options !== digest(options)',
    'handle.bytes < 0',
    CHANGED,
  ],
  [
    'a stage without its state',
    'src/pipeline/kept-state.ts',
    'handle === undefined && start.epoch > 0',
    'handle === undefined && start.epoch < 0',
    CHANGED,
  ],
  [
    'the table that state belongs to',
    'src/pipeline/kept-state.ts',
    'changedTable(last.table, this.#table)',
    'false',
    JOINED,
  ],
  [
    'two groups of one name',
    'src/pipeline/pair-frames.ts',
    'if (twice && ',
    'if (twice && groups.length < 0 && ',
    JOINED,
  ],
  [
    'the sources that a join has read',
    'src/pipeline/pair-frames.ts',
    'differs || known.length !== sources.length',
    'known.length < 0',
    JOINED,
  ],
  [
    'fence: an epoch of SQLite',
    'src/connectors/sqlite/database.ts',
    'AND epoch = ? AND',
    'AND epoch <> -? AND',
    FENCES,
  ],
  [
    'fence: a generation of SQLite',
    'src/connectors/sqlite/database.ts',
    'AND generation <= ?',
    'AND generation <> -?',
    FENCES,
  ],
  [
    'fence: a claim of SQLite',
    'src/connectors/sqlite/database.ts',
    "Number(there['generation']) > generation",
    "Number(there['generation']) < 0",
    FENCES,
  ],
  [
    'fence: an epoch of PostgreSQL',
    'src/connectors/postgres/database.ts',
    'AND epoch = $6',
    'AND epoch <> -$6',
    FENCES,
  ],
  [
    'fence: a database that is not of this store',
    'src/connectors/database-sink.ts',
    'if (there !== epoch) throw',
    'if (epoch < 0) throw',
    'test/cases.test.ts -t sqlite-replaced',
  ],
  [
    'the same of a prepared epoch',
    'src/connectors/database-sink.ts',
    'if (there !== state.epoch && there',
    'if (there < 0 && there',
    'test/connectors/undecided.test.ts',
  ],
  [
    'fence: a member of tasks that is out',
    'src/pipeline/task-source.ts',
    'if (!member.isIn) {',
    'if (!member.isIn && !member) {',
    `${PIPES} -t evicted`,
  ],
  [
    'snapshots of others stay',
    'src/pipeline/snapshot.ts',
    'kind === undefined || kept.has(`${stage}/${name}`)',
    'kind === undefined',
    'test/pipeline/snapshot.test.ts',
  ],
]

const root = fileURLToPath(new URL('../..', import.meta.url))
const copy = mkdtempSync(join(tmpdir(), 'beck-mutations-'))
for (const part of ['bin', 'src', 'commands', 'scripts', 'test', 'package.json', 'tsconfig.json']) {
  cpSync(join(root, part), join(copy, part), { recursive: true })
}
// Where a test needs the bundle, it is built here.
const config = readFileSync(join(root, 'vitest.config.ts'), 'utf8').replace(/ *globalSetup.*\n/, '')
writeFileSync(join(copy, 'vitest.config.ts'), config)
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
const vitest = join(root, 'node_modules/.bin/vitest')
/** Tests of the built program. */
const programs = ['parallel-append', 'pipelines'].flatMap((name) => ['--exclude', `test/log/${name}.test.ts`])
const ofTheStore = ['test/crash/crash.test.ts', 'test/log', ...programs]
/** Names the first test that fails. @param tests files; without them those of the store, which need no bundle */
const failingTests = (tests) => {
  if (tests)
    execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: copy, stdio: ['ignore', 'ignore', 'inherit'] })
  const { stdout, stderr, status } = spawnSync(
    vitest,
    ['run', ...(tests?.split(' ') ?? ofTheStore), '--bail=1', '--reporter=dot'],
    { cwd: copy, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } },
  )
  return status === 0 ? undefined : (/FAIL +(.*)/.exec(stdout + stderr)?.[1] ?? 'it does not run')
}

let missed = 0
const [only = '', begin = '0', most = '1000'] = process.argv.slice(2)
const words = only.split('|')
const all = [...mutations.map(([name, file, ...rest]) => [name, `src/log/${file}`, ...rest]), ...beyond]
const chosen = all
  .filter(([name]) => words.some((word) => name.includes(word)))
  .slice(Number(begin), Number(begin) + Number(most))
for (const tests of new Set(chosen.map(([, , , , tests]) => tests))) {
  const already = failingTests(tests)
  if (already) throw new Error(`the tests fail without any mutation: ${already}`)
}
for (const [name, file, from, to, tests] of chosen) {
  const path = join(copy, file)
  const source = readFileSync(path, 'utf8')
  const count = source.split(from).length - 1
  if (count === 0) throw new Error(`${name}: ${file} has no longer: ${from}`)
  writeFileSync(path, source.replaceAll(from, to))
  const failure = failingTests(tests)
  writeFileSync(path, source)
  if (failure && !failure.includes(' > ')) throw new Error(`${name}: the mutated source does not load: ${failure}`)
  if (!failure) missed++
  writeSync(1, `${failure ? 'seen  ' : 'MISSED'} ${name}${failure ? `: ${failure}` : ''}\n`)
}
rmSync(copy, { recursive: true, force: true })
process.exit(missed > 0 ? 1 : 0)
