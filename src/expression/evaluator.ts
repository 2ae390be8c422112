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
import type { UserFunction } from './syntax.ts'

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
    const whole = resolved.whole || resolved.references.mutates
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
    const hint = /BigInt/.test(message) ? this.bigHint() : hintFor(message)
    return { problem: `the expression failed: ${message}`, ...(hint && { hint }) }
  }

  private bigHint(): string {
    const use = this.generated.fields.find(({ field }) => this.row.isBig(field))
    const name = use ? written(asField(use.path)) : 'r.x'
    return `integers beyond ±(2^53 − 1) are BigInt: Number(${name}) computes with a rounded one, ${name} + 1n exactly`
  }
}

/** A path as it stands in an expression. */
const written = (path: FieldPath): string => `r${formatFieldPath(path).replace(/^(?!\[)/, '.')}`

function hintFor(message: string): string | undefined {
  if (/not a function/.test(message)) return 'is the field of another type here? String(r.x) and Number(r.x) convert it'
  if (/of (undefined|null)/.test(message)) return 'is something missing in this record? ?. and ?? step over it'
  return undefined
}
