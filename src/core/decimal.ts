/**
 * Exact decimal arithmetic: what `0.1 + 0.2` means to people. Numbers are read from their JSON text, combined without rounding,
 * and rounded once at the end where a result has no end (`1 / 3`). Texts are JSON numbers, checked by the scanner before.
 */

/** mantissa / 10^scale; a negative scale stands for trailing zeros. */
export interface Decimal {
  readonly mantissa: bigint
  readonly scale: number
}

/** Digits further than this from the point would need unreasonable memory: a number of 5,000 digits is 2 KB, one of 1e999999999 is not. */
export const MAX_EXPONENT = 5000

/** A JSON number taken apart: ± 0.`digits` × 10^`exponent`, digits without leading or trailing zeros; zero has none. */
export interface NumberParts {
  readonly negative: boolean
  readonly digits: string
  /** Beyond 2^53 it is not exact any more. */
  readonly exponent: number
}

/** Takes a JSON number apart, so that equal values have equal parts: `1.0`, `1` and `10e-1` are all 0.1 × 10^1. */
export function numberParts(text: string): NumberParts {
  const negative = text.charCodeAt(0) === 45
  const start = negative ? 1 : 0
  let mark = text.search(/[eE]/)
  let exponent = 0
  if (mark >= 0) exponent = Number(text.slice(mark + 1))
  else mark = text.length
  const dot = text.indexOf('.')
  let digits = dot < 0 ? text.slice(start, mark) : text.slice(start, dot) + text.slice(dot + 1, mark)
  exponent += (dot < 0 ? mark : dot) - start
  let zeros = 0
  while (digits.charCodeAt(zeros) === 48) zeros++
  let end = digits.length
  while (end > zeros && digits.charCodeAt(end - 1) === 48) end--
  digits = digits.slice(zeros, end)
  return digits ? { negative, digits, exponent: exponent - zeros } : { negative: false, digits: '', exponent: 0 }
}

/** Order of two JSON numbers by exact value, however long or wild: negative, 0 or positive. */
export function compareNumberTexts(a: string, b: string): number {
  const x = numberParts(a)
  const y = numberParts(b)
  const sign = (parts: NumberParts): number => (parts.digits ? (parts.negative ? -1 : 1) : 0)
  if (sign(x) !== sign(y)) return sign(x) - sign(y)
  const size = x.exponent - y.exponent || (x.digits < y.digits ? -1 : x.digits > y.digits ? 1 : 0)
  return x.negative ? -size : size
}

/** The value of a JSON number, or undefined when it has a digit further than `limit` from its point. */
export function parseDecimal(text: string, limit = MAX_EXPONENT): Decimal | undefined {
  const { negative, digits, exponent } = numberParts(text)
  if (exponent > limit || digits.length - exponent > limit) return undefined
  const mantissa = BigInt(digits)
  return { mantissa: negative ? -mantissa : mantissa, scale: digits.length - exponent }
}

const powers: bigint[] = []
/** 10^n. */
export const tenTo = (n: number): bigint => (n < 400 ? (powers[n] ??= 10n ** BigInt(n)) : 10n ** BigInt(n))

/** 10^n for n up to 22, all exact (`10 ** n` is not promised to be). */
export const powersOfTen: Float64Array = Float64Array.from({ length: 23 }, (_, n) => Number(`1e${n}`))

/** The mantissa that `value` has at a larger or equal scale. */
const rescaled = (value: Decimal, scale: number): bigint => value.mantissa * tenTo(scale - value.scale)

export function addDecimals(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale)
  return { mantissa: rescaled(a, scale) + rescaled(b, scale), scale }
}

export function subtractDecimals(a: Decimal, b: Decimal): Decimal {
  return addDecimals(a, { mantissa: -b.mantissa, scale: b.scale })
}

export const multiplyDecimals = (a: Decimal, b: Decimal): Decimal => ({
  mantissa: a.mantissa * b.mantissa,
  scale: a.scale + b.scale,
})

/** All digits, without an exponent: `0.3`, `12345678901234567891`, `1000`. */
export function formatDecimal({ mantissa, scale }: Decimal): string {
  if (mantissa === 0n) return '0'
  const sign = mantissa < 0n ? '-' : ''
  const digits = String(mantissa < 0n ? -mantissa : mantissa)
  if (scale <= 0) return sign + digits + '0'.repeat(-scale)
  return sign + pointed(digits, scale)
}

