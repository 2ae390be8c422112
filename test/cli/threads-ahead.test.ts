import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { commands } from '../../commands/index.ts'
import { needsThreads } from '../../src/cli/threads-ahead.ts'
import { WORTH_A_WORKER_BYTES } from '../../src/pipeline/large-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'beck-ahead-'))
afterAll(() => rmSync(folder, { recursive: true }))
const large = join(folder, 'large')
const small = join(folder, 'small')
writeFileSync(large, '')
truncateSync(large, WORTH_A_WORKER_BYTES)
writeFileSync(small, '{}\n')

test.each([
  ['window', 'count --time ts --tumbling 1m', true],
  ['window', 'count --time ts --tumbling 1m --late drop', true],
  ['window', 'count --time ts --session 30m', false],
  ['window', 'count --time ts --session=30m', false],
  ['window', 'count --time ts --tumbling 1m --late-to late', false],
  ['window', 'count --processing-time --tumbling 1m', false],
  ['reduce', 'count', true],
  ['reduce', 'count --workers 1', false],
  ['reduce', 'count --workers=1', false],
  ['shuffle', '--by id', false],
])('threads are started ahead for a large file where they are used: %s %s', async (name, options, expected) => {
  const spec = await commands[name]!()
  const words = options.split(' ')
  expect(needsThreads(spec, [...words, large])).toBe(expected)
  expect(needsThreads(spec, [...words, small])).toBe(false)
})
