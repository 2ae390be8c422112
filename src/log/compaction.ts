import { crc32 } from 'node:zlib'
import type { KeyTable, RecordBatch } from '../core/batch.ts'
import { BeckError } from '../core/errors.ts'
import type { FieldPath } from '../core/field-path.ts'
import { createScanner, type ScannerName } from '../ndjson/index.ts'
import type { Scanner } from '../ndjson/scanner.ts'
import { type Env, errnoOf, removeIfThere, writeAll } from './env.ts'
import { encodeBatch, type IndexedBatch, SLOT } from './index-file.ts'
import { layout, padded, partitionName } from './layout.ts'
import { offsetOf, PartitionReader, type ReadPolicy } from './reader.ts'
import { scanLines } from './scan-lines.ts'
import type { PartitionName, Segment } from './state.ts'
import { type Store, translate } from './store.ts'
import { DEFAULT_SEGMENT_BYTES } from './transaction.ts'

export interface CompactionPlan {
  /** Fields by which records replace each other. */
  readonly keys: readonly FieldPath[]
  /** Further fields that `isTombstone` reads; they come after the keys. */
  readonly reads: readonly FieldPath[]
  /** Per row 1: the record says that its key is gone. Undefined: a record that is nothing but its key. */
  readonly isTombstone?: (batch: RecordBatch) => Uint8Array
  /** How long tombstones are kept after their time. */
  readonly tombstoneMs: number
  readonly policy: ReadPolicy
  readonly scanner?: ScannerName
}
export interface Compacted {
  readonly partition: number
  readonly before: number
  readonly after: number
}

export const DEFAULT_TOMBSTONE_MS = 24 * 3600 * 1000

/**
 * Keeps of each key the latest record in the closed segments of a topic (the last segment is left alone), and drops tombstones
 * whose time is past. Offsets stay. New segments are written and synced beside the old ones; one journal line switches them.
 * Time O(bytes), memory O(keys of a partition).
 */
export function compactTopic(store: Store, topic: string, plan: CompactionPlan): Compacted[] {
  const partitions = store.state.topics.get(topic)?.partitions ?? []
  return [...partitions.keys()].map((number) => {
    const name = partitionName(topic, number)
    const closed = partitions[number]?.segments.slice(0, -1) ?? []
    if (closed.length === 0) return { partition: number, before: 0, after: 0 }
    return { partition: number, ...translate(store.folder, () => new Compaction(store, name, closed, plan).run()) }
  })
}

class Compaction {
  private readonly store: Store
  private readonly name: PartitionName
  private readonly closed: readonly Segment[]
  private readonly plan: CompactionPlan
  private readonly scanner: Scanner
  private readonly table: KeyTable
  private readonly end: number
  private readonly horizon: number
  /** Offset of the latest record of each key id. */
  private latest = new Float64Array(1024)
  private before = 0
  private after = 0

  constructor(store: Store, name: PartitionName, closed: readonly Segment[], plan: CompactionPlan) {
    this.store = store
    this.name = name
    this.closed = closed
    this.plan = plan
    this.end = closed.at(-1)?.end ?? 0
    this.horizon = store.env.now() - plan.tombstoneMs
    this.scanner = createScanner(
      { reads: [...plan.keys, ...plan.reads], strict: plan.isTombstone === undefined },
      plan.scanner,
    )
    this.table = this.scanner.keyTable(plan.keys.map((_, field) => field))
  }

  run(): { before: number; after: number } {
    this.eachBatch((batch, lines, from) => this.note(batch, lines, from))
    const output = new SegmentWriter(this.store, this.name, this.closed[0] as Segment)
    try {
      this.eachBatch((batch, lines, from) => this.copy(batch, lines, from, output))
      this.swap(output.finish(this.end))
    } catch (error) {
      output.abandon()
      throw error
    } finally {
      this.scanner.close()
    }
    return { before: this.before, after: this.after }
  }

  private eachBatch(visit: (batch: IndexedBatch, lines: Buffer, from: number) => void): void {
    const { store, name, closed, end, plan } = this
    const start = Math.max(store.state.partition(name)?.start ?? 0, closed[0]?.base ?? 0)
    const reader = new PartitionReader(store, name, start, plan.policy)
    try {
      for (let part; (part = reader.peek(end));) {
        const lines = reader.take(part)
        if (lines) visit(part.batch, lines, part.from)
      }
    } finally {
      reader.close()
    }
  }

  private note(batch: IndexedBatch, lines: Buffer, from: number): void {
    scanLines(this.scanner, lines, (rows, indices) => {
      const ids = this.table.intern(rows)
      if (this.table.size > this.latest.length) {
        const more = new Float64Array(2 * this.table.size)
        more.set(this.latest)
        this.latest = more
      }
      for (const [row, index] of indices.entries()) this.latest[ids[row] as number] = offsetOf(batch, from + index)
    })
  }

  private copy(batch: IndexedBatch, lines: Buffer, from: number, output: SegmentWriter): void {
    const count = batch.count - from
    const keep = new Uint8Array(count).fill(1)
    scanLines(this.scanner, lines, (rows, indices) => {
      const ids = this.table.intern(rows)
      const tombstones = batch.maxTime < this.horizon ? this.tombstones(rows) : undefined
      for (const [row, index] of indices.entries()) {
        const id = ids[row] as number
        if (this.isKeyless(id)) continue // nothing can ever replace it
        const latest = this.latest[id] === offsetOf(batch, from + index)
        keep[index] = latest && tombstones?.[row] !== 1 ? 1 : 0
      }
    })
    const kept: Uint8Array[] = []
    const offsets: number[] = []
    const ranks: number[] = []
    for (let i = 0, at = 0; i < count; i++) {
      const end = lines.indexOf(10, at) + 1
      if (keep[i] === 1) {
        kept.push(lines.subarray(at, end))
        offsets.push(offsetOf(batch, from + i))
        ranks.push(batch.ranks?.[from + i] ?? from + i)
      }
      at = end
    }
    this.before += count
    this.after += kept.length
    output.add(batch, Buffer.concat(kept), offsets, ranks)
  }

