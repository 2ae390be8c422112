import { BeckError } from '../core/errors.ts'
import type { FieldPath, Projection } from '../core/field-path.ts'
import type { StageContext } from '../core/operator.ts'
import type { Aggregate, Input } from './aggregate.ts'
import { ConstantInput } from './constant-input.ts'
import type { Expression } from '../expression/index.ts'
import { Condition, ExpressionInput } from './computed.ts'
import type { FoldFunctions } from './fold.ts'
import type { CallArguments } from './functions.ts'
import { type Call, parseCall, type Value, valueId } from './grammar.ts'
import { FieldInput } from './inputs.ts'
import { AggregateSet, type Member, type Part, type Requirement } from './set.ts'
import { splitOutside } from './split.ts'

/** A parsed list of aggregates, checked; `open` makes the state for one worker. */
export interface AggregatePlan {
  /** Output names in the order written. */
  readonly names: readonly string[]
  /** False when some `fold` has no merge: then one worker, no `--partial`, and no windows that merge. */
  readonly mergeable: boolean
  /** Mergeable, and no expression counts the records: several workers may share the work. */
  readonly parallel: boolean
  /** No expression looks at records. */
  readonly fieldsOnly: boolean
  /** Whether all that can be wrong with a record is seen before it is added: adding does not fail. */
  readonly addsAll: boolean
  /** The fields whose values may be refused; undefined where more than fields decides. */
  readonly checks: readonly { readonly path: FieldPath; readonly wants: Requirement['wants'] }[] | undefined
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
export async function parseAggregates(
  text: string,
  projection: Projection,
  options: AggregateOptions,
): Promise<AggregatePlan> {
  const calls = splitOutside(text, ',').map((item) => parseCall(item, projection))
  const taken = new Set(options.taken)
  for (const { name, text } of calls) {
    if (taken.has(name)) {
      throw new BeckError('bad-program', {
        problem: `two columns are called "${name}"`,
        hint: `give one another name: ${name}2 = ${text.trim().replace(/^[\p{L}\p{N}_$@-]+\s*=\s*/u, '')}`,
      })
    }
    taken.add(name)
  }
  const expressions = new Map<string, Expression>()
  const folds = new Map<Call, FoldFunctions>()
  for (const call of calls) {
    const texts = call.values.flatMap((value) => (value.kind === 'expression' ? [value.text] : []))
    if (call.where) texts.push(call.where)
    if (texts.length + call.code.length === 0) continue
    // Loaded only where there is JavaScript.
    const { compileExpression, compileFunction, evaluateConstant } = await import('../expression/index.ts')
    for (const text of texts) once(expressions, text, () => compileExpression(text, projection, options))
    const [step, start, merge] = call.code
    if (step === undefined || start === undefined) continue
    folds.set(call, {
      step: compileFunction(step, ['value', 'record'], projection, options),
      start: evaluateConstant(start, projection, options),
      merge: merge === undefined ? undefined : compileFunction(merge, ['value', 'value'], projection, options),
    })
  }
  const mergeable = [...folds.values()].every(({ merge }) => merge !== undefined)
  return {
    names: calls.map(({ name }) => name),
    mergeable,
    parallel: mergeable && ![...expressions.values()].some(({ usesIndex }) => usesIndex),
    fieldsOnly: expressions.size === 0 && folds.size === 0,
    addsAll: folds.size === 0,
    checks: expressions.size === 0 && folds.size === 0 ? checksOf(calls) : undefined,
    open: (context) => open(calls, expressions, folds, context),
  }
}

/** Makes the state: one part for all calls of a family with the same arguments and condition, one input for each value. */
function open(
  calls: readonly Call[],
  expressions: ReadonlyMap<string, Expression>,
  folds: ReadonlyMap<Call, FoldFunctions>,
  context: StageContext,
): AggregateSet {
  const inputs = new Map<string, Input>()
  const conditions = new Map<string, Condition>()
  const parts = new Map<string, Part & { readonly requirements: Requirement[] }>()
  const makeInput = (value: Value): Input => {
    const id = valueId(value)
    if (value.kind === 'field') return new FieldInput(id, value.field, context)
    if (value.kind === 'constant') return new ConstantInput(id, value.json)
    return new ExpressionInput(id, expressions.get(value.text)!)
  }
  const members = calls.map((call): Member => {
    const { definition, where } = call
    const fold = folds.get(call)
    const args: CallArguments = {
      inputs: call.values.map((value) => once(inputs, valueId(value), () => makeInput(value))),
      constants: call.constants,
      ...(fold && { fold }),
    }
    const part = once(parts, partId(call), (id) => ({
      id,
      aggregate: definition.create(args),
      where: where === undefined ? undefined : once(conditions, where, () => new Condition(expressions.get(where)!)),
      computed: args.inputs.filter((input) => input instanceof ExpressionInput),
      requirements: [],
    }))
    addRequirements(part.requirements, call, args)
    const result = definition.result as (aggregate: Aggregate, slot: number, args: CallArguments) => string
    const whole = definition.whole as ((aggregate: Aggregate) => Float64Array) | undefined
    return {
      name: call.name,
      result: (slot) => result(part.aggregate, slot, args),
      ...(whole && { whole: () => whole(part.aggregate) }),
    }
  })
  return new AggregateSet([...parts.values()], members, context)
}

function once<T>(known: Map<string, T>, key: string, make: (key: string) => T): T {
  let value = known.get(key)
  if (value === undefined) known.set(key, (value = make(key)))
  return value
}

/** Calls with the same one share their state; it names the state in partial results, so it says what the state is of. */
function partId({ definition, values, constants, code, where }: Call): string {
  const words = [...values.map(valueId), ...(definition.constantsMatter ? constants : []), ...code]
  return [definition.family, ...words, ...(where ? ['where', where] : [])].join(' ')
}

/** What an aggregate takes as its value of that number; undefined: anything. */
function wantsOf({ definition }: Call, index: number): Requirement['wants'] | undefined {
  if (definition.family === 'count') return undefined
  if (definition.numbers?.includes(index)) return 'numbers'
  return definition.texts?.includes(index) ? 'texts' : 'values'
}

function checksOf(calls: readonly Call[]): AggregatePlan['checks'] {
  const checks: { readonly path: FieldPath; readonly wants: Requirement['wants'] }[] = []
  for (const call of calls) {
    for (const [index, value] of call.values.entries()) {
      const wants = wantsOf(call, index)
      if (wants === undefined) continue
      if (value.kind !== 'field') return undefined
      checks.push({ path: value.path, wants })
    }
  }
  return checks
}

function addRequirements(requirements: Requirement[], call: Call, { inputs }: CallArguments): void {
  const { functionName, values } = call
  inputs.forEach((input, index) => {
    const wants = wantsOf(call, index)
    if (wants === undefined || requirements.some((other) => other.input === input && other.wants === wants)) {
      return
    }
    requirements.push({ input, wants, label: `${functionName}(${valueId(values[index]!)})` })
  })
}
