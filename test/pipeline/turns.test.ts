import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { Output } from '../../src/pipeline/descriptor.ts'
import { TurnOutput, Turns } from '../../src/pipeline/turns.ts'
import { temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()

/** Several "threads" that work tasks off in an order of the test's choosing; awaits interleave them. */
async function work(threads: number, tasks: number, failing: number | undefined, pauses: (task: number) => number) {
  const file = join(folder, 'out')
  const fd = openSync(file, 'w')
  const turns = new Turns()
  const thread = async (): Promise<boolean> => {
    const mine = new TurnOutput(turns, undefined, new Output(fd))
    try {
      for (let task = turns.take(); task < tasks && !turns.stopped; task = turns.take()) {
        mine.begin(task)
        mine.write(Buffer.from(`${task}a `))
        for (let pause = pauses(task); pause > 0; pause--) await new Promise(setImmediate)
        if (task === failing) throw new Error('bad record')
        mine.writeBinary(`${task}b `)
        await mine.finish()
      }
      await mine.drain()
      return false
    } catch {
      return mine.fail()
    }
  }
  const failures = await Promise.all(Array.from({ length: threads }, thread))
  closeSync(fd)
  return { text: readFileSync(file, 'latin1'), failures: failures.filter(Boolean).length }
}

it('output comes in the order of the tasks, however the threads run', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.nat(4), { maxLength: 20 }),
      async (threads, pauses) => {
        const { text } = await work(threads, pauses.length, undefined, (task) => pauses[task] ?? 0)
        expect(text).toBe(pauses.map((_, task) => `${task}a ${task}b `).join(''))
      },
    ),
    { numRuns: 50 },
  )
})

it('a failure writes everything before it, nothing after it, and is told once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.nat(4), { minLength: 1, maxLength: 20 }),
      fc.nat(),
      async (threads, pauses, at) => {
        const failing = at % pauses.length
        const { text, failures } = await work(threads, pauses.length, failing, (task) => pauses[task] ?? 0)
        const before = pauses.slice(0, failing).map((_, task) => `${task}a ${task}b `)
        expect(text).toBe(`${before.join('')}${failing}a `)
        expect(failures).toBe(1)
      },
    ),
    { numRuns: 50 },
  )
})
