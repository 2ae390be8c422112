/** The order of values (docs/architecture.md §9) of two JSON texts given as latin1 ("binary") strings. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0
  const [x, y] = [JSON.parse(a), JSON.parse(b)] as unknown[]
  const byRank = rank(x) - rank(y)
  if (byRank !== 0) return byRank
  if (typeof x === 'number' && typeof y === 'number' && x !== y) return x - y
  const [s, t] = typeof x === 'string' && typeof y === 'string' ? [x, y] : [a, b]
  return s < t ? -1 : s > t ? 1 : 0
}

const rank = (value: unknown): number =>
  value === null
    ? 0
    : value === false
      ? 1
      : value === true
        ? 2
        : typeof value === 'number'
          ? 3
          : typeof value === 'string'
            ? 4
            : 5
