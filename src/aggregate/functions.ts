import type { Aggregate, Input } from './aggregate.ts'
import { Count } from './count.ts'
import { Moments, Sums } from './sums.ts'

/** What an aggregate takes in its brackets. */
export type Parameter = 'value' | 'count' | 'text'

/** Arguments, in the order of the parameters: inputs for values, the constants for the rest. */
export interface CallArguments {
  readonly inputs: readonly Input[]
  readonly constants: readonly (number | string)[]
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
  /** The values (by index of the value parameters) that must be numbers, or strings and scalars. */
  readonly numbers?: readonly number[]
  readonly texts?: readonly number[]
  readonly create: (args: CallArguments) => Aggregate
  /** Called with what `create` of the family made. */
  readonly result: (aggregate: never, slot: number, args: CallArguments) => string
}

/** Keeps the family's class and its result together. */
const define = <A extends Aggregate>(
  definition: Omit<AggregateFunction, 'create' | 'result'> & {
    readonly create: (args: CallArguments) => A
    readonly result: (aggregate: A, slot: number, args: CallArguments) => string
  },
): AggregateFunction => definition

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

const functions: Readonly<Record<string, AggregateFunction>> = {
  count: define({
    family: 'count',
    parameters: ['value'],
    optional: 1,
    create: ({ inputs }) => new Count(inputs[0]),
    result: (count, slot) => count.text(slot),
  }),
  sum: define({ ...sums, result: (state, slot) => state.sum(slot) }),
  avg: define({ ...sums, result: (state, slot) => state.average(slot) }),
  var: define({ ...moments, result: (state, slot) => state.variance(slot) }),
  stddev: define({ ...moments, result: (state, slot) => state.deviation(slot) }),
}

/** All names, for "did you mean", help and completion; `p0`…`p100` stand for the whole family. */
export const functionNames: readonly string[] = Object.keys(functions)

/** The function of that name. */
export function findFunction(name: string): AggregateFunction | undefined {
  return Object.hasOwn(functions, name) ? functions[name] : undefined
}
