import type { AnyNode } from 'acorn'
import type { ObjectTemplate, RecordBatch, TemplateValue } from '../core/batch.ts'
import type { FieldPath } from '../core/field-path.ts'
import type { Collector, Operator, Problem, StageContext } from '../core/operator.ts'
import { Evaluator, type Resolved } from './evaluator.ts'
import { compileResolved, type Expression, type ExpressionMode } from './index.ts'
import { asField, pathOf, propertyName } from './paths.ts'
import { flatten, serialise } from './serialise.ts'
import { planSplit, type SplitPlan, SplitRows } from './split.ts'
import { constant, isBoolean, isPlain } from './vector.ts'

/** `filter`: the rows for which the expression is truthy, byte for byte. */
export class FilterOperator implements Operator {
  private readonly expression: Expression
  private readonly context: StageContext
  private index = 0

  constructor(expression: Expression, context: StageContext) {
    this.expression = expression
    this.context = context
  }

  processBatch(batch: RecordBatch, out: Collector): void {
    const mask = this.expression.test(batch, this.index)
    this.index += batch.count
    const { problems } = this.expression
    if (problems.size === 0) return out.forward(batch, mask)
    inOrder(batch, problems, this.context, (from, to) => out.forward(batch, mask, from, to))
  }

  /** The index of the next record. */
  snapshot(): number {
    return this.index
  }
  restore(states: Iterable<number>): void {
    for (const index of states) this.index = index
  }
}

/** Runs `emit` for the rows between those with problems, and rejects these, in row order. */
function inOrder(
  batch: RecordBatch,
  problems: ReadonlyMap<number, Problem>,
  context: StageContext,
  emit: (from: number, to: number) => void,
): void {
  let from = 0
  for (const [row, problem] of problems) {
    if (row > from) emit(from, row)
    context.reject(batch, row, problem)
    from = row + 1
  }
  if (from < batch.count) emit(from, batch.count)
}

/** What a mapped record is made of, when no function need be called for it. */
type Member = {
  readonly name: string
  readonly value: TemplateValue | { readonly kind: 'test'; readonly test: Expression }
}

/** How `map` runs: unchanged records, templates filled by the kernel, or the user's function row by row. */
export type MapPlan =
  | { readonly kind: 'same' }
  | { readonly kind: 'template'; readonly members: readonly Member[] }
  | { readonly kind: 'split'; readonly split: SplitPlan; readonly evaluator: Evaluator }
  | { readonly kind: 'rows'; readonly evaluator: Evaluator }

/** Chooses the fastest way to run a `map` expression, and adds its fields to the projection. @throws BeckError bad-program */
export function planMap(resolved: Resolved, mode: ExpressionMode, flat: boolean): MapPlan {
  const { body } = resolved.fn
  if (mode === 'auto' && !flat) {
    if (pathOf(body, resolved.references.record)?.length === 0) return { kind: 'same' }
    const members = templateMembers(body, resolved)
    if (members) return { kind: 'template', members }
  }
  const split = mode === 'auto' && flat && body.type !== 'BlockStatement' ? planSplit(resolved) : undefined
  const evaluator = new Evaluator(resolved, true)
  if (split) return { kind: 'split', split, evaluator }
  evaluator.compile()
  return { kind: 'rows', evaluator }
}

/** The members of an object literal of fields, constants and predicates; undefined for anything else. */
function templateMembers(body: AnyNode, resolved: Resolved): Member[] | undefined {
  if (body.type !== 'ObjectExpression') return undefined
  const members: Member[] = []
  for (const property of body.properties) {
    if (property.type !== 'Property' || property.computed || property.method || property.kind !== 'init')
      return undefined
    const name = propertyName(property.key)
    if (members.some((other) => other.name === name)) return undefined
    const path = pathOf(property.value, resolved.references.record)
    const known = constant(property.value, resolved)
    if (known) {
      if (typeof known.value === 'number' && !Number.isFinite(known.value)) return undefined
      const json = JSON.stringify(known.value)
      if (known.value !== undefined) members.push({ name, value: { kind: 'constant', json } })
    } else if (path) {
      if (!isPlain(path)) return undefined
      members.push({ name, value: { kind: 'field', field: resolved.projection.add(asField(path)) } })
    } else if (isBoolean(property.value)) {
      const test = compileResolved({ ...resolved, fn: { ...resolved.fn, body: property.value } }, 'auto')
      if (!test.vectorised) return undefined
      members.push({ name, value: { kind: 'test', test } })
    } else return undefined
  }
  return members
}

