/**
 * Texts taken apart into records, `r.line.split(" ").map(word => ({word}))`, as bytes: no string is made of a word. What bytes do not settle (escapes, white
 * space beyond ASCII, values that are no strings, words of no length) is left to the user's function, row by row.
 */
import type { AnyNode, Expression as Node } from 'acorn'
import type { RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { Collector } from '../core/operator.ts'
import type { Resolved } from './evaluator.ts'
import { asField, pathOf, propertyName } from './paths.ts'
import { constant, isPlain } from './vector.ts'

const SPACE = 0x20
const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACE = 0x7d
const NEWLINE = 0x0a
/** Output is handed on in pieces of about this size. */
const PIECE_BYTES = 1 << 18

export interface SplitPlan {
  /** Of the text, in the projection. */
  readonly field: number
  /** The member that holds a piece. */
  readonly member: string
  /** An ASCII character. */
  readonly separator: number
  /** Separators next to each other are one. */
  readonly runs: boolean
  /** Pieces of no length are left out. */
  readonly filled: boolean
  /** White space around the text is left out first. */
  readonly trims: boolean
  /** White space beyond ASCII separates, or is left out, too. */
  readonly unicode: boolean
}

/** The plan of a `map --flat` expression, if that is what it does. Adds the field to the projection. */
export function planSplit(resolved: Resolved): SplitPlan | undefined {
  const { references, projection } = resolved
  const mapped = call(resolved.fn.body, 'map')
  const member = mapped?.argument && memberOf(mapped.argument)
  if (!mapped || member === undefined) return undefined
  const kept = call(mapped.of, 'filter')
  if (kept && !asksLength(kept.argument, resolved)) return undefined
  const split = call(kept?.of ?? mapped.of, 'split')
  const by = split?.argument && separatorOf(split.argument, resolved)
  if (!split || !by) return undefined
  const trimmed = call(split.of, 'trim')
  if (trimmed?.argument) return undefined
  const path = pathOf(trimmed?.of ?? split.of, references.record)
  if (!path || !isPlain(path)) return undefined
  return {
    field: projection.add(asField(path)),
    member,
    ...by,
    filled: kept !== undefined,
    trims: trimmed !== undefined,
    unicode: by.unicode || trimmed !== undefined,
  }
}

/** `of.name(argument)`, with one argument at most. */
function call(node: AnyNode, name: string): { readonly of: Node; readonly argument: Node | undefined } | undefined {
  if (node.type !== 'CallExpression' || node.optional || node.arguments.length > 1) return undefined
  const { callee } = node
  if (callee.type !== 'MemberExpression' || callee.computed || callee.optional || callee.object.type === 'Super')
    return undefined
  if (callee.property.type !== 'Identifier' || callee.property.name !== name) return undefined
  const [argument] = node.arguments
  return argument?.type === 'SpreadElement' ? undefined : { of: callee.object, argument }
}

/** The parameter and the body of `word => …`. */
function arrow(node: Node): { readonly name: string; readonly body: AnyNode } | undefined {
  if (node.type !== 'ArrowFunctionExpression' || node.async || node.params.length !== 1) return undefined
  const [param] = node.params
  return param?.type === 'Identifier' ? { name: param.name, body: node.body } : undefined
}

const isName = (node: AnyNode, name: string): boolean => node.type === 'Identifier' && node.name === name

/** The name of the only member of what `word => ({word})` makes. */
function memberOf(node: Node): string | undefined {
  const made = arrow(node)
  if (made?.body.type !== 'ObjectExpression' || made.body.properties.length !== 1) return undefined
  const [property] = made.body.properties
  if (property?.type !== 'Property' || property.computed || property.method || property.kind !== 'init')
    return undefined
  const name = propertyName(property.key)
  return isName(property.value, made.name) && name !== '__proto__' ? name : undefined
}

/** Whether a filter keeps what is not empty: `Boolean`, `w => w`, `w => w !== ""`, `w => w.length > 0`. */
function asksLength(node: Node | undefined, { references }: Resolved): boolean {
  if (!node) return false
  if (isName(node, 'Boolean')) return !references.record.has(node)
  const kept = arrow(node)
  if (!kept) return false
  const { name, body } = kept
  const isLength = (other: AnyNode): boolean =>
    other.type === 'MemberExpression' &&
    !other.computed &&
    isName(other.object, name) &&
    isName(other.property, 'length')
  if (isName(body, name) || isLength(body)) return true
  if (body.type !== 'BinaryExpression' || body.right.type !== 'Literal') return false
  const { left, operator, right } = body
  if (operator === '>') return isLength(left) && right.value === 0
  return (operator === '!==' || operator === '!=') && isName(left, name) && right.value === ''
}

type Separator = Pick<SplitPlan, 'separator' | 'runs' | 'unicode'>

/** White space within a JSON string without escapes is a space, or beyond ASCII. */
const PATTERNS: Readonly<Record<string, Separator>> = {
  '\\s+': { separator: SPACE, runs: true, unicode: true },
  '\\s': { separator: SPACE, runs: false, unicode: true },
  ' +': { separator: SPACE, runs: true, unicode: false },
  '[ ]+': { separator: SPACE, runs: true, unicode: false },
  ' ': { separator: SPACE, runs: false, unicode: false },
}

function separatorOf(node: Node, resolved: Resolved): Separator | undefined {
  if (node.type === 'Literal' && node.regex) {
    const { pattern, flags } = node.regex
    return /^[gu]*$/.test(flags) && Object.hasOwn(PATTERNS, pattern) ? PATTERNS[pattern] : undefined
  }
  const text = constant(node, resolved)?.value
  if (typeof text !== 'string' || !/^[ !#-[\]-~]$/.test(text)) return undefined
  return { separator: text.charCodeAt(0), runs: false, unicode: false }
}

/** What bytes tell of a text. */
const Look = {
  /** Not enough. */
  odd: 0,
  /** Its pieces are between the separators. */
  plain: 1,
  /** The same, and some characters have a backslash in front. */
  escaped: 2,
} as const

/** Writes the records of rows; one per worker. */
export class SplitRows {
  readonly #plan: SplitPlan
  readonly #head: Uint8Array
  readonly #out = new ByteBuffer(1 << 16)
  /** Who comes next makes records of words. */
  #asWords: boolean | undefined

  constructor(plan: SplitPlan) {
    this.#plan = plan
    this.#head = Buffer.from(`{${JSON.stringify(plan.member)}:"`)
  }

  /** Emits the records of all rows, in order; those that bytes do not settle are `others` to emit. O(bytes). */
  emit(batch: RecordBatch, out: Collector, others: (row: number) => void): void {
    const { bytes, spans, stride, count, ascii } = batch
    const { field, separator, member } = this.#plan
    const asWords = (this.#asWords ??= separator === SPACE && out.emitWords?.(member, NOTHING) === true)
    for (let row = 0; row < count; row++) {
      const at = row * stride + 2 + 2 * field
      const start = (spans[at] as number) + 1
      const end = (spans[at + 1] as number) - 1
      const isText = bytes[start - 1] === QUOTE && end >= start
      const look = isText ? this.#look(bytes, start, end, ascii) : Look.odd
      if (look === Look.odd) {
        this.#flush(out)
        others(row)
      } else if (asWords) this.#writeText(bytes, start, end, look)
      else this.#write(bytes, start, end)
      if (this.#out.length >= PIECE_BYTES) this.#flush(out)
    }
    this.#flush(out)
  }

  #look(bytes: Uint8Array, start: number, end: number, ascii: boolean): number {
    const { separator, runs, filled, trims, unicode } = this.#plan
    const spaces = separator === SPACE
    const oneByOne = spaces && !runs && !filled
    let before = -1
    let blank = true
    let look: number = Look.plain
    for (let p = start; p < end; p++) {
      let byte = bytes[p] as number
      if (byte === SPACE) {
        if (oneByOne && before === SPACE) return Look.odd
      } else {
        blank = false
        if (byte === BACKSLASH) {
          byte = bytes[++p] as number
          // Others may stand for white space, or are written in another way.
          if (byte !== QUOTE && byte !== BACKSLASH) return Look.odd
          look = Look.escaped
        } else if (byte >= 0x80 && unicode && !ascii && isWideSpace(bytes, p)) return Look.odd
      }
      before = byte
    }
    if (!spaces) return trims ? Look.odd : look
    if (filled) return look
    // Pieces of no length at the ends.
    return blank || (!trims && (bytes[start] === SPACE || before === SPACE)) ? Look.odd : look
  }

  /** As a line of text. */
  #writeText(bytes: Uint8Array, start: number, end: number, look: number): void {
    const out = this.#out
    if (look === Look.plain) out.copy(bytes, start, end)
    else for (let p = start; p < end; p++) out.byte(bytes[bytes[p] === BACKSLASH ? ++p : p] as number)
    out.byte(NEWLINE)
  }

  #write(bytes: Uint8Array, start: number, end: number): void {
    const { separator, filled } = this.#plan
    // Where spaces separate, pieces of no length have been found to be of no account.
    const skips = filled || separator === SPACE
    const head = this.#head
    const out = this.#out
    out.reserve((end - start + 1) * (head.length + 4))
    const into = out.bytes
    let at = out.length
    for (let from = start; from <= end;) {
      let to = from
      while (to < end && bytes[to] !== separator) to++
      if (to > from || !skips) {
        for (let p = 0; p < head.length; p++) into[at++] = head[p] as number
        for (let p = from; p < to; p++) into[at++] = bytes[p] as number
        into[at++] = QUOTE
        into[at++] = BRACE
        into[at++] = NEWLINE
      }
      from = to + 1
    }
    out.length = at
  }

  #flush(out: Collector): void {
    const bytes = this.#out.view()
    this.#out.length = 0
    if (bytes.length === 0) return
    if (!this.#asWords) out.emit(bytes)
    else if (!out.emitWords?.(this.#plan.member, bytes)) this.#writeLines(bytes, out)
  }

  /** There is too much text at once: as bytes after all. */
  #writeLines(text: Uint8Array, out: Collector): void {
    const lines = new SplitRows({ ...this.#plan, filled: true })
    for (let from = 0; from < text.length;) {
      const end = text.indexOf(NEWLINE, from)
      const line = Buffer.from(JSON.stringify(Buffer.from(text.subarray(from, end)).toString()).slice(1, -1))
      lines.#write(line, 0, line.length)
      from = end + 1
    }
    out.emit(lines.#out.view())
  }
}

const NOTHING = new Uint8Array(0)

/** White space beyond ASCII, as `\s` has it: U+00A0, U+1680, U+2000–200A, U+2028, U+2029, U+202F, U+205F, U+3000, U+FEFF. */
function isWideSpace(bytes: Uint8Array, p: number): boolean {
  const [a, b, c] = [bytes[p] as number, bytes[p + 1] as number, bytes[p + 2] as number]
  switch (a) {
    case 0xc2:
      return b === 0xa0
    case 0xe1:
      return b === 0x9a && c === 0x80
    case 0xe2:
      if (b === 0x81) return c === 0x9f
      return b === 0x80 && (c <= 0x8a || c === 0xa8 || c === 0xa9 || c === 0xaf)
    case 0xe3:
      return b === 0x80 && c === 0x80
    case 0xef:
      return b === 0xbb && c === 0xbf
    default:
      return false
  }
}
