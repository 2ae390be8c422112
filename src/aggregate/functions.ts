import { type Decimal, formatDecimal, parseDecimal } from '../core/decimal.ts'
import type { Aggregate, Input } from './aggregate.ts'
import { ApproxDistinct } from './approx-distinct.ts'
import { ApproxQuantiles } from './approx-quantiles.ts'
import { Count } from './count.ts'
import { Distinct } from './distinct.ts'
import { Ends } from './ends.ts'
import { Extremes } from './extremes.ts'
import { Fold, type FoldFunctions } from './fold.ts'
import { histogram } from './histogram.ts'
import { Lists } from './lists.ts'
import { Quantiles } from './quantiles.ts'
import { Moments, Sums } from './sums.ts'
import { Top } from './top.ts'

/** What an aggregate takes in its brackets. */
export type Parameter = 'value' | 'count' | 'text' | 'code'

/** Arguments, in the order of the parameters: inputs for values, the constants for the rest. */
export interface CallArguments {
  readonly inputs: readonly Input[]
  readonly constants: readonly (number | string)[]
  /** The compiled code of a fold. */
  readonly fold?: FoldFunctions
}

/**
 * One aggregate function. Functions of one `family` with the same arguments and `where` share one state: `sum` and `avg` of a field,
 * all its quantiles.
 */
export interface AggregateFunction {
  readonly family: string
  readonly parameters: readonly Parameter[]
  /** How many parameters may be left out, from the end. */
  readonly optional?: number
  /** Constants are part of what the state is, not only of the result. */
  readonly constantsMatter?: true
  /** The values (by index of the value parameters) that must be numbers, or strings and scalars. */
  readonly numbers?: readonly number[]
  readonly texts?: readonly number[]
  readonly create: (args: CallArguments) => Aggregate
  /** Called with what `create` of the family made. */
  readonly result: (aggregate: never, slot: number, args: CallArguments) => string
  /** The same as numbers by slot, where results are always whole and safe ones. */
  readonly whole?: (aggregate: never) => Float64Array
}

/** Keeps the family's class and its result together. */
const define = <A extends Aggregate>(
  definition: Omit<AggregateFunction, 'create' | 'result' | 'whole'> & {
    readonly create: (args: CallArguments) => A
    readonly result: (aggregate: A, slot: number, args: CallArguments) => string
    readonly whole?: (aggregate: A) => Float64Array
  },
): AggregateFunction => definition

/** Families of functions that share a state. */
const sums = {
  family: 'sum',
  parameters: ['value'],
  numbers: [0],
  create: ({ inputs }: CallArguments) => new Sums(inputs[0]!),
} as const
const moments = {
  family: 'var',
  parameters: ['value'],
  numbers: [0],
  create: ({ inputs }: CallArguments) => new Moments(inputs[0]!),
} as const
const lists = {
  family: 'list',
  parameters: ['value'],
  create: ({ inputs }: CallArguments) => new Lists(inputs[0]!),
} as const
const distinct = {
  family: 'distinct',
  parameters: ['value'],
  create: ({ inputs }: CallArguments) => new Distinct(inputs[0]!, true),
} as const
const quantiles = {
  family: 'quantile',
  parameters: ['value'],
  numbers: [0],
  create: ({ inputs }: CallArguments) => new Quantiles(inputs[0]!),
} as const
const approxQuantiles = {
  family: 'approx_quantile',
  parameters: ['value'],
  numbers: [0],
  create: ({ inputs }: CallArguments) => new ApproxQuantiles(inputs[0]!),
} as const
const ends = (which: 'first' | 'last'): AggregateFunction =>
  define({
    family: which,
    parameters: ['value'],
    create: ({ inputs }) => new Ends(inputs[0]!, which),
    result: (state, slot) => state.text(slot),
  })
