import { describe, expect, it } from 'vitest'
import { encodeBatches, ndjson } from './harness.ts'

const records = ndjson([{ a: 1 }, { a: 22 }, { a: 333 }])
const perBatch = async (program: string[], options: { columns?: string }, terminal: boolean): Promise<string[]> =>
  (
    await encodeBatches(
      program,
      options,
      records,
      '{"a":1}\n'.length,
      terminal ? { columns: 80, color: false } : undefined,
    )
  ).map((parts) => Buffer.concat(parts).toString())

describe('rows that are written', () => {
  it('at the end, when the first records decide the columns', async () => {
    expect((await perBatch(['csv'], {}, true)).slice(0, -1).join('')).toBe('')
    expect((await perBatch(['csv'], {}, true)).at(-1)).toBe('a\n1\n22\n333\n')
    expect((await perBatch(['table'], { columns: 'a' }, false)).at(-1)).toBe('  a\n  1\n 22\n333\n')
  })

  it('at once, when csv is told the columns', async () => {
    expect((await perBatch(['csv'], { columns: 'a' }, false))[0]).toBe('a\n1\n')
  })

  it('as they arrive, when a table on a terminal is told the columns', async () => {
    const [first, ...later] = await perBatch(['table'], { columns: 'a' }, true)
    expect(first).toBe('a\n1\n')
    expect(later.join('')).toBe('22\n333\n')
  })
})
