import { open } from 'node:fs/promises'
import { constants } from 'node:fs'

/** Less is read as quickly in this thread. */
const LEAST_BYTES = 1 << 20
/** So much may be in memory before it is asked for. */
const MOST_BYTES = 256 << 20
/** What one thread reads at a time: memory that is touched for the first time costs more than what is copied into it. */
const PIECE_BYTES = 4 << 20

interface FileAhead {
  readonly name: string
  readonly path: string
  readonly bytes: number
}

/**
 * Reads files by other threads, the first ones and as many as are to be in memory together. Undefined where that is not worth it. By name, only
 * files that have the bytes which they should have: who misses one reads it and sees why.
 */
export function readAhead(files: readonly FileAhead[]): Promise<Map<string, Buffer>> | undefined {
  let sum = 0
  const first = files.filter(({ bytes }) => (sum += bytes) <= MOST_BYTES)
  if (first.reduce((all, { bytes }) => all + bytes, 0) < LEAST_BYTES) return undefined
  return readFiles(first)
}

async function readFiles(files: readonly FileAhead[]): Promise<Map<string, Buffer>> {
  const read = new Map<string, Buffer>()
  await Promise.all(
    files.map(async ({ name, path, bytes }) => {
      const content = await readWhole(path, bytes).catch(() => undefined)
      if (content) read.set(name, content)
    }),
  )
  return read
}

async function readWhole(path: string, length: number): Promise<Buffer | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    if ((await file.stat()).size !== length) return undefined
    const content = Buffer.allocUnsafeSlow(length)
    const pieces = Array.from({ length: Math.ceil(length / PIECE_BYTES) }, (_, piece) => piece * PIECE_BYTES)
    const whole = await Promise.all(
      pieces.map(async (from) => {
        const wanted = Math.min(PIECE_BYTES, length - from)
        return (await file.read(content, from, wanted, from)).bytesRead === wanted
      }),
    )
    return whole.every(Boolean) ? content : undefined
  } finally {
    await file.close()
  }
}
