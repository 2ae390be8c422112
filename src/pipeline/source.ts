import { closeSync, fstatSync, openSync, read, readSync, statSync } from 'node:fs'
import { BeckError, fileError } from '../core/errors.ts'
import { readSome } from './descriptor.ts'

/** Bytes of one input. */
export interface ByteSource {
  readonly name: string
  /** Standard input of the process: others, within it, may be called so. */
  readonly isStdin?: boolean
  /** Bytes on disk, of a regular file. */
  readonly size: number | undefined
  /** An input that may pause (a pipe, a terminal): output is flushed before waiting for more. */
  readonly pauses: boolean
  /** `read` gives no promise: it waits, and everybody with it. */
  readonly blocks?: boolean
  /** Awaited before `read`, where that gathers bytes first: `into` may not be there any more after waiting. */
  ready?(): Promise<void> | undefined
  /** Fills some of `into` and says how much; 0 is the end. */
  read(into: Uint8Array): number | Promise<number>
  /** As `read`, on another thread: where that does not change when this one does what. Ends before anything else is read. */
  readAhead?(into: Uint8Array): Promise<number>
  /** Of a regular file that is read as it is: its descriptor, which `close` leaves open from then on. */
  keep?(): number
  /** Bytes of `size` that have been read, for progress. */
  consumed(): number
  close(): void
}

/**
 * Opens a file, or standard input for `-`. Files called `.gz` and `.zst` that are what they are called are unpacked.
 * @param timers read pipes without blocking the thread, so that timers can run
 * @throws BeckError no-such-file, file
 */
export function openSource(file: string, timers = false): ByteSource {
  const stdin = file === '-'
  const name = stdin ? 'stdin' : file
  const fd = stdin ? 0 : open(file)
  const stat = fstatSync(fd)
  if (stat.isDirectory()) {
    throw new BeckError('file', {
      file: name,
      problem: 'is a directory, not a file',
      hint: stdin ? 'read its files: beck … FOLDER/*.ndjson' : `name its files: ${name}/*.ndjson`,
    })
  }
  const regular = stat.isFile()
  let consumed = 0
  const raw = (into: Uint8Array): number => {
    const n = readSome(fd, into, name)
    consumed += n
    return n
  }
  const packing = regular && !stdin ? compressionOf(file, fd) : undefined
  const unpacked = packing && chunked(packing === 'gzip' ? gunzip(raw, name) : unzstd(raw, name))
  let isKept = false
  const keep = (): number => {
    isKept = true
    return fd
  }
  return {
    name,
    isStdin: stdin,
    ...(regular && !stdin && !unpacked && { keep }),
    size: regular ? stat.size : undefined,
    pauses: !regular,
    blocks: !timers,
    read: unpacked ?? (timers && !regular ? (into) => readLater(fd, into, name) : raw),
    ...(regular &&
      !packing && {
        async readAhead(into: Uint8Array): Promise<number> {
          const n = await readLater(fd, into, name)
          consumed += n
          return n
        },
      }),
    consumed: () => consumed,
    close: () => {
      if (!stdin && !isKept) closeSync(fd)
    },
  }
}

/** Files one after the other, as what comes through a pipe. @throws BeckError no-such-file, file */
export function openAll(files: readonly string[]): ByteSource {
  let open: ByteSource | undefined
  let next = 0
  const read = async (into: Uint8Array): Promise<number> => {
    for (; open || next < files.length; open?.close(), open = undefined) {
      open ??= openSource(files[next++]!)
      const n = await open.read(into)
      if (n > 0) return n
    }
    return 0
  }
  return { name: 'stdin', size: undefined, pauses: true, read, consumed: () => 0, close: () => open?.close() }
}

/** A regular file that can be read in ranges by several workers: its size. Undefined for pipes, `-` and packed files. */
export function rangeableSize(file: string): number | undefined {
  // Asked before it is opened: a named pipe whose reader leaves again loses its writer.
  if (file === '-' || !isRegular(file)) return undefined
  const fd = open(file)
  try {
    return compressionOf(file, fd) ? undefined : fstatSync(fd).size
  } finally {
    closeSync(fd)
  }
}

