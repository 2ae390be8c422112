import type { SetState } from '../aggregate/set.ts'
import type { RecordBatch } from '../core/batch.ts'
import type { Collector, EventTime } from '../core/operator.ts'
import type { Slots } from './ids.ts'

/** What becomes of data that comes after its window's result. */
export interface Policy {
  readonly late: 'drop' | 'update' | 'correct'
  /** How long after its end a window still takes records. Milliseconds. */
  readonly latenessMs: number
  /** When results come: once, after each record, or every now and then (`onTimer`). */
  readonly emit: 'final' | 'changes' | 'every'
}

/**
 * How long after its end a window waits before its (first) result. With `drop` there is one result only, so it waits until no more
 * records can come.
 */
export const graceMs = ({ late, latenessMs }: Policy): number => (late === 'drop' ? latenessMs : 0)

/** Whether a window can have more than one result, so that what was said has to be remembered. */
export const speaksTwice = ({ late, emit }: Policy): boolean => late !== 'drop' || emit !== 'final'

/** What is kept per slot: aggregates (src/aggregate/set.ts) or the records themselves (src/window/records.ts). */
export interface Content {
  reserve(slots: number): void
  /** Rejects rows that it cannot take and marks them with NONE. */
  begin(batch: RecordBatch, slots: Uint32Array): number
  add(batch: RecordBatch, slots: Uint32Array): void
  merge(into: number, from: number): void
  clear(slot: number): void
  /** What some slots hold, as `structuredClone` takes it; and back, into empty slots. */
  packSlots(slots: Uint32Array): unknown
  importSlots(state: unknown, mapping: Uint32Array): void
  /**
   * Between batches: writes to disk what is beyond the memory. Slots stay in use.
   * @param inUse all slots in use, those that are needed soon together
   */
  settle?(slots: Slots, inUse: () => readonly number[]): void
}

/** Aggregates as the content of windows: they can be handed to another thread, and spilled. */
export interface AggregateContent extends Content {
  packSlots(slots: Uint32Array): SetState
  exportSlots(slots: Uint32Array): SetState
  importSlots(state: SetState, mapping: Uint32Array): void
  /** About how much memory so many slots and what is in them hold. */
  bytes(slots: number): number
}

/** The rows of a batch on their way through an engine. */
export interface Rows {
  readonly times: Float64Array
  /** NONE where no result of the key is wanted; not in sessions, where the other records of its key decide whether a row is late. */
  readonly keys: Uint32Array
  /** NONE where the row was rejected. */
  readonly slots: Uint32Array
  /** Set to 1 by the engine where the row was late for all its windows. */
  readonly late: Uint8Array
  lateCount: number
}

/** Windows over a stream: one per kind of window. */
export interface Engine {
  /** All events before it have been seen. -Infinity before the first. */
  readonly watermark: EventTime
  /** Takes the rows in, each judged against the watermark before it, and lets the watermark follow them by `delayMs`. */
  process(batch: RecordBatch, rows: Rows, out: Collector): void
  /** Moves the watermark on (never back) and closes what it has passed. `Infinity` closes all. */
  advance(watermark: EventTime, out: Collector): void
  /** Emits what has changed since it was last emitted (`emit: 'every'`). */
  emitChanged(out: Collector): void
  /** Between batches: emits what had to wait for that, and writes to disk what is beyond the memory. */
  settle?(out: Collector): void
  /** Marks the keys that are in use with 1; and gives them new ids. */
  markKeys(marks: Uint8Array): void
  renumberKeys(ids: Uint32Array): void
  /**
   * Everything it knows between two batches, or what changed since the last time; slots and keys by their numbers. And back, in order, into a
   * new engine; `restored` when that was all.
   */
  snapshot(whole: boolean): EngineState
  restore(state: EngineState): void
  restored(): void
  /** Before that: so many slots there will be, as `slotsEnd` of the last state says. */
  makeRoom?(slots: number): void
}

export interface EngineState {
  readonly watermark: EventTime
  /** The slots whose content is to be kept with it. */
  readonly slots: Uint32Array
  /** All slots, of earlier snapshots too, are below. */
  readonly slotsEnd: number
  /** What else this kind of window knows. */
  readonly own: unknown
}
