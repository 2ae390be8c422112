import type { FieldPath } from '../core/field-path.ts'
import type { Problem } from '../core/operator.ts'
import { lineTooLong } from '../core/problems.ts'
import { fieldTree, type FieldNode } from './field-tree.ts'

/** Nesting beyond this is a data error. */
export const MAX_DEPTH = 512

/**
 * Decides one line exactly: whether it is one JSON value as RFC 8259 has it, in valid UTF-8, and where the wanted fields are.
 * The readable truth: the fast scanner asks it about every line that it is not sure of.
 */
export class LineChecker {
  private readonly root: FieldNode
  private readonly width: number
  private bytes: Uint8Array = new Uint8Array()
  private end = 0
  private problem: { problem: string; at: number; hint?: string } | undefined
  /** Where the current value ends. */
  private at = 0

  private readonly maxBytes: number

  constructor(paths: readonly FieldPath[], maxBytes = Infinity) {
    this.maxBytes = maxBytes
    this.root = fieldTree(paths)
    this.width = paths.length
  }

  /**
   * Checks the line `start`..`end` (without "\n"). Fine: writes the line's span and those of the fields to `spans` from `to` on, as
   * `RecordBatch.spans` has them, and returns undefined. Else says what is wrong. Linear in the line; memory is bounded by the depth limit.
   */
  check(bytes: Uint8Array, start: number, end: number, spans: Uint32Array, to: number): Problem | undefined {
    if (end - start > this.maxBytes) return lineTooLong(this.maxBytes)
    this.bytes = bytes
    this.end = end
    this.problem = undefined
    spans.fill(0, to, to + 2 + 2 * this.width)
    const from = this.skipSpace(start)
    if (this.walk(from, spans, to + 2)) {
      spans[to] = from
      spans[to + 1] = this.at
      const rest = this.skipSpace(this.at)
      if (rest === end) return undefined
      this.fail(`${this.shown(rest)} after the end of the record`, rest, 'put each record on a line of its own')
    }
    const { problem, at, hint } = this.problem as unknown as { problem: string; at: number; hint?: string }
    return { problem, column: at - start + 1, ...(hint && { hint }) }
  }

  /**
   * Walks the value at `p`, with a stack of the open containers instead of recursion. `node` is what is wanted of the value at hand,
   * undefined where nothing is. True: the value is fine and ends at `this.at`.
   */
  private walk(p: number, spans: Uint32Array, to: number): boolean {
    const { bytes } = this
    const stack: Container[] = []
    let node: FieldNode | undefined = this.root
    for (;;) {
      // A value begins at p.
      const byte = bytes[p] as number
      if (p < this.end && (byte === OPEN_OBJECT || byte === OPEN_ARRAY)) {
        if (stack.length === MAX_DEPTH) return this.fail(`nested deeper than ${MAX_DEPTH} levels`, p)
        const container: Container = { object: byte === OPEN_OBJECT, node, start: p, index: 0 }
        stack.push(container)
        p = this.skipSpace(p + 1)
        if (bytes[p] !== (container.object ? CLOSE_OBJECT : CLOSE_ARRAY) || p === this.end) {
          if ((p = this.enter(container, p, spans, to)) < 0) return false
          node = this.entered
          continue
        }
      } else {
        if (!this.scalar(p)) return false
        if (node) for (const field of node.fields) setSpan(spans, to, field, p, this.at)
        p = this.at
      }
      // A value has ended (p at its end), or an empty container is about to (p at its closing bracket).
      for (;;) {
        const container = stack.at(-1)
        if (!container) {
          this.at = p
          return true
        }
        p = this.skipSpace(p)
        const close = container.object ? CLOSE_OBJECT : CLOSE_ARRAY
        if (p < this.end && bytes[p] === close) {
          stack.pop()
          p++
          if (container.node) for (const field of container.node.fields) setSpan(spans, to, field, container.start, p)
        } else if (p < this.end && bytes[p] === COMMA) {
          p = this.skipSpace(p + 1)
          if ((p = this.enter(container, p, spans, to)) < 0) return false
          node = this.entered
          break
        } else {
          const what = container.object
            ? '"," or "}" after a member of an object'
            : '"," or "]" after an element of an array'
          return this.fail(`expected ${what}, found ${this.shown(p)}`, p)
        }
      }
    }
  }

  private entered: FieldNode | undefined
  /** Steps over a member's name to its value, or to an element; returns where the value begins (-1: failed), its node in `entered`. */
  private enter(container: Container, p: number, spans: Uint32Array, to: number): number {
    const { bytes } = this
    this.entered = undefined
    if (container.object) {
      if (p === this.end || bytes[p] !== QUOTE) {
        const hint =
          bytes[p] === CLOSE_OBJECT ? 'JSON has no comma after the last member' : 'names are in double quotes'
        this.fail(`expected a member's name, found ${this.shown(p)}`, p, p < this.end ? hint : undefined)
        return -1
      }
      if (!this.string(p)) return -1
      if (container.node?.members.size) this.entered = container.node.members.get(decodeString(bytes, p, this.at))
      p = this.skipSpace(this.at)
      if (p === this.end || bytes[p] !== COLON) {
        this.fail(`expected ":" after a member's name, found ${this.shown(p)}`, p)
        return -1
      }
      p = this.skipSpace(p + 1)
    } else {
      this.entered = container.node?.elements.get(container.index++)
    }
    // Of duplicate names the last wins, also where it has less in it than the one before.
    if (this.entered) for (const field of this.entered.below) setSpan(spans, to, field, 0, 0)
    return p
  }

