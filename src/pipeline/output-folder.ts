import { closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { atFile, BeckError } from '../core/errors.ts'
import { makeFolders, syncFolder } from '../core/folders.ts'
import { writeAll } from './descriptor.ts'

/** Names of files that are being written. A killed run leaves them behind; the next one in the folder removes them. */
const UNFINISHED = /^\.beck-\d+-/

/**
 * A folder of output files, as MapReduce has it: each appears by rename when it is complete, and `_SUCCESS` when all are. The folder is
 * new or empty, so that parts of different runs never mix.
 */
export class OutputFolder {
  readonly #folder: string

  /** @throws BeckError file */
  constructor(folder: string) {
    this.#folder = folder
    atFile(folder, () => makeFolders(folder))
    for (const name of atFile(folder, () => readdirSync(folder))) {
      if (UNFINISHED.test(name)) {
        rmSync(join(folder, name), { force: true })
        continue
      }
      throw new BeckError('file', {
        file: folder,
        problem: `is not empty: there is ${name}`,
        hint: `name a new folder, or empty it first: rm -r ${folder}`,
      })
    }
  }

  /** A new file. @throws BeckError file, disk-full */
  create(name: string): { readonly fd: number; write(bytes: Uint8Array): void; finish(): void } {
    const place = join(this.#folder, name)
    const unfinished = join(this.#folder, `.beck-${process.pid}-${name}`)
    const fd = atFile(place, () => openSync(unfinished, 'w'))
    return {
      fd,
      write: (bytes) => void writeAll(fd, bytes, place),
      finish: () =>
        atFile(place, () => {
          fsyncSync(fd)
          closeSync(fd)
          renameSync(unfinished, place)
        }),
    }
  }

  /** All files are there, and stay. */
  succeed(): void {
    const sync = (): void => atFile(this.#folder, () => syncFolder(this.#folder))
    sync()
    this.create('_SUCCESS').finish()
    sync()
  }

  /** After an error: removes what is not complete. */
  abandon(): void {
    for (const name of readdirSync(this.#folder)) {
      if (UNFINISHED.test(name)) rmSync(join(this.#folder, name), { force: true })
    }
  }
}

/** `part-00007.ndjson` */
export const partName = (partition: number): string => `part-${String(partition).padStart(5, '0')}.ndjson`
