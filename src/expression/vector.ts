/**
 * Predicates over columns: comparisons of fields with constants, truthiness, `!`, `&&`, `||`, run over typed arrays without calling the
 * user's function. A row that the columns do not settle (a number compared with a string, escapes, integers beyond 2^53) is UNDECIDED:
 * the user's function decides it. Nothing here fails.
 */
import type { BinaryOperator, Expression } from 'acorn'
import { Kind, type RecordBatch } from '../core/batch.ts'
import type { Projection } from '../core/field-path.ts'
import { asField, asksLength, mayBeSoft, pathOf, type Components } from './paths.ts'
import type { References } from './scope.ts'

export const UNDECIDED = 2

/** Per row 0, 1 or UNDECIDED. A view of its own, valid until the next call. */
export type Predicate = (batch: RecordBatch) => Uint8Array

type Constant = string | number | boolean | null | undefined

/** What a predicate needs to know of the function that it is part of. */
export interface VectorContext {
  readonly references: References
  readonly args: Readonly<Record<string, string>>
  readonly projection: Projection
}

/** The predicate that is the truthiness of `node`, or undefined when columns cannot tell. */
export function predicate(node: Expression, context: VectorContext): Predicate | undefined {
  const known = constant(node, context)
  if (known) return always(known.value ? 1 : 0)
  const path = pathOf(node, context.references.record)
  if (path) return isPlain(path) ? truthy(path, context) : undefined
  if (node.type === 'UnaryExpression' && node.operator === '!') {
    const inner = predicate(node.argument, context)
    return inner && table(inner, [1, 0, UNDECIDED])
  }
  if (node.type === 'LogicalExpression' && node.operator !== '??') {
    const left = predicate(node.left, context)
    const right = left && predicate(node.right, context)
    return right && both(left, right, node.operator === '&&' ? 1 : 0)
  }
  if (node.type === 'BinaryExpression' && node.left.type !== 'PrivateIdentifier') {
    const { operator } = node
    const right = constant(node.right, context)
    if (right) return compare(node.left, operator, right.value, context)
    const left = constant(node.left, context)
    const mirrored = MIRRORED[operator]
    return left && mirrored && compare(node.right, mirrored, left.value, context)
  }
  return undefined
}

/** Whether the node's value is true or false and nothing else. */
export function isBoolean(node: Expression): boolean {
  if (node.type === 'BinaryExpression') return Object.hasOwn(MIRRORED, node.operator)
  if (node.type === 'UnaryExpression') return node.operator === '!'
  return node.type === 'LogicalExpression' && node.operator !== '??' && isBoolean(node.left) && isBoolean(node.right)
}

/** The value of a node that is the same for all records: literals, `args.x`, `Number(args.x)`. */
export function constant(node: Expression, context: VectorContext): { readonly value: Constant } | undefined {
  if (node.type === 'Literal') {
    return node.regex || typeof node.value === 'bigint' ? undefined : { value: node.value as Constant }
  }
  if (node.type === 'TemplateLiteral' && node.quasis.length === 1) {
    const text = node.quasis[0]?.value.cooked
    return typeof text === 'string' ? { value: text } : undefined
  }
  if (node.type === 'Identifier' && node.name === 'undefined') return { value: undefined }
  if (node.type === 'UnaryExpression' && (node.operator === '-' || node.operator === '+')) {
    const inner = constant(node.argument, context)
    return typeof inner?.value === 'number' ? { value: node.operator === '-' ? -inner.value : inner.value } : undefined
  }
  if (node.type === 'MemberExpression') {
    const path = pathOf(node, context.references.args)
    return path?.length === 1 && Object.hasOwn(context.args, String(path[0]))
      ? { value: context.args[String(path[0])] }
      : undefined
  }
  if (node.type === 'CallExpression' && node.callee.type === 'Identifier' && node.callee.name === 'Number') {
    const [argument] = node.arguments
    const inner = argument && argument.type !== 'SpreadElement' && constant(argument, context)
    return inner ? { value: Number(inner.value) } : undefined
  }
  return undefined
}

const MIRRORED: Readonly<Record<string, BinaryOperator>> = {
  '<': '>',
  '>': '<',
  '<=': '>=',
  '>=': '<=',
  '==': '==',
  '!=': '!=',
  '===': '===',
  '!==': '!==',
}

/** A path that is a field and nothing else. */
export const isPlain = (path: Components): boolean => path.length > 0 && !asksLength(path) && !mayBeSoft(path)

/** A column of the batch's length that is used again for the next batch. */
export function reusable(): (rows: number) => Uint8Array {
  let column = new Uint8Array(1024)
  return (rows) => {
    if (rows > column.length) column = new Uint8Array(2 * rows)
    return column.subarray(0, rows)
  }
}

function always(value: number): Predicate {
  const column = reusable()
  return (batch) => column(batch.count).fill(value)
}

function table(inner: Predicate, results: readonly number[]): Predicate {
  return (batch) => {
    const column = inner(batch)
    for (let row = 0; row < column.length; row++) column[row] = results[column[row] as number] as number
    return column
  }
}

/** `&&` (goes on at 1) and `||` (goes on at 0): the left one first, as JavaScript has it. */
function both(left: Predicate, right: Predicate, goOn: number): Predicate {
  return (batch) => {
    const column = left(batch)
    const other = right(batch)
    for (let row = 0; row < column.length; row++) if (column[row] === goOn) column[row] = other[row] as number
    return column
  }
}

