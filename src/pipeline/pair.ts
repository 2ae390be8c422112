import type { RecordBatch } from '../core/batch.ts'
import { BeckError } from '../core/errors.ts'
import type { PairStage } from '../core/spec.ts'
import type { BadRecords } from './bad-records.ts'
import { collectInto, openScanner, stageContext } from './context.ts'
import { NothingToDo } from './descriptor.ts'
import { FramedOutput } from './framed-output.ts'
import { HeldSource } from './held-source.ts'
import type { InputKind, PairFrames } from './pair-frames.ts'
import { type FrameTaker, readInputs, type ReaderSettings, unwelcome } from './reader.ts'
import { readerSettings, withBadRecords, withSides, type Progress } from './run-stage.ts'
import type { Outcome, RunSettings } from './settings.ts'
import { SideFiles } from './side-files.ts'
import { outputOf, type StageIo } from './stage-io.ts'
import { readTableInput } from './table.ts'
import { type Content, withBatch } from './table-content.ts'

/** Runs an operator of two inputs in this thread. @throws BeckError, ReaderGone */
export async function runPair(
  stage: PairStage,
  files: readonly string[],
  settings: RunSettings,
  progress?: Progress,
  io?: StageIo,
): Promise<Outcome> {
  const output = outputOf(io)
  const framed = new FramedOutput(output)
  const out = collectInto(framed)
  const sides = new SideFiles(settings.inputs)
  const runBoth = async (bad: BadRecords, counts: Map<string, number>): Promise<void> => {
    const [left, right] = stage.reads.map((reads) => {
      const scanner = openScanner(reads, settings)
      return { scanner, context: withSides(stageContext(scanner, bad, counts, settings), sides) }
    }) as [Side, Side]
    const operator = stage.open(left.context, right.context)
    const together = stage.reading === 'together'
    const read = readerSettings(settings, bad, output, together, progress, io)
    const turns = new SideBySide(() => operator.next?.())
    const table = new TableProgress()
    const opened = [new Opened(), new Opened()] as const
    const sources: [HeldSource | undefined, HeldSource | undefined] = [undefined, undefined]
    let loaded: Promise<PairFrames> | undefined
    let frames: PairFrames | undefined
    const load = async (): Promise<PairFrames> => {
      const { PairFrames } = await import('./pair-frames.ts')
      frames = new PairFrames(operator, stage, settings, {
        out,
        output: framed,
        sides,
        inside: io !== undefined,
        wait: (port, promise) => turns.pause(port, promise),
        spill: (port) => sources[port]?.spill(),
        release: (port) => sources[port]?.release(),
        inputs: opened.map(({ input }) => input) as [Promise<InputKind>, Promise<InputKind>],
        tableIsRead: table.isRead,
      })
      return frames
    }
    const readSide = async (port: 0 | 1): Promise<void> => {
      const { scanner, context } = port === 0 ? left : right
      const process = (batch: RecordBatch): void | 'done' => {
        if (port === 1) table.see(batch)
        return operator.processBatch(batch, out, port)
      }
      const own: ReaderSettings = {
        ...read,
        apart: true,
        ...(together && {
          turn: () => turns.wait(port, io?.ready()),
          afterBlock(source, records) {
            turns.done(port)
            progress?.(source, records)
          },
        }),
        opened(source, kind) {
          const isFramed = kind === 'frames'
          if (port === 0 && kind === 'plain') sides.begin()
          opened[port].tell(isFramed ? 'frames' : source.pauses ? 'pipe' : 'file')
          if (!isFramed) {
            opened[port].begin()
            return source
          }
          return (sources[port] = new HeldSource(source, () => context.spill()))
        },
        onRecords: (count) => frames?.count(port, count),
        frames: async () => {
          if (port === 1 && !together)
            throw unwelcome('the TABLE is read whole, before anything else: it cannot be a pipe')
          const taker = (await (loaded ??= load())).taker(port)
          const start: FrameTaker['start'] = (frame) => {
            opened[port].begin()
            return taker.start(frame)
          }
          return { ...taker, start }
        },
      }
      if (port === 0) await readInputs(scanner, files, process, own)
      else await readTableInput(stage, scanner, process, own, stage.follow ? () => operator.isDone !== true : undefined)
      if (sources[port]) return
      operator.onEndOf?.(port, out)
      if (port === 1) table.ended()
    }
    if (together) {
      const idle = new IdleSides(opened)
      const reading = ([0, 1] as const).map((port) =>
        readSide(port)
          .finally(() => turns.end(port))
          .catch((error: unknown) => idle.settle(port, error)),
      )
      await Promise.all(reading)
    } else {
      await readSide(1)
      await readSide(0)
    }
    // With frames, the last barrier says whether this end is the end of all.
    if (!frames) operator.onEnd?.(out)
  }
  return withBadRecords(settings, output, runBoth, sides)
}

