// Everyday JavaScript, over real records: beck gives what JavaScript gives.
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { MODES, runMap } from './run.ts'

const input = readFileSync(new URL('../../fixtures/flights.ndjson', import.meta.url), 'utf8')
  .split('\n')
  .slice(0, 200)
const nested = input.slice(0, 50).map((line, index) =>
  JSON.stringify({
    ...(JSON.parse(line) as object),
    tags: { region: 'eu', exp: index },
    list: [3, 1, 2].slice(index % 3),
    items: [
      { sku: 'a', n: index },
      { sku: 'b', n: 2 },
    ],
    line: 'to be or not',
  }),
)

it.each([
  'r => r.origin + "-" + r.destination',
  'r => ({ ...r, hours: +(r.delay / 60).toFixed(2) })',
  'r => { const { origin, ...rest } = r; return { from: origin, ...rest } }',
  'r => { const copy = { ...r }; delete copy.date; copy.n = 1; return copy }',
  'r => { r.route = `${r.origin}>${r.destination}`; delete r.origin; return r }',
  'r => Object.fromEntries(Object.entries(r).filter(([, value]) => typeof value === "number"))',
  'r => Object.entries(r).map(([name, value]) => ({ name, value }))',
  'r => { for (const name of Object.keys(r)) if (name.startsWith("d")) r[name.toUpperCase()] = r[name]; return r }',
  'r => { let sum = 0; for (const { n } of r.items) sum += n; return { sum } }',
  'r => r.items.reduce((sum, { n }) => sum + n, 0)',
  'r => r.items.map(({ sku, n }, index) => ({ ...r.tags, sku, n: n * 2, index, delay: r.delay }))',
  'r => r.items.filter(item => item.n > 1).map(item => item.sku)',
  'r => [...r.list].sort((a, b) => a - b)',
  'r => { r.list.sort(); r.list.push(9); return { list: r.list, last: r.list.at(-1) } }',
  'r => r.items.find(({ sku }) => sku === "b")?.n ?? null',
  'r => { r.items[0].n++; return r.items }',
  'r => r.line.split(" ").reduce((counts, word) => ({ ...counts, [word]: (counts[word] ?? 0) + 1 }), {})',
  'r => { const counts = {}; for (const word of r.line.split(" ")) counts[word] = (counts[word] || 0) + 1; return counts }',
  'r => r.delay > 0 ? "late" : r.delay < 0 ? "early" : "on time"',
  'r => { switch (true) { case r.delay > 60: return "very"; case r.delay > 0: return "late"; default: return "fine" } }',
  'r => { if (r.delay > 0) { return { late: r.delay } } return { early: -r.delay } }',
  'r => new Date(r.date + " UTC").getUTCHours()',
  'r => ({ day: r.date.slice(0, 10).replaceAll("/", "-"), at: new Date(`${r.date} UTC`) })',
  'r => /^(\\d+)\\/(\\d+)/.exec(r.date)?.slice(1).map(Number)',
  'r => { const [day, time] = r.date.split(" "); return { day, time } }',
  'r => JSON.parse(JSON.stringify(r))',
  'r => structuredClone(r)',
  'r => Object.assign({}, r, { delay: Math.abs(r.delay) })',
  'r => ({ ...r, ...r.tags, tags: undefined })',
  'r => ({ ["x" + r.tags.exp % 3]: r.origin, delay: r.delay, delay: 1 })',
  'r => [r.origin, r.destination].includes("JFK")',
  'r => "delay" in r && !("gone" in r)',
  'r => { const seen = new Set(r.line); return [...seen].join("") }',
  'r => { try { return JSON.parse(r.line) } catch { return null } }',
  'r => ((min, max) => Math.min(Math.max(r.delay, min), max))(0, 10)',
  'r => { function* count() { for (let n = 0; n < 3; n++) yield n * r.tags.exp } return [...count()] }',
  'r => { class Route { constructor(from, to) { this.from = from; this.to = to } } return new Route(r.origin, r.destination) }',
  'r => { var total = 0, i = 0; while (i < r.list.length) total += r.list[i++]; return total }',
  'function (r) { return [typeof r.delay, [...r.list].length] }',
  '({ origin, tags: { region = "?" }, ...rest }) => [origin, region, Object.keys(rest).length]',
])('%s', (expression) => {
  const plain = new Function(`return (${expression})`)() as (r: unknown) => unknown
  const expected = nested.map((line) => `${JSON.stringify(plain(JSON.parse(line)))}\n`).join('')
  for (const mode of MODES) expect(runMap(expression, `${nested.join('\n')}\n`, { mode }), mode).toBe(expected)
})
