import { statSync } from 'node:fs'
import type { RecordBatch } from '../core/batch.ts'
import { BeckError } from '../core/errors.ts'
import type { Collector } from '../core/operator.ts'
import { lineTooLong } from '../core/problems.ts'
import type { Scanned, Scanner } from '../ndjson/scanner.ts'
import { type BadRecords } from './bad-records.ts'
import { Blocks } from './blocks.ts'
import { FrameSource, lookForFrames, TornRecord } from './frame-source.ts'
import type { BarrierFrame, EndFrame, StartFrame, TaskFrame, WatermarkFrame } from './frames.ts'
import { CountedOrigin, type InputOrigin } from './origin.ts'
import { openSource, type ByteSource } from './source.ts'
import { whileCounting, withWhole } from './spill.ts'

/** What the reader needs to know beside its scanner. */
export interface ReaderSettings {
  readonly maxLineBytes: number
  readonly bad: BadRecords
  /** Of two inputs: what one of them takes on the disk says nothing about all. */
  readonly apart?: boolean
  /** Read pipes without blocking the thread, so that timers can run. */
  readonly timers?: boolean
  /** Opens an input. Default: `openSource`. */
  readonly open?: (file: string, timers: boolean | undefined) => ByteSource
  /** Called when an input that may pause has had nothing for a moment. Only with `timers`. */
  readonly onIdle?: () => void | Promise<void>
  /** At most so much is read at a time. */
  readonly blockBytes?: number
  /** Files are read ahead on another thread. */
  readonly ahead?: boolean
  /** Called before waiting for an input that may pause. */
  readonly beforeWait?: () => void
  /** Awaited before each read: whose turn it is, of two inputs that are read side by side. */
  readonly turn?: () => Promise<void> | undefined
  /** Called after each block with its records, bad ones too, for progress. */
  readonly afterBlock?: (source: ByteSource, records: number) => void
  /** Takes each block whole, bad lines and all, in place of `process` and `bad`. */
  readonly takeBlock?: (scanned: Scanned, origin: InputOrigin) => void | 'done'
  /** Called after each block with its records, bad ones too. */
  readonly onRecords?: (count: number) => void
  /** Loads who takes the control frames of standard input, when there are some. Without it such a stream is refused. */
  readonly frames?: () => Promise<FrameTaker>
  /** Why it is refused, and what to write in its place. */
  readonly noFrames?: readonly [why: string, way: string]
  /** The same for a stream that works partition by partition. */
  readonly tasks?: () => Promise<FrameTaker>
  /** Gets an input before it is read, once it is known what it is: with control frames, without, or a pipe that has ended at once.
   * `base`: bytes of the inputs before it. */
  readonly opened?: (source: ByteSource, kind: 'frames' | 'plain' | 'void', base: number) => ByteSource
}

/** What a stage does at control frames. All records before a frame have been processed; nothing is read before its work is done. */
export interface FrameTaker {
  /** A `start` that only asks the sink what has become of an epoch; the real one follows. */
  resolve(frame: StartFrame): void | Promise<void>
  /** Returns how many bytes of input its state has seen: positions go on from there. */
  start(frame: StartFrame): number | Promise<number>
  watermark(frame: WatermarkFrame): void
  /** @param records how many came since the last barrier @param position bytes of input so far */
  barrier(frame: BarrierFrame, records: number, position: number): void | Promise<void>
  /** 'leave': nothing more is of interest. Else the input is watched until it is closed. */
  end(frame: EndFrame, records: number): 'leave' | 'stay'
  /** What follows is of another partition. Returns how many bytes of input its state has seen. Only where there are tasks. */
  task?(frame: TaskFrame, records: number, position: number): Promise<number>
  /** The stage before has nothing to say, but is there. */
  alive(): void
  /** The input has ended. @throws BeckError frames, unless `end` has come */
  finish(records: number): void
}

