import { crc32 } from 'node:zlib'
import { type Env, errnoOf, readAll, writeAll } from './env.ts'
import { IndexReader, SLOT } from './index-file.ts'
import { layout, padded } from './layout.ts'
import type { PartitionName, Segment } from './state.ts'

/**
 * Copies a segment whose sync has failed to new files, and syncs those. After such a failure a later sync of the old files may succeed
 * without having written anything, so that only a copy can make sure. The copy is checked batch by batch against the CRCs.
 * Returns undefined when that does not work either.
 */
export function rehome(env: Env, store: string, name: PartitionName, segment: Segment): Segment | undefined {
  for (let attempt = 1; ; attempt++) {
    const stem = `${padded(segment.base)}-${attempt}`
    try {
      const index = copy(
        env,
        layout.index(store, name, segment.stem),
        layout.index(store, name, stem),
        segment.slots * SLOT,
      )
      try {
        if (copyRecords(env, store, name, segment, stem, index)) {
          env.syncFolder(layout.partition(store, name))
          return { ...segment, stem }
        }
      } finally {
        env.close(index)
      }
      return undefined
    } catch (error) {
      const code = errnoOf(error)
      if (code === undefined && !(error instanceof RangeError)) throw error
      if (code !== 'EEXIST') return undefined
    }
  }
}

/** Returns the new file, open and synced. */
function copy(env: Env, from: string, to: string, length: number): number {
  const source = env.open(from, 'read')
  try {
    const bytes = Buffer.allocUnsafe(length)
    const target = env.open(to, 'create')
    writeAll(env, target, bytes.subarray(0, readAll(env, source, bytes, 0)), 0)
    env.sync(target)
    return target
  } finally {
    env.close(source)
  }
}

function copyRecords(
  env: Env,
  store: string,
  name: PartitionName,
  segment: Segment,
  stem: string,
  index: number,
): boolean {
  const source = env.open(layout.records(store, name, segment.stem), 'read')
  const target = env.open(layout.records(store, name, stem), 'create')
  try {
    const batches = new IndexReader(env, index, segment.slots)
    for (let slot = 0, batch; (batch = batches.at(slot)); slot = batch.slot + batch.slots) {
      const bytes = Buffer.allocUnsafe(batch.length)
      if (readAll(env, source, bytes, batch.position) < batch.length || crc32(bytes) !== batch.crc) return false
      writeAll(env, target, bytes, batch.position)
    }
    env.sync(target)
    return true
  } finally {
    env.close(source)
    env.close(target)
  }
}
