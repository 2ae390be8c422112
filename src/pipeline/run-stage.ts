import { countLines } from '../core/count-lines.ts'
import { BeckError } from '../core/errors.ts'
import type { DecoderStage, EncoderStage, OperatorStage, SinkStage, ToolIo } from '../core/spec.ts'
import type { RecordBatch } from '../core/batch.ts'
import type { EventTime, Operator, StageContext } from '../core/operator.ts'
import { createScanner } from '../ndjson/index.ts'
import type { Scanner, TextCounts, TextKind } from '../ndjson/scanner.ts'
import { DeadLetters, stopAtBadRecords, type BadRecords } from './bad-records.ts'
import { collectInto, openScanner, stageContext } from './context.ts'
import { Output } from './descriptor.ts'
import { FramedOutput } from './framed-output.ts'
import { lookForFrames } from './frame-source.ts'
import { type FrameTaker, otherFormat, type ReaderSettings, readInput, readInputs, unwelcome } from './reader.ts'
import type { ByteSource } from './source.ts'
import type { SinkTasks } from './task-frames.ts'
import { openInput, outputOf, type StageIo, type StageOutput } from './stage-io.ts'
import type { Outcome, RunSettings } from './settings.ts'
import { SideFiles } from './side-files.ts'

/** Shown what has been read, for people who watch. */
export interface Progress {
  /** A block of an input is worked off: so many records, of all threads. `watermark`: the operator's. */
  (source: Pick<ByteSource, 'name' | 'size' | 'consumed'>, records: number, watermark?: EventTime): void
  /** Somebody waits for it: inputs that pause are read without blocking the thread. */
  readonly live?: true
}

const INPUT_BLOCK = 1 << 18

/** Runs an operator in this thread: inputs → scanner → operator → standard output, unless `io` has others. @throws BeckError, ReaderGone */
export async function runOperator(
  stage: OperatorStage,
  files: readonly string[],
  settings: RunSettings,
  progress?: Progress,
  io?: StageIo,
): Promise<Outcome> {
  const output = outputOf(io)
  const framed = new FramedOutput(output)
  const out = collectInto(framed)
  const sides = new SideFiles(settings.inputs)
  const run = async (bad: BadRecords, counts: Map<string, number>): Promise<void> => {
    const scanner = openScanner(stage.reads, settings)
    const context = withSides(stageContext(scanner, bad, counts, settings), sides)
    let operator: Operator = stage.open(context)
    let frames: FrameTaker | undefined
    const loadFrames = async (): Promise<FrameTaker> => {
      const { OperatorFrames } = await import('./framed-stage.ts')
      return (frames = new OperatorFrames(operator, stage, settings, {
        out,
        output: framed,
        sides,
        inside: io !== undefined,
      }))
    }
    const timer =
      stage.timers &&
      setInterval(() => {
        if (frames) return
        operator.onTimer?.(context.now(), out)
        output.flush()
      }, TIMER_MS)
    try {
      await readInputs(scanner, files, (batch) => operator.processBatch(batch, out, 0), {
        ...readerSettings(settings, bad, output, stage.timers ?? false, progress, io),
        ahead: !stage.timers,
        ...(progress && { afterBlock: (source, records) => progress(source, records, operator.watermark) }),
        ...(stage.blockBytes !== undefined && { blockBytes: stage.blockBytes }),
        opened(source, kind) {
          if (kind === 'plain') sides.begin()
          return source
        },
        frames: loadFrames,
        tasks: async () => {
          const { OperatorTasks } = await import('./task-frames.ts')
          const use = (own: Operator): void => void (operator = own)
          const tasks = { open: () => stage.open(context), use, sides }
          return (frames = new OperatorTasks(stage, settings, { out, output: framed }, tasks))
        },
      })
    } finally {
      clearInterval(timer as NodeJS.Timeout)
    }
    // With frames, the last barrier says whether this end is the end of all.
    if (!frames) operator.onEnd?.(out)
  }
  return withBadRecords(settings, output, run, sides)
}

/** A context whose files beside the output are those of `sides`. */
export const withSides = (context: StageContext, sides: SideFiles): StageContext => ({
  ...context,
  sideFile: (file) => sides.open(file),
})

/** Timers of operators fire this often. */
const TIMER_MS = 20

/**
 * Runs a sink: inputs → scanner → somewhere. Everything before a bad record is kept before its error ends the run.
 * @param threads that read the files together
 */
