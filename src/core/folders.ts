import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Sees that the names in a folder are on the disk: that of a new, a renamed or a removed file is there only then. */
export function syncFolder(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Makes a folder and those that lead to it, and sees that all of them are on the disk. It may be there already. */
export function makeFolders(path: string): void {
  const place = resolve(path)
  const first = mkdirSync(place, { recursive: true })
  for (let at = place; ; at = dirname(at)) {
    try {
      syncFolder(dirname(at))
    } catch (error) {
      // One that was there may stand where we may not look; whoever has made it has seen to it.
      if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error
    }
    if (first === undefined || at === first) return
  }
}
