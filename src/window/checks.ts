import { NONE } from '../aggregate/aggregate.ts'
import type { RecordBatch } from '../core/batch.ts'
import { formatDuration } from '../core/duration.ts'
import { formatFieldPath, type FieldPath } from '../core/field-path.ts'
import type { EventTime, Problem, StageContext } from '../core/operator.ts'
import { formatTime } from '../core/time.ts'
import type { TimeColumn } from './times.ts'

/** Where event times come from. */
export interface TimeSource {
  readonly column: TimeColumn
  readonly path: FieldPath
  /** A time further past the wall clock is a data error. Infinity: none is. */
  readonly maxAheadMs: number
}

/** Rows that can be taken in. When a bad one stops the command, those before it count all the same: `error` comes after them. */
export interface Checked {
  readonly batch: RecordBatch
  readonly times: Float64Array
  /** 0, or NONE for rejected rows. */
  readonly slots: Uint32Array
  readonly error?: unknown
}

/**
 * Finds the rows that cannot be taken in: those without a time, and those that the aggregates refuse. Both are rejected in row order, so the
 * aggregates have to be opened with this `context`, which puts the former in front of the latter.
 */
export class RowChecks {
  readonly context: StageContext
  readonly #outer: StageContext
  readonly #source: TimeSource | undefined
  #times = new Float64Array(0)
  #slots = new Uint32Array(0)
  #timeless: number[] = []
  /** The row whose rejection stopped the command. */
  #stoppedAt = -1
  #limit: EventTime = Infinity

  /** Without a source, times are the wall clock's. */
  constructor(context: StageContext, source: TimeSource | undefined) {
    this.#outer = context
    this.#source = source
    this.context = {
      ...context,
      reject: (batch, row, problem) => {
        this.#rejectTimeless(batch, row)
        this.#reject(batch, row, problem)
      },
    }
  }

  /** @param begin checks the rows whose slot is 0, and marks those it refuses with NONE. @param now the time of rows without a source */
  check(batch: RecordBatch, begin: (batch: RecordBatch, slots: Uint32Array) => void, now: EventTime): Checked {
    const { count } = batch
    if (this.#slots.length < count) this.#slots = new Uint32Array(count + (count >> 1))
    const slots = this.#slots.subarray(0, count).fill(0)
    const times = this.#readTimes(batch, now)
    const limit = (this.#limit = now + (this.#source?.maxAheadMs ?? Infinity))
    this.#timeless = []
    const sure = limit === Infinity && (!this.#source || this.#source.column.allRead)
    for (let row = sure ? count : 0; row < count; row++) {
      if ((times[row] as number) <= limit) continue
      slots[row] = NONE
      this.#timeless.push(row)
    }
    try {
      begin(batch, slots)
      this.#rejectTimeless(batch, count)
      return { batch, times, slots }
    } catch (error) {
      if (this.#stoppedAt < 0) throw error
      const head = batch.head(this.#stoppedAt)
      const before = slots.subarray(0, head.count)
      begin(head, before)
      return { batch: head, times, slots: before, error }
    }
  }

  #readTimes(batch: RecordBatch, now: EventTime): Float64Array {
    if (this.#source) return this.#source.column.read(batch)
    if (this.#times.length < batch.count) this.#times = new Float64Array(batch.count)
    return this.#times.fill(now, 0, batch.count)
  }

  #rejectTimeless(batch: RecordBatch, before: number): void {
    for (let row = this.#timeless[0]; row !== undefined && row < before; row = this.#timeless[0]) {
      this.#timeless.shift()
      this.#reject(batch, row, this.#problem(batch, row))
    }
  }

  #reject(batch: RecordBatch, row: number, problem: Problem): void {
    try {
      this.#outer.reject(batch, row, problem)
    } catch (error) {
      this.#stoppedAt = row
      throw error
    }
  }

  #problem(batch: RecordBatch, row: number): Problem {
    const { column, path, maxAheadMs } = this.#source as TimeSource
    const time = column.read(batch)[row] as number
    if (Number.isNaN(time)) return column.problem(batch, row, path)
    return {
      problem: `${formatFieldPath(path)} is ${formatTime(time)}, more than ${formatDuration(maxAheadMs)} ahead of the clock (until ${formatTime(this.#limit)})`,
      hint: 'keep such records with --dead-letter FILE, or allow more with --max-ahead',
    }
  }
}
