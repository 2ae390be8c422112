import { BeckError } from '../core/errors.ts'
import type { Identity } from './identity.ts'

/** Offset of a record in its partition, from 0. Never changes, never used again. */
export type Offset = number & { readonly brand?: 'offset' }
/** `topic/partition`. */
export type PartitionName = string & { readonly brand?: 'partition name' }

export interface TopicConfig {
  readonly partitions: number
  /** Key fields as given to `--by`. */
  readonly key?: string
  /** Time field as given to `--time`. */
  readonly time?: string
  readonly segmentBytes?: number
  readonly retainMs?: number
  readonly retainBytes?: number
  /** Key fields by which `topic compact` keeps the latest record. */
  readonly compact?: string
  readonly tombstone?: string
  /** How long compaction keeps a tombstone. */
  readonly tombstoneMs?: number
}

/** One segment: `<stem>.ndjson` and `<stem>.idx`. `length` and `slots` are committed; what lies beyond is nobody's. */
export interface Segment {
  readonly stem: string
  readonly base: Offset
  /** The offset after its last record. */
  end: Offset
  length: number
  /** Committed slots of the index. */
  slots: number
  /** Time of its newest record. */
  maxTime: number
}
export interface Partition {
  /** Log start: records before it are gone. */
  start: Offset
  /** Log end: the next record's offset. */
  next: Offset
  segments: Segment[]
  /** The last segment must not be written to again: its sync failed, or it has a tail of unknown origin. */
  closed: boolean
}
export interface Topic {
  config: TopicConfig
  /** Number of the commit that made it: tells it from one of the same name that was deleted. */
  readonly made: number
  readonly partitions: Partition[]
}

export interface Member {
  readonly id: string
  /** Fences an earlier life of the same id. */
  readonly life: string
  readonly identity: Identity
  readonly topics: readonly string[]
  /** Without a heartbeat for that long, others may fence it. */
  readonly sessionMs?: number
  /** Part of a pipeline that works partition by partition. */
  readonly tasks?: true
}
export interface Membership {
  readonly generation: number
  readonly strategy: string
  readonly members: readonly Member[]
  /** Who may read a partition now. */
  readonly owners: Readonly<Record<PartitionName, string>>
  /** Who shall: differs from `owners` until a living owner has let go. */
  readonly targets: Readonly<Record<PartitionName, string>>
  /** Of a group without members: the topics of those it had, so that its lag can be told before it has committed anything. */
  readonly topics?: readonly string[]
}
export interface Group {
  membership: Membership
  readonly offsets: Map<PartitionName, Offset>
}
/** An idempotent producer: [epoch, sequence of the last record written, CRC of all records up to it]. */
export type Producer = readonly [epoch: number, sequence: number, crc: number]

/** A batch as the journal names it. The times are left out when they are the commit's own. */
export type BatchEntry = readonly [
  stem: string,
  position: number,
  length: number,
  count: number,
  crc: number,
  slots: number,
  minTime?: number,
  maxTime?: number,
]
export type SegmentEntry = readonly [
  stem: string,
  base: number,
  end: number,
  length: number,
  slots: number,
  maxTime: number,
]

/** One line of the journal: one commit. docs/log-format.md describes every member. */
export interface Line {
  readonly n: number
  readonly gen: number
  readonly at: number
  readonly boot?: string
  readonly sync?: true
  readonly t?: Readonly<Record<string, TopicConfig | null>>
  readonly w?: Readonly<Record<PartitionName, BatchEntry>>
  readonly r?: Readonly<Record<PartitionName, Offset>>
  readonly c?: Readonly<
    Record<PartitionName, { readonly out: readonly string[]; readonly in: readonly SegmentEntry[] }>
  >
  readonly f?: readonly PartitionName[]
  readonly o?: Readonly<Record<string, Readonly<Record<PartitionName, Offset>>>>
  readonly g?: Readonly<Record<string, Membership | null>>
  readonly s?: Readonly<Record<string, unknown>>
  readonly x?: Readonly<Record<string, Producer>>
  readonly state?: FullState
}
/** Everything, as the first line of a journal file has it. */
export interface FullState {
  readonly topics: Readonly<
    Record<
      string,
      {
        readonly config: TopicConfig
        /** 0 where an earlier beck has left it out. */
        readonly made?: number
        readonly partitions: readonly (readonly [Offset, Offset, 0 | 1, SegmentEntry[]])[]
      }
    >
  >
  readonly groups: Readonly<
    Record<string, { readonly membership: Membership; readonly offsets: Record<PartitionName, Offset> }>
  >
  readonly producers: Readonly<Record<string, Producer>>
  readonly handles: Readonly<Record<string, unknown>>
}

