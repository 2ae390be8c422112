import { fstatSync, statSync } from 'node:fs'
import { BeckError } from '../core/errors.ts'

/**
 * Refuses to write to a file (1: standard output) that is read at the same time: it would lose its records before they are read,
 * or grow for as long as it is read.
 * @throws BeckError usage
 */
export function refuseOwnInput(inputs: readonly string[], output: string | 1): void {
  const written = fileIdentity(output)
  const same = written && inputs.find((input) => fileIdentity(input === '-' ? 0 : input) === written)
  if (!same) return
  throw new BeckError('usage', {
    problem: `${same === '-' ? 'stdin' : same} is both read and written${output === 1 ? '' : `, as ${output}`}`,
    hint: `write to another file, then: mv NEW ${same === '-' ? 'FILE' : same}`,
  })
}

/** Whether a descriptor is where our records or messages go: /dev/stderr is whatever log the shell has put there, with what others wrote. */
export function isStandardOutput(fd: number): boolean {
  const file = fileIdentity(fd)
  return file !== undefined && [1, 2].some((standard) => fileIdentity(standard) === file)
}

/** What tells a regular file from all others; undefined for anything else, or nothing. */
function fileIdentity(file: string | number): string | undefined {
  try {
    const stat = typeof file === 'number' ? fstatSync(file, { bigint: true }) : statSync(file, { bigint: true })
    return stat.isFile() ? `${stat.dev}:${stat.ino}` : undefined
  } catch {
    return undefined // Opening it will say what is wrong.
  }
}
