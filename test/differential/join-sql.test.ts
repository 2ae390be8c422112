// What SQL answers for the same joins over random tables: SQLite (the program sqlite3), and DuckDB (installed for the benchmark).
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join as joinPath } from 'node:path'
import { array, assert, asyncProperty, constantFrom, record, tuple } from 'fast-check'
import { describe, expect, it } from 'vitest'
import { join } from '../../commands/join.ts'
import { root } from '../shell.ts'
import { lines, runStage } from '../stage.ts'

type Cell = number | string | null
interface Row {
  readonly a: Cell
  readonly b: Cell
  readonly n: number
}
const ON: Readonly<Record<string, string>> = {
  inner: 'JOIN r ON l.a = r.a AND l.b = r.b',
  left: 'LEFT JOIN r ON l.a = r.a AND l.b = r.b',
  right: 'RIGHT JOIN r ON l.a = r.a AND l.b = r.b',
  full: 'FULL JOIN r ON l.a = r.a AND l.b = r.b',
  semi: 'WHERE EXISTS (SELECT 1 FROM r WHERE l.a = r.a AND l.b = r.b)',
  anti: 'WHERE NOT EXISTS (SELECT 1 FROM r WHERE l.a = r.a AND l.b = r.b)',
}
const query = (type: string): string =>
  `SELECT l.n AS x, ${type === 'semi' || type === 'anti' ? 'NULL' : 'r.n'} AS y FROM l ${ON[type]} ORDER BY x, y`
const literal = (cell: Cell): string =>
  cell === null ? 'NULL' : typeof cell === 'number' ? String(cell) : `'${cell.replaceAll("'", "''")}'`
const insert = (table: string, rows: readonly Row[]): string =>
  rows.map(({ a, b, n }) => `INSERT INTO ${table} VALUES (${literal(a)}, ${literal(b)}, ${n});`).join('\n')

/** Pairs of row numbers, null where a side is missing, in order. */
type Pairs = readonly (readonly [number | null, number | null])[]
const inOrder = (pairs: Pairs): Pairs =>
  [...pairs].sort((p, q) => (p[0] ?? -1) - (q[0] ?? -1) || (p[1] ?? -1) - (q[1] ?? -1))

async function beck(type: string, left: readonly Row[], right: readonly Row[], merge: boolean): Promise<Pairs> {
  const options = { on: 'a,b', type, nest: 'r', ...(merge && { merge }) }
  const { output } = await runStage(join, lines(left), {
    options,
    table: lines(right),
    memoryBytes: merge ? 2000 : 1e9,
  })
  const rows = output.split('\n').filter(Boolean)
  return inOrder(
    rows.map((line) => {
      const { n, r } = JSON.parse(line) as { n?: number; r?: Row | null }
      return [n ?? null, r?.n ?? null]
    }),
  )
}

const tables = (cell: ReturnType<typeof constantFrom<Cell[]>>) => {
  const rows = array(record({ a: cell, b: cell }), { maxLength: 25 }).map((items): Row[] =>
    items.map((item, n) => ({ ...item, n })),
  )
  return tuple(rows, rows)
}

const hasSqlite = (() => {
  try {
    execFileSync('sqlite3', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

describe.skipIf(!hasSqlite)('joins as SQLite answers them', () => {
  // Columns without a type: 1 and 1.0 are one number, '1' is another value, as in JSON.
  const sqlite = (sql: string): Pairs =>
    JSON.parse(execFileSync('sqlite3', ['-json', ':memory:'], { input: sql }).toString() || '[]').map(
      ({ x, y }: { x: number | null; y: number | null }) => [x, y],
    ) as Pairs

  it.each(Object.keys(ON))('%s', async (type) => {
    await assert(
      asyncProperty(
        tables(constantFrom<Cell[]>(1, 1.5, -0.25, '1', 'x', "it's", 'é', '', null)),
        async ([left, right]) => {
          const sql = `CREATE TABLE l (a, b, n); CREATE TABLE r (a, b, n);\n${insert('l', left)}\n${insert('r', right)}\n${query(type)};`
          const expected = inOrder(sqlite(sql))
          expect(await beck(type, left, right, false)).toEqual(expected)
          expect(await beck(type, left, right, true)).toEqual(expected)
        },
      ),
      { numRuns: 40 },
    )
  })
})

const duckdbFolder = joinPath(root, 'bench/node_modules/@duckdb/node-api')
describe.skipIf(!existsSync(duckdbFolder))('joins as DuckDB answers them', () => {
  interface Connection {
    runAndReadAll(sql: string): Promise<{ getRows(): (number | null)[][] }>
    run(sql: string): Promise<unknown>
  }
  // Columns have a type there: one of each, whose values JSON writes in more than one way.
  const columns: readonly (readonly [string, readonly Cell[]])[] = [
    ['VARCHAR', ['1', 'x', "it's", 'é', '', null]],
    ['BIGINT', [0, 1, -7, 2 ** 53 - 1, null]],
    ['DOUBLE', [0, 1, 1.5, -0.25, 1e300, 5e-324, null]],
  ]
  const ways = columns.flatMap(([column, cells]) => Object.keys(ON).map((type) => [type, column, cells] as const))
  it.each(ways)('%s of %s', async (type, column, cells) => {
    const { DuckDBInstance } = createRequire(import.meta.url)(duckdbFolder) as {
      DuckDBInstance: { create(path: string): Promise<{ connect(): Promise<Connection> }> }
    }
    const connection = await (await DuckDBInstance.create(':memory:')).connect()
    await assert(
      asyncProperty(tables(constantFrom(...cells)), async ([left, right]) => {
        for (const [name, rows] of [
          ['l', left],
          ['r', right],
        ] as const) {
          await connection.run(`CREATE OR REPLACE TABLE ${name} (a ${column}, b ${column}, n INTEGER)`)
          if (rows.length > 0) await connection.run(insert(name, rows))
        }
        const answer = await connection.runAndReadAll(query(type))
        const expected = inOrder(answer.getRows().map(([x = null, y = null]) => [x, y]))
        expect(await beck(type, left, right, false)).toEqual(expected)
        expect(await beck(type, left, right, true)).toEqual(expected)
      }),
      { numRuns: 10 },
    )
  })
})
