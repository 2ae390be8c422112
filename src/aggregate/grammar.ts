import { BeckError } from '../core/errors.ts'
import { type FieldPath, formatFieldPath, type Projection, scanFieldPath } from '../core/field-path.ts'
import { suggest } from '../core/suggest.ts'
import { type AggregateFunction, findFunction, functionNames } from './functions.ts'
import { splitOutside } from './split.ts'

/** One aggregate, `name = f(arguments) where condition`, taken apart. */
export interface Call {
  readonly text: string
  readonly name: string
  readonly functionName: string
  readonly definition: AggregateFunction
  readonly values: readonly Value[]
  readonly constants: readonly (number | string)[]
  /** JavaScript, of a fold. */
  readonly code: readonly string[]
  readonly where: string | undefined
}

export type Value =
  | { readonly kind: 'field'; readonly path: FieldPath; readonly field: number }
  | { readonly kind: 'constant'; readonly json: string }
  | { readonly kind: 'expression'; readonly text: string }

const HEAD = /^\s*(?:([\p{L}\p{N}_$@-]+|"(?:[^"\\]|\\.)*")\s*=(?![=>])\s*)?([A-Za-z_][A-Za-z_0-9]*(?:\.[0-9]+)?)?\s*/u

/** Takes one aggregate apart and adds the fields among its arguments to `projection`. @throws BeckError bad-program */
export function parseCall(text: string, projection: Projection): Call {
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
    // As others write it: `sum:v`, `sum v`.
    const meant = args.length === 0 && /^\s*[:.=]?\s*(?!where\b)([\p{L}_][\p{L}\p{N}_.]*)\s*$/u.exec(rest)?.[1]
    throw new BeckError('bad-program', {
      problem: `"${rest.trim()}" does not belong after ${functionName}${args.length ? '(…)' : ''}`,
      hint: meant
        ? `write ${functionName}(${meant})`
        : `write ${functionName}${args.length ? `(${args.join(',')})` : ''} where r.status >= 500`,
    })
  }
  const { values, constants, code } = parseArguments(functionName, definition, args, projection)
  return {
    text,
    name: givenName(head[1]) ?? defaultName(functionName, values, code, text),
    functionName,
    definition,
    values,
    constants,
    code,
    where: condition[1]?.trim(),
  }
}

const givenName = (text: string | undefined): string | undefined =>
  text?.startsWith('"') ? (JSON.parse(text) as string) : text

/** `p99_latency_ms`: an expression has no name of its own. */
function defaultName(functionName: string, values: readonly Value[], code: readonly string[], text: string): string {
  const first = values[0]
  if (first?.kind === 'expression' || code.length > 0) {
    throw new BeckError('bad-program', {
      problem: `"${text.trim()}" needs a name`,
      hint: /\(\s*\*\s*\)$/.test(text) ? 'to count records write count' : `write for example x = ${text.trim()}`,
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
): Pick<Call, 'values' | 'constants' | 'code'> {
  const { parameters, optional = 0 } = definition
  if (args.length > parameters.length || args.length < parameters.length - optional) {
    throw new BeckError('bad-program', {
      problem: `${name} takes ${signature(name, definition)}, not ${args.length} argument${args.length === 1 ? '' : 's'}`,
    })
  }
  const values: Value[] = []
  const constants: (number | string)[] = []
  const code: string[] = []
  for (const [index, arg] of args.entries()) {
    const parameter = parameters[index]!
    if (parameter === 'value') values.push(parseValue(arg, projection))
    else if (parameter === 'code') code.push(arg)
    else constants.push(parseConstant(name, definition, parameter, arg))
  }
  return { values, constants, code }
}

/** `top(x, n)`, for messages. */
function signature(name: string, { parameters, optional = 0 }: AggregateFunction): string {
  if (name === 'fold') return 'fold((state, r) => …, start[, (a, b) => …])'
  const words = { value: 'x', count: 'n', text: '"text"', code: '…' }
  const list = parameters.map((parameter, index) => {
    const word = words[parameter]
    return index >= parameters.length - optional ? `[${word}]` : word
  })
  return list.length ? `${name}(${list.join(', ')})` : `no arguments`
}

/** Of `top` and `histogram`: a result stays a record that fits in memory. */
const MAX_COUNT = 100_000

function parseConstant(
  name: string,
  definition: AggregateFunction,
  parameter: 'count' | 'text',
  text: string,
): number | string {
  const value = jsonOf(text)
  if (parameter === 'text' && typeof value === 'string') return value
  if (
    parameter === 'count' &&
    typeof value === 'number' &&
    Number.isInteger(value) &&
    value > 0 &&
    value <= MAX_COUNT
  ) {
    return value
  }
  throw new BeckError('bad-program', {
    problem: `${text} is not ${parameter === 'count' ? `a whole number from 1 to ${MAX_COUNT}` : 'a text in double quotes'}`,
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

/** The value as written, which names equal values. */
export const valueId = (value: Value): string =>
  value.kind === 'field' ? formatFieldPath(value.path) : value.kind === 'constant' ? value.json : value.text
