import type { ByteBuffer } from '../core/byte-buffer.ts'
import { Members } from './members.ts'

/** How two records become one: left's members, then right's. */
export interface SpliceRules {
  /** Put before the name of a right member that the left record has too, as often as it takes to be alone. */
  readonly prefix: string
  /** The whole right record goes under this name instead. */
  readonly nest: string | undefined
  /** Right members that say again what the left record's key says. */
  readonly repeated: ReadonlySet<string>
}

const SPACE = 0x20
const COMMA = 0x2c
const OPEN = 0x7b
const CLOSE = 0x7d
const NEWLINE = 0x0a
const NULL = Buffer.from('null')

/**
 * Writes the part of joined records that comes from the right: `,"name":"Ann","plan":"pro"}` and a line end. Bytes of members
 * are copied, never spelt anew.
 */
export class Splicer {
  readonly #rules: SpliceRules
  readonly #members = new Members()
  readonly #nest: Buffer | undefined

  constructor(rules: SpliceRules) {
    this.#rules = rules
    if (rules.nest !== undefined) this.#nest = Buffer.from(`${JSON.stringify(rules.nest)}:`)
  }

  /** The names of a right record that can clash with a left one's; undefined when it is no object. */
  clashingNames(bytes: Uint8Array, start: number, end: number): string[] | undefined {
    if (this.#nest) return []
    const members = this.#members
    if (!members.read(bytes, start, end)) return undefined
    const names: string[] = []
    for (let member = 0; member < members.count; member++) {
      const name = members.name(bytes, member)
      if (!this.#rules.repeated.has(name)) names.push(name)
    }
    return names
  }

  /**
   * Appends the tail of the right record `start`..`end`. `leftHas` says which names the left record has (undefined: none that clash).
   * False, and nothing written, when the right record is no object.
   */
  tail(into: ByteBuffer, bytes: Uint8Array, start: number, end: number, leftHas?: (name: string) => boolean): boolean {
    if (this.#nest) {
      into.byte(COMMA)
      this.alone(into, bytes, start, end)
      return true
    }
    const members = this.#members
    if (!members.read(bytes, start, end)) return false
    const { prefix, repeated } = this.#rules
    const taken = leftHas && new Set(this.clashingNames(bytes, start, end))
    for (let member = 0; member < members.count; member++) {
      const name = repeated.size > 0 || leftHas ? members.name(bytes, member) : ''
      if (repeated.has(name)) continue
      into.byte(COMMA)
      if (leftHas?.(name)) {
        let other = prefix + name
        while (leftHas(other) || taken!.has(other)) other = prefix + other
        into.append(Buffer.from(JSON.stringify(other)))
        into.copy(bytes, members.nameEnd[member]!, members.valueEnd[member]!)
      } else into.copy(bytes, members.nameStart[member]!, members.valueEnd[member]!)
    }
    into.byte(CLOSE)
    into.byte(NEWLINE)
    return true
  }

  /** A right record without a left one: itself, or under its name alone. */
  rightOnly(into: ByteBuffer, bytes: Uint8Array, start: number, end: number): void {
    if (this.#nest) {
      into.byte(OPEN)
      this.alone(into, bytes, start, end)
    } else {
      into.copy(bytes, start, end)
      into.byte(NEWLINE)
    }
  }

  /** `"right":{…}}` and a line end. */
  private alone(into: ByteBuffer, bytes: Uint8Array, start: number, end: number): void {
    into.append(this.#nest!)
    into.copy(bytes, start, end)
    into.byte(CLOSE)
    into.byte(NEWLINE)
  }

  /** Appends a left record without its closing brace, ready for a tail. False, and nothing written, when it is no object. */
  head(into: ByteBuffer, bytes: Uint8Array, start: number, end: number): boolean {
    if (bytes[end - 1] !== CLOSE) return false
    let to = end - 1
    while (bytes[to - 1]! <= SPACE) to--
    into.copy(bytes, start, to)
    return true
  }

  /**
   * Appends a left record that has no partner: itself, or with null under the name. False, and nothing written, when it is no object
   * and would have to take a member.
   */
  leftOnly(into: ByteBuffer, bytes: Uint8Array, start: number, end: number): boolean {
    if (!this.#nest) {
      into.copy(bytes, start, end)
      into.byte(NEWLINE)
      return true
    }
    if (!this.head(into, bytes, start, end)) return false
    if (into.bytes[into.length - 1] !== OPEN) into.byte(COMMA)
    this.alone(into, NULL, 0, NULL.length)
    return true
  }
}

/** The names of the members of the record `start`..`end`: a left record's, where clashes must be looked for. */
export function namesOf(bytes: Uint8Array, start: number, end: number, members = new Members()): Set<string> {
  members.read(bytes, start, end)
  return new Set(Array.from({ length: members.count }, (_, member) => members.name(bytes, member)))
}

/** Whether the text could hold a member's name that begins with `prefix`: false is certain. */
export function mayHoldName(bytes: Uint8Array, prefix: string): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  // Letters can only be spelt otherwise as \u0041.
  return text.includes(JSON.stringify(prefix).slice(0, -1)) || text.includes(/^\w*$/.test(prefix) ? '\\u' : '\\')
}
