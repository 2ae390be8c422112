import type { ByteSink } from './context.ts'
import { Output } from './descriptor.ts'

/**
 * Work shared out in blocks, results in order. Threads take task numbers from one counter; each writes the output of its task when
 * all tasks before it have been written. The turn is a number in shared memory: nothing is copied between threads.
 *
 *     thread A   ──0──┤w├──2──┤w├───3───┤w├
 *     thread B   ────1────·┤w├──4──············┤w├      · waits (or works on) until its turn
 */
const NEXT = 0
const TURN = 1
const STOPPED = 2
const RECORDS = 3

export class Turns {
  readonly shared: SharedArrayBuffer
  readonly #cells: Int32Array
  constructor(shared = new SharedArrayBuffer(16)) {
    this.shared = shared
    this.#cells = new Int32Array(shared)
  }
  /** The number of a task that nobody has taken. */
  take(): number {
    return Atomics.add(this.#cells, NEXT, 1)
  }
  /** Records of all threads, until one asks. */
  count(records: number): void {
    Atomics.add(this.#cells, RECORDS, records)
  }
  takeCount(): number {
    return Atomics.exchange(this.#cells, RECORDS, 0)
  }
  isAt(task: number): boolean {
    return Atomics.load(this.#cells, TURN) === task
  }
  /** Waits for a task's turn; false when the run was stopped before. The thread can receive messages meanwhile. */
  reach(task: number): Promise<boolean> {
    return this.#until((turn) => turn === task)
  }
  /** Waits until a task is at most `ahead` after the current turn; false when the run was stopped before. */
  near(task: number, ahead: number): Promise<boolean> {
    return this.#until((turn) => task - turn <= ahead)
  }
  async #until(there: (turn: number) => boolean): Promise<boolean> {
    // A thread that only waits like this has nothing to do in Node's eyes, and would end.
    const alive = setInterval(() => {}, 1 << 30)
    try {
      for (;;) {
        const turn = Atomics.load(this.#cells, TURN)
        if (this.stopped) return false
        if (there(turn)) return true
        const { async, value } = waitAsync(this.#cells, TURN, turn)
        if (async) await value
      }
    } finally {
      clearInterval(alive)
    }
  }
  /** The next task's turn. */
  pass(task: number): void {
    Atomics.store(this.#cells, TURN, task + 1)
    Atomics.notify(this.#cells, TURN)
  }
  /** Nothing after the current turn matters any more. */
  stop(): void {
    Atomics.store(this.#cells, STOPPED, 1)
    // A changed turn wakes everybody up, also those that were about to wait.
    Atomics.store(this.#cells, TURN, -1)
    Atomics.notify(this.#cells, TURN)
  }
  get stopped(): boolean {
    return Atomics.load(this.#cells, STOPPED) === 1
  }
}

/** Node 20 has it; the library's types put it into a later edition than our target. */
const waitAsync = (
  Atomics as unknown as {
    waitAsync(cells: Int32Array, index: number, value: number): { async: boolean; value: Promise<string> }
  }
).waitAsync

/** How much output a thread may hold back while it works ahead of its turn. */
const HELD_BYTES = 8 << 20

interface Held {
  readonly task: number
  readonly pieces: { readonly to: 'output' | 'letters'; readonly bytes: Uint8Array }[]
}

/** A thread's output: written straight through when it is its task's turn, held back otherwise. */
export class TurnOutput implements ByteSink {
  readonly #turns: Turns
  readonly #output: Output
  readonly #letters: ((bytes: Uint8Array) => void) | undefined
  /** Oldest first; the last one is the current task's. */
  readonly #held: Held[] = []
  #heldBytes = 0
  #through = false

  constructor(turns: Turns, letters: ((bytes: Uint8Array) => void) | undefined, output = new Output()) {
    this.#turns = turns
    this.#output = output
    this.#letters = letters
  }
  begin(task: number): void {
    this.#held.push({ task, pieces: [] })
    this.#through = false
  }
  write(bytes: Uint8Array): void {
    if (this.#isTurn()) this.#output.write(bytes)
    else this.#hold('output', new Uint8Array(bytes))
  }
  writeBinary(text: string): void {
    if (this.#isTurn()) this.#output.writeBinary(text)
    else this.#hold('output', Buffer.from(text, 'latin1'))
  }
  readonly writeLetter = (bytes: Uint8Array): void => {
    if (this.#isTurn()) this.#letters?.(bytes)
    else this.#hold('letters', new Uint8Array(bytes))
  }

  /** The current task is done. Writes what may be written, and waits when too much is held back. */
  async finish(): Promise<void> {
    this.#writeReady()
    if (this.#heldBytes > HELD_BYTES) await this.drain()
  }
  /** Waits until all of this thread's tasks are written, or the run is stopped. */
  async drain(): Promise<void> {
    for (let first = this.#held[0]; first; first = this.#held[0]) {
      if (!(await this.#turns.reach(first.task))) return
      this.#writeReady()
    }
  }
  /** The current task failed: writes what came before the failure in its turn and stops the run. False if an earlier task had stopped it. */
  async fail(): Promise<boolean> {
    const failed = this.#held.pop()
    await this.drain()
    if (!failed || !(await this.#turns.reach(failed.task))) return false
    this.#writePieces(failed)
    this.#output.flush()
    this.#turns.stop()
    return true
  }

  /** Whether the current task may write straight through; what it held back goes out first. */
  #isTurn(): boolean {
    const current = this.#held[this.#held.length - 1] as Held
    if (!this.#through && this.#held.length === 1 && this.#turns.isAt(current.task)) {
      this.#writePieces(current)
      this.#through = true
    }
    return this.#through
  }
  #hold(to: 'output' | 'letters', bytes: Uint8Array): void {
    if (bytes.length > 0) this.#held[this.#held.length - 1]?.pieces.push({ to, bytes })
    this.#heldBytes += bytes.length
  }
  #writeReady(): void {
    for (let first = this.#held[0]; first && this.#turns.isAt(first.task); first = this.#held[0]) {
      this.#writePieces(first)
      this.#output.flush()
      this.#held.shift()
      this.#turns.pass(first.task)
    }
  }
  #writePieces({ pieces }: Held): void {
    for (const { to, bytes } of pieces.splice(0)) {
      this.#heldBytes -= bytes.length
      if (to === 'output') this.#output.write(bytes)
      else this.#letters?.(bytes)
    }
  }
}
