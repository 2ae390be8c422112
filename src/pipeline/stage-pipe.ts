import type { SpillFile } from '../core/operator.ts'
import { ReaderGone } from './descriptor.ts'
import { FAILED_START } from './frames.ts'
import type { StageOutput } from './stage-io.ts'
import type { ByteSource } from './source.ts'
import { SpillFolder } from './spill.ts'

const PIECE = 1 << 16
/** From here on who can wait is asked to. */
const FULL_BYTES = 1 << 20
/** What those write who cannot wait, as a sort at its end, is in memory up to here, and beyond it on disk. */
const MEMORY_BYTES = 1 << 25

/** Bytes of a piece that nobody has read. */
interface Piece {
  readonly bytes: Buffer
  from: number
  to: number
}

/**
 * A pipe between two stages of this process: what one writes, the other reads in its own time.
 *
 *     write ──▶ tail ──▶ whole pieces ──▶ a file, beyond MEMORY_BYTES ──▶ source
 */
export class StagePipe implements StageOutput {
  readonly source: ByteSource
  readonly #tmp: string
  readonly #pieces: Piece[] = []
  /** Of whole pieces in memory. */
  #bytes = 0
  #file: SpillFile | undefined
  #fileAt = 0
  #tail: Piece = { bytes: Buffer.alloc(0), from: 0, to: 0 }
  #isEnded = false
  #isLeft = false
  #isBegun = false
  /** The reader waits for bytes; the writer waits for room; somebody waits for the reader to have taken all. */
  #wakeReader: (() => void) | undefined
  #reader: Promise<void> | undefined
  #writers: (() => void)[] = []
  #settlers: (() => void)[] = []

  /** @param name of the input, in messages @param tmp where what does not fit into memory goes */
  constructor(name: string, tmp: string) {
    this.#tmp = tmp
    this.source = {
      name,
      size: undefined,
      pauses: true,
      ready: () => this.#arrived(),
      read: (into) => {
        const waiting = this.#arrived()
        return waiting ? waiting.then(() => this.#take(into)) : this.#take(into)
      },
      consumed: () => 0,
      close: () => this.#leave(),
    }
  }

  /** The reader has left: nothing that is written is of interest. */
  get isLeft(): boolean {
    return this.#isLeft
  }

  /** Takes a copy. @throws ReaderGone, BeckError spill-full */
  write(bytes: Uint8Array): void {
    if (this.#isLeft) throw new ReaderGone()
    this.#isBegun = true
    for (let at = 0; at < bytes.length;) {
      const tail = this.#room()
      const size = Math.min(tail.bytes.length - tail.to, bytes.length - at)
      tail.bytes.set(bytes.subarray(at, at + size), tail.to)
      tail.to += size
      at += size
    }
    this.#wakeReader?.()
  }

  writeBinary(text: string): void {
    this.write(Buffer.from(text, 'latin1'))
  }

  async writeBehind(bytes: Uint8Array): Promise<boolean> {
    if (this.#isLeft) return false
    this.write(bytes)
    await this.ready()
    return !this.#isLeft
  }

  flush(): void {}

  /** Resolves when there is room for more. */
  ready(): Promise<void> | undefined {
    if (this.#isLeft || this.#size() < FULL_BYTES) return undefined
    return new Promise((resolve) => this.#writers.push(resolve))
  }

  /** Resolves when the reader has taken everything and waits for more, or has left. */
  settled(): Promise<void> | undefined {
    if (this.#isLeft || (this.#reader && this.#size() === 0)) return undefined
    return new Promise((resolve) => this.#settlers.push(resolve))
  }

  /** Nothing more comes. */
  close(): void {
    this.#isEnded = true
    this.#wakeReader?.()
  }

  /** Who was to begin a stream with control frames has failed: what is behind must not take it for one without any. */
  failStart(): void {
    if (!this.#isBegun && !this.#isLeft) this.write(FAILED_START)
  }

  #size(): number {
    return this.#bytes + (this.#file ? this.#file.size - this.#fileAt : 0) + this.#tail.to - this.#tail.from
  }

  /** A tail with room. */
  #room(): Piece {
    const { bytes, from, to } = this.#tail
    if (to < bytes.length) return this.#tail
    if (to > from) {
      if (this.#file || this.#bytes + to - from > MEMORY_BYTES) {
        ;(this.#file ??= new SpillFolder(this.#tmp).create()).append(bytes.subarray(from, to))
      } else {
        this.#pieces.push(this.#tail)
        this.#bytes += to - from
      }
    }
    return (this.#tail = { bytes: Buffer.allocUnsafeSlow(PIECE), from: 0, to: 0 })
  }

  /** Undefined: there are bytes, or the end is. */
  #arrived(): Promise<void> | undefined {
    if (this.#isEnded || this.#size() > 0) return undefined
    this.#reader ??= new Promise<void>((resolve) => (this.#wakeReader = resolve)).then(() => {
      this.#reader = this.#wakeReader = undefined
    })
    wake(this.#settlers)
    return this.#reader
  }

  #take(into: Uint8Array): number {
    const n = this.#takeSome(into)
    if (this.#size() < FULL_BYTES >> 1) wake(this.#writers)
    return n
  }

  #takeSome(into: Uint8Array): number {
    let n = 0
    for (let piece = this.#pieces[0]; piece && n < into.length; piece = this.#pieces[0]) {
      const size = takeFrom(piece, into, n)
      this.#bytes -= size
      n += size
      if (piece.from === piece.to) this.#pieces.shift()
    }
    if (n > 0) return n
    if (this.#file) {
      n = this.#file.read(into, this.#fileAt)
      this.#fileAt += n
      if (this.#fileAt === this.#file.size) this.#dropFile()
      return n
    }
    return takeFrom(this.#tail, into, 0)
  }

  #leave(): void {
    this.#isLeft = true
    this.#pieces.length = this.#bytes = 0
    this.#dropFile()
    wake(this.#writers)
    wake(this.#settlers)
  }

  #dropFile(): void {
    this.#file?.close()
    this.#file = undefined
    this.#fileAt = 0
  }
}

function takeFrom(piece: Piece, into: Uint8Array, at: number): number {
  const size = Math.min(piece.to - piece.from, into.length - at)
  into.set(piece.bytes.subarray(piece.from, piece.from + size), at)
  piece.from += size
  return size
}

function wake(waiting: (() => void)[]): void {
  for (const resolve of waiting.splice(0)) resolve()
}