/** An operator that takes blocks whole, bad lines and all, and the input in ranges: several stages as one (src/run/composite.ts). */
export interface BlockOperator {
  processBlock(scanned: Scanned, origin: InputOrigin, out: Collector): void
  /** The first byte of a range: bytes of all inputs before it. */
  beginRange(position: number): void
  /** Everything of the range is handed on. */
  endRange(out: Collector): void
  /** A stage has failed within a range: what those behind it have got is worked off. */
  breakRange(error: unknown, out: Collector): void
  /** A part of the input has failed: the stages behind the one that did go on to their end. */
  endBehind?(error: unknown, out: Collector): void
}
export const isBlockOperator = (operator: object): operator is BlockOperator => 'processBlock' in operator

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
    const opened = (settings.open ?? openSource)(file, settings.timers)
    const origin = new CountedOrigin(opened.name, base)
    try {
      const { framed, source: plain, isVoid } = await lookForFrames(opened)
      const source = settings.opened?.(plain, framed ? 'frames' : isVoid ? 'void' : 'plain', base) ?? plain
      if (framed) {
        if (files.length > 1) throw unwelcome('it can have no other input beside it')
        if (!settings.frames) {
          const [why, way] = settings.noFrames ?? ['this command cannot take part in it']
          throw unwelcome(why, way)
        }
        return await readFramed(scanner, source, settings.frames, process, settings)
      }
      if ((await readInput(scanner, source, origin, process, settings)) === 'done') return
    } catch (error) {
      throw settings.apart ? error : withWhole(error, partOf(files, file, opened, origin))
    } finally {
      opened.close()
    }
    base += origin.received
  }
}

/** How much of all inputs has been read. Undefined where that is not known. */
function partOf(
  files: readonly string[],
  current: string,
  source: ByteSource,
  { worked = 0, received }: CountedOrigin,
): number | undefined {
  const at = files.indexOf(current)
  const sizes = files.map((file) => (file === current ? source.size : statSync(file, { throwIfNoEntry: false })?.size))
  if (files.length === 0) sizes.push(source.size)
  // What is read ahead is not worked off; and of a packed file what comes out is more than what is read.
  const here = received === 0 ? 0 : ((worked || received) / received) * Math.min(source.consumed(), received)
  const all = sumOf(sizes)
  const before = sumOf(sizes.slice(0, Math.max(at, 0)))
  return all === undefined || before === undefined ? undefined : (before + here) / all
}

const sumOf = (sizes: readonly (number | undefined)[]): number | undefined =>
  sizes.reduce((sum, size) => (sum === undefined || size === undefined ? undefined : sum + size), 0)

/** Reads a stream with frames to its end. @throws BeckError frames, and whatever the taker throws */
async function readFramed(
  scanner: Scanner,
  source: ByteSource,
  loadTaker: () => Promise<FrameTaker>,
  process: Process,
  settings: ReaderSettings,
): Promise<void> {
  let records = 0
  const onRecords = (count: number): void => {
    records += count
    settings.onRecords?.(count)
  }
  const counted = { ...settings, onRecords }
  let taker: FrameTaker | undefined
  const framed = new FrameSource(source, () => taker?.alive())
  // The first line, on which this stream was told to have frames.
  let start = (await framed.read(new Uint8Array(0))) === 0 ? framed.takeFrame() : undefined
  if (start?.kind === 'start' && start.tasks) {
    if (!settings.tasks) {
      throw unwelcome(
        'this command cannot work partition by partition (consume --per-partition)',
        'leave --per-partition out: then one pipeline of the group works, and others stand by',
      )
    }
    loadTaker = settings.tasks
  }
  taker = await loadTaker()
  while (start?.kind === 'start' && start.resolve !== undefined) {
    await taker.resolve(start)
    start = (await framed.read(new Uint8Array(1))) === 0 ? framed.takeFrame() : undefined
  }
  if (start?.kind !== 'start') return taker.finish(0)
  let base = await taker.start(start)
  let lines = 1
  for (;;) {
    const origin = new CountedOrigin(source.name, base, lines)
    try {
      await readInput(scanner, framed, origin, process, counted)
    } catch (error) {
      // The end that is missing says so.
      if (error instanceof TornRecord) return taker.finish(records + 1)
      throw error
    }
    base += origin.received
    lines = origin.lines + 1
    const frame = framed.takeFrame()
    if (!frame) return taker.finish(records)
    if (frame.kind === 'watermark') taker.watermark(frame)
    else if (frame.kind === 'end') {
      if (taker.end(frame, records) === 'leave') return
    } else if (frame.kind === 'task') {
      if (!taker.task) throw unwelcome('partitions come in a stream that was not said to have them')
      base = await taker.task(frame, records, base)
      records = 0
    } else {
      if (frame.kind === 'start') await taker.start(frame)
      else await taker.barrier(frame, records, base)
      records = 0
    }
  }
}

