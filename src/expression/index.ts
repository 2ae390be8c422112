/**
 * User expressions (docs/expressions.md): parse, find the fields they read, compile. `compileExpression` is what commands use:
 *
 *     const projection = new Projection()
 *     const slow = compileExpression('r.latency_ms > 500', projection, { args })
 *     // the stage's reads are projection.paths; then per batch
 *     const mask = slow.test(batch, firstIndex)
 *     for (const [row, problem] of slow.problems) context.reject(batch, row, problem)   // in row order
 */
import type { RecordBatch } from '../core/batch.ts'
import type { Projection } from '../core/field-path.ts'
import type { Problem } from '../core/operator.ts'
import { Evaluator, type Resolved } from './evaluator.ts'
import type { Role } from './generate.ts'
import { serialise } from './serialise.ts'
import { resolve } from './scope.ts'
import { parseFunction } from './syntax.ts'
import { predicate, reusable, UNDECIDED, type Predicate } from './vector.ts'

/**
 * How an expression is run. `auto` takes the fastest that fits; the others are for tests: `fields` calls the function for every row,
 * `record` parses every record whole. The results are the same.
 */
export type ExpressionMode = 'auto' | 'fields' | 'record'

/** The mode that `BECK_EXPRESSION` forces, for tests. */
export function expressionMode(): ExpressionMode {
  const forced = process.env['BECK_EXPRESSION']
  return forced === 'fields' || forced === 'record' ? forced : 'auto'
}

export interface ExpressionOptions {
  /** `--arg name=value`. */
  readonly args: Readonly<Record<string, string>>
  readonly mode?: ExpressionMode | undefined
}

/** An expression, compiled; one per worker. Each method's result is valid until its next call. */
export interface Expression {
  readonly text: string
  /** It uses `i`: then records must be counted in order, so one worker. */
  readonly usesIndex: boolean
  /** Per row 1 truthy, 0 falsy, 2 failed. Over columns where possible: often without any call of JavaScript. */
  test(batch: RecordBatch, firstIndex: number): Uint8Array
  /** Per row the JavaScript value; undefined where it failed, too. Strings may be slices of the whole block: copy what is kept. */
  values(batch: RecordBatch, firstIndex: number): unknown[]
  /**
   * Per row the JSON text as a latin1 ("binary") string, undefined for undefined and where it failed. A field that is only handed on keeps
   * its spelling.
   */
  texts(batch: RecordBatch, firstIndex: number): (string | undefined)[]
  /** The rows for which the last call failed, in row order. */
  readonly problems: ReadonlyMap<number, Problem>
}

/**
 * Compiles `r => …`, `(r, i) => …` or an expression over `r` and `i`, and adds the fields that it reads to `projection`.
 * @throws BeckError bad-program: syntax (with the place), unknown names
 */
export function compileExpression(text: string, projection: Projection, options: ExpressionOptions): Expression {
  return compileResolved(resolveExpression(text, projection, options), options.mode ?? 'auto')
}

/** The same for what `resolveExpression` gave; `vectorised`: it runs over columns and calls the function for doubtful rows only. */
export function compileResolved(
  resolved: Resolved,
  mode: ExpressionMode,
): Expression & { readonly vectorised: boolean } {
  return new CompiledExpression(resolved, mode)
}

/** Parses and resolves, for who wants more than `Expression`. @throws BeckError bad-program */
export function resolveExpression(text: string, projection: Projection, options: ExpressionOptions): Resolved {
  return resolveFunction(text, ['record', 'index'], ['r', 'i'], projection, options)
}

function resolveFunction(
  text: string,
  roles: readonly Role[],
  bare: readonly string[] | undefined,
  projection: Projection,
  { args, mode }: ExpressionOptions,
): Resolved {
  const fn = parseFunction(text, bare, roles.length)
  return { fn, references: resolve(fn, roles.indexOf('record')), roles, args, projection, whole: mode === 'record' }
}

