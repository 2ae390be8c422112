import { statSync } from 'node:fs'

/** Below this a worker's start (some 40 ms) costs more than it brings. */
export const WORTH_A_WORKER_BYTES = 32 << 20

/** Whether one of the words of a command line is a file that is worth several threads. */
export const namesLargeFile = (words: readonly string[]): boolean => words.some(isLarge)

function isLarge(word: string): boolean {
  try {
    return (statSync(word, { throwIfNoEntry: false })?.size ?? 0) >= WORTH_A_WORKER_BYTES
  } catch {
    return false // Programs make strange file names.
  }
}
