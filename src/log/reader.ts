import { crc32 } from 'node:zlib'
import { BeckError } from '../core/errors.ts'
import { errnoOf, readAll } from './env.ts'
import { type IndexedBatch, IndexReader } from './index-file.ts'
import { layout, splitPartitionName } from './layout.ts'
import type { Offset, PartitionName, Segment, Topic } from './state.ts'
import { type Store, translate } from './store.ts'

/** What to do about damage and about records that retention took before they were read. */
export interface ReadPolicy {
  readonly onCorrupt: 'fail' | 'skip'
  readonly onLost: 'fail' | 'skip'
  /** Tells people what was skipped. */
  readonly say: (line: string) => void
}

/** Records `from`..`to` (indices within the batch) of one batch. */
export interface BatchPart {
  readonly name: PartitionName
  readonly batch: IndexedBatch
  readonly from: number
  readonly to: number
}

/** Offset of record `i` of a batch; beyond its last one, the offset after the batch. */
export const offsetOf = (batch: IndexedBatch, i: number): Offset =>
  i >= batch.count ? batch.end : (batch.offsets?.[i] ?? batch.offset + i)

interface Open {
  readonly stem: string
  readonly records: number
  readonly indexFile: number
  readonly index: IndexReader
}

/** Beyond this many bytes a run of batches is not read at once. */
const RUN_BYTES = 4 * 1024 * 1024

/**
 * Reads one partition from an offset on, never beyond what was committed when the store was last refreshed, and never past `until`.
 * Files stay open while they are read, so that retention and compaction may remove them meanwhile.
 */
