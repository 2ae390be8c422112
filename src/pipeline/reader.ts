import type { RecordBatch } from '../core/batch.ts'
import { lineTooLong } from '../core/problems.ts'
import type { Scanner } from '../ndjson/scanner.ts'
import { type BadRecords } from './bad-records.ts'
import { CountedOrigin, type InputOrigin } from './origin.ts'
import { openSource, type ByteSource } from './source.ts'

/** What the reader needs to know beside its scanner. */
export interface ReaderSettings {
  readonly maxLineBytes: number
  readonly bad: BadRecords
  /** Read pipes without blocking the thread, so that timers can run. */
  readonly timers?: boolean
  /** Called when an input that may pause has had nothing for a moment. Only with `timers`. */
  readonly onIdle?: () => void
  /** Called before waiting for an input that may pause. */
  readonly beforeWait?: () => void
  /** Awaited before each read: whose turn it is, of two inputs that are read side by side. */
  readonly turn?: () => Promise<void> | undefined
  /** Called after each block, for progress. */
  readonly afterBlock?: (source: ByteSource) => void
}

export type Process = (batch: RecordBatch) => void | 'done'

/**
 * Reads inputs one after the other (none: standard input) and hands their records on in batches. Bad lines go to `settings.bad`:
 * without dead letters, everything before the first bad line is processed, then the error is thrown.
 * @throws BeckError bad-record, file, no-such-file
 */
export async function readInputs(
  scanner: Scanner,
  files: readonly string[],
  process: Process,
  settings: ReaderSettings,
): Promise<void> {
  let base = 0
  for (const file of files.length > 0 ? files : ['-']) {
    const source = openSource(file, settings.timers)
    const origin = new CountedOrigin(source.name, base)
    try {
      if ((await readInput(scanner, source, origin, process, settings)) === 'done') return
    } finally {
      source.close()
    }
    base += origin.received
  }
}

/** Reads one input to its end, or until the stage is 'done'. */
export async function readInput(
  scanner: Scanner,
  source: ByteSource,
  origin: InputOrigin,
  process: Process,
  settings: ReaderSettings,
): Promise<void | 'done'> {
  scanner.begin(origin)
  for (let carried = 0; ;) {
    const room = scanner.room()
    let filled: number | Promise<number> = carried
    if (carried === 0) {
      const turn = settings.turn?.()
      if (turn) await turn
      if (source.pauses) settings.beforeWait?.()
      filled = source.read(room)
      if (typeof filled !== 'number') filled = await (settings.onIdle ? orIdle(filled, settings.onIdle) : filled)
      origin.received += filled
    }
    const last = filled === 0
    carried = 0

    const { batch, bad, lines } = scanner.scan(filled, last)
    const first = bad[0]
    if (first && settings.bad.stops) {
      if (process(batch.head(first.row)) === 'done') return 'done'
    } else if (batch.count > 0 && process(batch) === 'done') return 'done'
    for (const line of bad) {
      // Only the first is thrown, so that counting lines up to it is all that a location costs.
      const place = (): ReturnType<InputOrigin['locate']> => origin.locate(batch.bytes, line.start)
      settings.bad.reject(place, batch.bytes.subarray(line.start, line.end), line)
    }
    origin.advance(lines, scanner.pendingBytes)
    settings.afterBlock?.(source)
    if (last) return
    if (scanner.pendingBytes > settings.maxLineBytes) carried = await skipLine(scanner, source, origin, settings)
  }
}

/** How long an input that has something to give may take: data that waits in a pipe arrives in a tenth of it. */
const IDLE_MS = 1

async function orIdle(filled: Promise<number>, onIdle: () => void): Promise<number> {
  let fail: (error: unknown) => void = () => {}
  const failed = new Promise<never>((_, reject) => (fail = reject))
  const timer = setTimeout(() => {
    try {
      onIdle()
    } catch (error) {
      fail(error)
    }
  }, IDLE_MS)
  try {
    return await Promise.race([filled, failed])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * A line longer than `--max-line`: an error, or streamed to the dead letters in constant memory. Returns how many bytes of the next
 * line have been read already; they stand at the start of `scanner.room()`.
 */
async function skipLine(
  scanner: Scanner,
  source: ByteSource,
  origin: InputOrigin,
  settings: ReaderSettings,
): Promise<number> {
  const beginning = scanner.takePending()
  if (settings.bad.stops) {
    settings.bad.reject(
      () => origin.locate(beginning, 0),
      beginning.subarray(0, 200),
      lineTooLong(settings.maxLineBytes),
    )
  }
  settings.bad.keepPiece(beginning, false)
  for (;;) {
    const room = scanner.room()
    let filled = source.read(room)
    if (typeof filled !== 'number') filled = await filled
    origin.received += filled
    const end = room.subarray(0, filled).indexOf(10)
    if (filled > 0 && end < 0) {
      scanner.skip(filled)
      settings.bad.keepPiece(room.subarray(0, filled), false)
      continue
    }
    settings.bad.keepPiece(room.subarray(0, Math.max(end, 0)), true)
    if (filled === 0) return 0
    scanner.skip(end + 1)
    room.copyWithin(0, end + 1, filled)
    origin.advance(1, filled - end - 1)
    return filled - end - 1
  }
}
