// Whether a filter lets so few records through that the next stage scans them for itself; what comes out is the same (rewrites.test.ts).
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { planInputs } from '../../src/pipeline/parallel.ts'
import { letsFew } from '../../src/run/few.ts'
import type { ChainStage } from '../../src/run/group.ts'
import type { CommandStage } from '../../src/run/plan.ts'
import { temporaryFolder } from '../shell.ts'
import { plan } from './in-process.ts'

const file = join(temporaryFolder(), 'in.ndjson')
const lines = Array.from(
  { length: 400 },
  (_, at) => `{"n":${at % 20},"k":"a","o":${at % 7 === 0 ? '{"toString":1}' : at}}\n`,
)

async function few(text: string, content = lines.join('')): Promise<boolean> {
  writeFileSync(file, content)
  const { stages } = await plan(text)
  const chain = (stages as CommandStage[]).map(
    ({ stage, settings }, index) => ({ index, stage, settings }) as ChainStage,
  )
  return letsFew(chain, planInputs([file], 300, 0)!)
}

describe('a filter that lets few records through', () => {
  it.each([
    ['filter "r.n === 3" | reduce count --by k', true],
    ['filter "r.n < 3" | reduce count --by k', false],
    ['filter "r.gone" | map "{k: r.k}"', true],
    ['filter "r.n === 3" | reduce "sum(n)"', false],
    ['filter "r.n === 3" | filter "r.k > 1"', true],
    ['filter "r.n === 3"', false],
    ['filter "r.n % 20 === 3" | reduce count --by k', false],
    ['filter "r.o == 1" | reduce count --by k', true],
    ['reduce count --by k | filter "r.count > 1"', false],
  ])('%s: %s', async (text, expected) => expect(await few(text)).toBe(expected))

  it('is not found in what has no records', async () => {
    const text = 'filter "r.n === 3" | reduce count --by k'
    expect(await few(text, '')).toBe(false)
    expect(await few(text, '\n\n  \n')).toBe(false)
    expect(await few(text, '{"n":1')).toBe(false)
    expect(await few(text, `{"n":${'1'.repeat(100_000)}}\n`)).toBe(false)
    expect(await few(text, `{"n":}\n${lines.join('')}`)).toBe(true)
  })
})
