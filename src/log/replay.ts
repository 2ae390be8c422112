import { parseFieldPath, parseKeyFields } from '../core/field-path.ts'
import { formatTime } from '../core/time.ts'
import { type Details, DetailReader } from './details.ts'
import { splitPartitionName } from './layout.ts'
import { type Commit, forEachRecord, linesOf, type LoadedPart, MergedReader } from './merge.ts'
import { type BatchPart, offsetOf, type PartitionReader, type ReadPolicy } from './reader.ts'
import type { Offset, PartitionName } from './state.ts'
import type { Store } from './store.ts'

/** Which records, and in which form. */
export interface ReplayPlan {
  readonly from: ReadonlyMap<PartitionName, Offset>
  /** Where to end, exclusive; undefined: at what is committed, again and again. */
  readonly until: ReadonlyMap<PartitionName, Offset> | undefined
  /** Times of records, from inclusive, to exclusive. */
  readonly fromTime?: number | undefined
  readonly toTime?: number | undefined
  /** Records to leave out at the beginning. */
  readonly skip?: number
  readonly limit?: number | undefined
  /** Each line becomes `{"topic","partition","offset","time","key","value"}`. */
  readonly meta?: boolean
  /** Called before a record with its time; returns how long to wait, in ms. */
  readonly pace?: (time: number) => number
  readonly policy: ReadPolicy
}

/** What to write next, or how long to wait first. */
export type Step = { readonly lines: Uint8Array; readonly records: number } | { readonly waitMs: number } | undefined

/**
 * Reads the records of a plan in order of append. `next` gives blocks of lines until there are none (for now, when the plan follows).
 * A partition read alone and whole is handed through in blocks of megabytes, without a look at its records.
 */
export class Replay {
  private readonly store: Store
  private readonly plan: ReplayPlan
  private readonly reader: MergedReader
  private readonly details = new Map<string, DetailReader>()
  private left: number
  private toSkip: number
  private readonly queue: Generator<Step>

  constructor(store: Store, plan: ReplayPlan) {
    this.store = store
    this.plan = plan
    this.reader = new MergedReader(store, plan.from, plan.policy)
    this.left = plan.limit ?? Infinity
    this.toSkip = plan.skip ?? 0
    this.queue = this.steps()
  }

  /** Undefined: nothing (more) to read now. The lines hold until the call after the next. */
  next(): Step {
    return this.queue.next().value as Step
  }

  /** @throws BeckError store, when a topic was deleted meanwhile */
  check(): void {
    for (const reader of this.reader.readers) reader.check()
  }

  /** All records of the plan were given. */
  get done(): boolean {
    return this.left <= 0
  }

  /** The next record to be read of each partition: what a consumer commits. */
  offsets(): Map<PartitionName, Offset> {
    return new Map(this.reader.readers.map((reader) => [reader.name, reader.offset]))
  }

  close(): void {
    this.reader.close()
  }

  private *steps(): Generator<Step> {
    const { plan, reader } = this
    const { until } = plan
    const alone = reader.readers.length === 1 ? reader.readers[0] : undefined
    const plain = !plan.meta && !plan.pace && plan.fromTime === undefined && plan.toTime === undefined
    while (this.left > 0) {
      if (plain && alone && this.left === Infinity && this.toSkip === 0) {
        const end = until ? until.get(alone.name) : this.store.state.partition(alone.name)?.next
        const run = alone.takeRun(end ?? 0)
        yield run && { lines: run.bytes, records: run.count }
        continue
      }
      const commit = reader.next(until, this.outside)
      if (!commit) {
        yield undefined
        continue
      }
      if (plain && this.toSkip === 0 && commit.count <= this.left) {
        this.left -= commit.count
        yield { lines: linesOf(commit), records: commit.count }
      } else yield* this.oneByOne(commit)
    }
  }

  /** Whether all records of a batch are out of the plan's times. */
  private readonly outside = ({ batch }: BatchPart): boolean => {
    const { fromTime = -Infinity, toTime = Infinity } = this.plan
    return batch.maxTime < fromTime || batch.minTime >= toTime
  };

  private *oneByOne(commit: Commit): Generator<Step> {
    const { fromTime = -Infinity, toTime = Infinity, meta, pace } = this.plan
    const timed = pace !== undefined || meta === true || fromTime > -Infinity || toTime < Infinity
    const details = new Map<LoadedPart, Details>()
    if (timed) for (const part of commit.parts) details.set(part, this.detailsOf(part))
    let out: Uint8Array[] = []
    let records = 0
    const all: [part: LoadedPart, index: number, start: number, end: number][] = []
    forEachRecord(commit, (part, index, start, end) => void all.push([part, index, start, end]))
    const taken = new Map<LoadedPart, number>()
    for (const [part, index, start, end] of all) {
      const own = details.get(part)?.times[index - part.from] ?? NaN
      const time = part.batch.eventTime && !Number.isNaN(own) ? own : part.batch.maxTime
      if (time < fromTime || time >= toTime) continue
      if (this.toSkip > 0) {
        this.toSkip--
        continue
      }
      const wait = pace?.(time) ?? 0
      if (wait > 0) {
        if (out.length > 0) yield { lines: Buffer.concat(out), records }
        records = 0
        out = []
        yield { waitMs: wait }
      }
      if (meta)
        out.push(...this.withMeta(part, index, time, details.get(part) as Details, part.bytes.subarray(start, end)))
      else out.push(part.bytes.subarray(start, end + 1))
      records++
      taken.set(part, index + 1)
      if (--this.left <= 0) break
    }
    // The readers stand after the commit; who asks where they are means the next record to be given.
    if (this.left <= 0)
      for (const part of commit.parts) this.readerOf(part).seek(offsetOf(part.batch, taken.get(part) ?? part.from))
    if (out.length > 0) yield { lines: Buffer.concat(out), records }
  }

  private readerOf({ name }: LoadedPart): PartitionReader {
    return this.reader.readers.find((reader) => reader.name === name) as PartitionReader
  }

  private withMeta(part: LoadedPart, index: number, time: number, details: Details, value: Uint8Array): Uint8Array[] {
    const [topic, partition] = splitPartitionName(part.name)
    const head = `{"topic":"${topic}","partition":${partition},"offset":${offsetOf(part.batch, index)},"time":"${formatTime(time)}","key":${details.key(index - part.from)},"value":`
    return [Buffer.from(head), value, CLOSE]
  }

  private detailsOf(part: LoadedPart): Details {
    const [topic] = splitPartitionName(part.name)
    let reader = this.details.get(topic)
    if (!reader) {
      const config = this.store.state.topics.get(topic)?.config
      const keys = this.plan.meta && config?.key !== undefined ? parseKeyFields(config.key).map(({ path }) => path) : []
      reader = new DetailReader(keys, config?.time === undefined ? undefined : parseFieldPath(config.time))
      this.details.set(topic, reader)
    }
    return reader.read(part.bytes, part.to - part.from)
  }
}

const CLOSE = Buffer.from('}\n')
