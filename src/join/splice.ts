import type { ByteBuffer } from '../core/byte-buffer.ts'
import { KernelMembers, type Plan } from './kernel-members.ts'
import { type Shape, Shapes } from './shapes.ts'

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

/** Plans are forgotten when there are so many. */
const MOST_PLANS = 4096

/**
 * Puts joined records together: `{"user_id":7` from the left, `,"name":"Ann","plan":"pro"}` and a line end from the right. Bytes of
 * members are copied, never spelt anew.
 */
export class Splicer {
  readonly #rules: SpliceRules
  readonly #shapes = new Shapes()
  readonly #nest: Buffer | undefined
  /** By the shapes of both sides. */
  readonly #plans = new Map<string, Plan>()
  #lastPlan: { readonly left: Shape | undefined; readonly right: Shape; readonly plan: Plan } | undefined

  readonly #kernel: KernelMembers | undefined

  /** @param fromStore records are in the store, mostly */
  constructor(rules: SpliceRules, fromStore = false) {
    this.#rules = rules
    if (fromStore) this.#kernel = new KernelMembers()
    if (rules.nest !== undefined) this.#nest = Buffer.from(`${JSON.stringify(rules.nest)}:`)
  }

  /** The names of a right record that can clash with a left one's; undefined when it is no object. */
  clashingNames(bytes: Uint8Array, start: number, end: number): readonly string[] | undefined {
    if (this.#nest) return []
    const { repeated } = this.#rules
    const names = this.#shapes.read(bytes, start, end)?.names
    return repeated.size > 0 ? names?.filter((name) => !repeated.has(name)) : names
  }

  /**
   * Appends the tail of the right record `start`..`end`, to follow a left record of the shape `left` (undefined: one whose names do not
   * clash). False, and nothing written, when the right record is no object.
   */
  tail(into: ByteBuffer, bytes: Uint8Array, start: number, end: number, left?: Shape): boolean {
    if (this.#nest) {
      into.byte(COMMA)
      this.#nested(into, bytes, start, end)
      return true
    }
    const fast = this.#fastTail(bytes, start, end, left)
    if (fast) {
      into.append(fast)
      return true
    }
    const right = this.#shapes.read(bytes, start, end)
    if (!right) return false
    const { nameStart, nameEnd, valueEnd } = this.#shapes.members
    const plan = this.#plan(left, right)
    for (let member = 0; member < plan.length; member++) {
      const action = plan[member]!
      if (action === 'drop') continue
      if (action === 'keep') {
        into.byte(COMMA)
        into.copy(bytes, nameStart[member]!, valueEnd[member]!)
      } else {
        into.append(action)
        into.copy(bytes, nameEnd[member]!, valueEnd[member]!)
      }
    }
    into.byte(CLOSE)
    into.byte(NEWLINE)
    return true
  }

  /** Where the record is in the store, and as the one before: the kernel's tail. */
  #fastTail(bytes: Uint8Array, start: number, end: number, left: Shape | undefined): Uint8Array | undefined {
    const last = this.#lastPlan
    if (!last || last.left !== left || !this.#kernel || bytes !== this.#kernel.memory) return undefined
    this.#kernel.expect(last.right, last.plan)
    return this.#kernel.tail(start, end)
  }

  #plan(left: Shape | undefined, right: Shape): Plan {
    const last = this.#lastPlan
    if (last && last.left === left && last.right === right) return last.plan
    const key = `${left?.id} ${right.id}`
    let plan = this.#plans.get(key)
    if (!plan) {
      const { prefix, repeated } = this.#rules
      const given = new Set<string>()
      plan = right.names.map((name) => {
        if (repeated.has(name)) return 'drop'
        if (!left?.has.has(name)) return 'keep'
        let other = prefix + name
        while (left.has.has(other) || right.has.has(other) || given.has(other)) other = prefix + other
        given.add(other)
        return Buffer.from(`,${JSON.stringify(other)}`)
      })
      if (this.#plans.size >= MOST_PLANS) this.#plans.clear()
      this.#plans.set(key, plan)
    }
    this.#lastPlan = { left, right, plan }
    return plan
  }

  /** A right record without a left one: itself, or under its name alone. */
  rightOnly(into: ByteBuffer, bytes: Uint8Array, start: number, end: number): void {
    if (this.#nest) {
      into.byte(OPEN)
      this.#nested(into, bytes, start, end)
    } else {
      into.copy(bytes, start, end)
      into.byte(NEWLINE)
    }
  }

  /** `"right":{…}}` and a line end. */
  #nested(into: ByteBuffer, bytes: Uint8Array, start: number, end: number): void {
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
    this.#nested(into, NULL, 0, NULL.length)
    return true
  }
}

/** Whether the text could hold a member's name that begins with `prefix`: false is certain. */
export function mayHoldName(bytes: Uint8Array, prefix: string): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  // Letters can only be spelt otherwise as \u0041.
  return text.includes(JSON.stringify(prefix).slice(0, -1)) || text.includes(/^\w*$/.test(prefix) ? '\\u' : '\\')
}
