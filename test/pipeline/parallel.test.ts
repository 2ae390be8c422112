import { EventEmitter } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { expect, it } from 'vitest'
import type { OperatorStage, PartStage, Sink } from '../../src/core/spec.ts'
import { visibleMemory } from '../../src/ndjson/index.ts'
import { ParallelInput } from '../../src/pipeline/parallel-sink.ts'
import { listen, runParallel, type WorkerResult, type WorkerTask } from '../../src/pipeline/parallel.ts'
import type { RunSettings } from '../../src/pipeline/settings.ts'
import { Turns } from '../../src/pipeline/turns.ts'
import { temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
const file = join(folder, 'input')
const lines = Array.from({ length: 8 }, (_, n) => `{"n":${n}}\n`)
writeFileSync(file, lines.join(''))
/** Each line is a task. */
const inputs = [{ file, size: 8 * lines.length, base: 0, firstTask: 0, taskBytes: 8 }]

const settings: RunSettings = {
  stage: { name: 'test', options: '' },
  scanner: 'wasm',
  strict: false,
  maxLineBytes: 1 << 20,
  deadLetter: undefined,
  inputs: [file],
  newTable: false,
  workers: 2,
  memoryBytes: 1 << 26,
  tmp: folder,
}
const work = { command: 'test', args: { program: [], files: [file], options: {}, args: {} }, settings, inputs }
/** Has no thread: the test says what it tells. */
const fakeWorker = (): Worker => new EventEmitter() as unknown as Worker
const answer: WorkerResult = { counts: [], deadLetters: 0 }

it('a thread that ends once it has answered does not stop the others', async () => {
  const turns = new Turns()
  const worker = fakeWorker()
  const result = listen(worker, turns)
  const others = turns.reach(1)
  turns.pass(0)
  worker.emit('message', answer)
  worker.emit('exit', 0)
  expect(await result).toBe(answer)
  expect(await others).toBe(true)
  expect(turns.stopped).toBe(false)
})

it('a thread that ends without an answer stops the others, and fails the run', async () => {
  const turns = new Turns()
  const worker = fakeWorker()
  const result = listen(worker, turns)
  worker.emit('exit', 0)
  expect((await result).failure).toMatchObject({ kind: 'bug', error: new Error('a worker thread ended early') })
  expect(await turns.reach(1)).toBe(false)
})

const silent: OperatorStage = {
  role: 'operator',
  reads: [],
  parallel: 'stateless',
  open: () => ({ processBatch() {} }),
}
it.each([
  ['before', /ended early/],
  ['after', /stopped before all output was written/],
])('a run that was stopped %s the answer of its thread is no success', async (when, message) => {
  const spawn = (task: WorkerTask): Worker => {
    const worker = fakeWorker()
    const turns = new Turns(task.turns)
    turns.take()
    setImmediate(() => {
      if (when === 'after') worker.emit('message', answer)
      turns.stop()
      worker.emit('exit', 0)
    })
    return worker
  }
  await expect(runParallel(silent, work, spawn)).rejects.toThrow(message)
})

const parts: PartStage = {
  reads: [],
  plan: undefined,
  makePart: ({ count }) => ({ numbers: [count], pieces: [] }),
}
/** Runs a sink whose first task another thread has, `afterwards` while this one waits for it; says how many records came. */
async function runSink(
  afterwards: (workers: readonly Worker[], task: WorkerTask, turn: number) => void,
): Promise<number> {
  const workers: Worker[] = []
  let told: WorkerTask | undefined
  const spawn = (task: WorkerTask): Worker => {
    if (workers.length === 0) new Turns(task.turns).take()
    told ??= task
    workers.push(fakeWorker())
    workers.at(-1)!.unref = () => {}
    return workers.at(-1)!
  }
  const input = new ParallelInput(parts, work, spawn, [visibleMemory()!, visibleMemory()!])
  let records = 0
  let turn = 0
  const next = (): void => {
    afterwards(workers, told!, turn++)
    if (turn < 4) setImmediate(next)
  }
  setImmediate(next)
  const sink = { addPart: ({ numbers }: { numbers: readonly number[] }) => (records += numbers[0]!) }
  try {
    await input.run(sink as unknown as Sink, async () => void records++)
  } finally {
    input.close()
  }
  return records
}

it('a sink waits for the threads that still work when another has no task left', async () => {
  const records = await runSink((workers, task, turn) => {
    if (turn === 0) workers[1]!.emit('exit', 0)
    // Handed over: its records are to be read.
    if (turn === 3) Atomics.store(new Int32Array(task.parts!.slots), 0, 1)
  })
  expect(records).toBe(lines.length)
})

it.each([
  ['all threads have ended', [0, 0]],
  ['one has died', [1]],
])('a sink does not wait when %s', async (_, codes) => {
  const ends = (workers: readonly Worker[], _task: WorkerTask, turn: number): void => {
    if (codes[turn] !== undefined) workers[turn]!.emit('exit', codes[turn])
  }
  await expect(runSink(ends)).rejects.toThrow('ended early')
})
