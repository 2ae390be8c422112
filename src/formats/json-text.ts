/**
 * JSON text from plain text. Decoders work on "binary" strings (one char a byte, so every index is a byte): all that JSON and
 * the text formats give a meaning to is ASCII, and the other bytes pass through as they are. So never `\s`, `\S` or `trim` on them:
 * to those the byte 0xa0, a part of many characters, is white space.
 */

// oxlint-disable-next-line no-control-regex
const ESCAPED = /[\u0000-\u001f"\\]/

/** A JSON string of the text, binary or not. */
export const quote = (text: string): string => (ESCAPED.test(text) ? JSON.stringify(text) : `"${text}"`)

/** What stands before each value of a record with these members: `{"a":`, then `,"b":` and so on. */
export const memberStarts = (names: readonly string[]): string[] =>
  names.map((name, index) => `${index === 0 ? '{' : ','}${quote(name)}:`)

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]\d+)?$/

/**
 * The JSON value that a text means under `--infer`: numbers keep their spelling; true and false; nothing is null. Everything else is a
 * string, and so is what a number would change: leading zeros, integers beyond ±(2^53 − 1), values that a double does not hold,
 * and `12e5`, which is more often a code than 1,200,000.
 */
export function infer(text: string): string {
  if (text === '') return 'null'
  if (text === 'true' || text === 'false') return text
  if (NUMBER.test(text)) {
    const value = Number(text)
    const fits = /^-?\d+$/.test(text) ? Number.isSafeInteger(value) : Math.abs(value) < Number.MAX_SAFE_INTEGER
    if (fits) return text
  }
  return quote(text)
}