const extremes = (which: 'min' | 'max', argument: boolean): AggregateFunction =>
  define({
    family: argument ? `arg${which}` : which,
    parameters: argument ? ['value', 'value'] : ['value'],
    create: ({ inputs }) => (argument ? new Extremes(which, inputs[1]!, inputs[0]!) : new Extremes(which, inputs[0]!)),
    result: (state, slot) => state.text(slot),
  })
const quantile = (p: Decimal): AggregateFunction =>
  define({ ...quantiles, result: (state, slot) => state.quantile(slot, p) })
const approxQuantile = (p: number): AggregateFunction =>
  define({ ...approxQuantiles, result: (state, slot) => state.quantile(slot, p) })

const functions: Readonly<Record<string, AggregateFunction>> = {
  count: define({
    family: 'count',
    parameters: ['value'],
    optional: 1,
    create: ({ inputs }) => new Count(inputs[0]),
    result: (count, slot) => count.text(slot),
    whole: (count) => count.counts,
  }),
  sum: define({ ...sums, result: (state, slot) => state.sum(slot) }),
  avg: define({ ...sums, result: (state, slot) => state.average(slot) }),
  min: extremes('min', false),
  max: extremes('max', false),
  var: define({ ...moments, result: (state, slot) => state.variance(slot) }),
  stddev: define({ ...moments, result: (state, slot) => state.deviation(slot) }),
  median: quantile({ mantissa: 5n, scale: 1 }),
  first: ends('first'),
  last: ends('last'),
  list: define({ ...lists, result: (state, slot) => state.list(slot) }),
  concat: define({
    ...lists,
    parameters: ['value', 'text'],
    optional: 1,
    texts: [0],
    result: (state, slot, { constants }) => state.concat(slot, String(constants[0] ?? '')),
  }),
  distinct: define({ ...distinct, result: (state, slot) => state.list(slot) }),
  count_distinct: define({
    family: 'count_distinct',
    parameters: ['value'],
    create: ({ inputs }) => new Distinct(inputs[0]!, false),
    result: (state, slot) => state.count(slot),
  }),
  mode: define({ ...distinct, result: (state, slot) => state.mode(slot) }),
  top: define({
    family: 'top',
    parameters: ['value', 'count'],
    constantsMatter: true,
    create: ({ inputs, constants }) => new Top(inputs[0]!, constants[0] as number),
    result: (state, slot) => state.list(slot),
  }),
  argmin: extremes('min', true),
  argmax: extremes('max', true),
  histogram: define({
    ...quantiles,
    parameters: ['value', 'count'],
    result: (state, slot, { constants }) => histogram(state, slot, constants[0] as number),
  }),
  fold: define({
    family: 'fold',
    parameters: ['code', 'code', 'code'],
    optional: 1,
    create: ({ fold }) => new Fold(fold!),
    result: (state, slot) => state.text(slot),
  }),
  approx_median: approxQuantile(0.5),
  approx_count_distinct: define({
    family: 'approx_count_distinct',
    parameters: ['value'],
    create: ({ inputs }) => new ApproxDistinct(inputs[0]!),
    result: (state, slot) => state.text(slot),
  }),
}

/** All names, for "did you mean", help and completion; p50, p99 … stand for p0 to p100. */
export const functionNames: readonly string[] = [
  ...Object.keys(functions),
  ...['p50', 'p90', 'p95', 'p99', 'p99.9'].flatMap((name) => [name, `approx_${name}`]),
]

/** The function of that name. */
export function findFunction(name: string): AggregateFunction | undefined {
  if (Object.hasOwn(functions, name)) return functions[name]
  const percentile = /^(approx_)?p(\d+(?:\.\d+)?)$/.exec(name)
  if (!percentile || Number(percentile[2]) > 100) return undefined
  const percent = parseDecimal(percentile[2]!)!
  const p = { mantissa: percent.mantissa, scale: percent.scale + 2 }
  return percentile[1] ? approxQuantile(Number(formatDecimal(p))) : quantile(p)
}
