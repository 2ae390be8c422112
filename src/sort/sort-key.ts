import type { ByteBuffer } from '../core/byte-buffer.ts'
import { canonicalKey, canonicalNumber } from '../core/key.ts'
import { latin1 } from '../core/latin1.ts'
import { stringContent } from '../core/order.ts'

/**
 * JSON values as bytes whose order, byte by byte, is the order of the values (src/core/order.ts): equal bytes are equal keys, and no
 * value's bytes begin another's, so the parts of a key just follow each other.
 *
 *     null 01 · false 02 · true 03
 *     number 04, its double (8 bytes, sign flipped so that they ascend), then 80; see `tail` for those that a double does not tell apart
 *     string 05, its UTF-8 with 00 as 00 ff, then 00 01
 *     array, object 06, its canonical text, then 00 01
 *
 * For descending order all bits of the value are flipped.
 */
const Tag = { null: 1, false: 2, true: 3, number: 4, string: 5, rest: 6 } as const

const scratch = new DataView(new ArrayBuffer(8))

/** Appends the value `bytes[start..end]` (raw JSON; empty is missing, which is null). O(its length). */
export function appendSortKey(
  into: ByteBuffer,
  bytes: Uint8Array,
  start: number,
  end: number,
  descending = false,
): void {
  const from = into.length
  into.reserve(2 * (end - start) + 32)
  switch (end === start ? 0x6e : bytes[start]) {
    case 0x22:
      appendString(into, bytes, start, end)
      break
    case 0x5b:
    case 0x7b:
      into.byte(Tag.rest)
      appendEscaped(into, Buffer.from(canonicalKey(utf8(bytes, start, end))))
      break
    case 0x66:
      into.byte(Tag.false)
      break
    case 0x74:
      into.byte(Tag.true)
      break
    case 0x6e:
      into.byte(Tag.null)
      break
    default:
      appendNumber(into, bytes, start, end)
  }
  if (descending) for (let at = from; at < into.length; at++) into.bytes[at]! ^= 0xff
}

const utf8 = (bytes: Uint8Array, start: number, end: number): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString()

function appendString(into: ByteBuffer, bytes: Uint8Array, start: number, end: number): void {
  into.byte(Tag.string)
  const to = into.bytes
  let at = into.length
  for (let p = start + 1; p < end - 1; p++) {
    const byte = bytes[p]!
    if (byte === 0x5c || byte === 0) {
      appendEscaped(into, Buffer.from(stringContent(latin1(bytes, start, end)), 'latin1'))
      return
    }
    to[at++] = byte
  }
  to[at++] = 0
  to[at++] = 1
  into.length = at
}

function appendEscaped(into: ByteBuffer, text: Uint8Array): void {
  into.reserve(2 * text.length + 2)
  for (const byte of text) {
    into.byte(byte)
    if (byte === 0) into.byte(0xff)
  }
  into.byte(0)
  into.byte(1)
}

/** So many digits are told apart by a double, and no fewer than that (IEEE 754: 15.95). */
const DIGITS = 15
/** Below this doubles have fewer digits. */
const TINY = 1e-290

function appendNumber(into: ByteBuffer, bytes: Uint8Array, start: number, end: number): void {
  const text = latin1(bytes, start, end)
  const value = Number(text) + 0 // -0 is 0
  into.byte(Tag.number)
  appendDouble(into, value)
  const plain = end - start <= DIGITS && Number.isFinite(value) && (Math.abs(value) > TINY || isZero(text))
  if (plain) into.byte(0x80)
  else appendTail(into, text, value)
}

const isZero = (text: string): boolean => !/^-?[^eE]*[1-9]/.test(text)

/** The double's bits so that they ascend as unsigned bytes: negative ones flipped whole, others in their sign. */
export function appendDouble(into: ByteBuffer, value: number): void {
  scratch.setFloat64(0, value)
  const flip = value < 0 ? 0xff : 0
  into.byte(scratch.getUint8(0) ^ (flip || 0x80))
  for (let at = 1; at < 8; at++) into.byte(scratch.getUint8(at) ^ flip)
}

/**
 * Numbers that share a double: at most one of them has few digits, which gets 80; those below it get 40 and those above c0 with their
 * exact digits. Where none is short, all get c0.
 */
function appendTail(into: ByteBuffer, text: string, value: number): void {
  const { negative, digits, exponent } = exact(text)
  const tiny = value !== 0 && Math.abs(value) <= TINY
  const short = Number.isFinite(value) && !tiny ? value.toPrecision(DIGITS) : undefined
  if (short !== undefined && Number(short) === value) {
    const other = exact(short)
    const sign = negative || other.negative ? -1 : 1
    const order =
      other.digits === '0'
        ? digits === '0'
          ? 0
          : negative
            ? -1
            : 1
        : digits === '0'
          ? 0
          : sign * compareMagnitudes(digits, exponent, other.digits, other.exponent)
    if (order === 0) {
      into.byte(0x80)
      return
    }
    into.byte(order < 0 ? 0x40 : 0xc0)
  } else into.byte(0xc0)
  const from = into.length
  appendDouble(into, exponent)
  for (let at = 0; at < digits.length; at++) into.byte(digits.charCodeAt(at))
  into.byte(0)
  if (negative) for (let at = from; at < into.length; at++) into.bytes[at]! ^= 0xff
}

/** 0.DIGITS × 10^exponent, digits without zeros at either end. */
function exact(text: string): { negative: boolean; digits: string; exponent: number } {
  const canonical = canonicalNumber(text)
  const negative = canonical.startsWith('-')
  const [, whole = '', fraction = '', power = '0'] = /^-?(\d+)\.?(\d*)e?(.*)$/.exec(canonical)!
  const all = whole + fraction
  const digits = all.replace(/^0+/, '')
  const exponent = Number(power) + whole.length - (all.length - digits.length)
  return { negative, digits: digits.replace(/0+$/, '') || '0', exponent }
}

function compareMagnitudes(a: string, aExponent: number, b: string, bExponent: number): number {
  return aExponent - bExponent || (a < b ? -1 : a > b ? 1 : 0)
}
