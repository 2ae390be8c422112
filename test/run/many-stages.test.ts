// Many stages on a block of tiny records: each stage may ask for columns of all rows.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'

test('there is room for the columns of many stages on a block of tiny records', async () => {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'tiny'), Array.from({ length: 300_000 }, (_, n) => `{"a":${n % 10}}\n`).join(''))
  const filters = ['r.a > 1', 'r.a > 2 || r.b', 'r.a !== 3', 'r.a > 3 && r.c !== 5', 'r.a < 9', 'r.a >= 4 || r.d']
  const stages = filters.map((text, index) => `filter "${text}"${index === 0 ? ' tiny' : ''}`)
  const text = [...stages, 'reduce "count, sum(a), p90(a), first(b)" --by a'].join(' | ')
  const [fused, pipes] = [
    await shell(`beck run '${text}'`, { cwd: folder }),
    await shell(`beck run --mode pipes '${text}'`, { cwd: folder }),
  ]
  expect(fused).toEqual(pipes)
  expect(fused).toMatchObject({ exit: 0, stderr: '' })
})
