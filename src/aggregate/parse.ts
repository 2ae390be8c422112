import { BeckError } from '../core/errors.ts'
import { type FieldPath, formatFieldPath, Projection, scanFieldPath } from '../core/field-path.ts'
import type { StageContext } from '../core/operator.ts'
import { suggest } from '../core/suggest.ts'
import { ConstantInput } from './constant-input.ts'
import type { Aggregate, Input } from './aggregate.ts'
import { type AggregateFunction, type CallArguments, findFunction, functionNames } from './functions.ts'
import { FieldInput } from './inputs.ts'
import { AggregateSet, type Computed, type Condition, type Member, type Part, type Requirement } from './set.ts'
import { splitOutside } from './split.ts'

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

/** `name = f(arguments) where condition`, taken apart. */
interface Call {
  readonly text: string
  readonly name: string
  readonly functionName: string
  readonly definition: AggregateFunction
  readonly values: readonly Value[]
  readonly constants: readonly (number | string)[]
  readonly where: string | undefined
}

type Value =
  | { readonly kind: 'field'; readonly path: FieldPath; readonly field: number }
  | { readonly kind: 'constant'; readonly json: string }
  | { readonly kind: 'expression'; readonly text: string }

/**
 * Parses `count, p99 = p99(latency_ms), slow = count where r.latency_ms > 500` (docs/architecture.md §8) and adds the fields it reads to
 * `projection`.
 * @throws BeckError bad-program: unknown functions, wrong arguments, equal names, expressions without a name
 */
export function parseAggregates(text: string, projection: Projection, options: AggregateOptions): AggregatePlan {
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
  return {
    names: calls.map(({ name }) => name),
    mergeable: true,
    open: (context) => open(calls, context),
  }
}

const HEAD = /^\s*(?:([\p{L}\p{N}_$@-]+|"(?:[^"\\]|\\.)*")\s*=(?![=>])\s*)?([A-Za-z_][A-Za-z_0-9]*(?:\.[0-9]+)?)?\s*/u

function parseCall(text: string, projection: Projection): Call {
  const head = HEAD.exec(text)
  const functionName = head?.[2]
  if (!head || !functionName) {
    throw new BeckError('bad-program', {
      problem: text.trim() ? `"${text.trim()}" is not an aggregate` : 'an aggregate is missing',
      hint: "write for example 'count, avg(latency_ms), slow = count where r.latency_ms > 500'",
    })
  }
  const definition = findFunction(functionName)
  if (!definition) {
    const similar = suggest(functionName, functionNames)
    throw new BeckError('bad-program', {
      problem: `there is no aggregate "${functionName}"`,
      hint: similar ? `did you mean "${similar}"?` : `there are ${functionNames.join(', ')}`,
    })
  }
  const { args, rest } = bracketed(text, head[0].length, functionName)
  const condition = /^\s*(?:where\b([^]*))?$/.exec(rest)
  if (!condition || condition[1]?.trim() === '') {
    throw new BeckError('bad-program', {
      problem: `"${rest.trim()}" does not belong after ${functionName}${args.length ? '(…)' : ''}`,
      hint: `write ${functionName}${args.length ? `(${args.join(',')})` : ''} where r.status >= 500`,
    })
  }
  const { values, constants } = parseArguments(functionName, definition, args, projection)
  return {
    text,
    name: givenName(head[1]) ?? defaultName(functionName, values, text),
    functionName,
    definition,
    values,
    constants,
    where: condition[1]?.trim(),
  }
}

const givenName = (text: string | undefined): string | undefined =>
  text?.startsWith('"') ? (JSON.parse(text) as string) : text

/** `p99_latency_ms`: an expression has no name of its own. */
function defaultName(functionName: string, values: readonly Value[], text: string): string {
  const first = values[0]
  if (first?.kind === 'expression') {
    throw new BeckError('bad-program', {
      problem: `"${text.trim()}" needs a name`,
      hint: `write for example x = ${text.trim()}`,
    })
  }
  const of = first === undefined ? '' : first.kind === 'field' ? `_${first.path.join('_')}` : `_${first.json}`
  return (functionName + of).replace(/[^\p{L}\p{N}_]/gu, '_')
}

/** The arguments in the brackets at `at`, and what follows them. */
function bracketed(text: string, at: number, functionName: string): { args: readonly string[]; rest: string } {
  if (text[at] !== '(') return { args: [], rest: text.slice(at) }
  const parts = splitOutside(text.slice(at + 1), ')')
  if (parts.length < 2) {
    throw new BeckError('bad-program', {
      problem: `the bracket after ${functionName} is not closed`,
      hint: `write ${functionName}(…)`,
    })
  }
  const inside = parts[0]!
  return {
    args: inside.trim() ? splitOutside(inside, ',').map((arg) => arg.trim()) : [],
    rest: text.slice(at + 1 + inside.length + 1),
  }
}

