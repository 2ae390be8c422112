import { cpSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { bin, temporaryFolder } from '../shell.ts'
import { attempt, makeStore, outcome, pipelines, records, torture } from './pipelines.ts'

/** More of both: see docs/exactly-once.md. */
const KILLS = Number(process.env['BECK_KILLS'] ?? (process.env['BECK_CRASH'] === 'full' ? 10 : 2))
const RECORDS = Number(process.env['BECK_RECORDS'] ?? 20_000)

test.each(pipelines)(
  '$name: killed anywhere, the output is that of an undisturbed run',
  { timeout: 60_000 + KILLS * 20_000 },
  async (pipeline) => {
    const folder = temporaryFolder()
    const pristine = join(folder, 'pristine')
    makeStore(pristine, records(RECORDS), RECORDS / 200)
    const env = { PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter) }
    const calm = join(folder, 'calm')
    cpSync(pristine, calm, { recursive: true })
    const { exit, stderr, ms } = await attempt(pipeline.line, { env: { ...env, BECK_STORE: calm }, cwd: calm })
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    const { output, epoch, left } = await outcome(calm, pipeline)
    expect(left).toBe(0)
    expect(epoch).toBeGreaterThan(5)
    let seed = Number(process.env['BECK_SEED'] ?? Date.now())
    const name = `${pipeline.name} (BECK_SEED=${seed})`
    const random = (): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      return seed / 2 ** 32
    }
    const setup = { folder: join(folder, 'store'), pristine, calm, env, kills: KILLS, expected: output, usualMs: ms }
    const { kills, midway } = await torture({ ...pipeline, name }, setup, random)
    expect(kills).toBe(KILLS)
    if (KILLS > 20) expect(midway).toBeGreaterThan(KILLS / 20)
  },
)