  private isKeyless(id: number): boolean {
    return this.plan.keys.every((_, part) => this.table.text(id, part) === 'null')
  }

  private tombstones(batch: RecordBatch): Uint8Array {
    if (this.plan.isTombstone) return this.plan.isTombstone(batch)
    const mask = new Uint8Array(batch.count)
    for (let row = 0; row < batch.count; row++) {
      const at = row * batch.stride
      const line = Buffer.from(batch.bytes.subarray(batch.spans[at], batch.spans[at + 1])).toString('utf8')
      mask[row] = isOnlyKey(JSON.parse(line), this.plan.keys) ? 1 : 0
    }
    return mask
  }

  private swap(replacements: Segment[]): void {
    const { store, name, closed } = this
    store.transact(true, (transaction) => {
      const now = store.state.partition(name)?.segments.map((segment) => segment.stem) ?? []
      const at = now.indexOf(closed[0]?.stem ?? '')
      const same = at >= 0 && closed.every((segment, i) => now[at + i] === segment.stem)
      const there = replacements.every(
        ({ stem }) => store.env.kind(layout.records(store.folder, name, stem)) === 'file',
      )
      if (!same || !there) {
        throw new BeckError('store', {
          problem: `${name} was changed by another process while it was compacted; nothing was done`,
          hint: 'run the command again',
        })
      }
      transaction.swap(name, closed, replacements)
    })
  }
}

/** All members but the key are null. */
function isOnlyKey(value: unknown, keys: readonly FieldPath[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  const names = new Set(keys.map(([first]) => String(first)))
  return Object.entries(value).every(([name, member]) => names.has(name) || member === null)
}

/** Writes compacted segments: each takes over the offsets of those whose batches it holds. */
class SegmentWriter {
  private readonly env: Env
  private readonly folder: string
  private readonly name: PartitionName
  private readonly most: number
  private readonly done: Segment[] = []
  private open: { segment: Segment; records: number; index: number } | undefined
  private base: number

  constructor(store: Store, name: PartitionName, first: Segment) {
    this.env = store.env
    this.folder = store.folder
    this.name = name
    this.base = first.base
    const topic = store.state.topics.get(name.slice(0, name.lastIndexOf('/')))
    this.most = topic?.config.segmentBytes ?? DEFAULT_SEGMENT_BYTES
  }

  add(batch: IndexedBatch, lines: Buffer, offsets: readonly number[], ranks: readonly number[]): void {
    if (this.open && this.open.segment.length > 0 && this.open.segment.length + lines.length > this.most)
      this.close(batch.offset)
    const { segment, records, index } = (this.open ??= this.create())
    if (offsets.length === 0) return
    const entry = encodeBatch(
      {
        offset: offsets[0] as number,
        end: batch.end,
        position: segment.length,
        length: lines.length,
        count: offsets.length,
        commit: batch.commit,
        minTime: batch.minTime,
        maxTime: batch.maxTime,
        eventTime: batch.eventTime,
        crc: crc32(lines),
        ...(batch.ranks || offsets.length < batch.count ? { ranks: Uint32Array.from(ranks) } : {}),
        ...(offsets.length < batch.end - (offsets[0] as number) ? { offsets: Float64Array.from(offsets) } : {}),
      },
      segment.maxTime,
    )
    writeAll(this.env, records, lines, segment.length)
    writeAll(this.env, index, entry, segment.slots * SLOT)
    segment.length += lines.length
    segment.slots += entry.length / SLOT
    segment.maxTime = Math.max(segment.maxTime, batch.maxTime)
  }

  /** Closes and syncs everything. @param end the offset after the last segment that is replaced */
  finish(end: number): Segment[] {
    this.open ??= this.create()
    this.close(end)
    this.env.syncFolder(layout.partition(this.folder, this.name))
    return this.done
  }

  private create(): { segment: Segment; records: number; index: number } {
    for (let attempt = 1; ; attempt++) {
      const stem = `${padded(this.base)}-${attempt}`
      try {
        const records = this.env.open(layout.records(this.folder, this.name, stem), 'create')
        const index = this.env.open(layout.index(this.folder, this.name, stem), 'create')
        return {
          segment: { stem, base: this.base, end: this.base, length: 0, slots: 0, maxTime: -Infinity },
          records,
          index,
        }
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw error
      }
    }
  }

  private close(end: number): void {
    if (!this.open) return
    const { segment, records, index } = this.open
    this.env.sync(records)
    this.env.sync(index)
    this.env.close(records)
    this.env.close(index)
    segment.end = end
    this.base = end
    this.done.push(segment)
    this.open = undefined
  }

  /** Removes what was written. */
  abandon(): void {
    const stems = this.done.map((segment) => segment.stem)
    if (this.open) stems.push(this.open.segment.stem)
    for (const stem of stems) {
      for (const path of [layout.records(this.folder, this.name, stem), layout.index(this.folder, this.name, stem)]) {
        try {
          removeIfThere(this.env, path)
        } catch (error) {
          if (errnoOf(error) === undefined) throw error
        }
      }
    }
  }
}