/** The fields that a plan of nothing but fields hands on. */
export function renamesOf(plan: MapPlan, reads: readonly FieldPath[]): { renames?: ReadonlyMap<string, FieldPath> } {
  if (plan.kind !== 'template') return {}
  const renames = new Map<string, FieldPath>()
  for (const { name, value } of plan.members) {
    if (value.kind !== 'field') return {}
    renames.set(name, reads[value.field]!)
  }
  return { renames }
}

/** How much text is gathered before it is emitted: `--flat` may make much of little. */
const EMIT_CHARS = 1 << 18

/** `map` by a plan; `flat` spreads arrays. */
export class MapOperator implements Operator {
  private readonly plan: MapPlan
  private readonly flat: boolean
  private readonly context: StageContext
  private index = 0
  private rows: SplitRows | undefined

  constructor(plan: MapPlan, flat: boolean, context: StageContext) {
    this.plan = plan
    this.flat = flat
    this.context = context
  }

  processBatch(batch: RecordBatch, out: Collector): void {
    const { plan } = this
    if (plan.kind === 'same') out.forward(batch)
    else if (plan.kind === 'template') this.fill(plan.members, batch, out)
    else if (plan.kind === 'split') this.split(plan, batch, out)
    else {
      plan.evaluator.begin(batch)
      this.call(plan.evaluator, batch, out, 0, batch.count)
    }
    this.index += batch.count
  }

  private fill(members: readonly Member[], batch: RecordBatch, out: Collector): void {
    const problems = new Map<number, Problem>()
    const template: ObjectTemplate = {
      members: members.map(({ name, value }) => {
        if (value.kind !== 'test') return { name, value }
        const flags = value.test.test(batch, this.index)
        for (const [row, problem] of value.test.problems) if (!problems.has(row)) problems.set(row, problem)
        return { name, value: { kind: 'flags', flags } }
      }),
    }
    const sorted = new Map([...problems].sort(([a], [b]) => a - b))
    inOrder(batch, sorted, this.context, (from, to) => out.emit(batch.render(template, from, to)))
  }

  private split({ split, evaluator }: MapPlan & { kind: 'split' }, batch: RecordBatch, out: Collector): void {
    this.rows ??= new SplitRows(split)
    let begun = false
    this.rows.emit(batch, out, (row) => {
      if (!begun) evaluator.begin(batch)
      begun = true
      this.call(evaluator, batch, out, row, row + 1)
    })
  }

  private call(evaluator: Evaluator, batch: RecordBatch, out: Collector, from: number, to: number): void {
    const { flat, index } = this
    let text = ''
    for (let row = from; row < to; row++) {
      let made: string
      try {
        const value = evaluator.call(row, index + row)
        made = flat ? flatten(value).join('\n') : (serialise(value) ?? 'null')
        if (flat && made === '') continue
      } catch (error) {
        const problem = evaluator.problem(error, batch, row)
        if (text) out.emitText(text)
        text = ''
        this.context.reject(batch, row, problem)
        continue
      }
      text += `${made}\n`
      if (text.length > EMIT_CHARS) {
        out.emitText(text)
        text = ''
      }
    }
    if (text) out.emitText(text)
  }

  /** The index of the next record. */
  snapshot(): number {
    return this.index
  }
  restore(states: Iterable<number>): void {
    for (const index of states) this.index = index
  }
}
