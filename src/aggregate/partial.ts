import { Kind, type RecordBatch } from '../core/batch.ts'
import { BeckError } from '../core/errors.ts'
import { latin1 } from '../core/latin1.ts'
import type { StageContext } from '../core/operator.ts'
import { type AggregateState, NONE, type Numbers } from './aggregate.ts'
import type { AggregateSet, SetState } from './set.ts'

/**
 * The states of a group as a member of its line, `"partial":{"count":{"counts":[3]}}`: what MapReduce's combiner hands to the reducer.
 * Positions become ranks, since lines of different runs know nothing of each other's inputs: line after line is their order.
 */
export function renderPartial(set: AggregateSet, slot: number): string {
  const state: Record<string, Record<string, readonly (number | string)[]>> = {}
  for (const [id, columns] of Object.entries(set.exportSlots(Uint32Array.of(slot)))) {
    const plain: Record<string, readonly (number | string)[]> = (state[id] = {})
    for (const [name, column] of Object.entries(columns)) {
      plain[name] = name === 'positions' ? ranks(column as Numbers) : Array.from(column as ArrayLike<number | string>)
    }
  }
  return `"partial":${JSON.stringify(state)}`
}

function ranks(positions: Numbers): number[] {
  const order = Array.from(positions, (position, index) => ({ position, index })).sort(
    (a, b) => a.position - b.position,
  )
  const result: number[] = []
  order.forEach(({ index }, rank) => (result[index] = rank))
  return result
}

/** Adds lines that `renderPartial` wrote, in the place of records: see `GroupBy`. */
export class PartialLines {
  readonly #set: AggregateSet
  readonly #field: number
  readonly #context: StageContext
  /** The columns that each part's state has: their kind, and whether a group has exactly one entry there. */
  readonly #shape: Readonly<Record<string, Readonly<Record<string, { kind: 'number' | 'string'; single: boolean }>>>>
  /** Of the batch at hand, by row. */
  #states: (SetState | undefined)[] = []
  /** Positions of the next line begin here. */
  #base = 0

  constructor(set: AggregateSet, field: number, context: StageContext) {
    this.#set = set
    this.#field = field
    this.#context = context
    set.reserve(1)
    this.#shape = Object.fromEntries(
      Object.entries(set.exportSlots(Uint32Array.of(0))).map(([id, columns]) => [
        id,
        Object.fromEntries(
          Object.entries(columns).map(([name, column]) => [
            name,
            { kind: Array.isArray(column) ? 'string' : 'number', single: column.length === 1 } as const,
          ]),
        ),
      ]),
    )
  }

  begin(batch: RecordBatch, slots: Uint32Array): number {
    const kinds = batch.kinds(this.#field)
    let rejected = 0
    this.#states = []
    for (let row = 0; row < batch.count; row++) {
      const state = kinds[row] === Kind.object ? this.#read(batch, row) : undefined
      this.#states.push(state)
      if (state) continue
      this.#context.reject(batch, row, {
        problem: 'this is no partial state of these aggregates',
        hint: 'write it with --partial, the same aggregates and the same --by',
      })
      slots[row] = NONE
      rejected++
    }
    return rejected
  }

  #read(batch: RecordBatch, row: number): SetState | undefined {
    const at = row * batch.stride + 2 + 2 * this.#field
    const state = JSON.parse(latin1(batch.bytes, batch.spans[at]!, batch.spans[at + 1]!)) as Record<string, unknown>
    const shape = Object.entries(this.#shape)
    if (Object.keys(state).length !== shape.length) return undefined
    const fits = shape.every(([id, columns]) => {
      const part = state[id]
      if (typeof part !== 'object' || part === null) return false
      return Object.entries(columns).every(([name, { kind, single }]) => {
        const column = (part as Record<string, unknown>)[name]
        return (
          Array.isArray(column) &&
          (!single || column.length === 1) &&
          column.every((value) => typeof value === kind && (kind === 'string' || Number.isFinite(value)))
        )
      })
    })
    return fits ? (state as SetState) : undefined
  }

  add(batch: RecordBatch, slots: Uint32Array): number {
    for (let row = 0; row < batch.count; row++) {
      const state = this.#states[row]
      if (!state || slots[row] === NONE) continue
      try {
        this.#set.importSlots(this.#shifted(state), slots.slice(row, row + 1))
      } catch (error) {
        if (error instanceof BeckError) throw error
        // Some of it may be in already, so it cannot be left out as a bad record.
        const { file, line } = batch.locate(row)
        throw new BeckError(
          'bad-input',
          { place: `${file}:${line}:1`, problem: `this partial state is damaged: ${(error as Error).message}` },
          { cause: error },
        )
      }
    }
    return 0
  }

  #shifted(state: SetState): SetState {
    let used = 0
    const shifted = Object.fromEntries(
      Object.entries(state).map(([id, columns]): [string, AggregateState] => {
        const positions = columns['positions'] as Numbers | undefined
        if (!positions) return [id, columns]
        used = Math.max(used, positions.length)
        return [id, { ...columns, positions: Array.from(positions, (position) => position + this.#base) }]
      }),
    )
    this.#base += used
    return shifted
  }
}
