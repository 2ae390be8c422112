import { NONE } from '../aggregate/aggregate.ts'
import { ChangedSlots } from '../aggregate/changed-slots.ts'
import type { RecordBatch } from '../core/batch.ts'
import type { Collector, EventTime } from '../core/operator.ts'
import { graceMs, speaksTwice, type Content, type Engine, type EngineState, type Policy, type Rows } from './engine.ts'
import { MinHeap, Slots, sortedBy } from './ids.ts'
import type { Keys } from './keys.ts'
import type { Results, Standing } from './results.ts'

const NO_SESSION = -1
/** The wheel that wakes sessions has this many buckets a gap. */
const BUCKETS_A_GAP = 64

/** What a snapshot holds, as columns: sessions that were changed since the last one, and keys with another latest session. */
interface SessionState {
  readonly sessions: Uint32Array
  /** Start and end, by turns. */
  readonly bounds: Float64Array
  /** -1: the session is no more. */
  readonly key: Int32Array
  readonly next: Int32Array
  readonly emitted: Uint8Array
  readonly keys: Uint32Array
  readonly latest: Int32Array
  /** Of the changed sessions. */
  readonly standing: ReadonlyMap<number, Standing[]>
  readonly changed: ReadonlySet<number>
}

/**
 * Session windows `[first, last + gap)`, one list of sessions per key. A session is a slot: its bounds are columns by slot, its content is
 * the aggregates' slot. Sessions that touch merge; the merge of their contents waits until the rows of the batch are fed.
 *
 *     gap 3      a---b------c          c - b > gap: two sessions [a, b+3) and [c, c+3)
 *     later            d               d touches both: one session [a, c+3)
 *
 * A session closes when W > end, since a record at exactly `end` would still belong to it.
 */
export class SessionWindows implements Engine {
  watermark: EventTime = -Infinity
  readonly #gap: number
  readonly #policy: Policy
  readonly #delayMs: number
  readonly #grace: number
  readonly #remember: boolean
  readonly #content: Content
  readonly #keys: Keys
  readonly #results: Results
  readonly #slots: Slots

  // By session. `key` is -1 when the session is no more; `next` is the key's session before this one in time.
  /** Start and end beside each other, since they are read together. */
  #bounds = new Float64Array(0)
  #key = new Int32Array(0)
  #next = new Int32Array(0)
  /** 1: emitted, and kept for late records. */
  #emitted = new Uint8Array(0)
  /** The bucket that will wake it. Entries of other buckets are out of date. */
  #bucketOf = new Float64Array(0)
  /** By key: its latest session. */
  #latest = new Int32Array(0).fill(NO_SESSION)

  readonly #bucketMs: number
  readonly #buckets = new Map<number, number[]>()
  readonly #bucketOrder = new MinHeap()
  /** No session is due before the watermark is greater than this. */
  #nextDue = Infinity
  /** Closed in the middle of a batch, not emitted yet. */
  #closed: number[] = []
  /** Merges to do before the rows of the batch are fed: `from` into `into`. */
  #merges: { readonly into: number; readonly from: number }[] = []
  #merged = new Map<number, number>()
  readonly #standing = new Map<number, Standing[]>()
  readonly #changed = new Set<number>()
  #assigned = new Uint32Array(0)
  /** What has happened since the last snapshot; nobody keeps it where none are made. */
  #changes: { readonly sessions: ChangedSlots; readonly keys: ChangedSlots } | undefined

  constructor(
    gapMs: number,
    policy: Policy,
    delayMs: number,
    { content, keys, results }: { readonly content: Content; readonly keys: Keys; readonly results: Results },
  ) {
    this.#gap = gapMs
    this.#policy = policy
    this.#delayMs = delayMs
    this.#grace = graceMs(policy)
    this.#remember = speaksTwice(policy)
    this.#content = content
    this.#keys = keys
    this.#results = results
    this.#bucketMs = Math.max(1, Math.floor(gapMs / BUCKETS_A_GAP))
    this.#slots = new Slots((slots) => this.#reserve(slots))
  }

