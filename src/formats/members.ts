/** The members of a record, as text. Works on "binary" strings of lines that are known to be JSON. */
import { LONE_SURROGATE, toBinary } from './binary.ts'

const QUOTE = 34
const BACKSLASH = 92

/**
 * Calls `visit` with the name (decoded) and the value's raw text of each member of the object at `start`, in order.
 * The text must have been checked.
 */
export function eachMember(text: string, start: number, visit: (name: string, raw: string) => void): void {
  let at = skipSpace(text, start + 1)
  while (text.charCodeAt(at) === QUOTE) {
    const nameEnd = stringEnd(text, at)
    const name = text.slice(at + 1, nameEnd - 1)
    const valueAt = skipSpace(text, skipSpace(text, nameEnd) + 1)
    const valueEndAt = valueEnd(text, valueAt)
    visit(name.includes('\\') ? decodeEscapes(name) : name, text.slice(valueAt, valueEndAt))
    at = skipSpace(text, skipSpace(text, valueEndAt) + 1)
  }
}

/**
 * What a raw JSON value is as plain text: a string's content, nothing for null, else its JSON text, spelt as it is.
 * @returns undefined when a lone surrogate (\ud800) keeps a string from being UTF-8
 */
export function plainText(raw: string): string | undefined {
  if (raw.charCodeAt(0) !== QUOTE) return raw === 'null' ? '' : raw
  const content = raw.slice(1, -1)
  if (!content.includes('\\')) return content
  const decoded = decodeEscapes(content)
  return LONE_SURROGATE.test(decoded) ? undefined : decoded
}

/** Undoes JSON's escapes. A lone surrogate stays one, and is then the only char that is no byte. */
function decodeEscapes(content: string): string {
  return content.replace(/(?:\\u[0-9A-Fa-f]{4})+|\\./g, (escapes) => {
    const decoded = JSON.parse(`"${escapes}"`) as string
    return LONE_SURROGATE.test(decoded) ? decoded : toBinary(decoded)
  })
}

/** Where the white space at `at` ends. */
export const skipSpace = (text: string, at: number): number => {
  for (;;) {
    const code = text.charCodeAt(at)
    if (code !== 32 && code !== 9 && code !== 13) return at
    at++
  }
}

/** Where the string that begins at `start` ends, after its closing quote. */
export function stringEnd(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); ; at = text.indexOf('"', at + 1)) {
    let backslashes = 0
    while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return at + 1
  }
}

function valueEnd(text: string, start: number): number {
  let at = start
  for (let depth = 0; ;) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      at = stringEnd(text, at)
      if (depth === 0) return at
      continue
    }
    if (code === 0x7b || code === 0x5b) depth++
    else if (code === 0x7d || code === 0x5d) {
      if (depth === 0) return at
      if (--depth === 0) return at + 1
    } else if (depth === 0 && (code === 0x2c || code === 32 || code === 9 || code === 13)) return at
    at++
  }
}

/** Whether a raw JSON value has a plain text. */
export const isEncodable = (raw: string): boolean =>
  raw.charCodeAt(0) !== QUOTE || !raw.includes('\\u') || plainText(raw) !== undefined
