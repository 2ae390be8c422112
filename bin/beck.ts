import type { Worker } from 'node:worker_threads'
import { commands } from '../commands/index.ts'
import { main } from '../src/cli/main.ts'
import type { CommandSpec, Stage } from '../src/core/spec.ts'
import type { Spawn, WorkerTask } from '../src/pipeline/parallel.ts'
import type { ChainWork } from '../src/run/composite.ts'

/** Filled in by the build. */
declare const BECK_VERSION: string
/** The bundle itself, from bin/start.cjs: `worker` is a program that runs it in a thread. */
declare const BECK_IMAGE: { readonly worker: string } | undefined

/** Loaded where threads are: it takes some milliseconds. */
const threads = () => process.getBuiltinModule('node:worker_threads')

const startThread = (): Worker =>
  new (threads().Worker)(BECK_IMAGE?.worker ?? '', {
    eval: true,
    workerData: BECK_IMAGE,
    argv: [WORKER],
    // A worker's spill files outlive it: this thread goes on with them.
    trackUnmanagedFds: false,
  })
/** The argument that tells a thread what it is. */
const WORKER = '\0worker'

/** Threads that wait for a task. */
const waiting: Worker[] = []
const spawn: Spawn = (task) => {
  const thread = waiting.pop() ?? startThread()
  thread.postMessage(task)
  return thread
}
const spawnAhead = (count: number): void => {
  while (waiting.length < count) waiting.push(startThread())
}

// Every function has a constructor that makes text into code, with all of Node in reach. Expressions have no business there.
for (const made of [() => {}, function* () {}, async () => {}, async function* () {}]) {
  Object.defineProperty(Object.getPrototypeOf(made), 'constructor', { value: undefined })
}

if (process.argv[2] === WORKER) {
  threads().parentPort?.once('message', (task: WorkerTask) => void work(task))
} else {
  // The only place that exits. All output is written synchronously, so nothing is cut off.
  const host = { version: BECK_VERSION, registry: commands, spawn, spawnAhead, command: ownCommand() }
  void main(process.argv.slice(2), host).then((code) => process.exit(code))
  // Nothing is left that could make it go on: that must not look like success.
  process.once('beforeExit', () => {
    process.getBuiltinModule('node:fs').writeSync(2, 'beck: a bug in beck: it waits for what never comes\n')
    process.exit(70)
  })
}

/** What starts this program again: Node and the file, or the single executable. */
function ownCommand(): string[] {
  const file = process.getBuiltinModule('node:sea').isSea() ? undefined : process.argv[1]
  return file === undefined ? [process.execPath] : [process.execPath, file]
}

async function work(task: WorkerTask): Promise<void> {
  if (task.parts) return workAtParts(task)
  const { runWorker } = await import('../src/pipeline/parallel.ts')
  threads().parentPort?.postMessage(await runWorker(await stageOf(task), task))
}

async function stageOf({ command, args, chain }: WorkerTask): Promise<Stage> {
  if (chain !== undefined) {
    const { composeWork } = await import('../src/run/composite.ts')
    return composeWork(chain as ChainWork, commands) // from src/run/fused.ts
  }
  return (await specOf(command)).create(args)
}

async function workAtParts(task: WorkerTask): Promise<void> {
  const { workParts } = await import('../src/pipeline/parallel-sink.ts')
  await workParts(await specOf(task.command), task)
}

async function specOf(command: string): Promise<CommandSpec> {
  const spec = await commands[command]?.()
  if (!spec) throw new Error(`a worker knows no command ${command}`)
  return spec
}
