import type { AnyNode } from 'acorn'
import type { RecordBatch } from '../core/batch.ts'
import { BeckError } from '../core/errors.ts'
import { formatFieldPath, type FieldPath, type Projection } from '../core/field-path.ts'
import type { Problem } from '../core/operator.ts'
import { LineChecker } from '../ndjson/line.ts'
import { generate, type Generated, type Role } from './generate.ts'
import { asField, get } from './paths.ts'
import { Row } from './row.ts'
import type { References } from './scope.ts'
import { ResultError } from './serialise.ts'
import { children, type UserFunction } from './syntax.ts'

/** A user's function with what its names mean. */
export interface Resolved {
  readonly fn: UserFunction
  readonly references: References
  readonly roles: readonly Role[]
  readonly args: Readonly<Record<string, string>>
  readonly projection: Projection
  /** True: parse every record whole. */
  readonly whole: boolean
}

type Compiled = (...values: readonly unknown[]) => unknown

/** Runs a user's function row by row. The JavaScript is made when the first row needs it. */
export class Evaluator {
  private readonly resolved: Resolved
  private readonly generated: Generated
  private readonly row: Row
  private compiled: Compiled | undefined

  /** `result`: the function's value is written (texts stay texts), else it is computed with. Adds the fields to the projection. */
  constructor(resolved: Resolved, result: boolean) {
    this.resolved = resolved
    const whole =
      resolved.whole || mutates(resolved.fn.body, resolved.references.params[resolved.roles.indexOf('record')])
    this.generated = generate({ ...resolved, whole, result })
    this.row = new Row(this.generated)
  }

  /** Checks that JavaScript takes the function. @throws BeckError bad-program */
  compile(): Compiled {
    const { args } = this.resolved
    const { own } = this.generated
    if (!this.compiled) {
      try {
        // The user's own program, from the command line; data never gets here.
        const factory = new Function(`${own}h`, `${own}g`, 'args', this.generated.source) as Compiled
        this.compiled = factory(this.row, get, args) as Compiled
      } catch (error) {
        throw new BeckError(
          'bad-program',
          { problem: `the expression does not compile: ${String(error)}` },
          { cause: error },
        )
      }
    }
    return this.compiled
  }

  begin(batch: RecordBatch): void {
    this.row.begin(batch)
  }

  /** The function's value for a row of the batch begun last. `values` are its parameters but for the record. Throws what it throws. */
  call(row: number, ...values: readonly unknown[]): unknown {
    this.row.row = row
    return (this.compiled ?? this.compile())(...values)
  }

  /** A thrown error in words. */
  problem(error: unknown, batch: RecordBatch, row: number): Problem {
    if (error instanceof BeckError) throw error
    if (error instanceof ResultError) return { problem: error.message, hint: error.hint }
    if (error instanceof SyntaxError || error instanceof RangeError) {
      const [start = 0, end = 0] = batch.spans.subarray(row * batch.stride)
      const malformed = new LineChecker([]).check(batch.bytes, start, end, new Uint32Array(2), 0)
      if (malformed) return malformed
    }
    const { own } = this.generated
    const message = (error instanceof Error ? error.message : `it threw ${String(error)}`)
      .replaceAll(own, '$')
      .replace(/\$(\d+)/g, (_, field: string) => {
        const path = this.resolved.projection.paths[Number(field)]
        return path ? written(path) : `$${field}`
      })
      .replaceAll('$g(...)', 'the field')
      .replaceAll('$r', 'r')
    return {
      problem: `the expression failed: ${message}`,
      hint: /BigInt/.test(message) ? this.bigHint() : hintFor(message),
    }
  }

  private bigHint(): string {
    const use = this.generated.fields.find(({ field }) => this.row.isBig(field))
    const name = use ? written(asField(use.path)) : 'r.x'
    return `integers beyond ±(2^53 − 1) are BigInt: Number(${name}) computes with a rounded one, ${name} + 1n exactly`
  }
}

/** A path as it stands in an expression. */
const written = (path: FieldPath): string => `r${formatFieldPath(path).replace(/^(?!\[)/, '.')}`

function hintFor(message: string): string {
  if (/not a function/.test(message)) return 'is the field of another type here? String(r.x) and Number(r.x) convert it'
  if (/of (undefined|null)/.test(message)) return 'is something missing in this record? ?. and ?? step over it'
  return 'keep such records and go on with --dead-letter FILE'
}

const MUTATORS = new Set(
  (
    'sort reverse push pop shift unshift splice fill copyWithin assign defineProperty defineProperties setPrototypeOf ' +
    'Reflect __defineGetter__ __defineSetter__ call apply bind'
  ).split(' '),
)
/** Methods that give a new list. */
const FRESH = new Set(
  'split map filter slice concat flat flatMap keys values entries toSorted toReversed from of match'.split(' '),
)

/** Whether the function may change the record or what is in it. Then everything is read from one parsed record. */
function mutates(node: AnyNode, records: ReadonlySet<AnyNode> | undefined): boolean {
  switch (node.type) {
    case 'AssignmentExpression':
      if (node.left.type !== 'Identifier' || records?.has(node.left)) return true
      break
    case 'UpdateExpression':
      if (node.argument.type !== 'Identifier' || records?.has(node.argument)) return true
      break
    case 'UnaryExpression':
      if (node.operator === 'delete') return true
      break
    case 'ForInStatement':
    case 'ForOfStatement':
      if (node.left.type !== 'VariableDeclaration') return true
      break
    case 'CallExpression': {
      const { callee } = node
      if (callee.type !== 'MemberExpression') break
      if (callee.computed && callee.property.type !== 'Literal') return true
      if (callee.property.type === 'Identifier' && MUTATORS.has(callee.property.name) && isFresh(callee.object))
        return [callee.object, ...node.arguments].some((child) => mutates(child, records))
      break
    }
    case 'Identifier':
      return MUTATORS.has(node.name)
    case 'Literal':
      return typeof node.value === 'string' && MUTATORS.has(node.value)
  }
  return children(node).some((child) => mutates(child, records))
}

function isFresh(node: AnyNode): boolean {
  if (node.type === 'ArrayExpression') return true
  if (node.type !== 'CallExpression' || node.callee.type !== 'MemberExpression') return false
  const { property } = node.callee
  return property.type === 'Identifier' && FRESH.has(property.name)
}
