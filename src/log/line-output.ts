import type { ToolIo } from '../core/spec.ts'

const BLOCK = 1 << 18
const LARGE = BLOCK >> 1

/** Gathers small pieces into blocks; large ones go straight through. All methods return false when the reader has gone. */
export class LineOutput {
  private readonly io: ToolIo
  private readonly block = Buffer.allocUnsafe(BLOCK)
  private used = 0

  constructor(io: ToolIo) {
    this.io = io
  }

  /** Takes a copy or writes at once. */
  write(bytes: Uint8Array): boolean {
    if (bytes.length > BLOCK - this.used && !this.flush()) return false
    if (bytes.length > LARGE) return this.flush() && this.io.write(bytes)
    this.block.set(bytes, this.used)
    this.used += bytes.length
    return true
  }

  flush(): boolean {
    const { used } = this
    this.used = 0
    return used === 0 || this.io.write(this.block.subarray(0, used))
  }
}

/**
 * The same for who can wait: while a large piece is written, the next one is read and checked. A piece must hold until the call after
 * the next. All methods resolve to false when the reader has gone.
 */
export class OutputBehind {
  private readonly io: ToolIo
  private readonly small: LineOutput
  private writing: Promise<boolean> | undefined

  constructor(io: ToolIo) {
    this.io = io
    this.small = new LineOutput(io)
  }

  async write(bytes: Uint8Array): Promise<boolean> {
    if (this.writing && !(await this.written())) return false
    if (bytes.length <= LARGE) return this.small.write(bytes)
    if (!this.small.flush()) return false
    this.writing = this.io.writeBehind(bytes)
    this.writing.catch(() => {}) // told by whoever waits for it
    return true
  }

  async flush(): Promise<boolean> {
    return (await this.written()) && this.small.flush()
  }

  private async written(): Promise<boolean> {
    const { writing } = this
    this.writing = undefined
    return writing ? await writing : true
  }
}
