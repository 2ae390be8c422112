import { countLines } from '../core/count-lines.ts'
import type { ByteSink } from './context.ts'
import { Output, ReaderGone } from './descriptor.ts'
import { escapeRecords, formatFrame, type Frame } from './frames.ts'
import type { StageOutput } from './stage-io.ts'

/** Where a stage hands control frames on. */
export interface FrameOutput {
  frame(frame: Frame): void
  /** Records since this was last asked. */
  takeCount(): number
  /** Says that this stage is there, and learns whether the next one is. @throws ReaderGone */
  alive(): void
}
/** Where a source writes records and frames: a pipe, or the stages of its own process. */
export interface SourceOutput extends Omit<FrameOutput, 'frame'>, Partial<RunState> {
  frame(frame: Frame): void | Promise<void>
  /** The lines must hold until the call after the next. @param records how many there are */
  write(lines: Uint8Array, records: number): void | Promise<void>
  flush(): void | Promise<void>
  readonly count: number
  /** Nothing more comes. Only where it is a pipe. */
  close?(): void
}
/** Of a run whose stages are in one process. */
export interface RunState {
  /** People have asked for an end: it comes after a last checkpoint. */
  readonly stopped: boolean
  /** A stage has failed: nothing more will be committed. */
  readonly failed: boolean
}

const BLANK = Buffer.from('\n')

/** Standard output of a stage: once `start` has been written, records are counted and those that look like frames are escaped. */
export class FramedOutput implements ByteSink, FrameOutput {
  readonly #output: StageOutput
  #framed = false
  #records = 0
  #closed = false

  constructor(output: StageOutput) {
    this.#output = output
  }

  /** @param records how many there are, where that is known */
  write(lines: Uint8Array, records?: number): void {
    if (!this.#framed) return this.#output.write(lines)
    this.#records += records ?? countLines(lines)
    this.#output.write(escapeRecords(lines))
  }
  writeBinary(lines: string): void {
    if (this.#framed) this.write(Buffer.from(lines, 'latin1'))
    else this.#output.writeBinary(lines)
  }

  /** Writes a frame; what came before it leaves with it. */
  frame(frame: Frame): void {
    this.#framed = true
    this.#output.write(formatFrame(frame))
    this.#output.flush()
  }
  flush(): void {
    this.#output.flush()
  }
  /** Records since this was last asked. */
  get count(): number {
    return this.#records
  }
  takeCount(): number {
    const records = this.#records
    this.#records = 0
    return records
  }
  /** Says that this stage is there, and learns whether the next one is. @throws ReaderGone */
  alive(): void {
    if (this.#closed) return
    this.#output.write(BLANK)
    this.#output.flush()
  }
  /** The next stage sees an end of input; this one goes on without an output. */
  close(): void {
    if (!this.#closed) this.#output.close()
    this.#closed = true
  }
}

/** From here on a piece is written by another thread. */
const LARGE = 1 << 17

/** Standard output of a source, whose first line is `start`: while a large piece is written, the next one is read. */
export class SourcePipe implements SourceOutput {
  readonly #output: StageOutput
  readonly #run: RunState | undefined
  #writing: Promise<boolean> | undefined
  readonly #wrote: ((records: number) => void) | undefined
  #records = 0
  #closed = false

  /** @param run that of stages in this process @param wrote told of records */
  constructor(output: StageOutput = new Output(), run?: RunState, wrote?: (records: number) => void) {
    this.#output = output
    this.#run = run
    this.#wrote = wrote
  }

  get stopped(): boolean {
    return this.#run?.stopped ?? false
  }
  get failed(): boolean {
    return this.#run?.failed ?? false
  }
  get count(): number {
    return this.#records
  }
  takeCount(): number {
    const records = this.#records
    this.#records = 0
    return records
  }

  async write(lines: Uint8Array, records: number): Promise<void> {
    this.#records += records
    this.#wrote?.(records)
    const bytes = escapeRecords(lines)
    await this.#written()
    if (bytes.length < LARGE) return this.#output.write(bytes)
    this.#output.flush()
    this.#writing = this.#output.writeBehind(bytes)
    this.#writing.catch(() => {}) // told by whoever waits for it
  }
  async frame(frame: Frame): Promise<void> {
    await this.#written()
    this.#output.write(formatFrame(frame))
    this.#output.flush()
  }
  async flush(): Promise<void> {
    await this.#written()
    this.#output.flush()
  }
  alive(): void {
    // What is being written says so, too.
    if (this.#closed || this.#writing) return
    this.#output.write(BLANK)
    this.#output.flush()
  }
  close(): void {
    if (!this.#closed) this.#output.close()
    this.#closed = true
  }

  /** @throws ReaderGone */
  async #written(): Promise<void> {
    const writing = this.#writing
    if (writing && !(await writing)) throw new ReaderGone()
    this.#writing = undefined
  }
}
