import type { RecordBatch } from '../core/batch.ts'
import { BeckError } from '../core/errors.ts'
import type { Problem, StageContext } from '../core/operator.ts'
import type { PartStage, SinkPart } from '../core/spec.ts'
import { type KeyHash, NO_KEY } from './key-hash.ts'
import { partitionName } from './layout.ts'
import type { ProducerSession } from './producer.ts'
import { type PartBatch, readPart } from './parts.ts'
import { Pending } from './pending.ts'
import { applyRetention } from './retention.ts'
import type { Store } from './store.ts'
import { timesOf } from './times.ts'
import { DEFAULT_SEGMENT_BYTES, type Transaction } from './transaction.ts'

export type Acks = 'none' | 'batch' | 'all'

/** How records are grouped into commits while the input is busy. */
const GROUP_MS = 50
/** A block of the reader's, 1 MiB less the beginning of a line, is enough: it then goes to the file without being copied. */
const GROUP_BYTES = 960 * 1024
/** A block of this size is worth a commit of its own. */
const LEAST_PART_BYTES = 512 * 1024
/** Up to here one pass over the block per partition is cheaper than copying line by line. */
const MASKED_PARTITIONS = 16

export interface AppendPlan {
  readonly topic: string
  readonly partitions: number
  readonly acks: Acks
  /** All records to this partition. */
  readonly partition?: number
  readonly keys?: KeyHash
  /** Index of the time field among the stage's reads. */
  readonly timeField?: { readonly index: number; readonly name: string }
  readonly sequenceField?: { readonly index: number; readonly name: string }
  /** For large blocks, where single records do not count. */
  readonly parts?: PartStage
  /** Made when the first record is there. */
  readonly producer?: (store: Store) => ProducerSession
}

/**
 * Takes batches of records and commits them to a topic. A commit holds the records of all partitions since the last one. Store and topic
 * are made with the first record, or at the end: an input that cannot be read leaves nothing behind.
 */
export class Appender {
  /** Records committed. */
  written = 0
  private readonly begin: () => Store
  private begun: Store | undefined
  private producer: ProducerSession | undefined
  private readonly plan: AppendPlan
  private readonly context: StageContext
  /** By partition. */
  private readonly pending: (Pending | undefined)[] = []
  /** Row → partition, of the batch at hand. */
  private targets = new Int32Array(0)
  private count = 0
  private bytes = 0
  private since = 0
  private unsynced = false
  private lastSync: number
  /** Counts records without a key, over all runs: where they go does not depend on how they were batched. */
  private spread = 0
  /** Bytes that one commit may hold. */
  private most = DEFAULT_SEGMENT_BYTES
  private readonly groupBytes: number
  /** Commits come from outside, an epoch at a time. */
  private holding = false

  /** @param begin gives the store, with the topic in it */
  constructor(begin: () => Store, plan: AppendPlan, context: StageContext) {
    this.begin = begin
    this.plan = plan
    this.context = context
    // A commit to many partitions costs two files each: then more is worth waiting for.
    this.groupBytes = Math.max(GROUP_BYTES, plan.partitions * 4096)
    this.lastSync = context.now()
  }

  private get store(): Store {
    if (this.begun) return this.begun
    const { plan } = this
    const store = this.begin()
    const topic = store.state.topics.get(plan.topic)
    this.spread = topic?.partitions.reduce((sum, { next }) => sum + next, 0) ?? 0
    this.most = topic?.config.segmentBytes ?? DEFAULT_SEGMENT_BYTES
    this.producer = plan.producer?.(store)
    applyRetention(store, plan.topic)
    return (this.begun = store)
  }

  /** Records that were written by an earlier run. */
  get repeats(): number {
    return this.producer?.repeats ?? 0
  }

  processBatch(batch: RecordBatch): void {
    const large = batch.bytes.length >= LEAST_PART_BYTES && !this.holding
    const part = large && batch.count > 0 ? this.plan.parts?.makePart(batch) : undefined
    if (part) return this.addPart(part)
    const { timeField, sequenceField } = this.plan
    const times = timeField && timesOf(batch, timeField.index)
    const sequences = sequenceField && batch.numbers(sequenceField.index).values
    let from = 0
    if (times || sequences) {
      for (let row = 0; row < batch.count; row++) {
        const problem =
          times && Number.isNaN(times[row])
            ? { problem: `"${timeField?.name}" is not a time`, hint: TIME_HINT }
            : sequences && !(Number.isSafeInteger(sequences[row]) && (sequences[row] as number) >= 0)
              ? { problem: `"${sequenceField?.name}" is not a sequence number`, hint: SEQUENCE_HINT }
              : undefined
        if (!problem) continue
        this.add(batch, from, row, times, sequences)
        this.reject(batch, row, problem)
        from = row + 1
      }
    }
    this.add(batch, from, batch.count, times, sequences)
  }