export async function runSink(
  stage: SinkStage,
  files: readonly string[],
  settings: RunSettings,
  io: ToolIo,
  progress?: Progress,
  threads?: import('./parallel-sink.ts').ParallelInput,
): Promise<Outcome> {
  const output = new Output()
  return withBadRecords(settings, output, async (bad, counts) => {
    const scanner = threads?.scanner ?? openScanner(stage.reads, settings)
    const context = stageContext(scanner, bad, counts, settings)
    const sink = stage.open({ ...context, say: io.say, terminal: io.terminal })
    // An error in a timer has nobody to go to: it is thrown at the next batch or at the end.
    let failure: { readonly error: unknown } | undefined
    const check = (): void => {
      if (failure) throw failure.error
    }
    const timer = setInterval(() => {
      try {
        if (!failure) sink.onTimer(context.now())
      } catch (error) {
        failure = { error }
      }
    }, TIMER_MS)
    let framed = false
    let tasks: SinkTasks | undefined
    try {
      const process = (batch: RecordBatch): void => {
        check()
        sink.processBatch(batch)
      }
      const reading = readerSettings(settings, bad, output, true, progress)
      if (threads) {
        await threads.run(sink, (source, origin) => readInput(scanner, source, origin, process, reading), progress)
      } else {
        await readInputs(scanner, files, process, {
          ...reading,
          onIdle: () => sink.onIdle(),
          turn: () => sink.ready?.(),
          frames: async () => {
            framed = true
            return new (await import('./framed-stage.ts')).SinkFrames(sink, settings)
          },
          tasks: async () => (tasks = new (await import('./task-frames.ts')).SinkTasks(sink, settings)),
        })
      }
      check()
      if (!tasks?.idle) await sink.onEnd()
    } catch (error) {
      if (!(error instanceof BeckError && error.code === 'bad-record')) throw error
      await sink.onIdle()
      throw framed ? badInEpoch(error) : error
    } finally {
      clearInterval(timer)
      threads?.close()
      sink.close()
    }
  })
}

/** A bad record at the end of an exactly-once pipe, which has no state in which a file beside it could be kept. */
export function badInEpoch(error: BeckError): BeckError {
  const hint =
    'nothing of this epoch is committed; keep bad records apart before the end of the pipe: … | beck filter true --dead-letter bad | …'
  return new BeckError(error.code, { ...error.facts, hint }, { cause: error })
}

/** Runs `to FORMAT`: records → text. */
export async function runEncoder(
  stage: EncoderStage,
  files: readonly string[],
  settings: RunSettings,
  terminal: { columns: number; color: boolean } | undefined,
  progress?: Progress,
): Promise<Outcome> {
  const output = new Output()
  const write = (text: Uint8Array | string): void => output.write(typeof text === 'string' ? Buffer.from(text) : text)
  return withBadRecords(settings, output, async (bad, counts) => {
    const scanner = openScanner(stage.reads, settings)
    const context = stageContext(scanner, bad, counts, settings)
    const encoder = stage.open(terminal ? { ...context, terminal } : context)
    try {
      await readInputs(scanner, files, (batch) => encoder.processBatch(batch, write), {
        ...readerSettings(settings, bad, output, false, progress),
        noFrames: otherFormat(settings.stage.name),
      })
    } catch (error) {
      if (error instanceof BeckError && error.code === 'bad-record') encoder.onStop?.(write)
      throw error
    }
    encoder.onEnd?.(write)
  })
}

/** Runs `from FORMAT`: bytes → records. */
export async function runDecoder(
  stage: DecoderStage,
  files: readonly string[],
  settings: RunSettings,
  progress?: Progress,
  io?: StageIo,
): Promise<Outcome> {
  const output = outputOf(io)
  return withBadRecords(settings, output, (bad) =>
    decodeInputs(stage, files, {
      settings,
      bad,
      write: (lines) => output.write(lines),
      flush: () => output.flush(),
      progress,
      io,
    }),
  )
}

/** As `Scanner.readText`, without saying what takes the records. */
export type ReadText = (kind: TextKind, text: Uint8Array) => TextCounts | undefined

/** Where decoded records go. */
export interface DecoderOutput {
  readonly settings: RunSettings
  readonly bad: BadRecords
  readonly write: (lines: Uint8Array) => void
  /** Called before waiting for input that pauses. */
  readonly flush: () => void
  /** Awaited before each read. */
  readonly turn?: () => Promise<void> | undefined
  /** Somebody else in this thread has work to do while an input pauses. */
  readonly live?: boolean
  readonly progress?: Progress | undefined
  readonly io?: StageIo | undefined
  /** As `Scanner.readText`, for what takes the records as they are made. Default: they are written. */
  readonly readText?: ReadText
}