export class PartitionReader {
  readonly name: PartitionName
  /** The next record to be read. */
  offset: Offset
  private readonly store: Store
  private readonly policy: ReadPolicy
  /** Which topic of its name is read. */
  private readonly made: number | undefined
  private open: Open | undefined
  private slot: number | undefined
  /** Two in turn: while one is written out, the other is read into. */
  private readonly buffers: [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)]
  private turn: 0 | 1 = 0

  constructor(store: Store, name: PartitionName, offset: Offset, policy: ReadPolicy) {
    this.store = store
    this.name = name
    this.offset = offset
    this.policy = policy
    this.made = this.topic?.made
  }

  private get topic(): Topic | undefined {
    return this.store.state.topics.get(splitPartitionName(this.name)[0])
  }

  /** @throws BeckError store, when the topic was deleted meanwhile: one of the same name that is there now has other records */
  check(): void {
    const { topic } = this
    if (topic?.made === this.made) return
    const [name] = splitPartitionName(this.name)
    throw new BeckError('store', {
      problem: `the topic "${name}" was deleted while it was read`,
      hint: topic
        ? 'there is a new one of that name: run the command again to read it'
        : 'beck topic list shows the topics',
    })
  }

  close(): void {
    if (!this.open) return
    this.store.env.close(this.open.records)
    this.store.env.close(this.open.indexFile)
    this.open = undefined
    this.slot = undefined
  }

  /** Moves on; a seek within the open segment costs a search of its index. */
  seek(offset: Offset): void {
    if (offset === this.offset) return
    this.offset = offset
    this.slot = undefined
  }

  /** The batch that holds the next record before `until`, without reading its records; undefined at the end. */
  peek(until: Offset): BatchPart | undefined {
    return translate(this.store.folder, () => {
      for (;;) {
        const batch = this.locate(until)
        if (!batch) return undefined
        const part = this.cut(batch, until)
        if (part) return part
        this.pass(batch)
      }
    })
  }

  /** Reads the records of the batch that `peek` gave, and passes it. The bytes hold until the call after the next. Undefined: damaged and skipped. */
  take(part: BatchPart): Buffer | undefined {
    return translate(this.store.folder, () => {
      const { batch } = part
      const bytes = this.load(batch.position, batch.length)
      this.pass(batch, part.to)
      return this.verify(batch, bytes) ? this.slice(part, bytes) : undefined
    })
  }

  /** Passes the batch that `peek` gave without reading it. */
  passOver(part: BatchPart): void {
    this.pass(part.batch, part.to)
  }

  /**
   * Reads as many whole batches as lie side by side, for copying them through at once: their bytes in order of offset. Only for a
   * reader of one partition. Undefined at the end. The bytes hold until the call after the next.
   */
  takeRun(until: Offset): { bytes: Buffer; count: number } | undefined {
    const first = this.peek(until)
    if (!first) return undefined
    return translate(this.store.folder, () => {
      const run: IndexedBatch[] = [first.batch]
      let bytes = first.batch.length
      let last = first.batch
      if (first.from === 0 && first.to === first.batch.count) {
        for (;;) {
          const next = this.indexAt(last.slot + last.slots)
          if (
            !next ||
            next.end > until ||
            bytes + next.length > RUN_BYTES ||
            next.position !== last.position + last.length
          )
            break
          run.push(next)
          bytes += next.length
          last = next
        }
      }
      const block = this.load(first.batch.position, bytes)
      if (run.length === 1) {
        this.pass(first.batch, first.to)
        if (!this.verify(first.batch, block)) return { bytes: block.subarray(0, 0), count: 0 }
        return { bytes: this.slice(first, block), count: first.to - first.from }
      }
      let count = 0
      for (const [i, batch] of run.entries()) {
        const at = batch.position - first.batch.position
        if (!this.isIntact(batch, block.subarray(at, at + batch.length))) {
          // Hand out what is good; the damaged one comes first next time.
          if (i === 0) break
          return { bytes: block.subarray(0, at), count }
        }
        this.pass(batch)
        count += batch.count
      }
      if (count === 0) {
        this.pass(first.batch)
        this.verify(first.batch, block.subarray(0, first.batch.length))
        return { bytes: block.subarray(0, 0), count: 0 }
      }
      return { bytes: block, count }
    })
  }

  /** The first batch at or after the reader's offset for which `test` holds, where all before it in a segment fail. */
  searchFrom(
    segments: (segment: Segment) => boolean,
    test: (batch: IndexedBatch) => boolean,
  ): IndexedBatch | undefined {
    return translate(this.store.folder, () => {
      const partition = this.store.state.partition(this.name)
      for (const segment of partition?.segments ?? []) {
        if (segment.end <= this.offset || !segments(segment)) continue
        this.openSegment(segment)
        const found = this.checked(() =>
          (this.open as Open).index.search((batch) => batch.end > this.offset && test(batch)),
        )
        if (found) return found
      }
      return undefined
    })
  }

  private pass(batch: IndexedBatch, to = batch.count): void {
    if (to < batch.count) {
      this.offset = offsetOf(batch, to)
      this.slot = batch.slot
    } else {
      this.offset = batch.end
      this.slot = batch.slot + batch.slots
    }
  }

  /** The batch with the first record at or after `offset`. */
  private locate(until: Offset): IndexedBatch | undefined {
    for (;;) {
      this.check()
      const partition = this.store.state.partition(this.name)
      if (!partition) return undefined
      if (this.offset < partition.start) {
        this.lostTo(partition.start)
        this.seek(partition.start)
      }
      const end = Math.min(until, partition.next)
      if (this.offset >= end) return undefined
      const segment = partition.segments.find((segment) => segment.end > this.offset)
      if (!segment) return undefined
      if (this.open?.stem === segment.stem) this.open.index.slots = segment.slots
      else if (!this.tryOpen(segment)) continue
      const open = this.open as Open
      this.slot ??= this.checked(() => open.index.search((batch) => batch.end > this.offset))?.slot ?? segment.slots
      const batch = this.indexAt(this.slot)
      if (batch) return batch.offset >= end ? undefined : batch
      // A gap at the end of the segment, left by compaction.
      this.seek(segment.end)
    }
  }

  private indexAt(slot: number): IndexedBatch | undefined {
    return this.checked(() => (this.open as Open).index.at(slot))
  }

  /** Opens a segment; false when it was removed meanwhile and the store was refreshed to say what is there now. */
  private tryOpen(segment: Segment): boolean {
    try {
      this.openSegment(segment)
      return true
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      if (!this.store.refresh()) throw error
      return false
    }
  }

  private openSegment(segment: Segment): void {
    if (this.open?.stem === segment.stem) return
    this.close()
    const { env, folder } = this.store
    const records = env.open(layout.records(folder, this.name, segment.stem), 'read')
    try {
      const indexFile = env.open(layout.index(folder, this.name, segment.stem), 'read')
      this.open = { stem: segment.stem, records, indexFile, index: new IndexReader(env, indexFile, segment.slots) }
    } catch (error) {
      env.close(records)
      throw error
    }
  }

  /** A damaged index is told with its file, and is not skipped: nothing says where the next batch begins. */
  private checked<T>(read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      throw new BeckError(
        'store',
        {
          problem: `${layout.index(this.store.folder, this.name, this.open?.stem ?? '')}: ${error.message} (after offset ${this.offset})`,
          hint: 'beck topic verify shows the extent; the records themselves are plain lines in the .ndjson file beside it',
        },
        { cause: error },
      )
    }
  }

  /** The part of a batch from the reader's offset up to `until`; undefined when there is none (a gap left by compaction). */
  private cut(batch: IndexedBatch, until: Offset): BatchPart | undefined {
    const index = (offset: Offset): number => {
      if (offset <= batch.offset) return 0
      if (offset >= batch.end) return batch.count
      if (!batch.offsets) return offset - batch.offset
      const at = batch.offsets.findIndex((other) => other >= offset)
      return at < 0 ? batch.count : at
    }
    const from = index(this.offset)
    const to = index(until)
    return to > from ? { name: this.name, batch, from, to } : undefined
  }

  private load(position: number, length: number): Buffer {
    this.turn = this.turn === 0 ? 1 : 0
    let buffer = this.buffers[this.turn]
    if (buffer.length < length)
      this.buffers[this.turn] = buffer = Buffer.allocUnsafeSlow(
        Math.max(length, Math.min(2 * buffer.length, RUN_BYTES)),
      )
    const bytes = buffer.subarray(0, length)
    return bytes.subarray(0, readAll(this.store.env, (this.open as Open).records, bytes, position))
  }

  private isIntact(batch: IndexedBatch, bytes: Buffer): boolean {
    return bytes.length === batch.length && crc32(bytes) === batch.crc
  }

  private verify(batch: IndexedBatch, bytes: Buffer): boolean {
    if (this.isIntact(batch, bytes)) return true
    const file = layout.records(this.store.folder, this.name, this.open?.stem ?? '')
    const problem = `${file}: bytes ${batch.position} to ${batch.position + batch.length} are damaged (offsets ${batch.offset} to ${batch.end - 1})`
    if (this.policy.onCorrupt === 'skip') {
      this.policy.say(`skipped: ${problem}`)
      return false
    }
    throw new BeckError('store', { problem, hint: 'go on without these records with --on-corrupt skip' })
  }

  private slice({ batch, from, to }: BatchPart, bytes: Buffer): Buffer {
    if (from === 0 && to === batch.count) return bytes
    return bytes.subarray(lineStart(bytes, 0, from), to === batch.count ? bytes.length : lineStart(bytes, 0, to))
  }

  private lostTo(start: Offset): void {
    const problem = `${this.name}: records ${this.offset} to ${start - 1} were removed by retention before they were read`
    if (this.policy.onLost === 'skip') return this.policy.say(`skipped: ${problem}`)
    throw new BeckError('store', { problem, hint: 'go on from the first record that is left with --on-lost skip' })
  }
}

/** Where line `line` (from 0) after `at` begins. */
export function lineStart(bytes: Buffer, at: number, line: number): number {
  for (let i = 0; i < line; i++) at = bytes.indexOf(10, at) + 1
  return at
}
