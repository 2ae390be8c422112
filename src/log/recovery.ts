import { crc32 } from 'node:zlib'
import { BeckError } from '../core/errors.ts'
import { type Env, errnoOf, readAll, removeIfThere } from './env.ts'
import { IndexReader, SLOT } from './index-file.ts'
import type { Journal } from './journal.ts'
import { layout, partitionName } from './layout.ts'
import type { BatchEntry, Partition, PartitionName } from './state.ts'
import { finishDeletions } from './topics.ts'
import { lost } from './transaction.ts'

/**
 * Makes the files agree with the journal, under the lock, after the last holder died (`fromDead`) or the machine was restarted
 * (`rebooted`). May be interrupted and run again at any point. Returns what there is to tell people.
 * @throws BeckError store, when something committed is lost or damaged
 */
export function recover(
  env: Env,
  store: string,
  journal: Journal,
  cause: { fromDead: boolean; rebooted: boolean },
): string[] {
  const told: string[] = []
  journal.repair(cause.rebooted)
  // Who died may just have begun a new journal file: its name must be on the disk before anything else is.
  if (cause.fromDead) env.syncFolder(layout.journal(store))
  if (cause.rebooted) {
    for (const { line, at } of journal.unsyncedLines()) {
      if (isOnDisk(env, store, line.w ?? {})) continue
      told.push(
        `the machine stopped before the last ${journal.state.n - line.n + 1} commits were synced: they are gone, everything before them is intact`,
      )
      journal.cut(at)
      break
    }
  }
  if (cause.fromDead || cause.rebooted) {
    finishDeletions(env, store, journal.state.topics)
    for (const [topic, { partitions }] of journal.state.topics) {
      for (const [number, partition] of partitions.entries()) sweep(env, store, partitionName(topic, number), partition)
    }
  }
  return told
}

/** Whether the disk has all batches of a commit: index entries and bytes. */
function isOnDisk(env: Env, store: string, batches: Readonly<Record<PartitionName, BatchEntry>>): boolean {
  return Object.entries(batches).every(([name, [stem, position, length, count, crc, slots]]) => {
    try {
      return withFile(env, layout.records(store, name, stem), (records) =>
        withFile(env, layout.index(store, name, stem), (index) => {
          const bytes = Buffer.allocUnsafe(length)
          if (readAll(env, records, bytes, position) < length || crc32(bytes) !== crc) return false
          const batch = new IndexReader(env, index, slots).search((batch) => batch.position >= position)
          return batch?.position === position && batch.count === count && batch.slot + batch.slots === slots
        }),
      )
    } catch (error) {
      if (error instanceof RangeError || errnoOf(error) === 'ENOENT') return false
      throw error
    }
  })
}

/** Cuts tails, removes files that no commit names, and reports what is missing. */
function sweep(env: Env, store: string, name: PartitionName, partition: Partition): void {
  const known = new Set<string>()
  for (const segment of partition.segments) {
    known.add(`${segment.stem}.ndjson`).add(`${segment.stem}.idx`)
    cutTail(env, layout.records(store, name, segment.stem), segment.length)
    cutTail(env, layout.index(store, name, segment.stem), segment.slots * SLOT)
  }
  for (const file of env.list(layout.partition(store, name))) {
    if (/^\d{20}(-\d+)?\.(ndjson|idx)$/.test(file) && !known.has(file))
      removeIfThere(env, `${layout.partition(store, name)}/${file}`)
  }
}

function cutTail(env: Env, path: string, committed: number): void {
  try {
    withFile(env, path, (fd) => {
      const { length } = env.stat(fd)
      if (length < committed) throw lost(path, length, committed)
      if (length > committed) env.truncate(fd, committed)
    })
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    throw new BeckError('store', {
      problem: `${path} is missing although records in it were committed`,
      hint: 'restore the file from a backup',
    })
  }
}

function withFile<T>(env: Env, path: string, work: (fd: number) => T): T {
  const fd = env.open(path, 'write')
  try {
    return work(fd)
  } finally {
    env.close(fd)
  }
}