/** A function of values and a record, as `fold` takes it. */
export interface RowFunction {
  /** Starts a batch. */
  begin(batch: RecordBatch): void
  /** `values` are the parameters that are not the record, in order. Throws what the function throws; see `problem`. */
  call(row: number, ...values: readonly unknown[]): unknown
  /** What was thrown, in words. */
  problem(error: unknown, batch: RecordBatch, row: number): Problem
}

/**
 * Compiles a function whose parameters have the given roles, such as `(state, r) => …` with `['value', 'record']`. It must be written as
 * a function; without a record among the roles it is plain JavaScript (`begin` is not needed, the row is ignored).
 * @throws BeckError bad-program
 */
export function compileFunction(
  text: string,
  roles: readonly Role[],
  projection: Projection,
  options: ExpressionOptions,
): RowFunction {
  const evaluator = new Evaluator(resolveFunction(text, roles, undefined, projection, options), false)
  evaluator.compile()
  return evaluator
}

/** The value of an expression without a record (`fold`'s start): literals, `args`, JavaScript's own. @throws BeckError bad-program */
export function evaluateConstant(text: string, projection: Projection, options: ExpressionOptions): unknown {
  const evaluator = new Evaluator(resolveFunction(text, [], [], projection, options), false)
  return evaluator.compile()()
}

const NO_PROBLEMS: ReadonlyMap<number, Problem> = new Map()

class CompiledExpression implements Expression {
  readonly text: string
  readonly usesIndex: boolean
  problems: ReadonlyMap<number, Problem> = NO_PROBLEMS
  private readonly vector: Predicate | undefined
  private readonly valuing: Evaluator
  private readonly writing: Evaluator
  private readonly column = reusable()

  get vectorised(): boolean {
    return this.vector !== undefined
  }

  constructor(resolved: Resolved, mode: ExpressionMode) {
    this.text = resolved.fn.text
    this.usesIndex = usesIndex(resolved)
    const { fn } = resolved
    if (mode === 'auto' && fn.body.type !== 'BlockStatement') {
      this.vector = predicate(fn.body, resolved)
    }
    this.valuing = new Evaluator(resolved, false)
    this.writing = new Evaluator(resolved, true)
    if (!this.vector) this.valuing.compile()
  }

  test(batch: RecordBatch, firstIndex: number): Uint8Array {
    const settled = this.vector?.(batch)
    if (settled && !settled.includes(UNDECIDED)) {
      this.problems = NO_PROBLEMS
      return settled
    }
    const out = settled ?? this.column(batch.count).fill(UNDECIDED)
    this.run(this.valuing, batch, firstIndex, out, (row, value) => {
      out[row] = value ? 1 : 0
    })
    return out
  }

  values(batch: RecordBatch, firstIndex: number): unknown[] {
    const out = Array.from<unknown>({ length: batch.count })
    this.run(this.valuing, batch, firstIndex, undefined, (row, value) => {
      out[row] = value
    })
    return out
  }

  texts(batch: RecordBatch, firstIndex: number): (string | undefined)[] {
    const out = Array.from<string | undefined>({ length: batch.count })
    this.run(this.writing, batch, firstIndex, undefined, (row, value) => {
      out[row] = serialise(value)
    })
    return out
  }

  /** Calls the function for all rows, or those UNDECIDED in `mask`. */
  private run(
    evaluator: Evaluator,
    batch: RecordBatch,
    firstIndex: number,
    mask: Uint8Array | undefined,
    take: (row: number, value: unknown) => void,
  ): void {
    let problems: Map<number, Problem> | undefined
    evaluator.begin(batch)
    for (let row = 0; row < batch.count; row++) {
      if (mask && mask[row] !== UNDECIDED) continue
      try {
        take(row, evaluator.call(row, firstIndex + row))
      } catch (error) {
        ;(problems ??= new Map()).set(row, evaluator.problem(error, batch, row))
      }
    }
    this.problems = problems ?? NO_PROBLEMS
  }
}

/** Whether the function looks at the index of the record. */
export function usesIndex({ fn, roles, references }: Resolved): boolean {
  const at = roles.indexOf('index')
  const param = fn.params[at]
  return param !== undefined && (param.type !== 'Identifier' || (references.params[at]?.size ?? 0) > 0)
}
