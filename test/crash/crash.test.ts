import { describe, expect, test } from 'vitest'
import { BeckError } from '../../src/core/errors.ts'
import { openStore, observe, type Scenario, scenarios } from './scenarios.ts'
import { Crash, Disk, type Fault, type PowerCut, type SimulatedEnv } from './simulated-disk.ts'

/** A small generator of pseudo-random numbers, so that a failure can be repeated. */
function seeded(seed: number): () => number {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32
  }
}

/** A disk on which everything before the scenario's actions is done, and a process that begins them. */
function prepare(scenario: Scenario, fault?: Fault): { disk: Disk; env: SimulatedEnv } {
  const disk = new Disk()
  if (scenario.before.length > 0) {
    const env = disk.process()
    const store = openStore(env, scenario)
    for (const action of scenario.before) action.run(store)
    store.close()
    env.kill()
  }
  return { disk, env: disk.process(fault) }
}

/** Runs actions from `from` on until one fails. Returns how many succeeded in all, and the failure. */
function run(scenario: Scenario, env: SimulatedEnv, from = 0): { done: number; error?: unknown } {
  let done = from
  try {
    const store = openStore(env, scenario)
    for (; done < scenario.actions.length; done++) scenario.actions[done]?.run(store)
    store.close()
    return { done }
  } catch (error) {
    return { done, error }
  }
}

/** What the store looks like after each number of actions, and how many steps they take. */
function expectations(scenario: Scenario): { states: string[]; steps: number } {
  const { disk, env } = prepare(scenario)
  const states: string[] = [scenario.before.length > 0 ? observe(disk.process()) : '']
  const store = openStore(env, scenario)
  if (scenario.before.length === 0) states[0] = observe(disk.process())
  for (const action of scenario.actions) {
    action.run(store)
    states.push(observe(disk.process()))
  }
  store.close()
  return { states, steps: env.steps.length }
}

/** The store may not have been made yet: then it is made, and is empty. */
function see(scenario: Scenario, disk: Disk): string {
  const env = disk.process()
  openStore(env, scenario).close()
  const state = observe(env)
  env.kill()
  return state
}

const cuts: readonly PowerCut[] = ['nothing', 'everything', 'some', 'some', 'some', 'a beginning', 'a beginning']
let points = 0

describe.each(scenarios)('$name', (scenario) => {
  const { states, steps } = expectations(scenario)
  const last = states.length - 1
  const everyStep = Array.from({ length: steps }, (_, i) => i + 1)

  /** The state must be that after `done` actions, or, when one was under way, after it. */
  function expectAfter(state: string, done: number, where: string): number {
    points++
    if (state === states[done]) return done
    if (done < last && state === states[done + 1]) return done + 1
    expect(state, where).toBe(states[done])
    return done
  }

  test.each(['kill', 'torn 1', 'torn half', 'torn n-1'] as const)(
    '%s at every step, and again while recovering',
    (kind) => {
      for (const step of everyStep) {
        const { disk, env } = prepare(scenario, { step, kind })
        const { done, error } = run(scenario, env)
        expect(error, `step ${step}`).toBeInstanceOf(Crash)
        // The next process dies at each step of its recovery, one after the other; each leaves its mess to the next one.
        for (let again = 1; again <= 12; again++) {
          const second = disk.process({ step: again, kind: again % 2 === 0 ? 'kill' : kind })
          try {
            openStore(second, scenario).transact(false, () => {})
          } catch (crash) {
            if (!(crash instanceof Crash)) throw crash
          }
          second.kill()
        }
        const reached = expectAfter(see(scenario, disk), done, `${kind} at step ${step}: ${env.steps.at(-1)}`)
        const rest = run(scenario, disk.process(), reached)
        expect(rest.error, `${kind} at step ${step}`).toBeUndefined()
        expect(observe(disk.process())).toBe(states[last])
        // What the dead ones had not synced, those who built on it have.
        disk.cutPower('nothing', Math.random)
        const synced = scenario.actions.findLastIndex((action) => action.synced) + 1
        points++
        if (reached < synced) {
          expect(states.slice(synced), `power cut after ${kind} at step ${step}`).toContain(see(scenario, disk))
        }
      }
    },
  )

  test.each(['EIO', 'ENOSPC'] as const)('%s at every step', (kind) => {
    for (const step of everyStep) {
      const { disk, env } = prepare(scenario, { step, kind })
      const { done, error } = run(scenario, env)
      const where = `${kind} at step ${step}: ${env.steps[step - 1]}`
      if (error !== undefined) {
        if (!(error instanceof BeckError)) throw error
        expect(error.exit, where).toBe(3)
        // What was refused is not there; joining and leaving are commits of their own.
        const state = see(scenario, disk)
        points++
        const composed = scenario.actions[done]?.name === 'join, commit, leave'
        if (!composed) expect(state, where).toBe(states[done])
        // The same process, or another one, tries again.
        const another = composed || step % 2 === 0
        if (another) env.kill()
        const again = run(scenario, another ? disk.process() : env, state === states[done] ? done : done + 1)
        if (again.error) throw new Error(where, { cause: again.error })
      }
      expect(observe(disk.process()), where).toBe(states[last])
      // What was acknowledged as synced survives, although a sync may have failed before.
      const synced = scenario.actions.findLastIndex((action) => action.synced) + 1
      disk.cutPower('nothing', Math.random)
      const state = see(scenario, disk)
      points++
      expect(states.slice(synced), where).toContain(state)
    }
  })

  test.each(cuts.map((cut, seed) => ({ cut, seed })))(
    'power cut at every step: $cut of the unsynced is left ($seed)',
    ({ cut, seed }) => {
      for (const step of [...everyStep, steps + 1]) {
        const { disk, env } = prepare(scenario, { step, kind: 'kill' })
        const { done } = run(scenario, env)
        disk.cutPower(cut, seeded(step * 31 + seed))
        const where = `${cut} after step ${step}: ${env.steps.at(-1)}`
        let state: string
        try {
          state = see(scenario, disk)
        } catch (error) {
          throw new Error(where, { cause: error })
        }
        points++
        const synced = scenario.actions.slice(0, done).findLastIndex((action) => action.synced) + 1
        const possible = states.slice(synced === 0 && !syncedBefore(scenario) ? 0 : synced, done + 2)
        if (synced === 0 && !syncedBefore(scenario)) continue // what was before may be gone, too
        expect(possible, where).toContain(state)
        const reached = states.indexOf(state, synced)
        const rest = run(scenario, disk.process(), reached)
        if (rest.error) throw new Error(where, { cause: rest.error })
        expect(observe(disk.process()), where).toBe(states[last])
      }
    },
  )
})

/** Everything that the actions build on survives. */
const syncedBefore = ({ before }: Scenario): boolean => before.length === 0 || before.at(-1)?.synced === true

test('at least 1,000 points were tried', () => {
  expect(points).toBeGreaterThan(1000)
})
