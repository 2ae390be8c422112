import type { ByteSink } from './context.ts'
import type { Output } from './descriptor.ts'
import { escapeRecords, formatFrame, type Frame } from './frames.ts'

/** Where a stage hands control frames on. */
export interface FrameOutput {
  frame(frame: Frame): void
  /** Records since this was last asked. */
  takeCount(): number
  /** Says that this stage is there, and learns whether the next one is. @throws ReaderGone */
  alive(): void
}
/** Where a source writes records and frames: a pipe, or the stages of its own process. */
export interface SourceOutput extends Omit<FrameOutput, 'frame'> {
  frame(frame: Frame): void | Promise<void>
  write(lines: Uint8Array): void
  flush(): void
  readonly count: number
  /** Nothing more comes. Only where it is a pipe. */
  close?(): void
  /** People have asked for an end: it comes after a last checkpoint. */
  readonly stopped?: boolean
}

const BLANK = Buffer.from('\n')

/** Standard output of a stage: once `start` has been written, records are counted and those that look like frames are escaped. */
export class FramedOutput implements ByteSink, FrameOutput {
  readonly #output: Output
  #framed = false
  #records = 0
  #closed = false

  constructor(output: Output) {
    this.#output = output
  }

  write(lines: Uint8Array): void {
    if (!this.#framed) return this.#output.write(lines)
    this.#records += countLines(lines)
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

/** How many lines end in these bytes. */
export function countLines(bytes: Uint8Array): number {
  let count = 0
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++
  return count
}
