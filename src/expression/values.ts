import { MAX_DEPTH } from '../ndjson/line.ts'
import { decodeString, fromBinary, parseNumber, parts, skipSpace, skipString, skipValue, type Part } from './json.ts'

/** What an object or array was parsed from, kept only where `JSON.stringify` would not give the same text back. */
export interface Origin {
  readonly text: string
  readonly parts: readonly Part[]
  /** The value of each part; of duplicate members that of the last. */
  readonly values: readonly unknown[]
}

/** A constructor that gives back what it is given: a class above it puts its private fields onto that. */
const Same = function (object: object): object {
  return object
} as unknown as new (object: object) => object

/**
 * Origins are private fields that are put onto plain objects and arrays: nobody else sees them, `{...copy}` does not copy them, and the
 * garbage collector takes them for the fields they are, where a WeakMap costs it more than all the parsing.
 */
class Origins extends Same {
  #origin: Origin
  private constructor(container: object, origin: Origin) {
    super(container)
    this.#origin = origin
  }
  static set(container: object, origin: Origin): void {
    if (#origin in container) container.#origin = origin
    else Reflect.construct(Origins, [container, origin])
  }
  static get(container: object): Origin | undefined {
    return #origin in container ? container.#origin : undefined
  }
}

/** Where a container came from, if its text is one that JavaScript would not write. */
export const originOf = (container: object): Origin | undefined => Origins.get(container)

/** Gives an object that an expression made the spelling of the texts that it was made from. */
export function setOrigin(object: object, text: string): void {
  const found = parts(text)
  Origins.set(object, {
    text,
    parts: found,
    values: found.map(({ name }) => (object as Record<string, unknown>)[name]),
  })
}

/**
 * The JavaScript value of a JSON text (latin1 "binary"): integers beyond ±(2^53 − 1) are BigInt, `__proto__` is an ordinary member.
 * Where the text is not what JavaScript would write (`1.0`, `-0`, escapes, white space, duplicate names, names like "1"), its containers
 * remember it, so that what is handed on unchanged is written as it came. O(text).
 * @throws SyntaxError when the text is no JSON, RangeError beyond the depth limit
 */
export function decode(binary: string): unknown {
  const first = binary.charCodeAt(0)
  if (first === QUOTE) return decodeString(binary)
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) {
    const value = JSON.parse(binary) as unknown
    return typeof value === 'number' ? parseNumber(binary) : value
  }
  if (isTooDeep(binary)) throw new RangeError(`nested deeper than ${MAX_DEPTH} levels`)
  const text = fromBinary(binary)
  const value = JSON.parse(text) as object
  // White space after a colon or a comma is the commonest oddity, and quickly seen.
  const odd = text.includes('": ') || LONG_NUMBER.test(text) || JSON.stringify(value) !== text
  if (odd) remember(value, binary, 0)
  return value
}

const LONG_NUMBER = /\d{16}/

/**
 * Tells a parsed container (and those in it) the text that it came from, which starts at `start`; puts BigInts where the text has such
 * integers. Returns where the text ends.
 */
function remember(container: object, line: string, start: number): number {
  const members = container as Record<string | number, unknown>
  const isArray = Array.isArray(container)
  const found: Part[] = []
  const values: unknown[] = []
  let at = skipSpace(line, start + 1)
  for (let code = line.charCodeAt(at); code !== CLOSE_OBJECT && code !== CLOSE_ARRAY; code = line.charCodeAt(at)) {
    const partStart = at
    let name = ''
    if (!isArray) {
      at = skipString(line, at)
      name = decodeString(line.slice(partStart, at))
      at = skipSpace(line, skipSpace(line, at) + 1)
    }
    const valueStart = at
    const key = isArray ? found.length : name
    const child = Object.hasOwn(members, key) ? members[key] : undefined
    const first = line.charCodeAt(at)
    if (typeof child === 'object' && child !== null && first === (Array.isArray(child) ? OPEN_ARRAY : OPEN_OBJECT))
      at = remember(child, line, at)
    else {
      at = skipValue(line, at)
      const number = typeof child === 'number' && at - valueStart > 15 ? parseNumber(line.slice(valueStart, at)) : 0
      if (typeof number === 'bigint') members[key] = number
    }
    found.push({ name, start: partStart - start, valueStart: valueStart - start, end: at - start })
    values.push(members[key])
    at = skipSpace(line, at)
    if (line.charCodeAt(at) === COMMA) at = skipSpace(line, at + 1)
  }
  at++
  const text = line.slice(start, at)
  if (!isArray && Object.keys(container).length < found.length) {
    // Duplicates: the value at hand was the last one's, and may have been taken for the first one's.
    for (const part of found) setOwn(container, part.name, decode(text.slice(part.valueStart, part.end)))
    found.forEach(({ name }, index) => (values[index] = members[name]))
  }
  Origins.set(container, { text, parts: found, values })
  return at
}

/** Sets a member, never a prototype. */
export function setOwn(object: object, name: string, value: unknown): void {
  if (name !== '__proto__') (object as Record<string, unknown>)[name] = value
  else Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
}

/** Whether a JSON text is nested deeper than any record may be. Mostly decided by its length, or by how many brackets it has. */
export function isTooDeep(text: string): boolean {
  if (text.length < 2 * MAX_DEPTH || !hasManyBrackets(text)) return false
  let depth = 0
  let quoted = false
  for (let p = 0; p < text.length; p++) {
    const code = text.charCodeAt(p)
    if (code === BACKSLASH) p++
    else if (code === QUOTE) quoted = !quoted
    else if (!quoted && (code === OPEN_OBJECT || code === OPEN_ARRAY) && ++depth > MAX_DEPTH) return true
    else if (!quoted && (code === CLOSE_OBJECT || code === CLOSE_ARRAY)) depth--
  }
  return false
}

function hasManyBrackets(text: string): boolean {
  let brackets = 0
  for (const opening of '{[') {
    for (let at = text.indexOf(opening); at >= 0; at = text.indexOf(opening, at + 1))
      if (++brackets > MAX_DEPTH) return true
  }
  return false
}

const QUOTE = 0x22
const COMMA = 0x2c
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
