import { crc32 } from 'node:zlib'
import type { RecordBatch } from '../core/batch.ts'
import { BeckError } from '../core/errors.ts'
import type { Producer } from './state.ts'
import type { Store } from './store.ts'
import type { Transaction } from './transaction.ts'

/** In place of the CRC where the sequence comes from a field. */
const BY_FIELD = -1

/**
 * An idempotent producer: knows up to which record its topic has its input, and skips that far. Each run takes a new epoch, which
 * fences an earlier run that was only stopped.
 */
export class ProducerSession {
  private readonly key: string
  private readonly id: string
  private readonly epoch: number
  /** Input order: records written by earlier runs, and the CRC of their lines. By field: the last sequence written. */
  private readonly resumed: Producer
  private readonly byField: boolean
  private seen = 0
  private crc = 0
  /** The last sequence taken, written or not yet. */
  private sequence: number
  repeats = 0

  constructor(store: Store, topic: string, id: string, byField: boolean) {
    this.key = `${topic}/${id}`
    this.id = id
    this.byField = byField
    const before: Producer = byField ? [0, -1, BY_FIELD] : [0, 0, 0]
    this.resumed = store.transact(false, (transaction) => {
      const [epoch, sequence, crc] = store.state.producers.get(this.key) ?? before
      const used = sequence !== before[1]
      if (used && (crc === BY_FIELD) !== byField) {
        throw new BeckError('usage', {
          problem: `producer "${id}" has counted ${byField ? 'the records of its input' : 'by a --sequence field'} so far`,
          hint: byField
            ? 'run it without --sequence, or choose another --producer ID'
            : 'give the same --sequence FIELD again, or choose another --producer ID',
        })
      }
      const taken: Producer = used ? [epoch + 1, sequence, crc] : [epoch + 1, before[1], before[2]]
      transaction.producer(this.key, taken)
      return taken
    })
    this.epoch = this.resumed[0]
    this.sequence = this.resumed[1]
  }

  /** By field: whether a record's sequence is new. */
  take(sequence: number): boolean {
    if (sequence <= this.sequence) {
      this.repeats++
      return false
    }
    this.sequence = sequence
    return true
  }

  /** Input order: the first row of `from`..`to` that no earlier run has written. @throws BeckError fenced, when it wrote others */
  skip(batch: RecordBatch, from: number, to: number): number {
    const first = from + Math.min(to - from, Math.max(0, this.resumed[1] - this.seen))
    if (first > from) {
      this.crc = crc32(batch.lines(undefined, from, first), this.crc)
      this.seen += first - from
      this.repeats += first - from
      if (this.seen === this.resumed[1] && this.crc !== this.resumed[2]) throw this.different('begins differently')
    }
    if (first < to) {
      this.crc = crc32(batch.lines(undefined, first, to), this.crc)
      this.seen += to - first
    }
    return first
  }

  /** At the end of the input. @throws BeckError fenced, when it ended before what was written */
  end(): void {
    if (!this.byField && this.seen < this.resumed[1]) throw this.different(`has only ${this.seen} records`)
  }

  /** Adds what has been taken to a commit. @throws BeckError fenced, when a later run has begun */
  commit(store: Store, transaction: Transaction): void {
    if (store.state.producers.get(this.key)?.[0] !== this.epoch) {
      throw new BeckError('fenced', {
        problem: `a later run of producer "${this.id}" has taken over; this one writes nothing more`,
        hint: 'one input, one producer: give the other one another --producer ID if both are meant to write',
      })
    }
    transaction.producer(
      this.key,
      this.byField ? [this.epoch, this.sequence, BY_FIELD] : [this.epoch, this.seen, this.crc],
    )
  }

  private different(how: string): BeckError {
    return new BeckError('fenced', {
      problem: `this is not the input that producer "${this.id}" wrote before: it ${how} (${this.resumed[1]} records are written)`,
      hint: 'give the same input again, or another --producer ID for another input',
    })
  }
}