  process(batch: RecordBatch, rows: Rows, out: Collector): void {
    const { times, keys, slots } = rows
    const { count } = batch
    const delayMs = this.#delayMs
    const { latenessMs } = this.#policy
    this.#results.open(out)
    if (this.#assigned.length < count) this.#assigned = new Uint32Array(count + (count >> 1)).fill(NONE)
    if (this.#latest.length < this.#keys.size) {
      const larger = new Int32Array(2 * this.#keys.size).fill(NO_SESSION)
      larger.set(this.#latest)
      this.#latest = larger
    }
    const assigned = this.#assigned
    const gap = this.#gap
    const grace = this.#grace
    const quick = !this.#remember
    const ofKeys = this.#latest
    let bounds = this.#bounds
    let watermark = this.watermark
    let fed = 0
    for (let row = 0; row < count; row++) {
      if (slots[row] === NONE) continue
      const time = times[row] as number
      const key = keys[row] as number
      const latest = ofKeys[key] as number
      let end: number
      if (
        quick &&
        latest !== NO_SESSION &&
        time >= (bounds[2 * latest] as number) &&
        time <= (end = bounds[2 * latest + 1] as number) &&
        watermark <= end + grace
      ) {
        // Within the key's latest session: the common case.
        if (time + gap > end) end = bounds[2 * latest + 1] = time + gap
        if (end + latenessMs <= watermark) {
          rows.late[row] = 1
          rows.lateCount++
          continue
        }
        assigned[row] = latest
      } else {
        if (this.#remember && watermark > this.#nextDue) {
          this.#feed(batch, fed, row)
          fed = row
          this.#wake(watermark)
        }
        const session = this.#sessionFor(key, time, watermark)
        if (session === NO_SESSION) {
          rows.late[row] = 1
          rows.lateCount++
          continue
        }
        bounds = this.#bounds
        assigned[row] = session
        if (this.#remember) {
          const over = watermark > (bounds[2 * session + 1] as number)
          if (this.#policy.emit === 'changes' || (this.#policy.late !== 'drop' && over)) {
            this.#feed(batch, fed, row + 1)
            fed = row + 1
            this.#emit(session)
            if (over && this.#policy.late !== 'drop') this.#emitted[session] = 1
            this.#schedule(session)
          } else if (this.#policy.emit === 'every') this.#changed.add(session)
        }
      }
      if (time - delayMs > watermark) watermark = time - delayMs
    }
    this.#feed(batch, fed, count)
    this.advance(watermark, out)
  }

  advance(watermark: EventTime, out: Collector): void {
    this.#results.open(out)
    if (watermark > this.watermark) this.watermark = watermark
    this.#wake(this.watermark)
    this.#results.flush()
  }

  emitChanged(out: Collector): void {
    this.#results.open(out)
    for (const session of this.#sorted([...this.#changed])) this.#emit(session)
    this.#changed.clear()
    this.#results.flush()
  }

  settle(): void {
    this.#content.settle?.(this.#slots, () =>
      sortedBy(this.#live(), (session) => this.#bounds[2 * session + 1] as number),
    )
  }

  /** All that are kept. */
  #live(): number[] {
    return [...placesOf(this.#key)]
  }

  markKeys(marks: Uint8Array): void {
    for (const key of this.#key) if (key >= 0) marks[key] = 1
  }

  renumberKeys(ids: Uint32Array): void {
    const latest = new Int32Array(this.#latest.length).fill(NO_SESSION)
    this.#latest.forEach((session, key) => {
      if (session !== NO_SESSION) latest[ids[key] as number] = session
    })
    this.#latest = latest
    for (let session = 0; session < this.#key.length; session++) {
      const key = this.#key[session] as number
      if (key >= 0) this.#key[session] = ids[key] as number
    }
  }

  snapshot(whole: boolean): EngineState {
    const before = whole ? undefined : this.#changes
    const sessions = before?.sessions.take() ?? placesOf(this.#key)
    const keys = before?.keys.take() ?? placesOf(this.#latest)
    const count = sessions.length
    const standing = new Map<number, Standing[]>()
    const own: SessionState = {
      sessions,
      bounds: new Float64Array(2 * count),
      key: new Int32Array(count),
      next: new Int32Array(count),
      emitted: new Uint8Array(count),
      keys,
      latest: Int32Array.from(keys, (key) => this.#latest[key] as number),
      standing,
      changed: this.#changed,
    }
    for (let at = 0; at < count; at++) {
      const session = sessions[at] as number
      own.bounds[2 * at] = this.#bounds[2 * session] as number
      own.bounds[2 * at + 1] = this.#bounds[2 * session + 1] as number
      own.key[at] = this.#key[session] as number
      own.next[at] = this.#next[session] as number
      own.emitted[at] = this.#emitted[session] as number
      const stands = this.#remember ? this.#standing.get(session) : undefined
      if (stands) standing.set(session, stands)
    }
    this.#watchChanges()
    const slots = sessions.filter((_, at) => (own.key[at] as number) >= 0)
    return { watermark: this.watermark, slots, own }
  }

  #watchChanges(): void {
    this.#changes = { sessions: new ChangedSlots(), keys: new ChangedSlots() }
  }

  restore({ watermark, own }: EngineState): void {
    const { sessions, bounds, key, next, emitted, keys, latest, standing, changed } = own as SessionState
    this.watermark = watermark
    this.#slots.makeRoom(sessions.length > 0 ? (sessions.at(-1) as number) + 1 : 0)
    for (let at = 0; at < sessions.length; at++) {
      const session = sessions[at] as number
      this.#bounds[2 * session] = bounds[2 * at] as number
      this.#bounds[2 * session + 1] = bounds[2 * at + 1] as number
      this.#key[session] = key[at] as number
      this.#next[session] = next[at] as number
      this.#emitted[session] = emitted[at] as number
      if ((key[at] as number) < 0) this.#content.clear(session)
      const stands = standing.get(session)
      if (stands) this.#standing.set(session, stands)
      else this.#standing.delete(session)
    }
    const most = keys.length > 0 ? (keys.at(-1) as number) + 1 : 0
    if (most > this.#latest.length) {
      const larger = new Int32Array(2 * most).fill(NO_SESSION)
      larger.set(this.#latest)
      this.#latest = larger
    }
    for (let at = 0; at < keys.length; at++) this.#latest[keys[at] as number] = latest[at] as number
    this.#changed.clear()
    for (const session of changed) this.#changed.add(session)
  }

  restored(): void {
    const used = new Uint8Array(this.#key.length)
    for (let session = 0; session < used.length; session++) {
      if ((this.#key[session] as number) < 0) continue
      used[session] = 1
      this.#schedule(session)
    }
    this.#slots.restore(used)
    this.#watchChanges()
  }

  #setLatest(key: number, session: number): void {
    this.#latest[key] = session
    this.#changes?.keys.markOne(key)
  }
  #setNext(session: number, next: number): void {
    this.#next[session] = next
    this.#changes?.sessions.markOne(session)
  }

  #reserve(slots: number): void {
    const grow = <Column extends Float64Array | Int32Array | Uint8Array>(column: Column, larger: Column): Column => {
      larger.set(column)
      return larger
    }
    this.#bounds = grow(this.#bounds, new Float64Array(2 * slots))
    this.#bucketOf = grow(this.#bucketOf, new Float64Array(slots).fill(NaN))
    this.#key = grow(this.#key, new Int32Array(slots).fill(-1))
    this.#next = grow(this.#next, new Int32Array(slots).fill(NO_SESSION))
    this.#emitted = grow(this.#emitted, new Uint8Array(slots))
    this.#content.reserve(slots)
  }

  /** The session is emitted, or forgotten when it was emitted, as soon as the watermark is greater. */
  #dueAt(session: number): EventTime {
    return (this.#bounds[2 * session + 1] as number) + (this.#emitted[session] ? this.#policy.latenessMs : this.#grace)
  }

  /** The session that takes a record, after merging; NO_SESSION when the record is late even so. */
  #sessionFor(key: number, time: EventTime, watermark: EventTime): number {
    const bounds = this.#bounds
    const next = this.#next
    let start = time
    let end = time + this.#gap
    // Lists are in order of time, latest first. Sessions that the watermark has passed are closed on the way.
    let before = NO_SESSION
    let previous = NO_SESSION
    let into = NO_SESSION
    let others: number[] | undefined
    for (let session = this.#latest[key] as number; session !== NO_SESSION;) {
      const after = next[session] as number
      if (watermark > this.#dueAt(session)) {
        // Those further down ended even earlier.
        this.#close(key, previous, session)
        break
      }
      const from = bounds[2 * session] as number
      const to = bounds[2 * session + 1] as number
      if (time <= to && time + this.#gap >= from) {
        if (into === NO_SESSION) into = session
        else (others ??= []).push(session)
        start = Math.min(start, from)
        end = Math.max(end, to)
      } else if (into === NO_SESSION && from > time) before = session
      previous = session
      session = after
    }
    if (end + this.#policy.latenessMs <= watermark) return NO_SESSION
    if (into === NO_SESSION) {
      into = this.#slots.take()
      // `before` is the session after which it comes in the list: the earliest that begins later.
      this.#key[into] = key
      // The columns may have moved to make room.
      if (before === NO_SESSION) {
        this.#setNext(into, this.#latest[key] as number)
        this.#setLatest(key, into)
      } else {
        this.#setNext(into, this.#next[before] as number)
        this.#setNext(before, into)
      }
      this.#bounds[2 * into] = start
      this.#bounds[2 * into + 1] = end
      this.#emitted[into] = 0
      this.#schedule(into)
      return into
    }
    if (others) for (const other of others) this.#merge(into, other)
    const changed = this.#emitted[into] === 1 || others !== undefined
    bounds[2 * into] = start
    bounds[2 * into + 1] = end
    if (changed) {
      this.#emitted[into] = 0
      this.#schedule(into)
    }
    return into
  }

  /** `from` is the next one in the list, directly or behind others already merged. */
  #merge(into: number, from: number): void {
    this.#setNext(into, this.#next[from] as number)
    this.#merges.push({ into, from })
    this.#merged.set(from, into)
    this.#key[from] = -1
    this.#changes?.sessions.markOne(from)
    this.#bucketOf[from] = NaN
    this.#changed.delete(from)
    const standing = [...(this.#standing.get(from) ?? []), ...(this.#standing.get(into) ?? [])]
    this.#standing.delete(from)
    if (standing.length > 0) {
      this.#standing.set(
        into,
        standing.sort((a, b) => a.end - b.end || a.start - b.start),
      )
    }
  }

  /** Takes a session and all before it out of a key's list: they are over. Those not emitted yet will be, at the end of the batch. */
  #close(key: number, previous: number, first: number): void {
    if (previous === NO_SESSION) this.#setLatest(key, NO_SESSION)
    else this.#setNext(previous, NO_SESSION)
    for (let session = first; session !== NO_SESSION;) {
      const after = this.#next[session] as number
      this.#setNext(session, NO_SESSION)
      this.#closed.push(session)
      this.#bucketOf[session] = NaN
      session = after
    }
  }

  #schedule(session: number): void {
    const due = this.#dueAt(session)
    const bucket = Math.floor(due / this.#bucketMs)
    this.#nextDue = Math.min(this.#nextDue, due)
    if (this.#bucketOf[session] === bucket) return
    this.#bucketOf[session] = bucket
    const known = this.#buckets.get(bucket)
    if (known) known.push(session)
    else {
      this.#buckets.set(bucket, [session])
      this.#bucketOrder.push(bucket)
    }
  }

  /** Adds the rows `from`..`to` to their sessions, merged ones together. */
  #feed(batch: RecordBatch, from: number, to: number): void {
    const assigned = this.#assigned
    if (this.#merges.length > 0) {
      for (const { into, from } of this.#merges) {
        this.#content.merge(into, from)
        this.#content.clear(from)
      }
      for (let row = from; row < to; row++) {
        let slot = assigned[row] as number
        for (let into = this.#merged.get(slot); into !== undefined; into = this.#merged.get(slot)) slot = into
        assigned[row] = slot
      }
      for (const { from } of this.#merges) this.#slots.giveBack(from)
      this.#merges = []
      this.#merged = new Map()
    }
    if (from === to) return
    this.#content.add(batch, assigned.subarray(0, batch.count))
    this.#changes?.sessions.mark(assigned.subarray(from, to), this.#key.length)
    assigned.fill(NONE, from, to)
  }

  /** Emits the sessions that the watermark has passed, in order, and forgets those that can take no more records. */
  #wake(watermark: EventTime): void {
    if (watermark <= this.#nextDue && this.#closed.length === 0) return
    const over = this.#closed
    this.#closed = []
    this.#nextDue = Infinity
    while (this.#bucketOrder.least * this.#bucketMs < watermark) {
      const bucket = this.#bucketOrder.pop()
      const sessions = this.#buckets.get(bucket) as number[]
      this.#buckets.delete(bucket)
      for (const session of sessions) {
        if (this.#bucketOf[session] !== bucket) continue
        this.#bucketOf[session] = NaN
        if (watermark > this.#dueAt(session)) over.push(session)
        else this.#schedule(session)
      }
      // Some of this bucket are not due: then none of the later ones is.
      if (this.#buckets.has(bucket)) break
    }
    this.#nextDue = Math.min(this.#nextDue, this.#bucketOrder.least * this.#bucketMs)
    if (over.length === 0) return
    if (!this.#remember) {
      for (const session of this.#sorted(over)) {
        this.#emit(session)
        this.#forget(session)
      }
      return
    }
    for (const session of this.#sorted(over.filter((session) => !this.#emitted[session]))) this.#speak(session)
    for (const session of over) {
      if (
        this.#policy.late !== 'drop' &&
        watermark <= (this.#bounds[2 * session + 1] as number) + this.#policy.latenessMs
      ) {
        this.#emitted[session] = 1
        this.#changes?.sessions.markOne(session)
        this.#schedule(session)
      } else this.#forget(session)
    }
  }

  /** A session's result at its close, left out when the same was said already. */
  #speak(session: number): void {
    const said = this.#policy.emit !== 'final' && this.#standing.has(session)
    if (!said || this.#changed.has(session)) this.#emit(session)
    this.#changed.delete(session)
  }

  #emit(session: number): void {
    const standing = this.#results.emit(
      this.#bounds[2 * session] as number,
      this.#bounds[2 * session + 1] as number,
      this.#key[session] as number,
      session,
      this.#remember ? this.#standing.get(session) : undefined,
    )
    if (!standing) return
    this.#standing.set(session, standing)
    this.#changes?.sessions.markOne(session)
  }

  #forget(session: number): void {
    const key = this.#key[session] as number
    let before = NO_SESSION
    for (let at = this.#latest[key] as number; at !== NO_SESSION; at = this.#next[at] as number) {
      if (at === session) {
        if (before === NO_SESSION) this.#setLatest(key, this.#next[at] as number)
        else this.#setNext(before, this.#next[at] as number)
        break
      }
      before = at
    }
    this.#setNext(session, NO_SESSION)
    this.#key[session] = -1
    this.#bucketOf[session] = NaN
    if (this.#remember) this.#standing.delete(session)
    this.#content.clear(session)
    this.#slots.giveBack(session)
  }

  /** In order of results: end, start, key. */
  #sorted(sessions: readonly number[]): number[] {
    const bounds = this.#bounds
    const sorted = sortedBy(sessions, (session) => bounds[2 * session + 1] as number)
    let end = sorted.length > 0 ? bounds[2 * (sorted[0] as number) + 1] : NaN
    for (let from = 0, to = 1; to <= sorted.length; to++) {
      const next = to < sorted.length ? bounds[2 * (sorted[to] as number) + 1] : NaN
      if (next === end) continue
      end = next
      if (to - from > 1) {
        const same = sorted.slice(from, to).map((session) => ({
          session,
          start: bounds[2 * session] as number,
          key: this.#keys.sortKey(this.#key[session] as number),
        }))
        same.sort((a, b) => a.start - b.start || (a.key < b.key ? -1 : 1))
        same.forEach(({ session }, index) => (sorted[from + index] = session))
      }
      from = to
    }
    return sorted
  }
}

/** Where entries are that are not -1. */
function placesOf(list: Int32Array): Uint32Array {
  let count = 0
  for (let at = 0; at < list.length; at++) if ((list[at] as number) >= 0) count++
  const places = new Uint32Array(count)
  for (let at = 0, to = 0; to < count; at++) if ((list[at] as number) >= 0) places[to++] = at
  return places
}
