import type { Projection } from '../core/field-path.ts'
import type { StageContext } from '../core/operator.ts'
import { AggregateSet } from './set.ts'

/** A parsed list of aggregates, checked; `open` makes the state for one worker. */
export interface AggregatePlan {
  /** Output names in the order written. */
  readonly names: readonly string[]
  /** False when some `fold` has no merge: then one worker, no `--partial`, and no windows that merge. */
  readonly mergeable: boolean
  open(context: StageContext): AggregateSet
}

export interface AggregateOptions {
  /** `--arg` values for expressions. */
  readonly args: Readonly<Record<string, string>>
  /** Names that are taken: key fields, `window` … An aggregate of that name is an error. */
  readonly taken?: readonly string[]
}

/**
 * Parses `count, p99 = p99(latency_ms), slow = count where r.latency_ms > 500` (docs/architecture.md §8) and adds the fields it reads to
 * `projection`.
 * @throws BeckError bad-program: unknown functions, wrong arguments, equal names, expressions without a name
 */
export function parseAggregates(_text: string, _projection: Projection, _options: AggregateOptions): AggregatePlan {
  return { names: [], mergeable: true, open: (context) => new AggregateSet([], [], context) }
}
