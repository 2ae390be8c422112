import { closeSync, fstatSync, openSync, readSync, write, writeSync } from 'node:fs'
import { fileError } from '../core/errors.ts'

/**
 * Reads and writes on bare descriptors. `process.stdout` and `console` are not used for data: they cut output at exit and make
 * descriptors non-blocking. A sibling process may have done that to ours all the same, so EAGAIN is part of life here.
 */

const pause = new Int32Array(new SharedArrayBuffer(4))
/** Sleeps without using the processor. */
export const sleep = (ms: number): void => void Atomics.wait(pause, 0, 0, ms)

/** Reads what is there, at least one byte unless the input has ended (0). */
export function readSome(fd: number, into: Uint8Array, name: string): number {
  for (let waitMs = 0.1; ; waitMs = Math.min(waitMs * 2, 5)) {
    try {
      return readSync(fd, into, 0, into.length, null)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EOF') return 0
      if (code !== 'EAGAIN' && code !== 'EINTR') throw fileError(error, name)
    }
    sleep(waitMs)
  }
}

let wroteOutput = false
/** Whether anything has been written to standard output. */
export const hasWritten = (): boolean => wroteOutput

/** Or a socket, as Node has them between the processes that it starts. */
export function isPipe(fd: number): boolean {
  try {
    const stat = fstatSync(fd)
    return stat.isFIFO() || stat.isSocket()
  } catch {
    return false // closed
  }
}

/** Writes all of it. False when the reader at the other end has gone (EPIPE): stop quietly then. */
export function writeAll(fd: number, bytes: Uint8Array, name: string): boolean {
  let waitMs = 0.1
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(fd, bytes, at, bytes.length - at)
      wroteOutput ||= fd === 1
      waitMs = 0.1
      continue
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EPIPE') return false
      if (code !== 'EAGAIN' && code !== 'EINTR') throw fileError(error, name)
    }
    sleep(waitMs)
    waitMs = Math.min(waitMs * 2, 5)
  }
  return true
}

/** The same on the thread pool: this thread can do something else meanwhile. The bytes must hold until it resolves. */
export async function writeBehind(fd: number, bytes: Uint8Array, name: string): Promise<boolean> {
  let waitMs = 0.1
  for (let at = 0; at < bytes.length;) {
    const { error, wrote } = await new Promise<{ error: NodeJS.ErrnoException | null; wrote: number }>((resolve) =>
      write(fd, bytes, at, bytes.length - at, null, (error, wrote) => resolve({ error, wrote })),
    )
    if (!error) {
      at += wrote
      wroteOutput ||= fd === 1
      waitMs = 0.1
      continue
    }
    if (error.code === 'EPIPE') return false
    if (error.code !== 'EAGAIN' && error.code !== 'EINTR') throw fileError(error, name)
    await new Promise((resolve) => setTimeout(resolve, waitMs))
    waitMs = Math.min(waitMs * 2, 5)
  }
  return true
}

/** Thrown to unwind when nobody reads our output any more. Never an error for the user: `head` is a fine thing to pipe into. */
export class ReaderGone extends Error {}

/** Thrown to unwind in an exactly-once pipe whose source has left at once, since another run is at work: no stage has anything to say. */
export class NothingToDo extends Error {}

/** Standard output in pieces: small ones are gathered, large ones written through. */
export class Output {
  readonly #fd: number
  readonly #name: string
  readonly #buffer = Buffer.allocUnsafeSlow(1 << 18)
  #used = 0

  constructor(fd = 1, name = 'standard output') {
    this.#fd = fd
    this.#name = name
  }

  /** Takes a copy or writes at once. @throws ReaderGone, BeckError */
  write(bytes: Uint8Array): void {
    if (bytes.length > this.#buffer.length - this.#used) this.flush()
    if (bytes.length > this.#buffer.length >> 2) {
      this.flush()
      this.#writeOut(bytes)
      return
    }
    this.#buffer.set(bytes, this.#used)
    this.#used += bytes.length
  }

  /** A latin1 ("binary") string: char codes are bytes. */
  writeBinary(text: string): void {
    for (let at = 0; at < text.length;) {
      if (this.#used === this.#buffer.length) this.flush()
      const free = this.#buffer.length - this.#used
      const piece = at === 0 && text.length <= free ? text : text.slice(at, at + free)
      this.#buffer.write(piece, this.#used, 'latin1')
      this.#used += piece.length
      at += piece.length
    }
  }

  flush(): void {
    if (this.#used === 0) return
    const pending = this.#buffer.subarray(0, this.#used)
    this.#used = 0
    this.#writeOut(pending)
  }

  /** A large piece, on the thread pool, when nothing is gathered. Nothing else may be written before it resolves: to false when the reader has gone. */
  writeBehind(bytes: Uint8Array): Promise<boolean> {
    return writeBehind(this.#fd, bytes, this.#name)
  }

  /** Flushes and closes it; /dev/null takes its place, so that no other file gets the number. @throws ReaderGone, BeckError */
  close(): void {
    this.flush()
    closeSync(this.#fd)
    openSync('/dev/null', 'w')
  }

  #writeOut(bytes: Uint8Array): void {
    if (!writeAll(this.#fd, bytes, this.#name)) throw new ReaderGone()
  }
}
