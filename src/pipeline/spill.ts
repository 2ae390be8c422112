import { closeSync, constants, openSync, readdirSync, readSync, rmSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { BeckError, fileError } from '../core/errors.ts'
import type { SpillFile, SpillHandle } from '../core/operator.ts'
import { formatSize } from '../core/size.ts'

/** A file without a name (Linux, open(2)): there is nothing to remove, whatever kills the process. */
const O_TMPFILE = 0o20000000 | (constants.O_DIRECTORY ?? 0)
const PREFIX = 'beck-spill-'

/** Makes spill files in a folder. One per process and stage: it counts what is written, for the message of a full disk. */
export class SpillFolder {
  readonly #folder: string
  #written = 0
  #made = 0
  constructor(folder: string) {
    this.#folder = folder
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
      throw new BeckError(
        'spill-full',
        { folder: this.#folder, written: formatSize(this.#written), needed },
        { cause: error },
      )
    }
  }

  #open(): number {
    const { O_RDWR, O_CREAT, O_EXCL } = constants
    if (process.platform === 'linux') {
      try {
        return openSync(this.#folder, O_TMPFILE | O_RDWR, 0o600)
      } catch (error) {
        // Some file systems cannot; any other error comes again below.
        if (!['EOPNOTSUPP', 'EISDIR', 'EINVAL', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? '')) {
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