  private reject(batch: RecordBatch, row: number, problem: Problem): void {
    this.context.reject(batch, row, problem)
  }

  /** Rows of a batch, cut so that no commit holds more than fits into a segment. */
  private add(batch: RecordBatch, from: number, to: number, times?: Float64Array, sequences?: Float64Array): void {
    if (from >= to) return
    void this.store
    if (this.holding) return this.take(batch, from, to, times, sequences)
    // Mostly a block fits anyway: then its spans need not be found.
    const bytes = this.bytes + batch.bytes.length <= this.most ? 0 : bytesOf(batch, from, to)
    if (bytes > this.most && to - from > 1) {
      const middle = (from + to) >>> 1
      this.add(batch, from, middle, times, sequences)
      this.add(batch, middle, to, times, sequences)
      return
    }
    if (this.bytes + bytes > this.most) this.group()
    this.take(batch, from, to, times, sequences)
    if (this.plan.acks === 'all') this.settle()
    else if (this.bytes >= this.groupBytes || this.context.now() - this.since >= GROUP_MS) this.group()
  }

  /** While the input is busy: a commit every so often, synced often enough that a power cut takes no more than `GROUP_MS` of it. */
  private group(more?: Uint8Array): void {
    this.flush(this.plan.acks === 'batch' && this.context.now() - this.lastSync >= GROUP_MS, more)
  }

  private take(batch: RecordBatch, from: number, to: number, times?: Float64Array, sequences?: Float64Array): void {
    const { plan, producer } = this
    let mask: Uint8Array | undefined
    if (producer && sequences) {
      mask = new Uint8Array(batch.count)
      for (let row = from; row < to; row++) mask[row] = producer.take(sequences[row] as number) ? 1 : 0
    } else if (producer) from = producer.skip(batch, from, to)
    if (from >= to) return
    if (this.count === 0) this.since = this.context.now()
    if (plan.partition !== undefined || plan.partitions === 1) {
      this.addToOne(plan.partition ?? 0, batch, from, to, mask, times)
    } else this.scatter(batch, from, to, mask, times)
  }

  /** One partition gets everything: a large block goes from the input's memory to the file, without a copy. */
  private addToOne(
    partition: number,
    batch: RecordBatch,
    from: number,
    to: number,
    mask?: Uint8Array,
    times?: Float64Array,
  ): void {
    const lines = batch.lines(mask, from, to)
    if (lines.length === 0) return
    const pending = this.of(partition)
    let added = to - from
    if (mask) for (let row = from; row < to; row++) added -= mask[row] === 0 ? 1 : 0
    if (times) for (let row = from; row < to; row++) if (!mask || mask[row] !== 0) pending.extend(times[row] as number)
    pending.count += added
    this.count += added
    this.bytes += lines.length
    if (this.bytes >= this.groupBytes && !this.holding) this.group(lines)
    else pending.add(lines)
  }

  private scatter(batch: RecordBatch, from: number, to: number, mask?: Uint8Array, times?: Float64Array): void {
    const { partitions, keys } = this.plan
    const { ids, byId } = keys?.of(batch) ?? NO_KEYS
    const masked = partitions <= MASKED_PARTITIONS
    if (this.targets.length < batch.count) this.targets = new Int32Array(batch.count)
    const { targets } = this
    if (masked) for (let p = 0; p < partitions; p++) this.of(p).rows = emptied(this.of(p).rows, batch.count)
    for (let row = from; row < to; row++) {
      if (mask && mask[row] === 0) {
        targets[row] = -1
        continue
      }
      const hashed = keys ? (byId[ids[row] as number] as number) : NO_KEY
      const partition = hashed === NO_KEY ? this.spread % partitions : hashed
      this.spread++
      const pending = this.pending[partition] ?? this.of(partition)
      pending.addRank(this.count++)
      if (masked) pending.rows[row] = 1
      else targets[row] = partition
      if (times) pending.extend(times[row] as number)
    }
    if (masked) this.gatherByMask(batch, from, to)
    else this.gatherByLine(batch, from, to)
  }

  private gatherByMask(batch: RecordBatch, from: number, to: number): void {
    for (const pending of this.pending) {
      if (!pending) continue
      const lines = batch.lines(pending.rows, from, to)
      pending.add(lines)
      this.bytes += lines.length
    }
  }

