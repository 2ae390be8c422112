import { cpSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { bin, temporaryFolder } from '../shell.ts'
import { attempt, makeStore, records } from './pipelines.ts'

/** As in pipelines.test.ts. */
const KILLS = Number(process.env['BECK_KILLS'] ?? (process.env['BECK_CRASH'] === 'full' ? 10 : 3))
const RECORDS = 20_000

/** The delivery levels below exactly once, each with what it promises of how often a record comes. */
const levels = [
  {
    name: '--at-least-once',
    line: "beck consume in -g g --at-least-once --checkpoint 5ms | beck filter 'r.ms > 200' | beck commit >> out",
    loses: false,
    repeats: true,
  },
  {
    name: '--at-most-once',
    line: 'beck consume in -g g --at-most-once >> out',
    loses: true,
    repeats: false,
  },
  // It protects against its own death alone: there is nobody else to die.
  { name: 'plain consume', line: 'beck consume in -g g >> out', loses: false, repeats: true },
]

test.each(levels)(
  '$name: does what it says when killed anywhere',
  { timeout: 60_000 + KILLS * 20_000 },
  async (level) => {
    const folder = temporaryFolder()
    const pristine = join(folder, 'pristine')
    const lines = records(RECORDS)
    makeStore(pristine, lines, RECORDS / 200)
    const store = join(folder, 'store')
    const env = { PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter), BECK_STORE: store }
    const out = join(store, 'out')
    const begin = (): void => {
      rmSync(store, { recursive: true, force: true })
      cpSync(pristine, store, { recursive: true })
    }
    /** How often each record is there. A line that a kill has torn is none, and neither is what follows it in its line. */
    const count = (): Map<string, number> => {
      const counts = new Map<string, number>()
      const known = new Set(lines)
      for (const line of existsSync(out) ? readFileSync(out, 'utf8').split('\n') : []) {
        const start = line.lastIndexOf('{"ts":')
        const whole = start < 0 ? '' : line.slice(start)
        if (known.has(whole)) counts.set(whole, (counts.get(whole) ?? 0) + 1)
      }
      return counts
    }
    begin()
    const { exit, stderr, ms } = await attempt(level.line, { env, cwd: store })
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    const calm = count()
    expect(calm.size).toBeGreaterThan(RECORDS / 2)
    // Nothing comes twice where nothing is killed.
    expect(Math.max(...calm.values())).toBe(1)

    let seed = Number(process.env['BECK_SEED'] ?? Date.now())
    const random = (): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      return seed / 2 ** 32
    }
    let lost = 0
    let twice = 0
    for (let kills = 0, runs = 0; kills < KILLS && runs < 20 * KILLS;) {
      begin()
      for (let done = false; !done; runs++) {
        const kill = { afterMs: (0.3 + random()) * ms, which: Math.floor(random() * 1000) }
        const { exit, killed, stderr } = await attempt(level.line, { env, cwd: store, kill })
        if (killed) kills++
        else expect(exit, stderr).toBe(0)
        done = exit === 0
      }
      const counts = count()
      lost += [...calm.keys()].filter((line) => !counts.has(line)).length
      twice += [...counts.values()].filter((times) => times > 1).length
    }
    if (!level.loses) expect(lost).toBe(0)
    if (!level.repeats) expect(twice).toBe(0)
  },
)
