import { closeSync, constants, openSync, readdirSync, readSync, rmSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { BeckError, fileError } from '../core/errors.ts'
import type { SpillFile, SpillHandle } from '../core/operator.ts'
import { formatSize } from '../core/size.ts'

/** A file without a name (Linux, open(2)): there is nothing to remove, whatever kills the process. */
const O_TMPFILE = 0o20000000 | (constants.O_DIRECTORY ?? 0)
const PREFIX = 'beck-spill-'

/**
 * While a block of input is worked off, a disk that is full does not end that at once: what else would be written is counted, so that the error can
 * say how much all of the input would take. Nothing is read back meanwhile: that throws.
 */
let counting: { full?: { readonly error: BeckError; readonly folder: SpillFolder } } | undefined

/** Works off a block, or a stage its part of it, in whose name it is told. @throws BeckError spill-full, with what all of the blocks so far would take (`bytes`) */
export function whileCounting<Result>(work: () => Result): Result {
  const outer = counting
  counting ??= {}
  try {
    const done = work()
    throwIfFull()
    return done
  } finally {
    counting = outer
  }
}

function throwIfFull(): void {
  if (!counting?.full) return
  const { error, folder } = counting.full
  throw new BeckError('spill-full', { ...error.facts, bytes: folder.wanted }, { cause: error.cause })
}

/** The error of a full disk, with what all of the input would take. @param part of it that has been worked off, from 0 to 1, if that is known */
export function withWhole(error: unknown, part: number | undefined): unknown {
  if (!(error instanceof BeckError) || error.code !== 'spill-full') return error
  const { bytes, ...facts } = error.facts
  if (bytes === undefined || part === undefined || !(part > 0 && part < 1)) return error
  return new BeckError('spill-full', { ...facts, whole: formatSize(Number(bytes) / part) }, { cause: error.cause })
}

/** Makes spill files in a folder. One per process and stage: it counts what is written, for the message of a full disk. */
export class SpillFolder {
  readonly #folder: string
  #written = 0
  #made = 0
  constructor(folder: string) {
    this.#folder = folder
  }

  /** What its files hold, and would hold if there was space. */
  get wanted(): number {
    return this.#written
  }

  /** A new file, or one that another thread of this process made. @throws BeckError file, no-such-file */
  create(known?: SpillHandle): SpillFile {
    const fd = known?.fd ?? this.#open()
    let size = known?.size ?? 0
    this.#written += size
    return {
      get handle() {
        return { fd, size }
      },
      get size() {
        return size
      },
      append: (bytes) => {
        this.#write(fd, bytes, size)
        size += bytes.length
      },
      read: (into, at) => {
        throwIfFull()
        let got = 0
        while (got < into.length) {
          const n = readSync(fd, into, got, into.length - got, at + got)
          if (n === 0) break
          got += n
        }
        return got
      },
      close: () => {
        this.#written -= size
        closeSync(fd)
      },
    }
  }

  #write(fd: number, bytes: Uint8Array, to: number): void {
    let at = 0
    if (counting?.full?.folder === this) {
      this.#written += bytes.length
      return
    }
    try {
      while (at < bytes.length) {
        const n = writeSync(fd, bytes, at, bytes.length - at, to + at)
        at += n
        this.#written += n
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'ENOSPC' && code !== 'EDQUOT' && code !== 'EFBIG') throw fileError(error, this.#folder)
      const needed = formatSize(bytes.length - at)
      const facts = { folder: this.#folder, written: formatSize(this.#written), needed }
      const full = new BeckError('spill-full', facts, { cause: error })
      if (!counting || counting.full) throw full
      counting.full = { error: full, folder: this }
      this.#written += bytes.length - at
    }
  }

  #open(): number {
    const { O_RDWR, O_CREAT, O_EXCL } = constants
    if (process.platform === 'linux') {
      try {
        return openSync(this.#folder, O_TMPFILE | O_RDWR, 0o600)
      } catch (error) {
        // Some file systems cannot (NFS; Node calls EOPNOTSUPP ENOTSUP); any other error comes again below.
        if (!['ENOTSUP', 'EISDIR', 'EINVAL', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? '')) {
          throw fileError(error, this.#folder)
        }
      }
    }
    try {
      if (this.#made++ === 0) removeLeftOvers(this.#folder, PREFIX)
      const file = join(this.#folder, `${PREFIX}${process.pid}-${process.hrtime.bigint()}`)
      const fd = openSync(file, O_RDWR | O_CREAT | O_EXCL, 0o600)
      unlinkSync(file)
      return fd
    } catch (error) {
      throw fileError(error, this.#folder)
    }
  }
}

/** Removes what processes that were killed have left in a folder: the names are `prefix`, the process's number and a "-". */
export function removeLeftOvers(folder: string, prefix: string): void {
  for (const name of readdirSync(folder)) {
    const pid = name.startsWith(prefix) ? Number(/^\d+(?=-)/.exec(name.slice(prefix.length))?.[0]) : 0
    if (!pid || isAlive(pid)) continue
    try {
      rmSync(join(folder, name), { recursive: true, force: true })
    } catch {
      // It belongs to somebody else.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