/** Reads inputs of another format (none: standard input) and hands their records on. @throws BeckError */
export async function decodeInputs(
  stage: DecoderStage,
  files: readonly string[],
  {
    settings,
    bad,
    write,
    flush,
    turn,
    progress,
    io,
    live = progress?.live ?? false,
    readText = writtenTexts(write, settings),
  }: DecoderOutput,
): Promise<void> {
  let records = 0
  const emit = (lines: Uint8Array | string): void => {
    const bytes = typeof lines === 'string' ? Buffer.from(lines) : lines
    if (progress) records += countLines(bytes)
    write(bytes)
  }
  let name = ''
  const decoder = stage.open({
    reject: (line, bytes, problem) => bad.reject(() => ({ file: name, line }), bytes, problem),
    rejectPart: (line, part, problem, last) =>
      bad.stops ? bad.reject(() => ({ file: name, line }), part, problem) : bad.keepPiece(part, last),
    maxLineBytes: settings.maxLineBytes,
    readText: (kind, text) => {
      const counts = readText(kind, text)
      records += counts?.records ?? 0
      return counts
    },
    fail: (line, { problem, column, hint }) => {
      throw new BeckError('bad-input', { place: `${name}:${line}:${column ?? 1}`, problem, hint })
    },
  })
  const block = Buffer.allocUnsafeSlow(INPUT_BLOCK)
  for (const file of files.length > 0 ? files : ['-']) {
    const opened = openInput(io, file, live)
    name = opened.name
    try {
      const { framed, source } = await lookForFrames(opened)
      if (framed) throw unwelcome('beck from makes records of other formats: these are records already')
      for (;;) {
        const waiting = turn?.() ?? io?.ready()
        if (waiting) await waiting
        if (source.pauses) flush()
        let filled = source.read(block)
        if (typeof filled !== 'number') filled = await filled
        if (filled === 0) break
        decoder.push(block.subarray(0, filled), emit)
        progress?.(source, records)
        records = 0
      }
      decoder.endFile(emit)
    } finally {
      opened.close()
    }
  }
}

/** A text of fewer bytes is not worth a scanner. */
const LEAST_TEXT_BYTES = 4096

/** The fast way to make records of words and lines, for whom they are only bytes. */
export function writtenTexts(
  write: (lines: Uint8Array) => void,
  { scanner: which, maxLineBytes }: Pick<RunSettings, 'scanner' | 'maxLineBytes'>,
): ReadText {
  let scanner: Scanner | undefined
  return (kind, text) => {
    if (!scanner) {
      if (text.length < LEAST_TEXT_BYTES) return undefined
      scanner = createScanner({ reads: [], strict: false, maxLineBytes }, which)
      scanner.begin({ file: '', base: 0, lineAt: () => 1 })
    }
    return scanner.readText?.(kind, text, ({ batch }) => write(batch.bytes))
  }
}

/** What the reader of one input is told. */
export function readerSettings(
  { maxLineBytes }: RunSettings,
  bad: BadRecords,
  output: StageOutput,
  timers: boolean,
  progress: Progress | undefined,
  io?: StageIo,
): ReaderSettings {
  return {
    maxLineBytes,
    bad,
    timers: timers || progress?.live === true || io !== undefined,
    beforeWait: () => output.flush(),
    ...(progress && { afterBlock: progress }),
    ...(io && { open: (file, timers) => openInput(io, file, timers), turn: () => io.ready() }),
  }
}

/** Opens the dead letters if asked for, as one of `sides`, and sees that everything before an error is written. */
export async function withBadRecords(
  { deadLetter, keepDeadLetters = false, tableLetters, inputs }: RunSettings,
  output: StageOutput,
  run: (bad: BadRecords, counts: Map<string, number>) => Promise<void>,
  sides?: SideFiles,
): Promise<Outcome> {
  const counts = new Map<string, number>()
  const all = sides ?? new SideFiles(inputs)
  const letters = deadLetter === undefined ? undefined : all.open(deadLetter, keepDeadLetters)
  if (letters && tableLetters) letters.write(tableLetters)
  if (!sides) all.begin()
  const bad = letters ? new DeadLetters((bytes) => letters.write(bytes)) : stopAtBadRecords
  try {
    await run(bad, counts)
  } finally {
    all.close()
    output.flush()
  }
  return { counts, deadLetters: bad.count }
}
