import { Kind, type RecordBatch } from '../core/batch.ts'
import { latin1 } from '../core/latin1.ts'
import { Rank, stringContent } from '../core/order.ts'

/** How far a code decides. */
export const Loose = {
  /** Equal codes are equal values. */
  no: 0,
  /** Strings without escapes: the bytes behind the prefix decide. */
  bytes: 1,
  /** Anything: `compareValues` decides. */
  value: 2,
} as const

/** Bytes of a string that a code holds. */
export const PREFIX = 7

const double = new Float64Array(1)
const words = new Uint32Array(double.buffer)
const BACKSLASH = 0x5c

/**
 * Codes of values: 64 bits whose unsigned order is the order of values as far as they go.
 *
 *     number  rank:3 | the double's bits, made to sort, without the last three: 61
 *     string  rank:3 | the first 7 bytes: 56 | how many bytes there are, at most 8: 4 | 0
 *     rest    rank:3 | 0
 */
export class KeyCodes {
  high: Uint32Array = new Uint32Array(1024)
  low: Uint32Array = new Uint32Array(1024)
  loose: Uint8Array = new Uint8Array(1024)
  /** All values so far are decided by their codes. */
  exact = true

  /** Codes for all rows of a batch, by row. Downwards: every bit the other way. */
  set(batch: RecordBatch, field: number, descending: boolean): void {
    if (this.high.length < batch.count) {
      this.high = new Uint32Array(2 * batch.count)
      this.low = new Uint32Array(2 * batch.count)
      this.loose = new Uint8Array(2 * batch.count)
    }
    const { bytes, spans, stride } = batch
    const { kinds, values } = batch.numbers(field)
    this.exact = true
    for (let row = 0, at = 2 + 2 * field; row < batch.count; row++, at += stride) {
      const kind = kinds[row]!
      const start = spans[at]!
      const end = spans[at + 1]!
      let loose: number = Loose.no
      if (kind === Kind.number) loose = this.#number(row, values[row]!, end - start)
      else if (kind === Kind.string) loose = this.#string(row, bytes, start + 1, end - 1)
      else if (kind === Kind.big) {
        this.#number(row, Number(latin1(bytes, start, end)), end - start)
        loose = Loose.value
      } else {
        this.high[row] = (ranks[kind]! << 29) >>> 0
        this.low[row] = 0
        if (kind === Kind.array || kind === Kind.object) loose = Loose.value
      }
      if (descending) {
        this.high[row] = ~this.high[row]!
        this.low[row] = ~this.low[row]!
      }
      this.loose[row] = loose
      if (loose !== Loose.no) this.exact = false
    }
  }

  #number(row: number, value: number, length: number): number {
    double[0] = value + 0
    const sign = words[1]! >>> 31
    // Two's complement for what sorts the other way: negative doubles with all bits turned, others above them.
    const high = sign ? ~words[1]! : words[1]! | 0x80000000
    const low = sign ? ~words[0]! : words[0]!
    this.high[row] = (Rank.number << 29) | (high >>> 3)
    this.low[row] = (high << 29) | (low >>> 3)
    // 14 digits have codes of their own, unless the exponent was beyond a double.
    const wild = length > 14 || (value === 0 ? length > 1 : !(Math.abs(value) > 1e-300 && Math.abs(value) < 1e300))
    return wild ? Loose.value : Loose.no
  }

  #string(row: number, bytes: Uint8Array, start: number, end: number): number {
    for (let at = start; at < end; at++) {
      if (bytes[at] !== BACKSLASH) continue
      const content = stringContent(latin1(bytes, start - 1, end + 1))
      this.#prefix(row, Buffer.from(content, 'latin1'), 0, content.length)
      return content.length > PREFIX ? Loose.value : Loose.no
    }
    this.#prefix(row, bytes, start, end)
    return end - start > PREFIX ? Loose.bytes : Loose.no
  }

  #prefix(row: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start
    let high = 0
    let low = 0
    for (let index = 0; index < PREFIX; index++) {
      high = (high << 8) | (low >>> 24)
      low = (low << 8) | (index < length ? bytes[start + index]! : 0)
    }
    // 56 bits in high:low (24 + 32) go up by 5, behind the rank.
    this.high[row] = (Rank.string << 29) | (high << 5) | (low >>> 27)
    this.low[row] = (low << 5) | (Math.min(length, PREFIX + 1) << 1)
  }
}

const ranks: Readonly<Record<number, number>> = {
  [Kind.missing]: Rank.null,
  [Kind.null]: Rank.null,
  [Kind.false]: Rank.false,
  [Kind.true]: Rank.true,
  [Kind.array]: Rank.rest,
  [Kind.object]: Rank.rest,
}
