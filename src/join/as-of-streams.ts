import type { RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { Collector, EventTime, StageContext } from '../core/operator.ts'
import type { PairOperator } from '../core/spec.ts'
import type { AsOfRules } from './as-of.ts'
import type { EventTimes } from './broadcast.ts'
import { Heap } from '../core/heap.ts'
import { type Columns, type Kept, KeptRecords, NONE, recordsOf } from './kept-records.ts'
import { PairRecords, type PairRules } from './pair-records.ts'

const PIECE = 1 << 18

export interface AsOfStreamOptions extends PairRules {
  readonly asOf: AsOfRules
  readonly delayMs: number
  readonly times: readonly [EventTimes, EventTimes]
}

interface Left extends Kept {
  readonly port: 0
}
interface Right extends Kept {
  readonly port: 1
  /** Left records that wait for whether there is a nearer one. */
  waiting: number
  /** A later one has come. */
  over: boolean
}
/** A left record that waits for a right one at or after it. */
interface Waiting {
  readonly left: Left
  /** The nearest before it, where that counts. */
  readonly before: Right | undefined
  /** When it is decided without another right record. */
  readonly until: EventTime
}
interface KeyState {
  readonly key: string
  last: Right | undefined
  waiting: Waiting[]
  /** When it is to be looked at: it stands in the heap with this time. */
  lookAt: EventTime
}
interface Row {
  readonly left: Left | undefined
  readonly right: Right | undefined
}
/** What has changed since the last snapshot, or all that is there. Which records are gone through is told by the watermarks. */
interface AsOfState {
  readonly whole: boolean
  readonly watermarks: readonly EventTime[]
  readonly arrivals: number
  readonly records: Columns
  /** Records that were kept before, and have found their first partner since. */
  readonly matched: Float64Array
  /** Two numbers for each left record that has begun to wait, its own and that of the right one before it; and those that no longer do. */
  readonly waiting: Float64Array
  readonly decided: Float64Array
  /** Two numbers a key: its place among those of the records, and its last right record. */
  readonly lasts: Float64Array
}
/** Since the last snapshot. Records of this number and later ones are new to it. */
interface Changes {
  readonly from: number
  readonly records: (Left | Right)[]
  readonly matched: Right[]
  readonly waiting: Set<Waiting>
  readonly decided: Left[]
  /** With another last right record. */
  readonly keys: Set<string>
}

const compare = (a = -Infinity, b = -Infinity): number => (a < b ? -1 : a > b ? 1 : 0)
const rowOrder = (a: Row, b: Row): number =>
  compare(a.left?.time, b.left?.time) ||
  compare(a.right?.time, b.right?.time) ||
  compare(a.left?.arrival, b.left?.arrival) ||
  compare(a.right?.arrival, b.right?.arrival)

/**
 * As-of join of two streams. Records wait until both watermarks are past their time, and are then gone through in the order of time, so
 * that what counts and how it comes out does not depend on how the two arrive beside each other. Per key the last right record is kept,
 * and the left ones that wait for a later one.
 *
 *     right   ──a───────────b────────     backward: x takes a, at the time of x
 *     left    ──────x────────────────     forward:  x takes b, at the time of b
 *                                         nearest:  x takes a, when no right record has come until x + (x − a)
 *
 * A record before its own side's watermark is late: what it would need may be gone. Memory: the records within the delay, one of each key,
 * and those that wait. O(log of what waits) a record.
 */
export class AsOfStreams implements PairOperator {
  readonly #options: AsOfStreamOptions
  readonly #contexts: readonly [StageContext, StageContext]
  readonly #pairs: PairRecords
  readonly #watermarks: [EventTime, EventTime] = [-Infinity, -Infinity]
  /** Not gone through yet. */
  readonly #coming: Heap<Left | Right>
  readonly #keys = new Map<string, KeyState>()
  readonly #looks = new Heap<{ readonly time: EventTime; readonly state: KeyState }>((a, b) => a.time < b.time)
  readonly #keepsLeft: boolean
  readonly #keepsRight: boolean
  readonly #pairsWanted: boolean
  #lefts = 0
  #arrivals = 0
  #rows: Row[] = []
  /** What the next snapshot has to tell; nobody keeps it where none are made. */
  #changes: Changes | undefined
  readonly #into = new ByteBuffer(PIECE + (PIECE >> 2))

  constructor(options: AsOfStreamOptions, left: StageContext, right: StageContext) {
    this.#options = options
    this.#contexts = [left, right]
    this.#pairs = new PairRecords(options)
    const { type } = options
    this.#keepsLeft = type === 'left' || type === 'full' || type === 'anti'
    this.#keepsRight = type === 'right' || type === 'full'
    this.#pairsWanted = type !== 'anti'
    // Of one time: right records first where the last of them is to be found, left ones first where they wait for the first or for neither.
    const { direction, exact } = options.asOf
    const firstPort = exact && direction !== 'forward' ? 1 : 0
    this.#coming = new Heap(
      (a, b) =>
        (a.time - b.time || Number(a.port !== firstPort) - Number(b.port !== firstPort) || a.arrival - b.arrival) < 0,
    )
  }

  next(): 0 | 1 {
    return this.#watermarks[0] <= this.#watermarks[1] ? 0 : 1
  }

  get isDone(): boolean {
    return this.#watermarks[0] === Infinity && !this.#keepsRight && this.#lefts === 0
  }

  processBatch(batch: RecordBatch, out: Collector, port: 0 | 1): void {
    const { delayMs } = this.#options
    const context = this.#contexts[port]
    const times = this.#options.times[port].read(batch)
    let late = 0
    for (let row = 0; row < batch.count; row++) {
      const time = times[row]!
      const problem = Number.isNaN(time)
        ? this.#options.times[port].problem(batch, row)
        : this.#pairs.problem(batch, row, port)
      if (problem) {
        this.#leave(out)
        context.reject(batch, row, problem)
        continue
      }
      if (time < this.#watermarks[port]) {
        late++
        continue
      }
      if (time - delayMs > this.#watermarks[port]) this.#watermarks[port] = time - delayMs
      const key = this.#pairs.keyOf(batch, row, port)
      const line = this.#pairs.line(batch, row, port)
      const record = this.#come({ port, time, arrival: this.#arrivals++, key, line, matched: false })
      this.#changes?.records.push(record)
    }
    if (late > 0) context.count(port === 0 ? 'late on the left: dropped' : 'late on the right: dropped', late)
    this.#leave(out)
  }

  #come(kept: Kept): Left | Right {
    const record = toSide(kept)
    if (record.port === 0) this.#lefts++
    this.#coming.push(record)
    return record
  }

  onEndOf(port: number, out: Collector): void {
    this.#watermarks[port as 0 | 1] = Infinity
    this.#leave(out)
  }

  /** Goes through what both watermarks have passed, one time after the other. */
  #leave(out: Collector): void {
    const passed = Math.min(...this.#watermarks)
    for (;;) {
      const time = Math.min(this.#coming.top?.time ?? Infinity, this.#looks.top?.time ?? Infinity)
      if (time >= passed) break
      for (let record = this.#coming.top; record?.time === time; record = this.#coming.top) {
        this.#coming.pop()
        if (record.port === 0) this.#takeLeft(record)
        else this.#takeRight(record)
      }
      for (let look = this.#looks.top; look?.time === time; look = this.#looks.top) {
        this.#looks.pop()
        if (look.state.lookAt === time) this.#look(look.state, time)
      }
      this.#writeRows(out)
    }
    if (passed === Infinity) {
      for (const state of this.#keys.values()) this.#look(state, Infinity)
      this.#writeRows(out)
    }
    this.#flush(out)
  }

  #stateOf(key: string): KeyState {
    let state = this.#keys.get(key)
    if (!state) this.#keys.set(key, (state = { key, last: undefined, waiting: [], lookAt: Infinity }))
    return state
  }

  #takeLeft(left: Left): void {
    if (left.key === undefined) {
      this.#decide(left, undefined)
      return
    }
    const { direction, toleranceMs, exact } = this.#options.asOf
    const known = this.#keys.get(left.key)
    const last = known?.last
    const before = last && (exact || last.time < left.time) && left.time - last.time <= toleranceMs ? last : undefined
    if (direction === 'backward' || before?.time === left.time) {
      this.#decide(left, before)
      return
    }
    this.#wait(known ?? this.#stateOf(left.key), left, before)
  }

  #wait(state: KeyState, left: Left, before: Right | undefined): void {
    const until = left.time + Math.min(this.#options.asOf.toleranceMs, before ? left.time - before.time : Infinity)
    if (before) before.waiting++
    const item = { left, before, until }
    state.waiting.push(item)
    this.#changes?.waiting.add(item)
    this.#lookAt(state, until)
  }

  #takeRight(right: Right): void {
    if (right.key === undefined) {
      if (this.#keepsRight) this.#rows.push({ left: undefined, right })
      return
    }
    const { direction, exact } = this.#options.asOf
    const state = this.#stateOf(right.key)
    const waiting = state.waiting
    if (waiting.length > 0) {
      state.waiting = []
      for (const item of waiting) {
        if (exact || item.left.time < right.time) this.#resolve(item, right)
        else state.waiting.push(item)
      }
    }
    if (direction === 'forward') {
      // Those that could take it have waited for it.
      right.over = true
      this.#leaveAlone(right)
      if (state.waiting.length === 0) this.#drop(state)
      return
    }
    this.#replace(state, right)
    this.#lookAt(state, right.time + this.#horizon)
  }

  /** How long after its time a right record can matter. */
  get #horizon(): number {
    const { direction, toleranceMs } = this.#options.asOf
    return direction === 'nearest' ? 2 * toleranceMs : toleranceMs
  }

  #replace(state: KeyState, right: Right | undefined): void {
    const { last } = state
    state.last = right
    this.#changes?.keys.add(state.key)
    if (!last) return
    last.over = true
    this.#leaveAlone(last)
  }

  /** A right record that nothing can take any more, and nothing has. */
  #leaveAlone(right: Right): void {
    if (this.#keepsRight && right.over && !right.matched && right.waiting === 0) {
      this.#rows.push({ left: undefined, right })
    }
  }

  /** Decides on a left record that has waited: `after` is the first right one at or after it, if one came. */
  #resolve(item: Waiting, after: Right | undefined): void {
    const { left, before } = item
    if (this.#changes?.waiting.delete(item) === false) this.#changes.decided.push(left)
    const { toleranceMs } = this.#options.asOf
    const counts = after && after.time - left.time <= toleranceMs ? after : undefined
    const nearer = before && !(counts && counts.time - left.time < left.time - before.time) ? before : counts
    if (before) before.waiting--
    this.#decide(left, nearer)
    if (before && before !== nearer) this.#leaveAlone(before)
  }

  #decide(left: Left, right: Right | undefined): void {
    this.#lefts--
    if (right) {
      if (!right.matched) this.#changes?.matched.push(right)
      right.matched = true
      if (this.#pairsWanted) this.#rows.push({ left, right })
    } else if (this.#keepsLeft) this.#rows.push({ left, right })
  }

  #lookAt(state: KeyState, time: EventTime): void {
    if (time >= state.lookAt) return
    state.lookAt = time
    this.#looks.push({ time, state })
  }

  /** What of a key is decided by the time alone. */
  #look(state: KeyState, time: EventTime): void {
    state.lookAt = Infinity
    const { waiting, last } = state
    state.waiting = []
    for (const item of waiting) {
      if (item.until <= time) this.#resolve(item, undefined)
      else {
        state.waiting.push(item)
        this.#lookAt(state, item.until)
      }
    }
    if (last) {
      const end = last.time + this.#horizon
      if (end <= time) this.#replace(state, undefined)
      else this.#lookAt(state, end)
    }
    if (!state.last && state.waiting.length === 0) this.#drop(state)
  }

  #drop(state: KeyState): void {
    this.#keys.delete(state.key)
    // It may still stand in the heap.
    state.lookAt = Infinity
  }

  /** Those of one time, in order. */
  #writeRows(out: Collector): void {
    if (this.#rows.length === 0) return
    for (const { left, right } of this.#rows.sort(rowOrder)) {
      this.#pairs.write(this.#into, left?.line, right?.line)
      if (this.#into.length >= PIECE) this.#flush(out)
    }
    this.#rows = []
  }

  #flush(out: Collector): void {
    if (this.#into.length > 0) out.emit(this.#into.view())
    this.#into.length = 0
  }

  snapshot(whole: boolean): AsOfState {
    const changes = whole ? undefined : this.#changes
    const from = changes?.from ?? 0
    const records = new KeptRecords<Left | Right>()
    const passed = Math.min(...this.#watermarks)
    const waiting: number[] = []
    const wait = ({ left, before }: Waiting): void => {
      if (left.arrival >= from) records.add(left)
      if (before && before.arrival >= from) records.add(before)
      waiting.push(left.arrival, before?.arrival ?? NONE)
    }
    const lasts: number[] = []
    const isLast = (key: string): void => {
      const last = this.#keys.get(key)?.last
      if (last && last.arrival >= from) records.add(last)
      lasts.push(records.keyOf(key), last?.arrival ?? NONE)
    }
    if (changes) {
      for (const record of changes.records) if (record.time >= passed) records.add(record)
      changes.waiting.forEach(wait)
      changes.keys.forEach(isLast)
    } else {
      for (const record of this.#coming) records.add(record)
      for (const state of this.#keys.values()) {
        state.waiting.forEach(wait)
        if (state.last) isLast(state.key)
      }
    }
    const numbers = (list: readonly Kept[] = []): Float64Array =>
      Float64Array.from(
        list.filter(({ arrival }) => arrival < from),
        ({ arrival }) => arrival,
      )
    const state: AsOfState = {
      whole: !changes,
      watermarks: [...this.#watermarks],
      arrivals: this.#arrivals,
      records: records.columns(),
      matched: numbers(changes?.matched),
      waiting: Float64Array.from(waiting),
      decided: Float64Array.from(changes?.decided ?? [], ({ arrival }) => arrival),
      lasts: Float64Array.from(lasts),
    }
    this.#watchChanges()
    return state
  }

  #forgetAll(): void {
    this.#coming.clear()
    this.#looks.clear()
    this.#keys.clear()
    this.#lefts = 0
  }

  #watchChanges(): void {
    const from = this.#arrivals
    this.#changes = { from, records: [], matched: [], waiting: new Set(), decided: [], keys: new Set() }
  }

  restore(states: Iterable<AsOfState>): void {
    const all = new Map<number, Kept>()
    const waits = new Map<number, number>()
    const lasts = new Map<string, number>()
    for (const state of states) {
      // A table that is a file has been read before.
      this.#forgetAll()
      const { records, waiting } = state
      if (state.whole) for (const known of [all, waits, lasts]) known.clear()
      this.#watermarks.splice(0, 2, ...state.watermarks)
      this.#arrivals = state.arrivals
      for (const record of recordsOf(records)) all.set(record.arrival, record)
      for (const arrival of state.matched) {
        const record = all.get(arrival)
        if (record) record.matched = true
      }
      for (let at = 0; at < waiting.length; at += 2) waits.set(waiting[at]!, waiting[at + 1]!)
      for (const arrival of state.decided) waits.delete(arrival)
      for (let at = 0; at < state.lasts.length; at += 2)
        lasts.set(records.keys[state.lasts[at]!]!, state.lasts[at + 1]!)
    }
    const passed = Math.min(...this.#watermarks)
    const rights = new Map<number, Right>()
    const rightOf = (arrival: number): Right | undefined => {
      const known = rights.get(arrival)
      const record = all.get(arrival)
      if (known || !record) return known
      // Of those that have been gone through only the last one of a key is not over.
      const right = { ...(toSide(record) as Right), over: true }
      rights.set(arrival, right)
      return right
    }
    for (const record of all.values()) if (record.time >= passed) this.#come(record)
    for (const [key, arrival] of lasts) {
      const last = rightOf(arrival)
      if (!last) continue
      last.over = false
      const state = this.#stateOf(key)
      state.last = last
      this.#lookAt(state, last.time + this.#horizon)
    }
    for (const [arrival, before] of waits) {
      const left = all.get(arrival)
      if (left?.key === undefined) continue
      this.#lefts++
      this.#wait(this.#stateOf(left.key), toSide(left) as Left, rightOf(before))
    }
    this.#watchChanges()
  }
}

function toSide(kept: Kept): Left | Right {
  const { port } = kept
  return port === 0 ? { ...kept, port } : { ...kept, port, waiting: 0, over: false }
}
