import type { Scanner } from '../ndjson/scanner.ts'
import type { ByteSource } from './source.ts'

/**
 * Reads an input into a scanner, block by block: a file, where `ahead` allows it, on another thread while this one works on the block before.
 *
 *     this thread   ─read 0─┤─ scan 0, work ─┤─ scan 1, work ─┤─ scan 2, work ─┤
 *     another               ├─ read 1 ─┤     ├─ read 2 ─┤     ├─ read 3 ─┤
 *
 * Both are in the scanner's memory: nothing is copied but the beginning of a line that a block ends in.
 */
export class Blocks {
  readonly #scanner: Scanner
  readonly #source: ByteSource
  readonly #most: number | undefined
  readonly #ahead: boolean
  #reading: Promise<number> | undefined

  /** @param most how much is read at a time, at most */
  constructor(scanner: Scanner, source: ByteSource, ahead = false, most?: number) {
    this.#scanner = scanner
    this.#source = source
    this.#most = most
    this.#ahead = ahead && most === undefined && source.readAhead !== undefined
  }

  /** Reads on. Says how many bytes are new, which `scan` or `Scanner.fresh` is to be told next; 0 is the end. */
  next(): number | Promise<number> {
    if (this.#reading) return this.#turn(this.#reading)
    const filled = this.#source.read(this.#scanner.room().subarray(0, this.#most))
    if (this.#ahead && typeof filled === 'number') this.#readOn(filled)
    return filled
  }

  async #turn(reading: Promise<number>): Promise<number> {
    const filled = await reading
    this.#reading = undefined
    this.#scanner.turn!(filled)
    this.#readOn(filled)
    return filled
  }

  /** What comes behind, if something does. */
  #readOn(filled: number): void {
    const { size = 0 } = this.#source
    if (filled === 0 || this.#source.consumed() >= size) return
    const room = this.#scanner.roomAhead?.()
    if (!room) return
    this.#reading = this.#source.readAhead!(room)
    this.#reading.catch(() => {}) // whoever waits for it is told
  }

  /** Waits for what is being read and nobody wants any more. */
  async close(): Promise<void> {
    await this.#reading?.catch(() => {})
  }
}