/** The lines of a regular file from `start` to `end`, which are line starts. */
export class FileRange implements ByteSource {
  readonly name: string
  readonly size: number
  readonly pauses = false
  readonly #fd: number
  readonly #end: number
  #at: number
  constructor(fd: number, input: { readonly file: string; readonly size: number }, start: number, end: number) {
    this.name = input.file
    this.size = input.size
    this.#fd = fd
    this.#at = start
    this.#end = end
  }
  read(into: Uint8Array): number {
    const most = Math.min(into.length, this.#end - this.#at)
    const n = most > 0 ? readSync(this.#fd, into, 0, most, this.#at) : 0
    this.#at += n
    return n
  }
  consumed(): number {
    return this.#at
  }
  close(): void {}
}

/** The first line start at or after `at`. Costs a read of some lines. */
export function lineStart(fd: number, at: number, size: number): number {
  if (at === 0) return 0
  const piece = Buffer.allocUnsafe(4096)
  // From the byte before: if that is a line end, `at` itself is a line start.
  for (let from = at - 1; from < size; from += piece.length) {
    const n = readSync(fd, piece, 0, piece.length, from)
    const newline = piece.subarray(0, n).indexOf(10)
    if (newline >= 0) return from + newline + 1
    if (n === 0) break
  }
  return size
}

function isRegular(file: string): boolean {
  try {
    return statSync(file).isFile()
  } catch {
    return false // Opening it will say what is wrong.
  }
}

function open(file: string): number {
  try {
    return openSync(file, 'r')
  } catch (error) {
    throw fileError(error, file)
  }
}

/** Told by the name, confirmed by the magic bytes: a file that only has the name is read as it is. */
function compressionOf(file: string, fd: number): 'gzip' | 'zstd' | undefined {
  if (!/\.(gz|zst)$/i.test(file)) return undefined
  const head = Buffer.alloc(4)
  readSync(fd, head, 0, 4, 0)
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
  const magic = head.readUInt32LE(0)
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? 'zstd' : undefined
}

/** A read on the thread pool; a descriptor that somebody made non-blocking is asked again. */
function readLater(fd: number, into: Uint8Array, name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const attempt = (): void =>
      read(fd, into, 0, into.length, null, (error, n) => {
        if (!error) resolve(n)
        else if (error.code === 'EAGAIN') setTimeout(attempt, 2)
        else if (error.code === 'EOF') resolve(0)
        else reject(fileError(error, name))
      })
    attempt()
  })
}

/** Hands chunks of any size out in the sizes that the reader asks for. */
function chunked(chunks: AsyncIterator<Uint8Array>): (into: Uint8Array) => Promise<number> {
  let rest: Uint8Array = new Uint8Array(0)
  return async (into) => {
    while (rest.length === 0) {
      const next = await chunks.next()
      if (next.done) return 0
      rest = next.value
    }
    const n = Math.min(rest.length, into.length)
    into.set(rest.subarray(0, n))
    rest = rest.subarray(n)
    return n
  }
}

/** The packed bytes, piece by piece. Pieces are copies: the unpackers keep them. */
function* pieces(raw: (into: Uint8Array) => number): Generator<Uint8Array> {
  for (;;) {
    const piece = Buffer.allocUnsafeSlow(1 << 16)
    const n = raw(piece)
    if (n === 0) return
    yield piece.subarray(0, n)
  }
}

async function* gunzip(raw: (into: Uint8Array) => number, name: string): AsyncGenerator<Uint8Array> {
  const { createGunzip } = await import('node:zlib')
  const { Readable, pipeline } = await import('node:stream')
  const unpacked = pipeline(
    Readable.from(pieces(raw), { objectMode: false }),
    createGunzip({ chunkSize: 1 << 18 }),
    () => {},
  )
  try {
    for await (const chunk of unpacked) yield chunk as Uint8Array
  } catch (error) {
    throw damaged(error, name, 'gzip')
  }
}

async function* unzstd(raw: (into: Uint8Array) => number, name: string): AsyncGenerator<Uint8Array> {
  const zstd = await import('./zstd.ts')
  try {
    yield* zstd.unzstd(pieces(raw))
  } catch (error) {
    throw damaged(error, name, 'zstd')
  }
}

function damaged(error: unknown, name: string, format: string): unknown {
  if (error instanceof BeckError) return error
  const problem = `is damaged ${format} data (${(error as Error).message})`
  return new BeckError('file', { file: name, problem, hint: `test it with: ${format} -t ${name}` }, { cause: error })
}
