import { type ChildProcess, spawn } from 'node:child_process'
import { WORKER_WORD } from '../../cli/main.ts'
import type { Registry } from '../../cli/registry.ts'
import { packed } from '../../pipeline/parallel.ts'
import { runTask, type TaskAnswer, type TaskOrder } from './task.ts'

/** How an attempt ended: `lost` when its worker died, and how. */
export type Attempted = TaskAnswer | { readonly lost: string }

/** A process that does one task after the other. */
export class TaskWorker {
  readonly #command: readonly string[]
  #child: ChildProcess | undefined
  #answer: ((attempted: Attempted) => void) | undefined

  /** @param command words that start this program */
  constructor(command: readonly string[]) {
    this.#command = command
  }

  /** Starts it before there is something to do: that takes a while. */
  start(): ChildProcess {
    if (this.#child) return this.#child
    const [program = '', ...words] = this.#command
    // A worker's standard output is nobody's: results are files.
    const child = spawn(program, [...words, WORKER_WORD], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced',
    })
    child.on('message', (message) => this.#end(child, message as TaskAnswer, false))
    child.once('error', (error) => this.#end(child, { lost: error.message }, true))
    child.once('exit', (code, signal) =>
      this.#end(child, { lost: signal ? `was killed with ${signal}` : `ended with exit ${code}` }, true),
    )
    return (this.#child = child)
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Does a task, in a new process if the last one died. Never rejects. */
  run(order: TaskOrder): Promise<Attempted> {
    return new Promise((resolve) => {
      this.#answer = resolve
      this.start().send(order, (error) => {
        if (error) this.stop()
      })
    })
  }

  stop(): void {
    this.#child?.kill('SIGKILL')
  }

  #end(child: ChildProcess, attempted: Attempted, gone: boolean): void {
    if (child !== this.#child) return
    if (gone) this.#child = undefined
    const answer = this.#answer
    this.#answer = undefined
    answer?.(attempted)
  }
}

/** The life of a worker process: until the driver is gone. */
export function serveTasks(registry: Registry): Promise<never> {
  const answer = async (order: TaskOrder): Promise<TaskAnswer> => {
    try {
      return await runTask(order, registry)
    } catch (error) {
      return { failure: packed(error) }
    }
  }
  process.on('message', (order) => {
    // A driver that is gone wants no answer: not being able to give it one is no error.
    void answer(order as TaskOrder).then((message) => process.send?.(message, undefined, undefined, () => {}))
  })
  return new Promise<never>(() => {
    process.once('disconnect', () => process.exit())
  })
}
