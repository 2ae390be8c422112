import { crc32 } from 'node:zlib'
import { errnoOf, readAll } from './env.ts'
import { IndexReader, SLOT } from './index-file.ts'
import { layout, partitionName } from './layout.ts'
import type { PartitionName, Segment } from './state.ts'
import { type Store, translate } from './store.ts'

/** What is wrong with a piece of a partition. */
export interface Finding {
  readonly file: string
  readonly problem: string
  /** Bytes, end exclusive. */
  readonly bytes?: readonly [number, number]
  /** Offsets, end exclusive. */
  readonly offsets?: readonly [number, number]
}
export interface Verified {
  readonly partition: number
  readonly segments: number
  readonly records: number
  readonly bytes: number
  readonly findings: readonly Finding[]
}

/** Reads everything of a topic again, against the CRCs of index and records, and checks that nothing is missing. O(bytes). */
export function* verifyTopic(store: Store, topic: string): Generator<Verified> {
  for (const [number, partition] of (store.state.topics.get(topic)?.partitions ?? []).entries()) {
    const name = partitionName(topic, number)
    const findings: Finding[] = []
    let records = 0
    let expected = partition.segments[0]?.base ?? partition.next
    for (const segment of partition.segments) {
      if (segment.base !== expected) {
        findings.push({
          file: layout.partition(store.folder, name),
          problem: 'offsets are missing',
          offsets: [expected, segment.base],
        })
      }
      expected = segment.end
      records += translate(store.folder, () => verifySegment(store, name, segment, findings))
    }
    if (expected !== partition.next) {
      findings.push({
        file: layout.partition(store.folder, name),
        problem: 'offsets are missing',
        offsets: [expected, partition.next],
      })
    }
    const bytes = partition.segments.reduce((sum, { length }) => sum + length, 0)
    yield { partition: number, segments: partition.segments.length, records, bytes, findings }
  }
}

/** Returns how many records are good. */
function verifySegment(store: Store, name: PartitionName, segment: Segment, findings: Finding[]): number {
  const { env, folder } = store
  const file = layout.records(folder, name, segment.stem)
  const indexFile = layout.index(folder, name, segment.stem)
  const all = { offsets: [segment.base, segment.end] as const }
  const opened: number[] = []
  const open = (path: string): number | undefined => {
    try {
      const fd = env.open(path, 'read')
      opened.push(fd)
      return fd
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ELOOP') throw error
      findings.push({ file: path, problem: errnoOf(error) === 'ELOOP' ? 'is a symbolic link' : 'is missing', ...all })
      return undefined
    }
  }
  try {
    const fd = open(file)
    const indexFd = open(indexFile)
    if (fd === undefined || indexFd === undefined) return 0
    const index = new IndexReader(env, indexFd, segment.slots)
    let records = 0
    let position = 0
    let offset = segment.base
    for (let slot = 0; ;) {
      let batch
      try {
        batch = index.at(slot)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        findings.push({
          file: indexFile,
          problem: error.message,
          bytes: [slot * SLOT, segment.slots * SLOT],
          offsets: [offset, segment.end],
        })
        return records
      }
      if (!batch) break
      const where = {
        file,
        bytes: [batch.position, batch.position + batch.length] as const,
        offsets: [batch.offset, batch.end] as const,
      }
      if (batch.position !== position || batch.offset < offset)
        findings.push({ ...where, problem: 'the index has a gap' })
      const bytes = Buffer.allocUnsafe(batch.length)
      const got = readAll(env, fd, bytes, batch.position)
      if (got < batch.length) findings.push({ ...where, problem: 'records are missing' })
      else if (crc32(bytes) !== batch.crc) findings.push({ ...where, problem: 'records are damaged' })
      else records += batch.count
      position += batch.length
      offset = batch.end
      slot = batch.slot + batch.slots
    }
    if (position !== segment.length || offset > segment.end)
      findings.push({ file: indexFile, problem: 'the index ends too soon', ...all })
    return records
  } finally {
    for (const fd of opened) env.close(fd)
  }
}