  private scalar(p: number): boolean {
    const byte = this.bytes[p] as number
    if (p >= this.end) return this.fail('the line ends where a value should be', p, 'is the record cut off?')
    if (byte === QUOTE) return this.string(p)
    if (byte === MINUS || isDigit(byte)) return this.number(p)
    for (const word of ['true', 'false', 'null']) {
      if (byte === word.charCodeAt(0) && this.has(word, p)) {
        this.at = p + word.length
        return true
      }
    }
    const word = this.word(p)
    const hint = word && 'values are "text" in double quotes, numbers, true, false, null, […] and {…}'
    return this.fail(`expected a value, found ${word ? `"${word}"` : this.shown(p)}`, p, hint || undefined)
  }

  /** -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
  private number(start: number): boolean {
    const { bytes, end } = this
    const digits = (from: number): number => {
      let p = from
      while (p < end && isDigit(bytes[p] as number)) p++
      return p
    }
    let p = bytes[start] === MINUS ? start + 1 : start
    const whole = p
    p = digits(p)
    if (p === whole) return this.fail(`expected a digit after "-", found ${this.shown(p)}`, p)
    if (bytes[whole] === ZERO && p > whole + 1)
      return this.fail('a number with a leading zero', whole, 'write it as a string to keep the zeros')
    if (p < end && bytes[p] === POINT) {
      const fraction = p + 1
      p = digits(fraction)
      if (p === fraction) return this.fail(`expected a digit after ".", found ${this.shown(p)}`, p)
    }
    if (p < end && ((bytes[p] as number) | 0x20) === LETTER_E) {
      p++
      if (p < end && (bytes[p] === MINUS || bytes[p] === PLUS)) p++
      const exponent = p
      p = digits(exponent)
      if (p === exponent) return this.fail(`expected a digit of the exponent, found ${this.shown(p)}`, p)
    }
    this.at = p
    return true
  }

  private string(start: number): boolean {
    const { bytes, end } = this
    let p = start + 1
    while (p < end) {
      const byte = bytes[p] as number
      if (byte === QUOTE) {
        this.at = p + 1
        return true
      }
      if (byte === BACKSLASH) {
        const escape = p + 1 < end ? String.fromCharCode(bytes[p + 1] as number) : ''
        if (escape === 'u') {
          for (let i = 2; i < 6; i++) {
            if (p + i >= end || !isHex(bytes[p + i] as number)) {
              return this.fail('"\\u" in a string is not followed by four hexadecimal digits', p)
            }
          }
          p += 6
        } else if (escape && '"\\/bfnrt'.includes(escape)) p += 2
        else if (escape)
          return this.fail(`${this.shown(p + 1)} after "\\" in a string`, p, 'write \\\\ for a backslash')
        else break
      } else if (byte < 0x20) {
        const code = byte.toString(16).padStart(4, '0')
        return this.fail(
          `a raw control character (0x${code.slice(2)}) in a string`,
          p,
          `it must be written as \\u${code}`,
        )
      } else if (byte < 0x80) p++
      else {
        const length = utf8Length(bytes, p, end)
        if (!length)
          return this.fail(
            `invalid UTF-8 (byte 0x${byte.toString(16)})`,
            p,
            'convert the input to UTF-8, for instance with iconv',
          )
        p += length
      }
    }
    return this.fail('a string without its closing quote', start)
  }

  private skipSpace(p: number): number {
    while (p < this.end && isSpace(this.bytes[p] as number)) p++
    return p
  }

  private has(word: string, p: number): boolean {
    if (p + word.length > this.end) return false
    for (let i = 1; i < word.length; i++) if (this.bytes[p + i] !== word.charCodeAt(i)) return false
    return true
  }

  /** Up to 20 letters at `p`, for a message. */
  private word(p: number): string {
    let end = p
    while (end < this.end && end < p + 20 && /[A-Za-z]/.test(String.fromCharCode(this.bytes[end] as number))) end++
    return String.fromCharCode(...this.bytes.subarray(p, end))
  }

  private shown(p: number): string {
    if (p >= this.end) return 'the end of the line'
    const byte = this.bytes[p] as number
    return byte === QUOTE
      ? `'"'`
      : byte > 0x20 && byte < 0x7f
        ? `"${String.fromCharCode(byte)}"`
        : `byte 0x${byte.toString(16).padStart(2, '0')}`
  }

  private fail(problem: string, at: number, hint?: string): false {
    this.problem = { problem, at, ...(hint && { hint }) }
    return false
  }
}

interface Container {
  readonly object: boolean
  readonly node: FieldNode | undefined
  readonly start: number
  /** Of the next element. */
  index: number
}

function setSpan(spans: Uint32Array, to: number, field: number, start: number, end: number): void {
  spans[to + 2 * field] = start
  spans[to + 2 * field + 1] = end
}

/** The content of a valid JSON string, `start` and `end` with its quotes. A lone surrogate stays one. */
export function decodeString(bytes: Uint8Array, start: number, end: number): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
  return text.includes('\\') ? (JSON.parse(text) as string) : text.slice(1, -1)
}

/** Length of the UTF-8 sequence at `p` (Unicode 15, table 3-7: no surrogates, nothing overlong, at most U+10FFFF); 0 when it is none. */
export function utf8Length(bytes: Uint8Array, p: number, end: number): number {
  const first = bytes[p] as number
  if (first < 0x80) return 1
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
  if (first < 0xc2 || first > 0xf4 || p + length > end) return 0
  const second = bytes[p + 1] as number
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (second < low || second > high) return 0
  for (let i = 2; i < length; i++) if (((bytes[p + i] as number) & 0xc0) !== 0x80) return 0
  return length
}

/** White space of JSON within a line. */
export const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d
const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39
const isHex = (byte: number): boolean => isDigit(byte) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66)

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const POINT = 0x2e
const MINUS = 0x2d
const PLUS = 0x2b
const ZERO = 0x30
const LETTER_E = 0x65
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
