// Do two files hold the same records? As JSON values: member order, white space and the spelling of numbers and times do not count.
import { readFileSync } from 'node:fs'

const canonical = (value) => {
  if (typeof value === 'number') return Number(value.toPrecision(12))
  if (typeof value === 'string')
    return /^\d{4}-\d\d-\d\d[T ]\d\d:/.test(value) ? Date.parse(value.replace(/Z?$/, 'Z')) : value
  if (Array.isArray(value)) return value.map(canonical)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.keys(value)
      .toSorted()
      .map((key) => [key, canonical(value[key])]),
  )
}

/** Throws at the first record that differs. `order`: whether the order of records counts. */
export function compare(ours, theirs, { order }) {
  const [a, b] = [ours, theirs].map((file) => {
    const lines = readFileSync(file, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.stringify(canonical(JSON.parse(line))))
    return order ? lines : lines.toSorted()
  })
  for (let i = 0; i < Math.max(a.length, b.length); i++)
    if (a[i] !== b[i]) throw new Error(`record ${i + 1} differs:\n  ${a[i]}\n  ${b[i]}`)
}
