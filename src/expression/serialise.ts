import { MAX_DEPTH } from '../ndjson/line.ts'
import { parts, quote, Raw, splice } from './json.ts'
import { isTooDeep, originOf, type Origin } from './values.ts'

/** A result that has no JSON, with what to do about it. */
export class ResultError extends Error {
  readonly hint: string
  constructor(message: string, hint: string) {
    super(message)
    this.hint = hint
  }
}

/**
 * The JSON text (latin1 "binary") of a result; undefined for undefined. Members that are undefined are left out, dates become RFC 3339,
 * BigInts digits; what was parsed from a text and not changed is written as it was spelt.
 * @throws ResultError for NaN, ±Infinity, functions, symbols, and objects that would silently lose what they hold
 */
export function serialise(value: unknown, path = ''): string | undefined {
  const text = write(value, path, 0)
  // What was taken over as it was spelt has a depth of its own.
  if (text !== undefined && isTooDeep(text)) {
    throw new ResultError(`${what(path)} is nested deeper than ${MAX_DEPTH} levels`, 'put fewer levels around it')
  }
  return text
}

function write(value: unknown, path: string, depth: number): string | undefined {
  switch (typeof value) {
    case 'string':
      return quote(value)
    case 'number':
      if (Number.isFinite(value)) return Object.is(value, -0) ? '0' : String(value)
      throw new ResultError(
        `${what(path)} is ${value}, which JSON cannot say`,
        'is a field missing, or a string? Number(r.x ?? 0) makes it a number; ?? null makes it null',
      )
    case 'boolean':
      return value ? 'true' : 'false'
    case 'bigint':
      return String(value)
    case 'undefined':
      return undefined
    case 'object':
      return value === null ? 'null' : value instanceof Raw ? value.text : writeObject(value, path, depth)
    default:
      throw new ResultError(
        `${what(path)} is a ${typeof value}, which JSON cannot say`,
        typeof value === 'function' ? 'call it: r.name.trim() instead of r.name.trim' : 'use String(…)',
      )
  }
}

const what = (path: string): string => (path ? `the result's ${path}` : 'the result')

function writeObject(value: object, path: string, depth: number): string | undefined {
  if (depth >= MAX_DEPTH) {
    throw new ResultError(`the result is nested deeper than ${MAX_DEPTH} levels`, 'does it contain itself?')
  }
  const origin = originOf(value)
  if (Array.isArray(value)) {
    const texts = Array.from(value, (item: unknown, index) =>
      origin && index < origin.values.length
        ? part(origin, index, item, `${path}[${index}]`, depth)
        : (write(item, `${path}[${index}]`, depth + 1) ?? 'null'),
    )
    if (
      origin &&
      texts.length === origin.values.length &&
      texts.every((text, index) => text === partText(origin, index))
    )
      return origin.text
    return `[${texts.join(',')}]`
  }
  if (origin) return writeChanged(value, origin, path, depth)
  const plain = plainObject(value, path)
  if (plain !== value) return write(plain, path, depth)
  let text = ''
  for (const name of Object.keys(value)) {
    const member = write((value as Record<string, unknown>)[name], path ? `${path}.${name}` : name, depth + 1)
    if (member !== undefined) text += `${text ? ',' : '{'}${quote(name)}:${member}`
  }
  return text ? `${text}}` : '{}'
}

/** Text of a part of a container with an origin: as it was spelt, if it is still the same. */
function part(origin: Origin, index: number, value: unknown, path: string, depth: number): string {
  if (Object.is(value, origin.values[index]) && (typeof value !== 'object' || value === null))
    return partText(origin, index)
  return write(value, path, depth + 1) ?? 'null'
}

const partText = (origin: Origin, index: number): string => {
  const { valueStart = 0, end } = origin.parts[index] ?? {}
  return origin.text.slice(valueStart, end)
}

/** An object that was parsed: members that are the same keep their bytes. */
function writeChanged(value: object, origin: Origin, path: string, depth: number): string {
  const changes = new Map<string, string | undefined>()
  const known = new Map<string, number>()
  origin.parts.forEach(({ name }, index) => known.set(name, index)) // of duplicates the last
  for (const [name, index] of known) {
    if (!Object.hasOwn(value, name)) {
      changes.set(name, undefined)
      continue
    }
    const member = (value as Record<string, unknown>)[name]
    const text = member === undefined ? undefined : part(origin, index, member, path ? `${path}.${name}` : name, depth)
    if (text !== partText(origin, index)) changes.set(name, text)
  }
  for (const name of Object.keys(value)) {
    if (known.has(name)) continue
    changes.set(name, write((value as Record<string, unknown>)[name], path ? `${path}.${name}` : name, depth + 1))
  }
  return changes.size ? splice(origin.text, changes) : origin.text
}

/** What JSON is to hold of an object that is not a plain one. */
function plainObject(value: object, path: string): unknown {
  const prototype = Object.getPrototypeOf(value) as unknown
  if (prototype === Object.prototype || prototype === null) return value
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) {
      throw new ResultError(`${what(path)} is an invalid date`, 'new Date(…) did not understand its argument')
    }
    return value.toISOString()
  }
  const kind = value.constructor?.name
  const way = NO_JSON.get(kind)
  if (way) throw new ResultError(`${what(path)} is a ${kind}, which JSON cannot say`, way)
  if (BOXES.has(kind)) return value.valueOf()
  if (ArrayBuffer.isView(value) && !(value instanceof DataView))
    return Array.from(value as unknown as Iterable<number | bigint>)
  if ('toJSON' in value && typeof value.toJSON === 'function') return (value.toJSON as () => unknown)()
  return value
}

/** What JSON would silently write as {}, and what to do instead. */
const NO_JSON: ReadonlyMap<string, string> = new Map(
  Object.entries({
    Map: 'use Object.fromEntries(map) or [...map]',
    Set: 'use [...set]',
    Promise: 'compute the result at once, without async',
    RegExp: 'use String(…)',
    WeakMap: 'leave it out',
    WeakSet: 'leave it out',
  }),
)
const BOXES = new Set(['Number', 'String', 'Boolean', 'BigInt'])

/** The records of a `--flat` result, as JSON texts: an array is spread one level, undefined is none, anything else is one. */
export function flatten(value: unknown): string[] {
  if (value instanceof Raw && value.text.startsWith('['))
    return parts(value.text).map(({ valueStart, end }) => value.text.slice(valueStart, end))
  if (!Array.isArray(value)) {
    const text = serialise(value)
    return text === undefined ? [] : [text]
  }
  const origin = originOf(value)
  return value.flatMap((item: unknown, index) => {
    const path = `[${index}]`
    if (item === undefined) return []
    return (origin && index < origin.values.length ? part(origin, index, item, path, 0) : write(item, path, 0)) ?? []
  })
}
