/**
 * `level=info msg="request done" retried`: keys with values, as Heroku and Go's loggers write them. There is no standard. Here a value
 * in quotes has JSON's escapes, a key without "=" is true, and a key given twice has a list of its values.
 */
import type { Problem } from '../core/operator.ts'
import { LONE_SURROGATE, toBinary } from './binary.ts'
import { infer, quote } from './json-text.ts'
import type { LineFormat } from './line-decoder.ts'

export function logfmtFormat(inferred: boolean): LineFormat {
  const value = inferred ? infer : quote
  return { encoding: 'latin1', decode: (line) => decodeLogfmt(line, value) }
}

// A key; then perhaps "=" and a value, in quotes (2, with its escapes) or without (3).
const PAIR = /([^ \t\r="]+)(?:=(?:"((?:[^"\\]|\\[^])*)"|([^ \t\r"][^ \t\r]*)?))?(?=[ \t\r]|$)/y

function decodeLogfmt(line: string, value: (text: string) => string): string | Problem {
  const members = new Map<string, string>()
  let lists: Set<string> | undefined
  for (let at = 0; (at = skipSpace(line, at)) < line.length; at = PAIR.lastIndex) {
    PAIR.lastIndex = at
    const match = PAIR.exec(line)
    if (!match) return brokenAt(at)
    const key = match[1] as string
    const quoted = match[2]
    const text = quoted === undefined ? match[3] : quoted.includes('\\') ? unescape(quoted) : quoted
    const json = text !== undefined ? value(text) : match[0].endsWith('=') ? value('') : 'true'
    const before = members.get(key)
    if (before !== undefined) (lists ??= new Set()).add(key)
    members.set(key, before === undefined ? json : `${before},${json}`)
  }
  let record = ''
  for (const [key, json] of members) {
    record += `${record === '' ? '{' : ','}${quote(key)}:${lists?.has(key) ? `[${json}]` : json}`
  }
  return `${record}}`
}

const SHORT: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  b: '\b',
  f: '\f',
  '"': '"',
  '\\': '\\',
  '/': '/',
}

/** Undoes the escapes that JSON knows; others, as in "C:\dir", stay as they are spelt. */
const unescape = (text: string): string =>
  text.replace(/(?:\\u[0-9A-Fa-f]{4})+|\\([^])/g, (spelt, char: string | undefined) => {
    if (char !== undefined) return SHORT[char] ?? spelt
    const decoded = JSON.parse(`"${spelt}"`) as string
    return LONE_SURROGATE.test(decoded) ? spelt : toBinary(decoded)
  })

function brokenAt(at: number): Problem {
  return {
    problem: 'expected key=value or key="quoted value"',
    column: at + 1,
    hint: 'values with spaces are written in double quotes, with \\" for a quote: msg="say \\"hi\\""',
  }
}

function skipSpace(line: string, at: number): number {
  while (line[at] === ' ' || line[at] === '\t' || line[at] === '\r') at++
  return at
}
