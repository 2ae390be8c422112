import { type FieldPath, Projection } from '../core/field-path.ts'
import type { StageContext } from '../core/operator.ts'
import type { OperatorStage, PairOperator, PairStage, TableStage } from '../core/spec.ts'
import { type AsOfRules, chooseAsOf } from './as-of.ts'
import { BroadcastJoin, type EventTimes, MOST_NAMES } from './broadcast.ts'
import type { JoinKey } from './on.ts'
import type { PairRules } from './pair-records.ts'
import type { SpliceRules } from './splice.ts'
import { type JoinTable, JoinTableReader, type JoinType } from './table.ts'

/** What every join has. */
export interface JoinPlan {
  readonly table: string
  readonly store: string | undefined
  /** The topic is followed. */
  readonly follow: boolean
  readonly keys: readonly JoinKey[]
  readonly type: JoinType
  readonly rules: SpliceRules
}

/** Where the times of both sides are, and how they are read. */
export interface JoinTimes {
  readonly time: JoinKey
  readonly open: (path: FieldPath, field: number) => EventTimes
}

/** A table in memory. With `asOf`: of its records of a key one is chosen by time. */
export function broadcastStage(
  plan: JoinPlan,
  asOf?: JoinTimes & { readonly rules: AsOfRules },
): TableStage<JoinTable> {
  const { table, store, keys, type, rules } = plan
  const right = new Projection()
  const keyFields = keys.map((key) => right.add(key.right))
  const timeField = asOf && right.add(asOf.time.right)
  const parallel = type === 'right' || type === 'full' ? 'merge' : 'stateless'
  return {
    role: 'table',
    table,
    store,
    reads: right.paths,
    parallel,
    streams: true,
    selects: type === 'semi' || type === 'anti',
    open(context) {
      const times = asOf?.open(asOf.time.right, timeField!)
      return new JoinTableReader({ table, type, rules, keyFields, times }, context)
    },
    stage(read): OperatorStage {
      const left = new Projection()
      const fields = keys.map((key) => left.add(key.left))
      const clashFields = read.names.length <= MOST_NAMES ? read.names.map((name) => left.add([name])) : undefined
      const nestField = nestFieldOf(plan, left)
      const leftTime = asOf && left.add(asOf.time.left)
      const choose = asOf && chooseAsOf(asOf.rules)
      return {
        role: 'operator',
        reads: left.paths,
        parallel,
        streams: true,
        snapshots: 'changes',
        selects: type === 'semi' || type === 'anti',
        open(context) {
          const times = asOf?.open(asOf.time.left, leftTime!)
          const options = { type, rules, keyFields: fields, clashFields, nestField, choose, times }
          return new BroadcastJoin(options, read, context)
        },
      }
    },
  }
}

/** Both sides sorted, in bounded memory. */
export async function mergeStage(plan: JoinPlan): Promise<PairStage> {
  const { MergeJoin } = await import('./merge.ts')
  const { MergeSide } = await import('./merge-side.ts')
  const { table, store, keys, type, rules } = plan
  const [left, right] = [new Projection(), new Projection()]
  const leftKey = keys.map((key) => left.add(key.left))
  const rightKey = keys.map((key) => right.add(key.right))
  const options = { type, rules, leftKey, rightKey, nestField: nestFieldOf(plan, left) }
  return {
    role: 'pair',
    table,
    store,
    reads: [left.paths, right.paths],
    reading: 'table first',
    snapshots: 'appends',
    open: (...contexts) => new MergeJoin(options, ...contexts),
    openLeft: (context) => new MergeSide(options, 0, context),
  }
}

/** What the two stages of streams have in common. */
function streamsStage(
  plan: JoinPlan,
  { time, open }: JoinTimes,
  make: (
    rules: PairRules,
    times: readonly [EventTimes, EventTimes],
    ...contexts: [StageContext, StageContext]
  ) => PairOperator,
): PairStage {
  const { table, store, follow, keys, type, rules } = plan
  const [left, right] = [new Projection(), new Projection()]
  const leftKey = keys.map((key) => left.add(key.left))
  const rightKey = keys.map((key) => right.add(key.right))
  const nestField = nestFieldOf(plan, left)
  const timeFields = [left.add(time.left), right.add(time.right)] as const
  return {
    role: 'pair',
    table,
    store,
    follow,
    reads: [left.paths, right.paths],
    reading: 'together',
    snapshots: 'changes',
    open(...contexts) {
      const times = [open(time.left, timeFields[0]), open(time.right, timeFields[1])] as const
      return make({ type, rules, leftKey, rightKey, nestField }, times, ...contexts)
    },
  }
}

/** Two streams, joined where their times are near each other. */
export async function intervalStage(
  plan: JoinPlan,
  times: JoinTimes,
  bounds: { readonly lowerMs: number; readonly upperMs: number; readonly delayMs: number },
): Promise<PairStage> {
  const { IntervalJoin } = await import('./interval.ts')
  return streamsStage(
    plan,
    times,
    (rules, times, ...contexts) => new IntervalJoin({ ...rules, times, ...bounds }, ...contexts),
  )
}

/** Two streams, of which each left record is joined with the one right record that its time chooses. */
export async function asOfStreamsStage(
  plan: JoinPlan,
  times: JoinTimes,
  options: { readonly asOf: AsOfRules; readonly delayMs: number },
): Promise<PairStage> {
  const { AsOfStreams } = await import('./as-of-streams.ts')
  return streamsStage(
    plan,
    times,
    (rules, times, ...contexts) => new AsOfStreams({ ...rules, times, ...options }, ...contexts),
  )
}

/** A left record that has a member of the nest's name already would have it twice. */
function nestFieldOf({ type, rules }: JoinPlan, left: Projection): number | undefined {
  return rules.nest === undefined || type === 'semi' || type === 'anti' ? undefined : left.add([rules.nest])
}
