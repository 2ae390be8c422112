import type { Worker } from 'node:worker_threads'
import type { CommandSpec, PartStage, Sink, SinkPart } from '../core/spec.ts'
import type { Scanner } from '../ndjson/scanner.ts'
import { openScanner } from './context.ts'
import { useVisibleMemory, visibleMemory } from '../ndjson/index.ts'
import { type InputFile, planInputs, type Spawn, taskCount, TaskFiles, type WorkerTask } from './parallel.ts'
import type { Progress } from './run-stage.ts'
import type { FileRange } from './source.ts'
import type { RangeOrigin } from './origin.ts'
import { Turns } from './turns.ts'

/**
 * A sink's long files on several threads: blocks are read, checked and made into parts by whoever is free, this thread among them; it alone
 * gives them to the sink, in the order of the input. Parts of other threads stay where they were made, in memory that both see.
 *
 *     this thread   ──make 0──┤add 0├──make 2──┤add 1├┤add 2├──make 4──┤add 3├ …
 *     thread B      ──make 1────────├──make 3──────────├ …
 *
 * A block in which anything is odd is not made into a part: its records are read by this thread when their turn has come, as without threads.
 */

/** The bytes of a task, which the sink takes at once. */
const PART_BYTES = 2 << 20
/** How many tasks a thread may be ahead of the sink. */
const SLOTS = 8
/** Parts that a thread keeps until the sink has taken them. */
const KEPT = 4
/** More threads than this wait for the sink. */
const MOST_THREADS = 4
/** Of a slot, in words: state, thread, count of numbers, count of pieces; then address and length of each piece; then the numbers. */
const HEAD_WORDS = 4
const MOST_PIECES = 128
const MOST_NUMBERS = 256
const NUMBERS_AT = 4 * HEAD_WORDS + 8 * MOST_PIECES
const SLOT_BYTES = NUMBERS_AT + 8 * MOST_NUMBERS
const RECORDS = 1
const PART = 2

/** Tells of parts between threads. Slot `task % SLOTS` is a task's; it is free once the sink has passed the task that had it before. */
class Slots {
  readonly shared: SharedArrayBuffer
  readonly #words: Int32Array
  constructor(shared = new SharedArrayBuffer(SLOTS * SLOT_BYTES)) {
    this.shared = shared
    this.#words = new Int32Array(shared)
  }
  /** Another thread's: hands a task over. `part` undefined: its records must be read. */
  put(task: number, thread: number, part: SinkPart | undefined): void {
    const at = (task % SLOTS) * SLOT_BYTES
    const words = this.#words
    const told = part && part.pieces.length <= MOST_PIECES && part.numbers.length <= MOST_NUMBERS
    if (told) {
      words.set([thread, part.numbers.length, part.pieces.length], (at >> 2) + 1)
      for (const [i, { byteOffset, length }] of part.pieces.entries())
        words.set([byteOffset, length], (at >> 2) + HEAD_WORDS + 2 * i)
      new Float64Array(this.shared, at + NUMBERS_AT, part.numbers.length).set(part.numbers)
    }
    Atomics.store(words, at >> 2, told ? PART : RECORDS)
    Atomics.notify(words, at >> 2)
  }
  /** Whether a task has been handed over; waits for it. */
  isThere(task: number, waitMs = 0): boolean {
    const at = ((task % SLOTS) * SLOT_BYTES) >> 2
    const words = this.#words
    return Atomics.load(words, at) !== 0 || (waitMs > 0 && Atomics.wait(words, at, 0, waitMs) !== 'timed-out')
  }
  /** The part of a task that is there; undefined: its records must be read. It holds until the task is passed. */
  part(task: number, memories: readonly WebAssembly.Memory[]): SinkPart | undefined {
    const at = (task % SLOTS) * SLOT_BYTES
    const words = this.#words
    if (Atomics.load(words, at >> 2) !== PART) return undefined
    const [thread, numbers, count] = words.subarray((at >> 2) + 1) as unknown as [number, number, number]
    const { buffer } = memories[thread] as WebAssembly.Memory
    const pieces: Uint8Array[] = []
    for (let i = 0; i < count; i++) {
      const [address, length] = words.subarray((at >> 2) + HEAD_WORDS + 2 * i) as unknown as [number, number]
      // Memory that the other thread has made grow may not be seen here yet.
      if (address + length > buffer.byteLength) return undefined
      pieces.push(new Uint8Array(buffer, address, length))
    }
    return { numbers: new Float64Array(this.shared, at + NUMBERS_AT, numbers), pieces }
  }
  free(task: number): void {
    Atomics.store(this.#words, ((task % SLOTS) * SLOT_BYTES) >> 2, 0)
  }
}

/** Reads tasks and makes parts of them. */
class Maker {
  readonly files: TaskFiles
  readonly #stage: PartStage

  constructor(stage: PartStage, inputs: readonly InputFile[]) {
    this.#stage = stage
    this.files = new TaskFiles(inputs)
  }