export const noMembers: Membership = { generation: 0, strategy: 'range', members: [], owners: {}, targets: {} }

/** What the journal adds up to. */
export class StoreState {
  n = 0
  gen = 0
  boot = ''
  readonly topics = new Map<string, Topic>()
  readonly groups = new Map<string, Group>()
  readonly producers = new Map<string, Producer>()
  /** State handles of pipelines. */
  readonly handles = new Map<string, unknown>()
  /** Segments written since the last synced line: partition → stem → whether the file is new. */
  readonly unsynced = new Map<PartitionName, Map<string, boolean>>()

  partition(name: PartitionName): Partition | undefined {
    const at = name.lastIndexOf('/')
    return this.topics.get(name.slice(0, at))?.partitions[Number(name.slice(at + 1))]
  }

  group(name: string): Group {
    let group = this.groups.get(name)
    if (!group) this.groups.set(name, (group = { membership: noMembers, offsets: new Map() }))
    return group
  }

  /** Adds one line. @throws BeckError store, when the line does not fit what was before it. */
  apply(line: Line): void {
    if (line.state) this.load(line.state)
    else if (line.n !== this.n + 1) throw misfit(`line ${line.n} follows line ${this.n}`)
    this.n = line.n
    this.gen = line.gen
    if (line.boot !== undefined) this.boot = line.boot
    for (const [topic, config] of Object.entries(line.t ?? {})) this.applyTopic(topic, config)
    for (const [name, batch] of Object.entries(line.w ?? {})) this.applyBatch(name, batch, line.at)
    for (const [name, start] of Object.entries(line.r ?? {})) this.applyStart(name, start)
    for (const [name, swap] of Object.entries(line.c ?? {})) this.applySwap(name, swap.out, swap.in)
    for (const name of line.f ?? []) this.known(name).closed = true
    for (const [name, membership] of Object.entries(line.g ?? {})) {
      if (membership) this.group(name).membership = membership
      else this.groups.delete(name)
    }
    for (const [name, offsets] of Object.entries(line.o ?? {})) {
      const group = this.group(name)
      // Of a topic that was deleted meanwhile they would say something about the next one of its name.
      for (const [partition, offset] of Object.entries(offsets))
        if (this.partition(partition)) group.offsets.set(partition, offset)
    }
    for (const [name, producer] of Object.entries(line.x ?? {})) this.producers.set(name, producer)
    for (const [name, handle] of Object.entries(line.s ?? {})) {
      if (handle === null) this.handles.delete(name)
      else this.handles.set(name, handle)
    }
    if (line.sync) this.unsynced.clear()
  }

  private known(name: PartitionName): Partition {
    const partition = this.partition(name)
    if (!partition) throw misfit(`"${name}" is not a partition of a known topic`)
    return partition
  }

  private applyTopic(name: string, config: TopicConfig | null): void {
    if (!config) {
      this.topics.delete(name)
      for (const key of this.producers.keys()) if (key.startsWith(`${name}/`)) this.producers.delete(key)
      for (const key of this.unsynced.keys()) if (key.slice(0, key.lastIndexOf('/')) === name) this.unsynced.delete(key)
      for (const group of this.groups.values()) {
        for (const key of group.offsets.keys())
          if (key.slice(0, key.lastIndexOf('/')) === name) group.offsets.delete(key)
      }
      return
    }
    let topic = this.topics.get(name)
    if (!topic) this.topics.set(name, (topic = { config, made: this.n, partitions: [] }))
    topic.config = config
    while (topic.partitions.length < config.partitions) {
      topic.partitions.push({ start: 0, next: 0, segments: [], closed: false })
    }
  }

