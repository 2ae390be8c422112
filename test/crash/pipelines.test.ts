import { cpSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { bin, temporaryFolder } from '../shell.ts'
import { attempt, makeStore, outcome, pipelines, records, torture } from './pipelines.ts'

const KILLS = 8

test.each(pipelines)(
  '$name: killed anywhere, the output is that of an undisturbed run',
  { timeout: 300_000 },
  async (pipeline) => {
    const folder = temporaryFolder()
    const pristine = join(folder, 'pristine')
    makeStore(pristine, records(20_000), 100)
    const env = { PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter) }
    const calm = join(folder, 'calm')
    cpSync(pristine, calm, { recursive: true })
    const { exit, stderr, ms } = await attempt(pipeline.line, { env: { ...env, BECK_STORE: calm }, cwd: folder })
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    const { output, epoch, left } = outcome(calm)
    expect(left).toBe(0)
    expect(epoch).toBeGreaterThan(5)
    let seed = Number(process.env['BECK_SEED'] ?? Date.now())
    const random = (): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      return seed / 2 ** 32
    }
    const setup = { folder: join(folder, 'store'), pristine, env, kills: KILLS, expected: output, usualMs: ms }
    expect((await torture(pipeline, setup, random)).kills).toBe(KILLS)
  },
)