  /** Undefined: the records must be read. The part holds until the scanner is used again. */
  make(task: number, scanner: Scanner, turns: Turns, progress?: Progress): SinkPart | undefined {
    const { source, origin } = this.files.open(task)
    scanner.begin(origin)
    const room = scanner.room()
    let filled = 0
    for (let n; filled < room.length && (n = source.read(room.subarray(filled))) > 0;) filled += n
    if (filled === room.length) return undefined // perhaps not all of it
    const { batch, bad } = scanner.scan(filled, true)
    const part = bad.length > 0 || batch.count === 0 ? undefined : this.#stage.makePart(batch)
    if (part) turns.count(batch.count)
    progress?.(source, turns.takeCount())
    return part
  }
}

/** A worker thread's life. */
export async function workParts(spec: CommandSpec, { parts, inputs, settings, ...task }: WorkerTask): Promise<void> {
  if (!parts || !spec.createParts) throw new Error(`a worker cannot make parts for ${task.command}`)
  useVisibleMemory(parts.memory)
  const turns = new Turns(task.turns)
  const slots = new Slots(parts.slots)
  const stage = spec.createParts(parts.plan)
  const maker = new Maker(stage, inputs)
  const end = taskCount(inputs)
  /** A scanner each for the parts that are kept, and the task that had it last. */
  const kept = Array.from({ length: KEPT }, () => ({
    scanner: openScanner(stage.reads, settings, { blockBytes: PART_BYTES }),
    task: -1,
  }))
  try {
    for (let i = 0, next = turns.take(); next < end; i++, next = turns.take()) {
      const own = kept[i % KEPT] as (typeof kept)[number]
      if (!(await turns.near(next, SLOTS - 1)) || !(await turns.near(own.task, -1))) return
      own.task = next
      let part: SinkPart | undefined
      try {
        part = maker.make(next, own.scanner, turns)
      } catch {
        // Whatever it is, the thread that reads the records will meet it, and tell it.
      }
      slots.put(next, parts.thread, part)
    }
  } finally {
    maker.files.close()
  }
}

/** Threads for the inputs, if they are files that are worth it. */
export function planParts(
  stage: PartStage,
  work: Omit<WorkerTask, 'turns' | 'parts' | 'inputs'>,
  spawn: Spawn,
): ParallelInput | undefined {
  const { workers, scanner } = work.settings
  const inputs = workers > 1 && scanner === 'wasm' ? planInputs(work.args.files, PART_BYTES) : undefined
  if (!inputs) return undefined
  const memories: WebAssembly.Memory[] = []
  for (let memory; memories.length < Math.min(workers, MOST_THREADS) - 1 && (memory = visibleMemory());)
    memories.push(memory)
  return memories.length > 0 ? new ParallelInput(stage, { ...work, inputs }, spawn, memories) : undefined
}

/** Feeds a sink. */
export class ParallelInput {
  readonly scanner: Scanner
  readonly #maker: Maker
  readonly #turns = new Turns()
  readonly #slots = new Slots()
  readonly #memories: readonly WebAssembly.Memory[]
  readonly #end: number
  readonly #workers: readonly Worker[]
  #broken: { readonly error: unknown } | undefined

  constructor(
    stage: PartStage,
    work: Omit<WorkerTask, 'turns' | 'parts'>,
    spawn: Spawn,
    memories: readonly WebAssembly.Memory[],
  ) {
    // First of all: what follows here is done while they start.
    this.#memories = memories
    this.#workers = memories.map((memory, thread) =>
      spawn({
        ...work,
        turns: this.#turns.shared,
        parts: { plan: stage.plan, slots: this.#slots.shared, thread, memory },
      }),
    )
    let running = this.#workers.length
    for (const worker of this.#workers) {
      worker.once('error', (error) => (this.#broken ??= { error }))
      worker.once('exit', (code) => {
        // One that has no task left may end while others still work.
        if (--running === 0 || code !== 0) this.#broken ??= { error: new Error('a worker thread ended early') }
      })
    }
    this.#maker = new Maker(stage, work.inputs)
    this.scanner = openScanner(stage.reads, work.settings, { blockBytes: PART_BYTES })
    this.#end = taskCount(work.inputs)
  }

  /** @param readRecords reads a task's records as without threads */
  async run(
    sink: Sink,
    readRecords: (source: FileRange, origin: RangeOrigin) => Promise<unknown>,
    progress?: Progress,
  ): Promise<void> {
    const turns = this.#turns
    const slots = this.#slots
    /** What this thread has made, until its turn comes. */
    let own: { readonly task: number; readonly part: SinkPart | undefined } | undefined
    /** A task of this thread whose part was overwritten. */
    let again: number | undefined
    for (let next = 0; next < this.#end;) {
      const isOwn = own?.task === next
      if (isOwn || slots.isThere(next)) {
        const part = isOwn ? own?.part : slots.part(next, this.#memories)
        if (part) sink.addPart?.(part)
        else {
          // Reading takes the memory in which this thread's own part stands.
          if (own && !isOwn) again = own.task
          own = undefined
          const { source, origin } = this.#maker.files.open(next)
          await readRecords(source, origin)
        }
        if (isOwn) own = undefined
        else slots.free(next)
        turns.pass(next++)
        continue
      }
      const task = own ? Infinity : (again ?? turns.take())
      again = undefined
      if (task < this.#end) own = { task, part: this.#maker.make(task, this.scanner, turns, progress) }
      else if (!slots.isThere(next, WAIT_MS)) {
        await new Promise(setImmediate) // to hear of a worker's end
        if (this.#broken && !slots.isThere(next)) throw this.#broken.error
      }
    }
  }

  /** Always called at last. */
  close(): void {
    this.#turns.stop()
    this.#maker.files.close()
    for (const worker of this.#workers) worker.removeAllListeners('exit').unref()
  }
}

/** How long this thread waits for another before it looks whether that one is still there. */
const WAIT_MS = 200
