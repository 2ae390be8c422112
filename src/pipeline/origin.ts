import { closeSync, openSync, readSync } from 'node:fs'
import type { Location } from '../core/batch.ts'
import { countLines } from '../core/count-lines.ts'
import type { Origin } from '../ndjson/scanner.ts'

/** An origin that its reader keeps up to date. */
export interface InputOrigin extends Origin {
  /** Bytes of this input that have been read. */
  received: number
  /** Bytes of the blocks that have been worked off. */
  worked?: number
  /** A block was scanned: `lines` lines are done, `pending` bytes of the next are there. */
  advance(lines: number, pending: number): void
  /** Where the byte `at` of a block stands. */
  locate(block: Uint8Array, at: number): Location
}

/** An input read from its start: lines are counted as they come, since a pipe cannot be read again. */
export class CountedOrigin implements InputOrigin {
  readonly file: string
  readonly base: number
  received = 0
  worked = 0
  #lines: number
  /** @param lines how many of this input came before */
  constructor(file: string, base: number, lines = 0) {
    this.file = file
    this.base = base
    this.#lines = lines
  }
  get lines(): number {
    return this.#lines
  }
  advance(lines: number): void {
    this.#lines += lines
  }
  lineAt(): number {
    return this.#lines + 1
  }
  locate(block: Uint8Array, at: number): Location {
    return { file: this.file, line: this.#lines + 1 + countLines(block.subarray(0, at)) }
  }
}

/** A range of a regular file: lines before it are counted when an error needs the number, by reading the file once more. */
export class RangeOrigin implements InputOrigin {
  readonly file: string
  readonly base: number
  received = 0
  readonly #start: number
  #block = 0
  constructor(file: string, start: number, base: number) {
    this.file = file
    this.base = base + start
    this.#start = start
  }
  advance(_lines: number, pending: number): void {
    this.#block = this.received - pending
  }
  lineAt(offset: number): number {
    let line = 1
    const fd = openSync(this.file, 'r')
    try {
      const piece = new Uint8Array(1 << 20)
      for (let at = 0, end = this.#start + offset; at < end;) {
        const n = readSync(fd, piece, 0, Math.min(piece.length, end - at), at)
        if (n === 0) break
        line += countLines(piece.subarray(0, n))
        at += n
      }
    } finally {
      closeSync(fd)
    }
    return line
  }
  locate(block: Uint8Array, at: number): Location {
    return { file: this.file, line: this.lineAt(this.#block) + countLines(block.subarray(0, at)) }
  }
}
