import type { SpillFile } from '../core/operator.ts'
import type { ByteSource } from './source.ts'

const PIECE = 1 << 16
/** What is read ahead is kept in memory up to here, and beyond it on disk. */
const MOST_BYTES = 1 << 22

/**
 * An input that can be read ahead while nobody takes its bytes, so that whoever writes it is not stopped.
 *
 *     spill()      ── read into memory, then a file ──▶ … release()
 *     read(into)   first what was read ahead, then the input itself
 */
export class HeldSource implements ByteSource {
  readonly name: string
  readonly size: number | undefined
  readonly pauses: boolean
  readonly #source: ByteSource
  readonly #newFile: () => SpillFile
  readonly #pieces: Uint8Array[] = []
  #bytes = 0
  #file: SpillFile | undefined
  #fileAt = 0
  #holding = false
  /** The read under way, whose bytes come after all others. */
  #reading: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined
  #ended = false

  constructor(source: ByteSource, newFile: () => SpillFile) {
    this.#source = source
    this.#newFile = newFile
    this.name = source.name
    this.size = source.size
    this.pauses = source.pauses
  }
  consumed(): number {
    return this.#source.consumed()
  }
  close(): void {
    this.#source.close()
    this.#file?.close()
  }

  /** Reads ahead from now on. Errors come out of the next `read`. */
  spill(): void {
    this.#holding = true
    this.#reading ??= this.#ahead().finally(() => (this.#reading = undefined))
  }
  release(): void {
    this.#holding = false
  }

  async #ahead(): Promise<void> {
    try {
      while (this.#holding && !this.#ended) {
        const piece = Buffer.allocUnsafe(PIECE)
        const n = await this.#source.read(piece)
        if (n === 0) this.#ended = true
        else this.#keep(piece.subarray(0, n))
      }
    } catch (error) {
      this.#failure = { error }
    }
  }
  #keep(piece: Uint8Array): void {
    if (this.#file || this.#bytes + piece.length > MOST_BYTES) (this.#file ??= this.#newFile()).append(piece)
    else {
      this.#pieces.push(piece)
      this.#bytes += piece.length
    }
  }

  read(into: Uint8Array): number | Promise<number> {
    const n = this.#take(into)
    if (n > 0) return n
    if (this.#reading) return this.#reading.then(() => this.read(into))
    if (this.#failure) throw this.#failure.error
    return this.#ended ? 0 : this.#source.read(into)
  }

  #take(into: Uint8Array): number {
    const piece = this.#pieces[0]
    if (piece) {
      const n = Math.min(piece.length, into.length)
      into.set(piece.subarray(0, n))
      this.#bytes -= n
      if (n === piece.length) this.#pieces.shift()
      else this.#pieces[0] = piece.subarray(n)
      return n
    }
    const file = this.#file
    if (!file) return 0
    const n = file.read(into, this.#fileAt)
    this.#fileAt += n
    if (n === 0) {
      file.close()
      this.#file = undefined
      this.#fileAt = 0
    }
    return n
  }
}
