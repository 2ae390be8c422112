import type { AnyNode } from 'acorn'
import type { FieldPath } from '../core/field-path.ts'

/** Components of a path into the record; none for the record itself. */
export type Components = readonly (string | number)[]

/** The identifiers that mean the record, or a path into it. */
export type Names = ReadonlyMap<AnyNode, Components>

/**
 * The path that a node reads from the record: `r`, `r.a.b`, `r["a b"]`, `r.tags[0]`, with `?.` too; undefined for anything else.
 */
export function pathOf(node: AnyNode, records: Names): Components | undefined {
  if (node.type === 'ChainExpression') return pathOf(node.expression, records)
  if (node.type === 'Identifier') return records.get(node)
  if (node.type !== 'MemberExpression') return undefined
  const before = pathOf(node.object, records)
  const last = before && component(node.computed, node.property)
  return last === undefined ? undefined : [...(before as Components), last]
}

function component(computed: boolean, node: AnyNode): string | number | undefined {
  if (!computed) return node.type === 'Identifier' ? node.name : undefined
  if (node.type === 'TemplateLiteral' && node.quasis.length === 1) return node.quasis[0]?.value.cooked ?? undefined
  if (node.type !== 'Literal') return undefined
  if (typeof node.value === 'string') return node.value
  return typeof node.value === 'number' && /^\d{1,9}$/.test(String(node.value)) ? node.value : undefined
}

/** Whether a node reads the record with names that are only known when it runs (`r[k].x`), without a call in between. */
export function rooted(node: AnyNode, records: Names): boolean {
  if (node.type === 'ChainExpression') return rooted(node.expression, records)
  if (node.type === 'MemberExpression') return rooted(node.object, records)
  return records.has(node)
}

/** The part may be the index of a character, or the length of a text or list. */
const isSoft = (part: string | number, index: number): boolean =>
  (index === 0 && part === 'length') || /^\d{1,9}$/.test(String(part))

/** Whether a path may mean something that is no field: a character of a string, or the length of a record that is no object. */
export const mayBeSoft = (path: Components): boolean => path.some(isSoft)

/** The first such component within the record. If the field is missing, it is looked up in the value before that. */
export function softAt(path: Components): number | undefined {
  const at = path.findIndex((part, index) => index > 0 && isSoft(part, index))
  return at < 0 ? undefined : at
}

/** `r.a.length` is asked of the value of `r.a`: text, list, or an object with such a member. */
export const asksLength = (path: Components): boolean => path.length > 1 && path.at(-1) === 'length'

/** One step of a path into a value: own members and elements only, undefined through null, missing and scalars. */
export function get(value: unknown, part: string | number): unknown {
  if (typeof value === 'object') {
    return value !== null && Object.hasOwn(value, part) ? (value as Record<string, unknown>)[part] : undefined
  }
  return typeof value === 'string' && (part === 'length' || /^\d+$/.test(String(part)))
    ? (value as unknown as Record<string, unknown>)[part]
    : undefined
}

/** Not empty, so a field's path. */
export const asField = (path: Components): FieldPath => path as FieldPath

/** The name of a member that is not computed. */
export function propertyName(key: AnyNode): string {
  if (key.type === 'Identifier') return key.name
  return key.type === 'Literal' ? String(key.value) : ''
}
