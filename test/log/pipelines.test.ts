import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { BeckError } from '../../src/core/errors.ts'
import {
  commitEpoch,
  decideEpoch,
  type EpochCommit,
  pipelineOf,
  prepareEpoch,
  resetPipeline,
  startRun,
} from '../../src/log/pipelines.ts'
import { announceSink, sinkIsAlive, withoutSink } from '../../src/log/sinks.ts'
import { Store } from '../../src/log/store.ts'
import { createTopic } from '../../src/log/topics.ts'
import { removeSnapshots } from '../../src/pipeline/snapshot.ts'
import { temporaryFolder } from '../shell.ts'

function open(): Store {
  const store = Store.open(join(temporaryFolder(), 'store'), { create: true })
  store.transact(true, (transaction) => createTopic(store, transaction, 't', { partitions: 1 }))
  return store
}

function failure(run: () => unknown): BeckError {
  try {
    run()
  } catch (error) {
    if (error instanceof BeckError) return error
    throw error
  }
  throw new Error('nothing was wrong')
}

const epoch = (number: number, generation = 1): EpochCommit => ({
  name: 'p',
  generation,
  epoch: number,
  offsets: { 't/0': 10 * number },
  stages: ['consume', 'append'],
  handles: [],
})
const commit = (store: Store, which: EpochCommit): boolean =>
  store.transact(true, (transaction) => commitEpoch(store, transaction, which))
/** What a crash of the owner and a new run leave. */
const takeOver = (store: Store): void => {
  const before = pipelineOf(store, 'p')
  store.transact(true, (transaction) => {
    transaction.handles('p', { ...before, generation: (before?.generation ?? 0) + 1 })
  })
}

test('an epoch is committed once, with its offsets, and by the last run alone', () => {
  const store = open()
  expect(startRun(store, 'p', new Map([['t/0', 4]]), { group: undefined })).toMatchObject({
    started: true,
    pipeline: { generation: 1, epoch: 0, handles: [] },
  })
  expect(store.state.group('p').offsets.get('t/0')).toBe(4)
  // It is this living process that reads.
  expect(startRun(store, 'p', new Map(), { group: undefined }).started).toBe(false)
  expect(commit(store, epoch(1))).toBe(true)
  expect(commit(store, epoch(1))).toBe(false)
  expect(failure(() => commit(store, epoch(3)))).toMatchObject({ exit: 4 })
  expect(store.state.group('p').offsets.get('t/0')).toBe(10)
  takeOver(store)
  const fenced = failure(() => commit(store, epoch(2)))
  expect(fenced.exit).toBe(4)
  expect(fenced.message).toContain('a later run of pipeline "p" has taken over (generation 2, this one is 1)')
  // Not even to say that it was there before.
  expect(failure(() => commit(store, epoch(1))).exit).toBe(4)
  expect(commit(store, epoch(2, 2))).toBe(true)
  const { folder } = store
  store.close()
  const again = Store.open(folder)
  expect(pipelineOf(again, 'p')).toMatchObject({ generation: 2, epoch: 2, stages: ['consume', 'append'] })
  expect(again.state.group('p').offsets.get('t/0')).toBe(20)
  again.close()
})

test('a prepared epoch is decided before anything else is committed', () => {
  const store = open()
  startRun(store, 'p', new Map(), { group: undefined })
  const prepare = (which: EpochCommit): boolean =>
    store.transact(true, (transaction) => prepareEpoch(store, transaction, { ...which, sink: { name: 'a database' } }))
  const decide = (committed: boolean): void =>
    store.transact(true, (transaction) => decideEpoch(store, transaction, { name: 'p', generation: 1 }, committed))
  expect(prepare(epoch(1))).toBe(true)
  for (const work of [prepare, (which: EpochCommit) => commit(store, which)]) {
    expect(failure(() => work(epoch(1)))).toMatchObject({ exit: 4 })
  }
  expect(pipelineOf(store, 'p')).toMatchObject({ epoch: 0, prepared: { epoch: 1 } })
  decide(true)
  expect(pipelineOf(store, 'p')).toMatchObject({ epoch: 1, sink: { name: 'a database' } })
  expect(store.state.group('p').offsets.get('t/0')).toBe(10)
  // Known already.
  expect(prepare(epoch(1))).toBe(false)
  expect(prepare(epoch(2))).toBe(true)
  decide(false)
  expect(pipelineOf(store, 'p')?.prepared).toBeUndefined()
  expect(store.state.group('p').offsets.get('t/0')).toBe(10)
  expect(commit(store, epoch(2))).toBe(true)
  expect(failure(() => prepare(epoch(3, 2)))).toMatchObject({ exit: 4 })
  store.close()
})

test('a running pipeline keeps its state, and its earlier runs stay fenced after a reset', () => {
  const store = open()
  startRun(store, 'p', new Map(), { group: undefined })
  const reset = (): unknown => store.transact(true, (transaction) => resetPipeline(store, transaction, 'p'))
  expect(failure(reset).message).toContain('is running')
  store.transact(true, (transaction) => {
    transaction.handles('p', { ...pipelineOf(store, 'p'), owner: { ...store.env.identity, start: 'earlier' } })
  })
  reset()
  expect(pipelineOf(store, 'p')).toMatchObject({ generation: 2, epoch: 0 })
  expect(failure(() => commit(store, epoch(1))).exit).toBe(4)
  store.close()
})

test('a sink says that it is there', () => {
  const store = open()
  startRun(store, 'p', new Map(), { group: undefined })
  expect(sinkIsAlive(store, 'p', 1)).toBeUndefined()
  expect(withoutSink(store).map(([name]) => name)).toEqual(['p'])
  announceSink(store, 'p', 1)
  expect(sinkIsAlive(store, 'p', 1)).toBe(true)
  expect(sinkIsAlive(store, 'p', 2)).toBeUndefined()
  expect(withoutSink(store)).toEqual([])
  announceSink(store, 'p', 2)
  expect(sinkIsAlive(store, 'p', 1)).toBeUndefined()
  store.close()
})

test('of snapshots the committed ones stay, and those that can still be committed', () => {
  const store = open()
  const folder = join(store.folder, 'state/p/0-window')
  mkdirSync(folder, { recursive: true })
  for (const name of ['1-9', '2-10', '3-11', '3-12', '3-13', '4-1']) writeFileSync(join(folder, `${name}.snap`), '')
  writeFileSync(join(folder, 'note'), '')
  const handles = [{ file: '0-window/3-12.snap', bytes: 0, crc: 0, options: '' }, null]
  removeSnapshots({ env: store.env, store: store.folder, pipeline: 'p' }, { generation: 3, epoch: 12, handles })
  expect(readdirSync(folder).sort()).toEqual(['3-12.snap', '3-13.snap', '4-1.snap', 'note'])
  store.close()
})
