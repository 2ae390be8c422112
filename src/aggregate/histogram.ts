import {
  addDecimals,
  type Decimal,
  formatRatio,
  multiplyDecimals,
  parseDecimal,
  subtractDecimals,
} from '../core/decimal.ts'
import type { Quantiles } from './quantiles.ts'

const integer = (value: number): Decimal => ({ mantissa: BigInt(value), scale: 0 })

/**
 * `histogram(x, n)`: n bins of equal width from the least to the greatest number, `from` ≤ x < `to`, the last one with its end. Edges are
 * doubles as far as these go, and numbers are compared with the edges as printed. Numbers that are all equal make one bin.
 */
export function histogram(state: Quantiles, slot: number, bins: number): string {
  const numbers = state.sorted(slot)
  if (numbers.length === 0) return 'null'
  const least = numbers.double(0)
  const greatest = numbers.double(numbers.length - 1)
  const from = numbers.at(0)
  const width = subtractDecimals(numbers.at(numbers.length - 1), from)
  if (width.mantissa === 0n || (least === greatest && Number.isFinite(least))) bins = 1
  const edge = (index: number): string => {
    const above = multiplyDecimals(width, integer(index))
    const text = formatRatio(addDecimals(multiplyDecimals(from, integer(bins)), above), integer(bins))
    const double = Number(text)
    return Number.isFinite(double) ? String(double) : text // JSON has larger numbers than doubles, but no Infinity
  }
  const texts: string[] = []
  let start = 0
  for (let bin = 0; bin < bins; bin++) {
    const to = edge(bin + 1)
    const end = bin === bins - 1 ? numbers.length : lowerBound(to, start)
    texts.push(`{"from":${edge(bin)},"to":${to},"count":${end - start}}`)
    start = end
  }
  return `[${texts}]`

  function lowerBound(text: string, low: number): number {
    const double = Number(text)
    const exact = Number.isFinite(double) ? undefined : parseDecimal(text)
    let high = numbers.length
    while (low < high) {
      const middle = (low + high) >> 1
      const below = exact ? subtractDecimals(numbers.at(middle), exact).mantissa < 0n : numbers.double(middle) < double
      if (below) low = middle + 1
      else high = middle
    }
    return low
  }
}
