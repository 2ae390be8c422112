import type { ToolIo } from '../core/spec.ts'

const BLOCK = 1 << 18

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
    if (bytes.length > BLOCK >> 1) return this.flush() && this.io.write(bytes)
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
