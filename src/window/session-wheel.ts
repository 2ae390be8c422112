import { Heap } from '../core/heap.ts'
import type { EventTime } from '../core/operator.ts'

/** The wheel has this many buckets a gap. */
const BUCKETS_A_GAP = 64

/** Wakes sessions: they wait in buckets of time. A session that lives on stays in its bucket and is put on only when that comes up. */
export class SessionWheel {
  /** No session is due before the watermark is greater than this. */
  nextDue: EventTime = Infinity
  readonly #dueAt: (session: number) => EventTime
  readonly #bucketMs: number
  readonly #buckets = new Map<number, number[]>()
  /** The buckets, the next one on top. */
  readonly #order = new Heap<number>((a, b) => a < b)
  /** By session: the bucket that will wake it. Entries of other buckets are out of date. */
  #bucketOf = new Float64Array(0)

  /** @param dueAt a session is due as soon as the watermark is greater */
  constructor(gapMs: number, dueAt: (session: number) => EventTime) {
    this.#dueAt = dueAt
    this.#bucketMs = Math.max(1, Math.floor(gapMs / BUCKETS_A_GAP))
  }

  /** Makes room for sessions below. */
  reserve(sessions: number): void {
    const larger = new Float64Array(sessions).fill(NaN)
    larger.set(this.#bucketOf)
    this.#bucketOf = larger
  }

  schedule(session: number): void {
    const due = this.#dueAt(session)
    const bucket = Math.floor(due / this.#bucketMs)
    this.nextDue = Math.min(this.nextDue, due)
    if (this.#bucketOf[session] === bucket) return
    this.#bucketOf[session] = bucket
    const known = this.#buckets.get(bucket)
    if (known) known.push(session)
    else {
      this.#buckets.set(bucket, [session])
      this.#order.push(bucket)
    }
  }

  cancel(session: number): void {
    this.#bucketOf[session] = NaN
  }

  /** Adds the sessions that are due to `due`; they are no longer scheduled. */
  takeDue(watermark: EventTime, due: number[]): void {
    this.nextDue = Infinity
    for (let bucket; (bucket = this.#order.top) !== undefined && bucket * this.#bucketMs < watermark;) {
      this.#order.pop()
      const sessions = this.#buckets.get(bucket) as number[]
      this.#buckets.delete(bucket)
      for (const session of sessions) {
        if (this.#bucketOf[session] !== bucket) continue
        this.#bucketOf[session] = NaN
        if (watermark > this.#dueAt(session)) due.push(session)
        else this.schedule(session)
      }
      // Some of this bucket are not due: then none of the later ones is.
      if (this.#buckets.has(bucket)) break
    }
    this.nextDue = Math.min(this.nextDue, (this.#order.top ?? Infinity) * this.#bucketMs)
  }
}