  private applyBatch(name: PartitionName, batch: BatchEntry, at: number): void {
    const [stem, position, length, count, , slots, , maxTime = at] = batch
    const partition = this.known(name)
    let segment = partition.segments.at(-1)
    if (segment?.stem !== stem) {
      segment = { stem, base: partition.next, end: partition.next, length: 0, slots: 0, maxTime: -Infinity }
      partition.segments.push(segment)
      partition.closed = false
    }
    if (segment.length !== position)
      throw misfit(`a batch of ${name} begins at ${position}, its segment has ${segment.length}`)
    partition.next += count
    segment.end = partition.next
    segment.length += length
    segment.slots = slots
    segment.maxTime = Math.max(segment.maxTime, maxTime)
    let unsynced = this.unsynced.get(name)
    if (!unsynced) this.unsynced.set(name, (unsynced = new Map()))
    unsynced.set(stem, unsynced.get(stem) === true || position === 0)
  }

  private applyStart(name: PartitionName, start: Offset): void {
    const partition = this.known(name)
    partition.start = Math.max(partition.start, start)
    const first = partition.segments.findIndex((segment) => segment.end > partition.start)
    const dropped = partition.segments.splice(0, first < 0 ? partition.segments.length : first)
    for (const { stem } of dropped) this.unsynced.get(name)?.delete(stem)
  }

  private applySwap(name: PartitionName, out: readonly string[], entries: readonly SegmentEntry[]): void {
    const partition = this.known(name)
    const at = partition.segments.findIndex((segment) => segment.stem === out[0])
    if (at < 0) throw misfit(`${name} has no segment ${out[0]}`)
    partition.segments.splice(at, out.length, ...entries.map(toSegment))
    for (const stem of out) this.unsynced.get(name)?.delete(stem)
  }

  private load(full: FullState): void {
    for (const map of [this.topics, this.groups, this.producers, this.handles, this.unsynced]) map.clear()
    for (const [name, { config, made = 0, partitions }] of Object.entries(full.topics)) {
      this.topics.set(name, {
        config,
        made,
        partitions: partitions.map(([start, next, closed, segments]) => ({
          start,
          next,
          closed: closed === 1,
          segments: segments.map(toSegment),
        })),
      })
    }
    for (const [name, { membership, offsets }] of Object.entries(full.groups)) {
      this.groups.set(name, { membership, offsets: new Map(Object.entries(offsets)) })
    }
    for (const [name, producer] of Object.entries(full.producers)) this.producers.set(name, producer)
    for (const [name, handle] of Object.entries(full.handles)) this.handles.set(name, handle)
  }

  /** Everything, for the first line of a journal file. */
  full(): FullState {
    return {
      topics: Object.fromEntries(
        [...this.topics].map(([name, { config, made, partitions }]) => [
          name,
          {
            config,
            made,
            partitions: partitions.map((p) => [p.start, p.next, p.closed ? 1 : 0, p.segments.map(toEntry)] as const),
          },
        ]),
      ),
      groups: Object.fromEntries(
        [...this.groups].map(([name, group]) => [
          name,
          { membership: group.membership, offsets: Object.fromEntries(group.offsets) },
        ]),
      ),
      producers: Object.fromEntries(this.producers),
      handles: Object.fromEntries(this.handles),
    }
  }
}

const toSegment = ([stem, base, end, length, slots, maxTime]: SegmentEntry): Segment => ({
  stem,
  base,
  end,
  length,
  slots,
  maxTime: maxTime ?? -Infinity, // JSON has no infinities: an empty segment's is null
})
/** A segment as a line of the journal has it. */
export const toEntry = (s: Segment): SegmentEntry => [s.stem, s.base, s.end, s.length, s.slots, s.maxTime]

const misfit = (problem: string): BeckError =>
  new BeckError('store', {
    problem: `the journal contradicts itself: ${problem}`,
    hint: 'keep a copy of the store; its topics/*/*/*.ndjson files hold the records as plain lines',
  })
