import { BeckError } from '../core/errors.ts'
import { crc32 } from '../ndjson/checksum.ts'
import { type Env, errnoOf, named, removeIfThere, writeAll } from './env.ts'
import { encodeBatch, SLOT } from './index-file.ts'
import { layout } from './layout.ts'
import type { OpenSegment, SegmentFiles } from './segments.ts'
import {
  type BatchEntry,
  type Line,
  type Membership,
  type Offset,
  type PartitionName,
  type Producer,
  type Segment,
  type StoreState,
  toEntry,
  type TopicConfig,
} from './state.ts'

/** Records for one partition, committed together. */
export interface Append {
  /** Lines, each ended by "\n", one after the other. */
  readonly lines: readonly Uint8Array[]
  readonly count: number
  /** Least and greatest event time; undefined when the topic has no time field. */
  readonly times?: readonly [min: number, max: number]
  /** CRC of the lines, where it is known. */
  readonly crc?: number
  /** Rank of each record among all records of the commit; undefined when this partition gets all of them. */
  readonly ranks?: Uint32Array
  /** The same as `encodeRanks` writes it, instead. */
  readonly encodedRanks?: Uint8Array
}

export const DEFAULT_SEGMENT_BYTES = 128 * 1024 * 1024

/** What one commit changes. Made, synced and ended by `Store.transact`, which holds the lock meanwhile. */
export class Transaction {
  readonly state: StoreState
  /** The wall clock of this commit. */
  readonly at: number
  private readonly env: Env
  private readonly store: string
  private readonly files: SegmentFiles
  private readonly n: number
  private readonly w: Record<PartitionName, BatchEntry> = {}
  private readonly line: {
    -readonly [Member in 't' | 'r' | 'o' | 'g' | 's' | 'x']?: Record<string, never>
  } = {}
  private readonly swaps: Record<PartitionName, { out: string[]; in: ReturnType<typeof toEntry>[] }> = {}
  private readonly closing = new Set<PartitionName>()
  private readonly written: { name: PartitionName; stem: string; created: boolean; length: number; slots: number }[] =
    []
  private readonly unlinks: string[] = []
  private marked = false
  private readonly after: (() => void)[] = []
  private readonly undo: (() => void)[] = []

  constructor(env: Env, store: string, files: SegmentFiles, state: StoreState) {
    this.env = env
    this.store = store
    this.files = files
    this.state = state
    this.n = state.n + 1
    this.at = env.now()
  }

  private set<T>(member: 't' | 'r' | 'o' | 'g' | 's' | 'x', key: string, value: T): void {
    // One record type for six members of different types: `lineFor` hands them out under their own.
    const record = (this.line[member] ??= Object.create(null) as Record<string, never>) as Record<string, T>
    record[key] = value
  }

  /** Writes a line even if nothing changes: synced, it makes sure of the unsynced ones before it. */
  mark(): void {
    this.marked = true
  }
  /** Makes a topic, changes its settings, or (null) forgets it. */
  topic(name: string, config: TopicConfig | null): void {
    this.set('t', name, config)
  }
  /** Moves a group's committed offsets. */
  offsets(group: string, offsets: Readonly<Record<PartitionName, Offset>>): void {
    this.set('o', group, { ...(this.line.o?.[group] as Record<PartitionName, Offset> | undefined), ...offsets })
  }
  /** Replaces a group's members, or (null) forgets the group. */
  membership(group: string, membership: Membership | null): void {
    this.set('g', group, membership)
  }
  producer(key: string, producer: Producer): void {
    this.set('x', key, producer)
  }
  /** A pipeline's state handles; null forgets them. */
  handles(pipeline: string, handles: unknown): void {
    this.set('s', pipeline, handles)
  }
  /** Makes everything before `offset` be gone; files that this frees are removed after the commit. */
  start(name: PartitionName, offset: Offset): void {
    this.set('r', name, offset)
    for (const segment of this.state.partition(name)?.segments ?? [])
      if (segment.end <= offset) this.remove(name, segment.stem)
  }
  /** Puts synced segments in the place of others that stand side by side. */
  swap(name: PartitionName, out: readonly Segment[], replacements: readonly Segment[]): void {
    this.swaps[name] = { out: out.map((segment) => segment.stem), in: replacements.map(toEntry) }
    for (const { stem } of out) this.remove(name, stem)
  }
  /** Nothing is appended to the partition's last segment any more. */
  closeSegment(name: PartitionName): void {
    this.closing.add(name)
  }
  /** Whether the partition's topic goes with this commit. */
  deletes(name: PartitionName): boolean {
    return this.line.t?.[name.slice(0, name.lastIndexOf('/'))] === null
  }
  /** Done under the lock, after the commit. A commit that frees something is synced first. */
  afterCommit(action: () => void): void {
    this.after.push(action)
  }
  /** Done under the lock if there is no commit. */
  onFailure(action: () => void): void {
    this.undo.push(action)
  }
  private remove(name: PartitionName, stem: string): void {
    this.unlinks.push(layout.records(this.store, name, stem), layout.index(this.store, name, stem))
  }

