import { decodeString, fromBinary, parseNumber, parts, type Part } from './json.ts'

/** What an object or array was parsed from, kept only where `JSON.stringify` would not give the same text back. */
export interface Origin {
  readonly text: string
  readonly parts: readonly Part[]
  /** The value of each part. */
  readonly values: readonly unknown[]
}

const origins = new WeakMap<object, Origin>()
/** Whether any value has an origin: nearly always none has, and then nobody looks. */
let anyOrigins = false

/** Where the container came from, if its text is one that JavaScript would not write. */
export const originOf = (container: object): Origin | undefined => (anyOrigins ? origins.get(container) : undefined)

/** Gives an object that an expression made the spelling of the texts that it was made from. */
export function setOrigin(object: object, text: string): void {
  const found = parts(text)
  anyOrigins = true
  origins.set(object, {
    text,
    parts: found,
    values: found.map(({ name }) => (object as Record<string, unknown>)[name]),
  })
}

const MAX_DEPTH = 512

/**
 * The JavaScript value of a JSON text (latin1 "binary"): integers beyond ±(2^53 − 1) are BigInt, `__proto__` is an ordinary member.
 * Where the text is not what JavaScript would write (`1.0`, `-0`, escapes, white space, duplicate names, names like "1"), its containers
 * remember it, so that what is handed on unchanged is written as it came.
 * @throws SyntaxError when the text is no JSON, RangeError beyond the depth limit
 */
export function decode(binary: string): unknown {
  const first = binary.charCodeAt(0)
  if (first === QUOTE) return decodeString(binary)
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) {
    const value = JSON.parse(binary) as unknown
    return typeof value === 'number' ? parseNumber(binary) : value
  }
  const text = fromBinary(binary)
  const value = JSON.parse(text) as object
  checkDepth(binary)
  return !/\d{16}/.test(text) && JSON.stringify(value) === text ? value : decodeExactly(binary)
}

/** The text is valid JSON. */
function decodeExactly(binary: string): unknown {
  const first = binary.charCodeAt(0)
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) return decode(binary)
  const found = parts(binary)
  const values = found.map(({ valueStart, end }) => decodeExactly(binary.slice(valueStart, end)))
  let container: object = values
  if (first === OPEN_OBJECT) {
    const object = {}
    found.forEach(({ name }, index) => setOwn(object, name, values[index]))
    container = object
  } else container = [...values]
  anyOrigins = true
  origins.set(container, { text: binary, parts: found, values })
  return container
}

/** Sets a member, never a prototype. */
export function setOwn(object: object, name: string, value: unknown): void {
  if (name !== '__proto__') (object as Record<string, unknown>)[name] = value
  else Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
}

function checkDepth(text: string): void {
  if (text.length < 2 * MAX_DEPTH) return
  let depth = 0
  let quoted = false
  for (let p = 0; p < text.length; p++) {
    const code = text.charCodeAt(p)
    if (code === BACKSLASH) p++
    else if (code === QUOTE) quoted = !quoted
    else if (!quoted && (code === OPEN_OBJECT || code === OPEN_ARRAY) && ++depth > MAX_DEPTH)
      throw new RangeError(`nested deeper than ${MAX_DEPTH} levels`)
    else if (!quoted && (code === CLOSE_OBJECT || code === CLOSE_ARRAY)) depth--
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
