import { compareNumberTexts } from './decimal.ts'
import { canonicalKey } from './key.ts'
import { fromLatin1, toLatin1 } from './latin1.ts'

/**
 * The order of JSON values (docs/architecture.md §9): null (and missing), false, true, numbers by exact value, strings by UTF-8 bytes, then
 * arrays and objects by canonical JSON text. Texts are raw JSON as latin1 "binary" strings; "" is missing.
 */
const Rank = { null: 0, false: 1, true: 2, number: 3, string: 4, rest: 5 } as const
type Rank = (typeof Rank)[keyof typeof Rank]

/** Which group of the order a value belongs to. */
function rankOf(text: string): Rank {
  switch (text.charCodeAt(0)) {
    case 34:
      return Rank.string
    case 91:
    case 123:
      return Rank.rest
    case 102:
      return Rank.false
    case 116:
      return Rank.true
    case 110:
      return Rank.null
    default:
      return text === '' ? Rank.null : Rank.number
  }
}

/** Negative, 0 or positive, as `a` comes before, is equal to, or comes after `b`. 0 exactly when they are equal as keys. */
export function compareValues(a: string, b: string): number {
  const rank = rankOf(a)
  const difference = rank - rankOf(b)
  if (difference) return difference
  if (a === b) return 0
  if (rank === Rank.string) return compareBinary(stringContent(a), stringContent(b))
  if (rank === Rank.number) return compareNumberTexts(a, b)
  if (rank === Rank.rest) return compareBinary(canonical(a), canonical(b))
  return 0
}

const canonical = (text: string): string => toLatin1(canonicalKey(fromLatin1(text)))

/** Order of binary strings by their bytes. */
const compareBinary = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const ESCAPE = /\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))/g
const SHORT: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/**
 * What a JSON string says, as UTF-8 bytes in a binary string. A lone surrogate has the three bytes that UTF-8 would give it (WTF-8), so
 * that different strings stay different.
 */
export function stringContent(text: string): string {
  const inner = text.slice(1, -1)
  if (!inner.includes('\\')) return inner
  return inner.replace(ESCAPE, (_, high?: string, low?: string, unit?: string, short?: string) => {
    if (short !== undefined) return SHORT[short] ?? short
    if (unit !== undefined) return utf8(Number.parseInt(unit, 16))
    const top = Number.parseInt(high!, 16) - 0xd800
    return utf8(0x10000 + (top << 10) + Number.parseInt(low!, 16) - 0xdc00)
  })
}

function utf8(code: number): string {
  if (code < 0x80) return String.fromCharCode(code)
  const tail = (shift: number): number => 0x80 | ((code >> shift) & 0x3f)
  if (code < 0x800) return String.fromCharCode(0xc0 | (code >> 6), tail(0))
  if (code < 0x10000) return String.fromCharCode(0xe0 | (code >> 12), tail(6), tail(0))
  return String.fromCharCode(0xf0 | (code >> 18), tail(12), tail(6), tail(0))
}