/** A stream with frames came to who has no use for it. @param way what to write in its place, where that is known */
export const unwelcome = (why: string, way?: string): BeckError =>
  new BeckError('usage', {
    problem: `this pipe delivers exactly once (consume --exactly-once or --at-least-once), and ${why}`,
    hint:
      way ??
      'such a pipe goes through map, filter and other commands that can take part, and ends with append, into or commit, which commit:\n  beck consume clicks --group g --exactly-once | beck filter r.ok | beck append good\nto read without that: beck consume clicks --group g',
  })

/** Why an encoder refuses control frames, and what to write in its place. */
export const otherFormat = (name: string): readonly [why: string, way: string] => [
  `beck ${name} writes another format, for which nobody could commit`,
  'end the pipe with append, and read the topic: … | beck append good; beck replay good | beck to csv\nor stand behind beck commit, at least once: beck consume clicks --group g --at-least-once | … | beck commit | beck to csv',
]

/** Reads one input to its end, or until the stage is 'done'. */
export async function readInput(
  scanner: Scanner,
  source: ByteSource,
  origin: InputOrigin,
  process: Process,
  settings: ReaderSettings,
): Promise<void | 'done'> {
  scanner.begin(origin)
  const blocks = new Blocks(scanner, source, settings.ahead, settings.blockBytes)
  try {
    return await readBlocks(scanner, source, blocks, origin, process, settings)
  } finally {
    await blocks.close()
  }
}

async function readBlocks(
  scanner: Scanner,
  source: ByteSource,
  blocks: Blocks,
  origin: InputOrigin,
  process: Process,
  settings: ReaderSettings,
): Promise<void | 'done'> {
  for (let carried = 0; ;) {
    let filled: number | Promise<number> = carried
    if (carried === 0) {
      const turn = settings.turn?.()
      if (turn) await turn
      if (source.pauses) settings.beforeWait?.()
      const ready = source.ready?.()
      if (ready) await (settings.onIdle ? orIdle(ready, settings.onIdle) : ready)
      filled = blocks.next() // asked for after waiting: another scanner may detach it meanwhile
      if (typeof filled !== 'number') filled = await (settings.onIdle ? orIdle(filled, settings.onIdle) : filled)
      origin.received += filled
    }
    const last = filled === 0
    carried = 0

    const scanned = scanner.scan(filled, last)
    const { batch, bad, lines } = scanned
    const each = (): void | 'done' => {
      const first = bad[0]
      if (first && settings.bad.stops) {
        if (process(batch.head(first.row)) === 'done') return 'done'
      } else if (batch.count > 0 && process(batch) === 'done') return 'done'
      for (const line of bad) {
        // Only the first is thrown, so that counting lines up to it is all that a location costs.
        const place = (): ReturnType<InputOrigin['locate']> => origin.locate(batch.bytes, line.start)
        settings.bad.reject(place, batch.bytes.subarray(line.start, line.end), line)
      }
    }
    const done = whileCounting(() =>
      settings.takeBlock ? settings.takeBlock(scanned, origin) : settings.bad.inOrder(each),
    )
    if (done) return done
    origin.advance(lines, scanner.pendingBytes)
    origin.worked = origin.received
    settings.onRecords?.(batch.count + bad.length)
    settings.afterBlock?.(source, batch.count + bad.length)
    if (last) return
    if (scanner.pendingBytes > settings.maxLineBytes) carried = await skipLine(scanner, blocks, origin, settings)
  }
}

/** How long an input that has something to give may take: data that waits in a pipe arrives in a tenth of it. */
const IDLE_MS = 1

async function orIdle<Result>(filled: Promise<Result>, onIdle: () => void | Promise<void>): Promise<Result> {
  let fail: (error: unknown) => void = () => {}
  const failed = new Promise<never>((_, reject) => (fail = reject))
  const timer = setTimeout(() => {
    try {
      onIdle()?.catch(fail)
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
  blocks: Blocks,
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
    let filled = blocks.next()
    if (typeof filled !== 'number') filled = await filled
    const fresh = scanner.fresh(filled)
    origin.received += filled
    const end = fresh.indexOf(10)
    if (filled > 0 && end < 0) {
      scanner.skip(filled)
      settings.bad.keepPiece(fresh, false)
      continue
    }
    settings.bad.keepPiece(fresh.subarray(0, Math.max(end, 0)), true)
    settings.onRecords?.(1)
    if (filled === 0) return 0
    scanner.skip(end + 1)
    fresh.copyWithin(0, end + 1)
    origin.advance(1, filled - end - 1)
    return filled - end - 1
  }
}
