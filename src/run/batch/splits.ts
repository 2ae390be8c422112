import { closeSync, openSync, type Stats, statSync } from 'node:fs'
import { atFile, BeckError, fileError } from '../../core/errors.ts'
import { FileRange, lineStart, openSource, rangeableSize, type ByteSource } from '../../pipeline/source.ts'

/** A file that a job reads, and what it was like when the job was planned. */
export interface JobInput {
  readonly file: string
  readonly size: number
  readonly modifiedMs: number
  /** Packed, or of a format whose lines do not stand for themselves: it is read from its start to its end. */
  readonly whole: boolean
}

/** What a map task reads. The lines that begin in `start` ≤ byte < `end`. */
export interface Split {
  readonly input: JobInput
  readonly start: number
  readonly end: number
}

/**
 * Looks at the files of a job.
 * @param byLine whether a piece of such a file makes sense
 * @returns undefined when one of them cannot be read twice: a pipe, a terminal, what is not there
 */
export function lookAtInputs(files: readonly string[], byLine: boolean): JobInput[] | undefined {
  const inputs: JobInput[] = []
  for (const file of files) {
    const stat = file === '-' ? undefined : statSync(file, { throwIfNoEntry: false })
    if (!stat?.isFile()) return undefined
    const whole = !byLine || rangeableSize(file) === undefined
    inputs.push({ file, size: stat.size, modifiedMs: stat.mtimeMs, whole })
  }
  return inputs
}

/** How many pieces of about `bytes` an input makes. */
export const piecesOf = ({ whole, size }: JobInput, bytes: number): number =>
  whole ? 1 : Math.max(1, Math.round(size / bytes))

/** Cuts inputs in pieces of about `bytes`. An empty file makes one, too: what it is read for may fail. */
export function cutInputs(inputs: readonly JobInput[], bytes: number): Split[] {
  return inputs.flatMap((input) => {
    const pieces = piecesOf(input, bytes)
    const cut = (piece: number): number => Math.floor((input.size * piece) / pieces)
    return Array.from({ length: pieces }, (_, piece) => ({ input, start: cut(piece), end: cut(piece + 1) }))
  })
}

/** An opened split. `start`: where its first line begins. */
export interface OpenSplit {
  readonly source: ByteSource
  readonly start: number
  close(): void
}

/** Opens a split; its ends move on to the next line starts, so that every line belongs to exactly one. @throws BeckError */
export function openSplit(split: Split): OpenSplit {
  const { file, size, whole } = split.input
  checkUnchanged(split.input)
  if (whole) {
    const source = openSource(file)
    return { source, start: 0, close: () => source.close() }
  }
  const fd = openSync(file, 'r')
  try {
    const start = lineStart(fd, split.start, size)
    const end = lineStart(fd, split.end, size)
    return { source: new FileRange(fd, { file, size }, start, end), start, close: () => closeSync(fd) }
  } catch (error) {
    closeSync(fd)
    throw fileError(error, file)
  }
}

/** Tasks look before and after reading: all of them must see the same bytes. @throws BeckError input-changed */
export function checkUnchanged({ file, size, modifiedMs }: JobInput): void {
  const now = look(file)
  if (now.size === size && now.mtimeMs === modifiedMs) return
  throw new BeckError('input-changed', {
    file,
    when: 'while the job was reading it',
    hint: 'run the job again from its start, on a file that nobody writes to',
  })
}

const look = (file: string): Stats => atFile(file, () => statSync(file))