  /**
   * Writes records to a partition's segment, once per partition and commit. Visible only after the commit.
   * @throws BeckError store, when committed bytes are missing
   */
  append(name: PartitionName, append: Append): { offset: Offset } {
    const partition = this.state.partition(name)
    const topic = this.state.topics.get(name.slice(0, name.lastIndexOf('/')))
    if (!partition || !topic) throw new Error(`append to ${name}, which is no partition`)
    if (this.w[name]) throw new Error(`two appends to ${name} in one commit`)
    const length = append.lines.reduce((sum, lines) => sum + lines.length, 0)
    const last = partition.segments.at(-1)
    const full =
      last !== undefined &&
      last.length > 0 &&
      last.length + length > (topic.config.segmentBytes ?? DEFAULT_SEGMENT_BYTES)
    let segment = last && !full && !partition.closed ? this.reopen(name, last) : undefined
    const created = segment === undefined
    segment ??= this.files.create(name, partition.next)
    const position = created ? 0 : (last as Segment).length
    const slot = created ? 0 : (last as Segment).slots
    this.written.push({ name, stem: segment.stem, created, length: position, slots: slot })
    let crc = append.crc ?? 0
    let at = position
    for (const lines of append.lines) {
      if (lines.length === 0) continue
      if (append.crc === undefined) crc = crc32(lines, crc)
      named(layout.records(this.store, name, segment.stem), () => writeAll(this.env, segment.records, lines, at))
      at += lines.length
    }
    const [minTime, maxTime] = append.times ?? [this.at, this.at]
    const entry = encodeBatch(
      {
        offset: partition.next,
        end: partition.next + append.count,
        position,
        length,
        count: append.count,
        commit: this.n,
        minTime,
        maxTime,
        eventTime: append.times !== undefined,
        crc,
        ...(append.ranks && { ranks: append.ranks }),
      },
      created ? -Infinity : (last as Segment).maxTime,
      append.encodedRanks,
    )
    named(layout.index(this.store, name, segment.stem), () => writeAll(this.env, segment.index, entry, slot * SLOT))
    const slots = slot + entry.length / SLOT
    this.w[name] = append.times
      ? [segment.stem, position, length, append.count, crc, slots, minTime, maxTime]
      : [segment.stem, position, length, append.count, crc, slots]
    return { offset: partition.next }
  }

  /** The last segment, if it ends where it was committed; else a tail of unknown origin is left alone and a new segment begins. */
  private reopen(name: PartitionName, last: Segment): OpenSegment | undefined {
    const segment = this.files.get(name, last.stem)
    const { length, linked } = this.env.stat(segment.records)
    if (!linked) {
      // The file was removed and made again under this name (a topic deleted and created).
      this.files.drop(name, last.stem)
      return this.reopen(name, last)
    }
    if (length < last.length) throw lost(layout.records(this.store, name, last.stem), length, last.length)
    return length === last.length ? segment : undefined
  }

  get empty(): boolean {
    return (
      !this.marked &&
      Object.keys(this.w).length === 0 &&
      Object.keys(this.line).length === 0 &&
      Object.keys(this.swaps).length === 0 &&
      this.closing.size === 0
    )
  }

  /** Whether this commit must be synced whatever `acks` says: it frees files, or moves a group. */
  get mustSync(): boolean {
    return this.unlinks.length > 0 || this.after.length > 0 || this.line.o !== undefined || this.line.s !== undefined
  }

  lineFor(gen: number, boot: string, sync: boolean): Line {
    const { t, r, o, g, s, x } = this.line as Pick<Line, 't' | 'r' | 'o' | 'g' | 's' | 'x'>
    return {
      n: this.n,
      gen,
      at: this.at,
      ...(boot !== this.state.boot && { boot }),
      ...(sync && { sync: true as const }),
      ...(t && { t }),
      ...(Object.keys(this.w).length > 0 && { w: this.w }),
      ...(r && { r }),
      ...(Object.keys(this.swaps).length > 0 && { c: this.swaps }),
      ...(this.closing.size > 0 && { f: [...this.closing] }),
      ...(o && { o }),
      ...(g && { g }),
      ...(s && { s }),
      ...(x && { x }),
    }
  }

  /** Segments with bytes that this transaction has written: partition → stem → whether the file is new. */
  get unsynced(): readonly { name: PartitionName; stem: string; created: boolean }[] {
    return this.written
  }

  /** Removes the files that the commit has freed. */
  cleanUp(): void {
    for (const path of this.unlinks) removeIfThere(this.env, path)
    for (const action of this.after) action()
  }

  /** After a failure: takes the written bytes back, as far as that goes; what is left is a tail that nobody reads. */
  takeBack(): void {
    for (const action of this.undo) {
      try {
        action()
      } catch (error) {
        if (errnoOf(error) === undefined) throw error
      }
    }
    for (const { name, stem, created, length, slots } of this.written) {
      try {
        if (created) {
          this.files.drop(name, stem)
          removeIfThere(this.env, layout.records(this.store, name, stem))
          removeIfThere(this.env, layout.index(this.store, name, stem))
        } else {
          // Not the descriptors of the append: they may have been closed since, and their numbers given to other files.
          const segment = this.files.get(name, stem)
          this.env.truncate(segment.records, length)
          this.env.truncate(segment.index, slots * SLOT)
        }
      } catch (error) {
        if (errnoOf(error) === undefined) throw error
      }
    }
  }
}

/** Committed bytes are not there. */
export const lost = (file: string, length: number, committed: number): BeckError =>
  new BeckError('store', {
    problem: `${file}: bytes ${length} to ${committed} are missing although they were committed`,
    hint: 'restore the file from a backup; beck topic verify shows which records are lost',
  })
