/**
 * JSON texts as latin1 ("binary") strings, one char a byte: how a batch gives them, and how records are put together again without
 * touching the bytes of what was not changed. All texts are valid JSON: whoever makes a span from a line that was only scanned checks it
 * (`decode`).
 */

import { fromLatin1, toLatin1 } from '../core/latin1.ts'

/** A JSON text that an expression hands on as it is. */
export class Raw {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** UTF-16 to latin1 ("binary"); nearly all text is ASCII and stays what it is. */
export const toBinary = (text: string): string => (NOT_ASCII.test(text) ? toLatin1(text) : text)
/** latin1 ("binary") to UTF-16. */
export const fromBinary = (binary: string): string => (NOT_ASCII.test(binary) ? fromLatin1(binary) : binary)
const NOT_ASCII = /[^\u0000-\u007f]/

/** A string as JSON; a lone surrogate stays an escape. */
export const quote = (text: string): string => toBinary(JSON.stringify(text))

/** The value of a number's text: digits beyond ±(2^53 − 1) are a BigInt, all else a double. */
export function parseNumber(text: string): number | bigint {
  const value = Number(text)
  return Number.isSafeInteger(value) || !/^-?\d+$/.test(text) ? value : BigInt(text)
}

/** A member of an object's text, or an element of an array's: where its name (or the element) starts, and its value. */
export interface Part {
  /** "" for an element. */
  readonly name: string
  readonly start: number
  readonly valueStart: number
  readonly end: number
}

const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
/** The first position from `at` on that is no white space. */
export function skipSpace(text: string, at: number): number {
  while (isSpace(text.charCodeAt(at))) at++
  return at
}

/** Where the string that starts at `at` ends. */
export function skipString(text: string, at: number): number {
  for (let quoteAt = text.indexOf('"', at + 1); quoteAt >= 0; quoteAt = text.indexOf('"', quoteAt + 1)) {
    let backslashes = 0
    while (text.charCodeAt(quoteAt - 1 - backslashes) === 0x5c) backslashes++
    if (backslashes % 2 === 0) return quoteAt + 1
  }
  return text.length
}

/** Where the value at `at` ends. Without recursion: any depth. */
export function skipValue(text: string, at: number): number {
  let depth = 0
  for (let p = at; p < text.length;) {
    const code = text.charCodeAt(p)
    if (code === 0x22) p = skipString(text, p)
    else if (code === 0x7b || code === 0x5b) {
      depth++
      p++
      continue
    } else if (code === 0x7d || code === 0x5d) {
      depth--
      p++
    } else if (isScalar(code)) {
      while (isScalar(text.charCodeAt(++p)));
    } else {
      p++
      continue
    }
    if (depth === 0) return p
  }
  return text.length
}
/** + - . 0–9 A–Z a–z */
const isScalar = (code: number): boolean =>
  (code >= 0x2d && code <= 0x39) || (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x2b

/** The members of an object's text, or the elements of an array's, in order, duplicates too. */
export function parts(text: string): Part[] {
  const found: Part[] = []
  const object = text.charCodeAt(0) === 0x7b
  for (let at = skipSpace(text, 1); ;) {
    const code = text.charCodeAt(at)
    if (code === 0x7d || code === 0x5d || at >= text.length) return found
    const start = at
    let name = ''
    if (object) {
      at = skipString(text, at)
      name = decodeString(text.slice(start, at))
      at = skipSpace(text, skipSpace(text, at) + 1)
    }
    const end = skipValue(text, at)
    found.push({ name, start, valueStart: at, end })
    at = skipSpace(text, end)
    if (text.charCodeAt(at) === 0x2c) at = skipSpace(text, at + 1)
  }
}

/** The content of a string's text. */
export function decodeString(text: string): string {
  return text.includes('\\') ? (JSON.parse(fromBinary(text)) as string) : fromBinary(text.slice(1, -1))
}

/** What becomes of the members of an object: the new text, or undefined to leave the member out. In the order of appending. */
export type Changes = ReadonlyMap<string, string | undefined>

/**
 * The object's text with some members replaced where they stand, left out, or, when new, appended before the closing brace. Every other
 * byte stays, duplicates of other members too; of a duplicated member that changes one is left. O(text).
 */
export function splice(text: string, changes: Changes): string {
  const members = parts(text)
  const close = text.length - 1
  const done = new Set<string>()
  let out = text.slice(0, members[0]?.start ?? close)
  let kept = 0
  members.forEach(({ name, start, valueStart, end }, index) => {
    const changed = changes.has(name)
    const value = done.has(name) ? undefined : changes.get(name)
    if (changed) {
      done.add(name)
      if (value === undefined) return
    }
    if (kept++) out += text.slice(members[index - 1]?.end, start)
    out += changed ? text.slice(start, valueStart) + value : text.slice(start, end)
  })
  const last = members.at(-1)
  if (last) out += text.slice(last.end, close)
  for (const [name, value] of changes) {
    if (!done.has(name) && value !== undefined) out += `${kept++ ? ',' : ''}${quote(name)}:${value}`
  }
  return `${out}}`
}