/** What an input is, once that is known. */
class Opened {
  readonly input: Promise<InputKind>
  tell: (input: InputKind) => void = () => {}
  /** It has something to say; or its source has left. */
  readonly begun: Promise<'begun' | 'idle'>
  begin: (how?: 'idle') => void = () => {}
  constructor() {
    this.input = new Promise((resolve) => (this.tell = resolve))
    this.begun = new Promise((resolve) => (this.begin = (how) => resolve(how ?? 'begun')))
  }
}

/** What a table without frames holds, once it has been read. */
class TableProgress {
  readonly isRead: Promise<Content>
  #tell: (content: Content) => void = () => {}
  #content: Content = { bytes: 0, crc: 0 }

  constructor() {
    this.isRead = new Promise((resolve) => (this.#tell = resolve))
  }
  see(batch: RecordBatch): void {
    this.#content = withBatch(this.#content, batch)
  }
  ended(): void {
    this.#tell(this.#content)
  }
}

interface Side {
  readonly scanner: ReturnType<typeof openScanner>
  readonly context: ReturnType<typeof stageContext>
}

/** So long a side that is behind may be without data before the other goes on: data that flows comes sooner. */
const SILENT_MS = 3

/**
 * Two readers in one thread. A side whose time is ahead lets the other go first, unless that one has had no data for a moment or has
 * ended: so state stays small, and a side that is silent never holds the other up.
 */
class SideBySide {
  readonly #next: () => 0 | 1 | undefined
  readonly #reading = [false, false]
  /** When it began to wait for data. */
  readonly #since = [0, 0]
  readonly #ended = [false, false]
  #wake: (() => void) | undefined
  constructor(next: () => 0 | 1 | undefined) {
    this.#next = next
  }
  /** @param before what has to be waited for first */
  async wait(port: 0 | 1, before?: Promise<void>): Promise<void> {
    const other = 1 - port
    if (before) await before
    // Lets the other side's finished read be seen before it counts as waiting.
    await new Promise(setImmediate)
    while (!this.#ended[other] && this.#next() === other) {
      const patience = this.#reading[other] ? this.#since[other]! + SILENT_MS - performance.now() : Infinity
      if (patience <= 0) break
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        if (patience < Infinity) timer = setTimeout(resolve, patience)
      })
      clearTimeout(timer)
    }
    this.#reading[port] = true
    this.#since[port] = performance.now()
    this.#signal()
  }
  /** A side that waits for something else does not hold the other up. */
  async pause<Result>(port: 0 | 1, promise: Promise<Result>): Promise<Result> {
    this.#reading[port] = true
    this.#since[port] = -Infinity
    this.#signal()
    try {
      return await promise
    } finally {
      this.#reading[port] = false
      this.#signal()
    }
  }
  done(port: 0 | 1): void {
    this.#reading[port] = false
    this.#signal()
  }
  end(port: 0 | 1): void {
    this.#ended[port] = true
    this.#signal()
  }
  #signal(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}

/** Inputs whose source has left at once, since another run of its pipeline is at work. */
class IdleSides {
  readonly #opened: readonly [Opened, Opened]

  constructor(opened: readonly [Opened, Opened]) {
    this.#opened = opened
  }

  /** An input has failed. @throws NothingToDo when the other one has nothing to say either; else BeckError, or the error */
  async settle(port: 0 | 1, error: unknown): Promise<void> {
    this.#opened[port].begin('idle')
    if (!(error instanceof NothingToDo) || (await this.#opened[1 - port]?.begun) === 'idle') throw error
    throw new BeckError('frames', {
      problem:
        'one of the two sources has left, since another run of its pipeline is at work, and the other has not; nothing is committed',
      hint: 'give each its own --group, and --no-wait to both or to none',
    })
  }
}
