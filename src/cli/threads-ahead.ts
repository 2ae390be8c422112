import type { CommandSpec } from '../core/spec.ts'
import { namesLargeFile } from '../pipeline/large-files.ts'

/**
 * Whether a command will probably want other threads. A guess from words that nobody has understood yet: where it is wrong, a thread is started for
 * nothing, or later than it could have been.
 */
export function needsThreads({ common, threads, options }: CommandSpec, words: readonly string[]): boolean {
  if (!common.includes('workers') || threads === false) return false
  const without = ['workers', ...options.filter(({ oneThread }) => oneThread).map(({ flag }) => flag)]
  const named = ([word]: string[]): boolean => without.some((flag) => word === `--${flag}`)
  // A word may be the text of a pipeline.
  return (
    !words.some((word) => named(word.split('=', 1))) &&
    namesLargeFile(words.flatMap((word) => word.split(/[\s'"|()]+/)))
  )
}