  /** With many partitions: sizes first, then each line to its place. */
  private gatherByLine({ bytes, spans, stride }: RecordBatch, from: number, to: number): void {
    const { targets } = this
    const sizes = new Map<number, number>()
    for (let row = from; row < to; row++) {
      const p = targets[row] as number
      if (p < 0) continue
      const length = (spans[row * stride + 1] as number) - (spans[row * stride] as number)
      sizes.set(p, (sizes.get(p) ?? 0) + length + 1)
    }
    const places = new Map<number, { into: Uint8Array; at: number }>()
    for (const [p, size] of sizes) {
      places.set(p, { into: this.of(p).take(size), at: 0 })
      this.bytes += size
    }
    for (let row = from; row < to; row++) {
      const place = places.get(targets[row] as number)
      if (!place) continue
      const line = bytes.subarray(spans[row * stride], spans[row * stride + 1])
      place.into.set(line, place.at)
      place.at += line.length
      place.into[place.at++] = 10
    }
  }

  private of(partition: number): Pending {
    return (this.pending[partition] ??= new Pending())
  }

  /** Commits what waits, so that it survives what `acks` says. */
  settle(): void {
    this.flush(this.plan.acks !== 'none')
  }

  /** From now on records wait for `commit`. */
  hold(): void {
    this.holding = true
  }

  /** Commits what waits together with what `beside` adds to the same line of the journal; nothing where that says false. */
  commit(beside: (transaction: Transaction) => boolean): void {
    this.write(true, undefined, { beside })
  }

  private flush(sync: boolean, more?: Uint8Array): void {
    if (this.holding || (this.count === 0 && !(sync && this.unsynced))) return
    this.write(sync, more)
  }

  /** @param more lines that come after those that wait, when there is one partition */
  private write(
    sync: boolean,
    more?: Uint8Array,
    { beside, part }: { beside?: (transaction: Transaction) => boolean; part?: readonly PartBatch[] } = {},
  ): void {
    const { store, plan, producer } = this
    const before = this.segments()
    store.transact(sync, (transaction) => {
      if (beside && !beside(transaction)) return
      if (this.count === 0) return beside ? undefined : transaction.mark()
      const topic = store.state.topics.get(plan.topic)
      if (!topic || topic.partitions.length < plan.partitions) {
        throw new BeckError('store', {
          problem: `the topic "${plan.topic}" was deleted while records were appended to it`,
          hint: 'run the command again to make it anew',
        })
      }
      producer?.commit(store, transaction)
      for (const { partition, ...batch } of part ?? this.waiting(more))
        transaction.append(partitionName(plan.topic, partition), batch)
    })
    this.unsynced = !sync
    if (sync) this.lastSync = this.context.now()
    this.written += this.count
    for (const pending of this.pending) pending?.clear()
    this.count = this.bytes = 0
    if (this.segments() > before) applyRetention(store, plan.topic)
  }

  private *waiting(more?: Uint8Array): Generator<PartBatch> {
    for (const [partition, pending] of this.pending.entries()) {
      if (!pending || pending.count === 0) continue
      const { lines, count, ranks, min, max } = pending
      yield {
        partition,
        lines: more ? [lines, more] : [lines],
        count,
        ...(this.plan.timeField && { times: [min, max] as const }),
        ...(count < this.count && { ranks: ranks.subarray(0, count) }),
      }
    }
  }

  /** Takes what a `Parts` has made of a block, as a commit of its own. */
  addPart(part: SinkPart): void {
    const { acks } = this.plan
    const batches = readPart(part, this.plan.timeField !== undefined)
    void this.store
    if (this.count > 0) this.group()
    this.count = batches.reduce((sum, { count }) => sum + count, 0)
    this.spread += this.count
    this.write(acks === 'all' || (acks === 'batch' && this.context.now() - this.lastSync >= GROUP_MS), undefined, {
      part: batches,
    })
  }

  private segments(): number {
    return (
      this.store.state.topics
        .get(this.plan.topic)
        ?.partitions.reduce((sum, { segments }) => sum + segments.length, 0) ?? 0
    )
  }

  /** After `GROUP_MS` with records waiting. */
  onTimer(now: number): void {
    if (this.count > 0 && now - this.since >= GROUP_MS) this.settle()
  }

  /** At the end of the input. @throws BeckError fenced */
  end(): void {
    void this.store
    this.settle()
    this.producer?.end()
  }
}

const bytesOf = ({ spans, stride }: RecordBatch, from: number, to: number): number =>
  (spans[(to - 1) * stride + 1] as number) - (spans[from * stride] as number)
const NO_KEYS = { ids: new Uint32Array(0), byId: new Int32Array(0) }
const emptied = (rows: Uint8Array<ArrayBuffer>, count: number): Uint8Array<ArrayBuffer> =>
  rows.length < count ? new Uint8Array(count) : rows.fill(0)
const TIME_HINT =
  'times are RFC 3339 or epoch numbers; name another field with --time, or keep such records apart with --dead-letter FILE'
const SEQUENCE_HINT = 'a sequence is a whole number from 0 that grows; without --sequence the order of the input counts'