/** The same for a mantissa that is a safe integer and a scale from 0. */
export function formatSmallDecimal(mantissa: number, scale: number): string {
  if (scale === 0 || mantissa === 0) return String(mantissa + 0)
  return mantissa < 0 ? `-${pointed(String(-mantissa), scale)}` : pointed(String(mantissa), scale)
}

function pointed(digits: string, scale: number): string {
  let end = digits.length
  while (scale > 0 && end > 1 && digits.charCodeAt(end - 1) === 48) {
    end--
    scale--
  }
  digits = digits.slice(0, end)
  if (scale === 0) return digits
  if (end <= scale) return `0.${'0'.repeat(scale - end)}${digits}`
  return `${digits.slice(0, end - scale)}.${digits.slice(end - scale)}`
}

/**
 * a / b as text: the nearest double (ties to even), printed with the fewest digits that mean it. Beyond a double's range
 * it is rounded to 17 digits instead.
 */
export function formatRatio(a: Decimal, b: Decimal): string {
  const { top, bottom, negative } = fraction(a, b)
  if (top === 0n) return '0'
  const sign = negative ? '-' : ''
  const nearest = nearestRatio(top, bottom)
  return sign + (Number.isFinite(nearest) ? String(nearest) : wideRatio(top, bottom))
}

/** The square root of a / b (not negative) in the same way. */
export function formatRootOfRatio(a: Decimal, b: Decimal): string {
  const { top, bottom } = fraction(a, b)
  if (top === 0n) return '0'
  const nearest = nearestRoot(top, bottom)
  return Number.isFinite(nearest) ? String(nearest) : wideRatio(squareRoot(top / bottom), 1n)
}

function fraction(a: Decimal, b: Decimal): { top: bigint; bottom: bigint; negative: boolean } {
  let top = a.mantissa
  let bottom = b.mantissa
  if (a.scale < b.scale) top *= tenTo(b.scale - a.scale)
  else bottom *= tenTo(a.scale - b.scale)
  const negative = top < 0n !== bottom < 0n
  return { top: top < 0n ? -top : top, bottom: bottom < 0n ? -bottom : bottom, negative }
}

/** Within 4 of the number of binary digits, never less. */
const bits = (value: bigint): number => value.toString(16).length * 4

/** The double nearest to top / bottom, both positive. */
function nearestRatio(top: bigint, bottom: bigint): number {
  const shift = 70 - (bits(top) - bits(bottom))
  return nearestScaled(sticky(top, bottom, shift), shift, (finer) => sticky(top, bottom, finer))
}

function nearestRoot(top: bigint, bottom: bigint): number {
  const root = (shift: number): bigint => {
    const square = sticky(top, bottom, 2 * shift)
    const floor = squareRoot(square)
    return floor * floor === square ? floor : floor | 1n
  }
  const shift = 70 - ((bits(top) - bits(bottom)) >> 1)
  return nearestScaled(root(shift), shift, root)
}

/** top / bottom × 2^shift as an integer whose lowest bit is set when the division leaves a rest. */
function sticky(top: bigint, bottom: bigint, shift: number): bigint {
  if (shift > 0) top <<= BigInt(shift)
  else bottom <<= BigInt(-shift)
  const quotient = top / bottom
  return quotient * bottom === top ? quotient : quotient | 1n
}

/**
 * The double nearest to value / 2^shift, where value has at least 60 bits, the lowest one sticky: so that Number() rounds right.
 * What falls below the normal range is taken again at the precision that is left there (rounding twice would be wrong).
 */
function nearestScaled(value: bigint, shift: number, at: (shift: number) => bigint): number {
  const size = bits(value)
  if (size - shift > -950) return Number(value) * 2 ** -size * 2 ** (size - shift - 64) * 2 ** 64
  const fine = at(1074 + 2)
  const units = fine >> 2n
  const rest = fine & 3n
  return Number(rest > 2n || (rest === 2n && units & 1n) ? units + 1n : units) * Number.MIN_VALUE
}

function squareRoot(value: bigint): bigint {
  if (value < 2n) return value
  let root = 1n << BigInt((bits(value) >> 1) + 1)
  for (;;) {
    const next = (root + value / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

function wideRatio(top: bigint, bottom: bigint): string {
  const whole = top / bottom
  const digits = String(whole)
  const cut = digits.length - 17
  const unit = tenTo(cut)
  const kept = String((whole + unit / 2n) / unit)
  const exponent = kept.length - 1 + cut
  const rest = kept.slice(1).replace(/0+$/, '')
  return `${kept[0]}${rest && `.${rest}`}e+${exponent}`
}
