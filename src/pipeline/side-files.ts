import {
  closeSync,
  fchmodSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { BeckError, fileError } from '../core/errors.ts'
import { syncFolder } from '../core/folders.ts'
import { writeAll } from './descriptor.ts'
import { isStandardOutput, refuseOwnInput } from './own-input.ts'

const PIECE = 1 << 18

/** What of a file is committed. */
export interface SideState {
  readonly path: string
  readonly bytes: number
  readonly crc: number
}

/**
 * Files of records beside a stage's output: dead letters, late records, duplicates. Whether they begin empty is known when the input is:
 * in a pipe that delivers exactly once they go on where the last commit left them. Until then what is written waits in memory.
 *
 *     committed │ written since, gone after a crash
 *     ──────────┤ restore() copies up to here into a new file and puts that in its place: a run that was taken over and
 *               │ wakes up again writes into the old one, which nobody sees
 */
export class SideFiles {
  readonly #inputs: readonly string[]
  readonly #files: SideFile[] = []

  /** @param inputs what is read, which no file may be */
  constructor(inputs: readonly string[]) {
    this.#inputs = inputs
  }

  get isEmpty(): boolean {
    return this.#files.length === 0
  }

  /** Opened at once; two of one name are one. @param keeps another part of this run has written to it already @throws BeckError file, usage */
  open(file: string, keeps = false): { write(lines: Uint8Array): void } {
    refuseOwnInput(this.#inputs, file)
    const made = new SideFile(file, keeps)
    const known = this.#files.find(({ path }) => path === made.path)
    if (known) made.close()
    else this.#files.push(made)
    return known ?? made
  }

  /** There are no control frames: the files begin empty. */
  begin(): void {
    for (const file of this.#files) file.begin()
  }

  /** What was committed of them stays, and all else goes. @param first nothing has been written by an earlier run @throws BeckError file */
  restore(committed: readonly SideState[], first: boolean): void {
    for (const file of this.#files) {
      const state = committed.find(({ path }) => path === file.path)
      file.restore(state, first || !state)
    }
  }

  /** Sees that they are on the disk, and says what they hold. @throws BeckError file */
  sync(): SideState[] {
    return this.#files.map((file) => file.sync())
  }

  /** A pipe that has ended at once may be that of a consume that was killed: then what was committed stays. */
  close(): void {
    for (const file of this.#files) file.close()
  }
}

class SideFile {
  /** Where it is, whatever the current folder. */
  readonly path: string
  readonly #file: string
  readonly #keeps: boolean
  #fd: number
  /** What waits until the file is begun. */
  #waiting: Uint8Array[] | undefined = []
  #bytes = 0
  #crc = 0
  #synced = true

  constructor(file: string, keeps: boolean) {
    this.#file = file
    this.#keeps = keeps
    this.#fd = this.#try(() => openSync(file, 'a'))
    this.path = this.#try(() => realpathSync(file))
  }

  write(bytes: Uint8Array): void {
    if (this.#waiting) {
      this.#waiting.push(new Uint8Array(bytes))
      return
    }
    writeAll(this.#fd, bytes, this.#file)
    this.#bytes += bytes.length
    this.#crc = crc32(bytes, this.#crc)
    this.#synced = false
  }

  begin(): void {
    if (!this.#waiting) return
    if (!this.#keeps && this.#isOurs()) this.#try(() => ftruncateSync(this.#fd, 0))
    this.#start(true)
  }

  restore(committed: SideState | undefined, isFirst: boolean): void {
    if (!this.#isOurs()) {
      throw new BeckError('file', {
        file: this.#file,
        problem: 'is no regular file of its own, and only one of those can go on where the last commit left it',
        hint: 'name a file; in a pipe that delivers exactly once nothing else can be committed',
      })
    }
    this.#try(() => this.#replace(committed))
    this.#start(isFirst)
  }

  #start(writesWaiting: boolean): void {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    if (writesWaiting) for (const bytes of waiting) this.write(bytes)
  }

  /** Puts a new file in its place, with what was committed. */
  #replace(committed: SideState | undefined): void {
    const { mode, size } = fstatSync(this.#fd)
    // One that has been moved away, as logs are, begins anew.
    const bytes = size === 0 ? 0 : (committed?.bytes ?? 0)
    const fresh = `${this.path}.restoring`
    const to = openSync(fresh, 'w', mode)
    const from = openSync(this.path, 'r')
    const piece = Buffer.allocUnsafe(Math.min(PIECE, bytes))
    let crc = 0
    try {
      fchmodSync(to, mode & 0o7777)
      for (let at = 0; at < bytes;) {
        const n = readSync(from, piece, 0, Math.min(piece.length, bytes - at), at)
        if (n === 0) throw this.#changed(`holds ${at} bytes, and ${bytes} were committed`)
        writeAll(to, piece.subarray(0, n), fresh)
        crc = crc32(piece.subarray(0, n), crc)
        at += n
      }
      if (bytes > 0 && crc !== committed?.crc) throw this.#changed('is not what was committed: its CRC is another one')
      fsyncSync(to)
    } finally {
      closeSync(from)
      closeSync(to)
    }
    renameSync(fresh, this.path)
    syncFolder(dirname(this.path))
    closeSync(this.#fd)
    this.#fd = openSync(this.path, 'a')
    this.#bytes = bytes
    this.#crc = crc
  }

  #changed(problem: string): BeckError {
    return new BeckError('file', {
      file: this.#file,
      problem,
      hint: 'somebody has changed it; restore it, or move it away: then it begins anew',
    })
  }

  sync(): SideState {
    if (!this.#synced) this.#try(() => fdatasyncSync(this.#fd))
    this.#synced = true
    return { path: this.path, bytes: this.#bytes, crc: this.#crc }
  }

  close(): void {
    if (this.#waiting?.length && fstatSync(this.#fd).size === 0) this.#start(true)
    closeSync(this.#fd)
  }

  /** A regular file, and not where our messages or records go. */
  #isOurs(): boolean {
    return fstatSync(this.#fd).isFile() && !isStandardOutput(this.#fd)
  }

  #try<Result>(work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      throw error instanceof BeckError ? error : fileError(error, this.#file)
    }
  }
}
