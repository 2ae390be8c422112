import { expect, test } from 'vitest'
import { BeckError } from '../../src/core/errors.ts'
import { observe, openStore, scenarios } from '../crash/scenarios.ts'
import { Disk } from '../crash/simulated-disk.ts'

/**
 * One flipped bit anywhere in a small store is told, or it does not matter: then everything reads as before. Every byte is tried, with
 * another bit each.
 */
test('one flipped bit', () => {
  const scenario = scenarios.find(({ name }) => name === 'append, acks none then batch')
  if (!scenario) throw new Error('no such scenario')
  const disk = new Disk()
  const env = disk.process()
  const store = openStore(env, scenario)
  for (const action of [...scenario.before, ...scenario.actions.slice(0, 3)]) action.run(store)
  store.close()
  env.kill()
  const before = observe(disk.process())
  let told = 0
  let harmless = 0
  for (const [path, file] of disk.files()) {
    for (let at = 0; at < file.content.length; at++) {
      const good = file.content[at] as number
      file.content[at] = good ^ (1 << ((at * 5 + path.length) % 8))
      try {
        expect(observe(disk.process()), `${path} at ${at}`).toBe(before)
        harmless++
      } catch (error) {
        if (!(error instanceof BeckError) && !(error as Error).message.startsWith('verify: ')) throw error
        told++
      }
      file.content[at] = good
    }
  }
  expect(told).toBeGreaterThan(1000)
  // The copy for people, the marks of the lock, and what stands in records' places that nothing reads.
  expect(harmless).toBeLessThan(400)
})