function truthy(path: Components, { projection }: VectorContext): Predicate {
  const field = projection.add(asField(path))
  const column = reusable()
  const byKind = Uint8Array.from([0, 0, 0, 1, UNDECIDED, UNDECIDED, 1, 1, UNDECIDED])
  return (batch) => {
    const out = column(batch.count)
    const { kinds, values } = batch.numbers(field)
    const { spans, stride } = batch
    for (let row = 0; row < out.length; row++) {
      const kind = kinds[row] as number
      if (kind === Kind.number) out[row] = values[row] === 0 ? 0 : 1
      else if (kind === Kind.string) {
        const at = row * stride + 2 + 2 * field
        out[row] = (spans[at + 1] as number) - (spans[at] as number) > 2 ? 1 : 0
      } else out[row] = byKind[kind] as number
    }
    return out
  }
}

function compare(
  node: Expression,
  operator: BinaryOperator,
  value: Constant,
  context: VectorContext,
): Predicate | undefined {
  const path = pathOf(node, context.references.record)
  if (!path || !isPlain(path) || !Object.hasOwn(MIRRORED, operator)) return undefined
  const field = context.projection.add(asField(path))
  const byKind = kindTable(operator, value)
  const strict = operator === '===' || operator === '!=='
  const negated = operator === '!==' || operator === '!='
  if (typeof value === 'string' && (strict || operator === '==' || operator === '!=')) {
    return equalString(field, Buffer.from(value), byKind, negated, !strict)
  }
  if (typeof value === 'number' || (typeof value === 'string' && !strict)) {
    return compareNumber(field, operator, Number(value), byKind)
  }
  const column = reusable()
  return (batch) => {
    const out = column(batch.count)
    const kinds = batch.kinds(field)
    for (let row = 0; row < out.length; row++) out[row] = byKind[kinds[row] as number] as number
    return out
  }
}

const test = (left: unknown, operator: BinaryOperator, right: unknown): boolean => {
  // The one place where JavaScript's own conversions are wanted.
  const [a, b] = [left as number, right as number]
  switch (operator) {
    case '<':
      return a < b
    case '>':
      return a > b
    case '<=':
      return a <= b
    case '>=':
      return a >= b
    case '==':
      // oxlint-disable-next-line eqeqeq
      return a == b
    case '!=':
      // oxlint-disable-next-line eqeqeq
      return a != b
    case '===':
      return a === b
    default:
      return a !== b
  }
}

/** The result by kind, where the kind alone settles it. */
function kindTable(operator: BinaryOperator, value: Constant): Uint8Array {
  const out = new Uint8Array(9).fill(UNDECIDED)
  const settle = (kind: number, left: unknown): void => {
    out[kind] = test(left, operator, value) ? 1 : 0
  }
  settle(Kind.missing, undefined)
  settle(Kind.null, null)
  settle(Kind.false, false)
  settle(Kind.true, true)
  const never = operator === '!==' || operator === '!=' ? 1 : 0
  const nullish = value === null || value === undefined
  const other = (kind: number, type: string): void => {
    const same = typeof value === type
    if (((operator === '===' || operator === '!==') && !same) || (nullish && /^[!=]==?$/.test(operator)))
      out[kind] = never
  }
  other(Kind.string, 'string')
  other(Kind.number, 'number')
  other(Kind.big, 'number')
  other(Kind.array, 'object')
  other(Kind.object, 'object')
  return out
}

function equalString(
  field: number,
  value: Uint8Array,
  byKind: Uint8Array,
  negated: boolean,
  loose: boolean,
): Predicate {
  const column = reusable()
  return (batch) => {
    const out = column(batch.count)
    const equal = batch.equalsString(field, value)
    const kinds = loose ? batch.kinds(field) : undefined
    const flip = negated ? 1 : 0
    for (let row = 0; row < out.length; row++) {
      const is = equal[row] as number
      out[row] = is === UNDECIDED ? is : is ^ flip
      if (kinds && kinds[row] !== Kind.string) out[row] = byKind[kinds[row] as number] as number
    }
    return out
  }
}

function compareNumber(field: number, operator: BinaryOperator, value: number, byKind: Uint8Array): Predicate {
  const column = reusable()
  const limit = Number.MAX_SAFE_INTEGER
  const fill = FILLS[operator.length === 3 ? operator.slice(0, 2) : operator] as Fill
  return (batch) => {
    const out = column(batch.count)
    const { kinds, values } = batch.numbers(field)
    fill(out, values, value)
    for (let row = 0; row < out.length; row++) {
      if (kinds[row] !== Kind.number) out[row] = byKind[kinds[row] as number] as number
      else if ((values[row] as number) > limit || (values[row] as number) < -limit) out[row] = UNDECIDED
    }
    return out
  }
}

type Fill = (out: Uint8Array, values: Float64Array, value: number) => void
/** One tight loop an operator. */
const FILLS: Readonly<Record<string, Fill>> = {
  '<': (out, values, value) => {
    for (let row = 0; row < out.length; row++) out[row] = (values[row] as number) < value ? 1 : 0
  },
  '>': (out, values, value) => {
    for (let row = 0; row < out.length; row++) out[row] = (values[row] as number) > value ? 1 : 0
  },
  '<=': (out, values, value) => {
    for (let row = 0; row < out.length; row++) out[row] = (values[row] as number) <= value ? 1 : 0
  },
  '>=': (out, values, value) => {
    for (let row = 0; row < out.length; row++) out[row] = (values[row] as number) >= value ? 1 : 0
  },
  '==': (out, values, value) => {
    for (let row = 0; row < out.length; row++) out[row] = values[row] === value ? 1 : 0
  },
  '!=': (out, values, value) => {
    for (let row = 0; row < out.length; row++) out[row] = values[row] === value ? 0 : 1
  },
}
