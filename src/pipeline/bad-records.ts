import { closeSync, fstatSync, ftruncateSync, openSync } from 'node:fs'
import type { Location } from '../core/batch.ts'
import { BeckError, fileError } from '../core/errors.ts'
import { excerpt } from '../core/excerpt.ts'
import type { Problem } from '../core/operator.ts'
import { writeAll } from './descriptor.ts'
import { isStandardOutput, refuseOwnInput } from './own-input.ts'

/**
 * What happens to records that cannot be processed. Without dead letters the first one stops the command; with
 * `--dead-letter FILE` each is kept byte for byte, counted, and reported at the end.
 */
export interface BadRecords {
  /** True when `reject` throws. */
  readonly stops: boolean
  readonly count: number
  /** @throws BeckError bad-record when it stops */
  reject(place: () => Location, line: Uint8Array, problem: Problem): void
  /** Keeps a piece of a line that is too long to hold; `end` completes it. */
  keepPiece(piece: Uint8Array, end: boolean): void
  /** Processes a block, whose bad lines come to `reject` as parts of its bytes, in any order; they are kept in the order of the input. */
  inOrder<Result>(process: () => Result): Result
}

export function badRecord(place: Location, line: Uint8Array, { problem, column, hint }: Problem): BeckError {
  return new BeckError('bad-record', {
    place: `${place.file}:${place.line}:${column ?? 1}`,
    problem,
    excerpt: excerpt(line, 0, line.length, column),
    hint,
  })
}

/** The first bad record ends the run. */
export const stopAtBadRecords: BadRecords = {
  stops: true,
  count: 0,
  reject(place, line, problem) {
    throw badRecord(place(), line, problem)
  },
  keepPiece() {},
  inOrder: (process) => process(),
}

const NEWLINE = Buffer.from('\n')

/** Keeps bad records in a file. Bytes go out through `write`, so that workers can take turns. */
export class DeadLetters implements BadRecords {
  readonly stops = false
  count = 0
  readonly #write: (bytes: Uint8Array) => void
  /** The bad lines of the block being processed, and where in memory they stood. */
  #block: { readonly at: number; readonly line: Uint8Array }[] | undefined
  constructor(write: (bytes: Uint8Array) => void) {
    this.#write = write
  }
  reject(_place: () => Location, line: Uint8Array): void {
    // Copied, as a kernel that grows takes its memory along.
    if (this.#block) this.#block.push({ at: line.byteOffset, line: new Uint8Array(line) })
    else this.keepPiece(line, true)
  }
  inOrder<Result>(process: () => Result): Result {
    this.#block = []
    try {
      return process()
    } finally {
      const lines = this.#block.sort((a, b) => a.at - b.at)
      this.#block = undefined
      for (const { line } of lines) this.keepPiece(line, true)
    }
  }
  keepPiece(piece: Uint8Array, end: boolean): void {
    this.#write(piece)
    if (!end) return
    this.#write(NEWLINE)
    this.count++
  }
}

/** For who only samples an input: whoever reads all of it says what is wrong. */
export const unheard: BadRecords = {
  stops: false,
  count: 0,
  reject() {},
  keepPiece() {},
  inOrder: (process) => process(),
}

/**
 * A file of records beside the output: dead letters, late records. It is emptied first, but for workers, which `append` to
 * what the first thread has emptied.
 * @throws BeckError file, usage when it is one of the inputs
 */
export function openSideFile(
  file: string,
  inputs: readonly string[],
  append = false,
): { write(bytes: Uint8Array): void; close(): void } {
  if (!append) refuseOwnInput(inputs, file)
  let fd: number
  try {
    fd = openSync(file, 'a')
    if (!append && fstatSync(fd).isFile() && !isStandardOutput(fd)) ftruncateSync(fd)
  } catch (error) {
    throw fileError(error, file)
  }
  return { write: (bytes) => void writeAll(fd, bytes, file), close: () => closeSync(fd) }
}
