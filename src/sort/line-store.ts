import { grownBytes, grownInts } from '../core/columns.ts'

/** Lines kept as bytes in blocks, with the codes of their keys in columns: some 12 bytes a line, and 17 a key, besides the line. */
export class LineStore {
  readonly blocks: Uint8Array[] = []
  count = 0
  /** Where each line is, with its "\n". */
  block: Uint32Array = new Uint32Array(0)
  start: Uint32Array = new Uint32Array(0)
  length: Uint32Array = new Uint32Array(0)
  readonly keys: readonly KeyColumns[]

  constructor(keys: number) {
    this.keys = Array.from({ length: keys }, () => new KeyColumns())
  }

  reserve(lines: number): void {
    this.block = grownInts(this.block, lines)
    this.start = grownInts(this.start, lines)
    this.length = grownInts(this.length, lines)
    for (const key of this.keys) key.reserve(lines)
  }

  /** Bytes of a line in its block. */
  bytes(line: number): Uint8Array {
    return this.blocks[this.block[line]!]!
  }
}

/** One key of every line. */
export class KeyColumns {
  high: Uint32Array = new Uint32Array(0)
  low: Uint32Array = new Uint32Array(0)
  loose: Uint8Array = new Uint8Array(0)
  /** Where the raw text of the value is, in the line's block; 0, 0 when missing. */
  start: Uint32Array = new Uint32Array(0)
  end: Uint32Array = new Uint32Array(0)
  /** No value needs more than its code. */
  exact = true

  reserve(lines: number): void {
    this.high = grownInts(this.high, lines)
    this.low = grownInts(this.low, lines)
    this.start = grownInts(this.start, lines)
    this.end = grownInts(this.end, lines)
    this.loose = grownBytes(this.loose, lines)
  }
}
