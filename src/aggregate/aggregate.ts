import type { DecimalColumn, RecordBatch } from '../core/batch.ts'
import type { Problem } from '../core/operator.ts'

/** The slot of a row that an aggregate is to skip. */
export const NONE = 0xffffffff

/**
 * What some slots of an aggregate hold, as columns: `structuredClone` takes it, and so does JSON (numbers are finite,
 * strings are latin1 "binary" strings). An array read back from JSON is as good as the typed array it was.
 */
export interface AggregateState {
  readonly [column: string]: Numbers | readonly string[]
}
export type Numbers = Float64Array | Uint32Array | Int32Array | Uint8Array | readonly number[]

/**
 * The values that an aggregate reads: a field, an expression or a constant. Columns are views, valid for the current batch.
 * Texts are raw JSON as latin1 "binary" strings.
 */
export interface Input {
  /** Equal ids are equal values, so that their state is shared. */
  readonly id: string
  kinds(batch: RecordBatch): Uint8Array
  decimals(batch: RecordBatch): DecimalColumn
  text(batch: RecordBatch, row: number): string
  /** For messages: where the value stands in its line (bytes, from 1), and how an expression would name it. */
  place?(batch: RecordBatch, row: number): { readonly column: number; readonly spelling: string }
  /** Dense ids of equal values. */
  values(): Values
}

/** Gives equal values (as keys are equal) the same small number. Missing and null have one too. */
export interface Values {
  readonly size: number
  /** A view, valid until the next call. */
  ids(batch: RecordBatch): Uint32Array
  /** As first spelt. */
  text(id: number): string
  /** Ids of values from elsewhere. Known ones keep their spelling. */
  idsOf(texts: readonly string[]): Uint32Array
  /** Forgets all values and gives ids from 0 again. */
  clear(): void
}

/**
 * The state of one aggregate for many groups at once: a *slot* is a group (reduce) or a window of a group (window), a small
 * dense number that the caller gives out, frees with `clear`, and may use again. Tight loops over columns, no object a record.
 *
 * `add` is called in the order of the records. State is mergeable, and never depends on the order of merges: what speaks of order (`first`, `list` …) keeps
 * `RecordBatch.position` with its values.
 */
export interface Aggregate {
  /** Makes room: slots below `slots` exist from now on, new ones empty. */
  reserve(slots: number): void
  /**
   * Adds each row to its slot; `NONE` skips the row. Rows were checked before, so that nothing can be wrong with them; only a
   * user's own function fails as late as here, and the rows for which it does are returned.
   */
  add(batch: RecordBatch, slots: Uint32Array): void | ReadonlyMap<number, Problem>
  /** Adds what `from` holds to `into`, and leaves `from` as it is. */
  merge(into: number, from: number): void
  clear(slot: number): void
  /** About how much memory so many slots and what is in them hold, to know when to spill. Cheap: asked once a batch. */
  bytes(slots: number): number
  exportSlots(slots: Uint32Array): AggregateState
  /** The same in fewer bytes and steps, where there is such a way: for snapshots and other threads, not for people. */
  packSlots?(slots: Uint32Array): AggregateState
  /** Adds the state's slots, in order, to the slots that `mapping` names. Takes either form. */
  importSlots(state: AggregateState, mapping: Uint32Array): void
}