function parseArguments(
  name: string,
  definition: AggregateFunction,
  args: readonly string[],
  projection: Projection,
): { values: readonly Value[]; constants: readonly (number | string)[] } {
  const { parameters, optional = 0 } = definition
  if (args.length > parameters.length || args.length < parameters.length - optional) {
    throw new BeckError('bad-program', {
      problem: `${name} takes ${signature(name, definition)}, not ${args.length} argument${args.length === 1 ? '' : 's'}`,
    })
  }
  const values: Value[] = []
  const constants: (number | string)[] = []
  for (const [index, arg] of args.entries()) {
    const parameter = parameters[index]!
    if (parameter === 'value') values.push(parseValue(arg, projection))
    else constants.push(parseConstant(name, definition, parameter, arg))
  }
  return { values, constants }
}

/** `top(x, k)`, for messages. */
function signature(name: string, { parameters, optional = 0 }: AggregateFunction): string {
  const words = { value: 'x', count: 'n', text: '"text"' }
  const list = parameters.map((parameter, index) => {
    const word = words[parameter]
    return index >= parameters.length - optional ? `[${word}]` : word
  })
  return list.length ? `${name}(${list.join(', ')})` : `no arguments`
}

function parseConstant(
  name: string,
  definition: AggregateFunction,
  parameter: 'count' | 'text',
  text: string,
): number | string {
  const value = jsonOf(text)
  if (parameter === 'count' ? Number.isInteger(value) && (value as number) > 0 : typeof value === 'string') {
    return value as number | string
  }
  throw new BeckError('bad-program', {
    problem: `${text} is not ${parameter === 'count' ? 'a whole number from 1' : 'a text in double quotes'}`,
    hint: `write ${signature(name, definition).replace('n)', '10)').replace('"text"', '", "').replace(/[[\]]/g, '')}`,
  })
}

function parseValue(text: string, projection: Projection): Value {
  const { path, end } = scanFieldPath(text, 0)
  const json = jsonOf(text)
  if (json !== undefined && (!path || typeof json !== 'object')) return { kind: 'constant', json: text }
  if (path && end === text.length && !(path[0] === 'r' && path.length > 1)) {
    return { kind: 'field', path, field: projection.add(path) }
  }
  return { kind: 'expression', text }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Makes the state: one part for all calls of a family with the same arguments and condition, one input for each value. */
function open(calls: readonly Call[], context: StageContext): AggregateSet {
  const inputs = new Map<string, Input>()
  const conditions = new Map<string, Condition>()
  const parts = new Map<string, Part>()
  const computed: Computed[] = []
  const members: Member[] = []
  for (const call of calls) {
    const { definition, values, constants } = call
    const args: CallArguments = {
      inputs: values.map((value) => once(inputs, valueId(value), (id) => makeInput(value, id, context))),
      constants,
    }
    const where = call.where === undefined ? undefined : once(conditions, call.where, () => makeCondition())
    const id =
      [definition.family, ...args.inputs.map((input) => input.id), ...constants.map((c) => JSON.stringify(c))].join(
        ' ',
      ) + (call.where ? ` where ${call.where}` : '')
    const part = once(parts, id, (id) => ({
      id,
      aggregate: definition.create(args),
      where,
      requirements: requirements(call, args),
    }))
    const result = definition.result as (aggregate: Aggregate, slot: number, args: CallArguments) => string
    members.push({ name: call.name, result: (slot) => result(part.aggregate, slot, args) })
  }
  return new AggregateSet([...parts.values()], members, computed, context)
}

function once<T>(known: Map<string, T>, key: string, make: (key: string) => T): T {
  let value = known.get(key)
  if (value === undefined) known.set(key, (value = make(key)))
  return value
}

function makeInput(value: Value, id: string, context: StageContext): Input {
  if (value.kind === 'field') return new FieldInput(id, value.field, context)
  if (value.kind === 'constant') return new ConstantInput(id, value.json)
  throw new BeckError('bad-program', { problem: `"${value.text}": expressions are not there yet` })
}

function makeCondition(): Condition {
  throw new BeckError('bad-program', { problem: `where is not there yet` })
}

const valueId = (value: Value): string =>
  value.kind === 'field' ? formatFieldPath(value.path) : value.kind === 'constant' ? value.json : value.text

const requirements = ({ functionName, definition, values }: Call, { inputs }: CallArguments): Requirement[] => {
  const need = (indices: readonly number[] | undefined, wants: Requirement['wants']): Requirement[] =>
    (indices ?? []).map((index) => ({
      input: inputs[index]!,
      label: `${functionName}(${valueId(values[index]!)})`,
      wants,
    }))
  return [...need(definition.numbers, 'numbers'), ...need(definition.texts, 'texts')]
}
