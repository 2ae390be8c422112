import type { RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { Collector, EventTime, StageContext } from '../core/operator.ts'
import type { PairOperator } from '../core/spec.ts'
import type { EventTimes } from './broadcast.ts'
import { Heap } from '../core/heap.ts'
import { type Columns, type Kept, KeptRecords, NONE, recordsOf } from './kept-records.ts'
import { PairRecords, type PairRules } from './pair-records.ts'
import type { JoinType } from './table.ts'

const PIECE = 1 << 18
/** So many rows that have left may be among the changes. */
const MOST_PASSED = 1 << 12

export interface IntervalOptions extends PairRules {
  /** Bounds of right time − left time, both inclusive. */
  readonly lowerMs: number
  readonly upperMs: number
  readonly delayMs: number
  readonly times: readonly [EventTimes, EventTimes]
}

/** A record, and the watermark of its side before it. */
interface Timed extends Kept {
  readonly watermark: EventTime
}
/** What has come since the last snapshot, or all that is there. What is over is told by the watermarks. */
interface IntervalState {
  readonly whole: boolean
  readonly watermarks: readonly EventTime[]
  readonly arrivals: number
  readonly records: Columns
  /** The watermark before each of them. */
  readonly before: Float64Array
  /** Records that were kept before, and have found their first partner since. */
  readonly matched: Float64Array
  /** Two numbers a row, of its left record and its right one. */
  readonly rows: Float64Array
}
/** The records of one key on one side, by time and arrival; those before `first` are done. */
interface Queue {
  records: Timed[]
  first: number
}
interface KeyState {
  readonly key: string
  readonly sides: readonly [Queue, Queue]
}
/** A result that waits for its time. A record without a partner is one, until it turns out to have some. */
interface Row {
  readonly time: EventTime
  readonly left: Timed | undefined
  readonly right: Timed | undefined
}

/** Since the last snapshot. Records of this number and later ones are new to it. */
interface Changes {
  readonly from: number
  readonly records: Timed[]
  readonly matched: Kept[]
  rows: Row[]
}

/** Order of results: their time, then left time, right time, arrival; what is not there comes first. */
function leavesBefore(a: Row, b: Row): boolean {
  const order =
    a.time - b.time ||
    compare(a.left?.time, b.left?.time) ||
    compare(a.right?.time, b.right?.time) ||
    compare(a.left?.arrival, b.left?.arrival) ||
    compare(a.right?.arrival, b.right?.arrival)
  return order < 0
}
const compare = (a = -Infinity, b = -Infinity): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Joins two streams: records of one key whose times are within bounds of each other. What counts depends on the order within each side
 * only, never on how the two arrive beside each other: a pair counts when
 *
 *     left's watermark before the left record  ≤ right time − lower, and
 *     right's watermark before the right record ≤ left time + upper
 *
 * Rows leave in the order of their times, once both watermarks are past it. Memory: the records within the bounds and the delay.
 */
export class IntervalJoin implements PairOperator {
  readonly #options: IntervalOptions
  readonly #contexts: readonly [StageContext, StageContext]
  readonly #watermarks: [EventTime, EventTime] = [-Infinity, -Infinity]
  readonly #keys = new Map<string, KeyState>()
  readonly #rows = new Heap(leavesBefore)
  /** When the oldest records of a key's side may be forgotten: the other side's watermark is past `time`. */
  readonly #expiry = [0, 1].map(
    () => new Heap<{ readonly time: EventTime; readonly state: KeyState }>((a, b) => a.time < b.time),
  ) as [Expiry, Expiry]
  readonly #pairs: PairRecords
  readonly #into = new ByteBuffer(PIECE + (PIECE >> 2))
  #arrivals = 0
  /** What the next snapshot has to tell; nobody keeps it where none are made. */
  #changes: Changes | undefined

  constructor(options: IntervalOptions, left: StageContext, right: StageContext) {
    this.#options = options
    this.#contexts = [left, right]
    this.#pairs = new PairRecords(options)
  }

  next(): 0 | 1 {
    return this.#watermarks[0] <= this.#watermarks[1] ? 0 : 1
  }

  processBatch(batch: RecordBatch, out: Collector, port: 0 | 1): void {
    const { delayMs, lowerMs, upperMs } = this.#options
    const context = this.#contexts[port]
    const times = this.#options.times[port].read(batch)
    for (let row = 0; row < batch.count; row++) {
      const time = times[row]!
      if (Number.isNaN(time)) {
        this.#leave(out)
        context.reject(batch, row, this.#options.times[port].problem(batch, row))
        continue
      }
      const watermark = this.#watermarks[port]
      if (time - delayMs > watermark) this.#watermarks[port] = time - delayMs
      if (watermark > time + upperMs - lowerMs) {
        context.count(port === 0 ? 'late on the left: dropped' : 'late on the right: dropped', 1)
        continue
      }
      const problem = this.#pairs.problem(batch, row, port)
      if (problem) {
        this.#leave(out)
        context.reject(batch, row, problem)
        continue
      }
      this.#take(batch, row, port, time, watermark)
    }
    this.#leave(out)
  }

  #take(batch: RecordBatch, row: number, port: 0 | 1, time: EventTime, watermark: EventTime): void {
    const { type } = this.#options
    const key = this.#pairs.keyOf(batch, row, port)
    const line = this.#pairs.line(batch, row, port)
    const record: Timed = { port, time, watermark, arrival: this.#arrivals++, key, line, matched: false }
    this.#changes?.records.push(record)
    if (key !== undefined) {
      const state = this.#stateOf(key)
      this.#match(state, record, port)
      // Kept for as long as a record to come can be its partner.
      if (this.#isOpen(record)) {
        insert(state.sides[port], record)
        this.#expiry[port].push({ time: this.#until(record), state })
      } else if (isEmpty(state)) this.#keys.delete(key)
    }
    const { left, right } = ALONE[type]
    if (port === 0 && left) this.#addRow(record, undefined)
    if (port === 1 && right) this.#addRow(undefined, record)
  }

  #addRow(left: Timed | undefined, right: Timed | undefined): void {
    const row = { time: this.#rowTime(left, right), left, right }
    this.#rows.push(row)
    const { rows } = this.#changes ?? {}
    if (!rows) return
    // A record may have many partners: those of them that have left are not kept.
    if (rows.push(row) > 2 * this.#rows.size + MOST_PASSED) this.#changes!.rows = rows.filter(this.#isToCome)
  }

  /** When a record has met the last that can be its partner. */
  #until({ port, time }: Kept): EventTime {
    return port === 0 ? time + this.#options.upperMs : time - this.#options.lowerMs
  }
  /** A record to come can be its partner. */
  #isOpen(record: Kept): boolean {
    return record.key !== undefined && this.#watermarks[1 - record.port]! <= this.#until(record)
  }
  /** The row has not left. */
  readonly #isToCome = ({ time }: Row): boolean => time >= Math.min(...this.#watermarks)

  #stateOf(key: string): KeyState {
    let state = this.#keys.get(key)
    if (!state) this.#keys.set(key, (state = { key, sides: [emptyQueue(), emptyQueue()] }))
    return state
  }

  /** Pairs a new record with those of the other side. */
  #match({ sides }: KeyState, record: Timed, port: 0 | 1): void {
    const { type, lowerMs, upperMs } = this.#options
    const { records, first } = sides[1 - port]!
    const matters = ALONE[type][port === 0 ? 'right' : 'left']
    // right − left in [lower, upper]
    const from = port === 0 ? record.time + lowerMs : record.time - upperMs
    const to = port === 0 ? record.time + upperMs : record.time - lowerMs
    for (let index = lowerBound(records, first, from); index < records.length; index++) {
      const other = records[index]!
      if (other.time > to) break
      const [left, right] = port === 0 ? [record, other] : [other, record]
      if (left.watermark > right.time - lowerMs || right.watermark > left.time + upperMs) continue
      // The new record is among the changes.
      if (matters && !other.matched) this.#changes?.matched.push(other)
      left.matched = right.matched = true
      if (type !== 'semi' && type !== 'anti') this.#addRow(left, right)
    }
  }

  get isDone(): boolean {
    const { right } = ALONE[this.#options.type]
    return this.#watermarks[0] === Infinity && !right && !this.#rows.top && !this.#expiry[0].top
  }

  onEndOf(port: number, out: Collector): void {
    this.#watermarks[port as 0 | 1] = Infinity
    this.#leave(out)
  }

  /** Lets rows leave whose time both watermarks have passed, and forgets records that can have no more partners. */
  #leave(out: Collector): void {
    const passed = Math.min(...this.#watermarks)
    for (let row = this.#rows.top; row && row.time < passed; row = this.#rows.top) {
      this.#rows.pop()
      this.#write(row)
      if (this.#into.length >= PIECE) this.#flush(out)
    }
    this.#flush(out)
    for (const port of [0, 1] as const) {
      const watermark = this.#watermarks[1 - port]!
      const expiry = this.#expiry[port]
      for (let top = expiry.top; top && top.time < watermark; top = expiry.top) {
        expiry.pop()
        this.#forget(top.state, port, top.time)
      }
    }
  }

  /** Drops the records of a side whose time to be kept ended at `until` or before. */
  #forget(state: KeyState, port: 0 | 1, until: EventTime): void {
    const queue = state.sides[port]
    const last = port === 0 ? until - this.#options.upperMs : until + this.#options.lowerMs
    while (queue.first < queue.records.length && queue.records[queue.first]!.time <= last) queue.first++
    if (queue.first > 32 && queue.first > queue.records.length >> 1) {
      queue.records = queue.records.slice(queue.first)
      queue.first = 0
    }
    if (isEmpty(state)) this.#keys.delete(state.key)
  }

  /** Records that may still have a partner or a row, each once, and the rows by their records' numbers. */
  snapshot(whole: boolean): IntervalState {
    const records = new KeptRecords<Timed>()
    const changes = whole ? undefined : this.#changes
    const from = changes?.from ?? 0
    if (changes) {
      for (const record of changes.records) if (this.#isOpen(record)) records.add(record)
    } else {
      for (const { sides } of this.#keys.values()) {
        for (const { records: kept, first } of sides) for (const record of kept.slice(first)) records.add(record)
      }
    }
    const rows: number[] = []
    for (const { left, right } of changes?.rows.filter(this.#isToCome) ?? this.#rows) {
      for (const record of [left, right]) {
        // An earlier one was open, so that snapshots have it.
        if (record && record.arrival >= from) records.add(record)
        rows.push(record?.arrival ?? NONE)
      }
    }
    const matched = changes?.matched.filter(({ arrival }) => arrival < from) ?? []
    this.#watchChanges()
    return {
      whole: !changes,
      watermarks: [...this.#watermarks],
      arrivals: this.#arrivals,
      records: records.columns(),
      before: records.numbers(({ watermark }) => watermark),
      matched: Float64Array.from(matched, ({ arrival }) => arrival),
      rows: Float64Array.from(rows),
    }
  }

  #watchChanges(): void {
    this.#changes = { from: this.#arrivals, records: [], matched: [], rows: [] }
  }

  restore(states: Iterable<IntervalState>): void {
    const all = new Map<number, Timed>()
    let pairs: Float64Array[] = []
    for (const { whole, watermarks, arrivals, records, before, matched, rows } of states) {
      if (whole) {
        all.clear()
        pairs = []
      }
      this.#watermarks.splice(0, 2, ...watermarks)
      this.#arrivals = arrivals
      for (const [at, record] of recordsOf(records).entries()) {
        all.set(record.arrival, { ...record, watermark: before[at]! })
      }
      for (const arrival of matched) {
        const record = all.get(arrival)
        if (record) record.matched = true
      }
      pairs.push(rows)
    }
    // A table that is a file has been read before.
    if (pairs.length > 0) {
      this.#keys.clear()
      this.#rows.clear()
      for (const expiry of this.#expiry) expiry.clear()
    }
    for (const record of all.values()) {
      if (!this.#isOpen(record)) continue
      const state = this.#stateOf(record.key as string)
      insert(state.sides[record.port], record)
      this.#expiry[record.port].push({ time: this.#until(record), state })
    }
    for (const rows of pairs) {
      for (let at = 0; at < rows.length; at += 2) {
        const [left, right] = [all.get(rows[at]!), all.get(rows[at + 1]!)]
        const row = { time: this.#rowTime(left, right), left, right }
        if (this.#isToCome(row)) this.#rows.push(row)
      }
    }
    this.#watchChanges()
  }

  #rowTime(left: Kept | undefined, right: Kept | undefined): EventTime {
    const { lowerMs, upperMs } = this.#options
    if (left && right) return Math.max(left.time, right.time)
    if (left) return Math.max(left.time, left.time + upperMs)
    return right ? Math.max(right.time, right.time - lowerMs) : Infinity
  }

  #write({ left, right }: Row): void {
    // A record that is alone has turned out to have partners, or to have none where it needs some.
    if (!right && left!.matched !== (this.#options.type === 'semi')) return
    if (!left && right!.matched) return
    this.#pairs.write(this.#into, left?.line, right?.line)
  }

  #flush(out: Collector): void {
    if (this.#into.length > 0) out.emit(this.#into.view())
    this.#into.length = 0
  }
}

type Expiry = Heap<{ readonly time: EventTime; readonly state: KeyState }>

/** Which sides can have rows of one record. */
const ALONE: Readonly<Record<JoinType, { readonly left: boolean; readonly right: boolean }>> = {
  inner: { left: false, right: false },
  left: { left: true, right: false },
  right: { left: false, right: true },
  full: { left: true, right: true },
  semi: { left: true, right: false },
  anti: { left: true, right: false },
}
const emptyQueue = (): Queue => ({ records: [], first: 0 })
const isEmpty = ({ sides }: KeyState): boolean => sides.every(({ records, first }) => first === records.length)

/** Records mostly come in the order of time: looks from the end. */
function insert(queue: Queue, record: Timed): void {
  const { records } = queue
  let at = records.length
  while (at > queue.first && records[at - 1]!.time > record.time) at--
  if (at === records.length) records.push(record)
  else records.splice(at, 0, record)
}

/** The first record from `from` on that is not before `time`. */
function lowerBound(records: readonly Kept[], from: number, time: EventTime): number {
  let low = from
  let high = records.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (records[middle]!.time < time) low = middle + 1
    else high = middle
  }
  return low
}
