import { BeckError } from '../core/errors.ts'
import { NothingToDo } from './descriptor.ts'

/**
 * Control frames: lines `["$beck",1,KIND,{…}]` between the records of a pipe, an array so that `jq '.field'` in its middle fails loudly.
 * A stream has frames only if `start` is its first line. Inside such a stream a record that looks like one travels as
 * `["$beck",1,"data",RECORD]`, and blank lines say that the writer is still there.
 *
 *     start(epoch 4)  record record record  barrier(5)  record  barrier(6)  end(6)
 *                     └──── records: 3 ────┘           └─ 1 ──┘
 */
export const FRAME_PREFIX = Buffer.from('["$beck",1,')
export const START_PREFIX = Buffer.from('["$beck",1,"start",')
/** What is to be said of it. */
export const failedStart = (): BeckError =>
  new BeckError('frames', {
    problem: 'a stage before this one has failed at its start, and says why; nothing is committed',
    hint: 'see to that first; then run the same command line again',
  })
/** The same of a stream whose writer was killed at once. */
export const cutOff = (): BeckError =>
  new BeckError('frames', { problem: 'the pipe ended within its first line; nothing is committed' })
/** In place of a stream: the stage that was to begin it has failed, and said why. */
export const FAILED_START = Buffer.from('["$beck",1,"start",{"failed":true}]\n')
/** The same where the source has left, since another run is at work. */
export const IDLE_START = Buffer.from('["$beck",1,"start",{"idle":true}]\n')
const DATA_PREFIX = Buffer.from('["$beck",1,"data",')
const LINE_THEN_FRAME = Buffer.from(`\n${FRAME_PREFIX.toString()}`)
const DATA_END = Buffer.from(']\n')

/** How often a record may count: the options of `consume` that ask for control frames. */
export const levels = ['exactly-once', 'at-least-once'] as const
export type Level = (typeof levels)[number]
/** Whether a command line says so. */
export const asksForFrames = (words: readonly string[]): boolean => levels.some((level) => words.includes(`--${level}`))

/** A file in the pipeline's folder of state. */
export interface StateFile {
  readonly file: string
  readonly bytes: number
  readonly crc: number
}
/** What a stateful stage has kept: a snapshot, by its file. */
export interface StateHandle extends StateFile {
  /** Says which command line the state belongs to. */
  readonly options: string
  /** The files that it adds to, oldest first; none when it holds everything. */
  readonly chain?: readonly StateFile[]
  /** So many files, from the first on, are never written anew. */
  readonly sealed?: number
  /** `Operator.sizes` as of then. */
  readonly sizes?: readonly number[]
}

/**
 * A further source of a stream, where a join has made two into one. It is a pipeline of its own, and what is committed of it is committed
 * with the first one: a line of the journal has both.
 */
export interface OtherSource {
  readonly group: string
  readonly generation: number
  readonly epoch: number
  /** The commands between it and the join. */
  readonly stages: readonly string[]
  readonly states: number
  readonly handles: readonly (StateHandle | null)[]
}
/** What a barrier says of a further source: where it stands, as `BarrierFrame` has it for the first. */
export interface OtherEpoch {
  readonly group: string
  readonly epoch: number
  readonly offsets: Readonly<Record<string, number>>
  readonly handles: readonly (StateHandle | null)[]
}

/** Opens the stream. Each stage adds itself before it hands it on. */
export interface StartFrame {
  readonly kind: 'start'
  readonly store: string
  /** The group, whose name the pipeline has. */
  readonly group: string
  readonly generation: number
  /** The last committed epoch; barriers go on from there. */
  readonly epoch: number
  readonly level: Level
  /** Commands that the stream has passed, `consume` first. */
  readonly stages: readonly string[]
  /** How many of them keep state. */
  readonly states: number
  /** Their committed state, in order; null where there was none. */
  readonly handles: readonly (StateHandle | null)[]
  /** At its end the stream will be drained. */
  readonly drain?: boolean
  /** A stage goes by the clock: there is a barrier at each checkpoint, also where no records come. */
  readonly ticks?: boolean
  readonly others?: readonly OtherSource[]
  /** Under `--per-partition`, where each partition is a task: the key fields of topics with several partitions. */
  readonly tasks?: readonly (readonly string[])[]
  /** Only asks the sink whether this epoch is committed, which an outside system alone knows. The real start follows its answer. */
  readonly resolve?: number
}
/**
 * What follows belongs to this partition, up to the next one of these. Comes behind a barrier; the last one for good with `close`. `resolve` comes before
 * `open`, and only asks the sink what has become of an epoch, as the start frame of a stream of its own does.
 */
export interface TaskFrame {
  readonly kind: 'task'
  readonly partition: string
  readonly action: 'resolve' | 'open' | 'switch' | 'close'
  /** Its name in the journal; and as of the start frame of a stream of its own. */
  readonly pipeline: string
  readonly generation: number
  readonly epoch: number
  readonly states: number
  readonly handles: readonly (StateHandle | null)[]
}
/** All records before it belong to `epoch` or an earlier one. */
export interface BarrierFrame {
  readonly kind: 'barrier'
  readonly epoch: number
  /** Records since the last barrier, of the stage that wrote this line. */
  readonly records: number
  /** Where the input stands: partition → next offset. */
  readonly offsets: Readonly<Record<string, number>>
  /** State as of this barrier, one for each stateful stage that it has passed. */
  readonly handles: readonly (StateHandle | null)[]
  /** The input is over for good: what is held comes out before this barrier. */
  readonly drain: boolean
  /** The epoch of the first source, where a join has numbered barriers anew: one for each barrier of either input. */
  readonly sourceEpoch?: number
  readonly others?: readonly OtherEpoch[]
}
/** All records with an earlier time have come. */
export interface WatermarkFrame {
  readonly kind: 'watermark'
  readonly time: number
}
/** Closes the stream, after its last barrier. */
export interface EndFrame {
  readonly kind: 'end'
  readonly epoch: number
  readonly records: number
  readonly drained: boolean
}
export type Frame = StartFrame | TaskFrame | BarrierFrame | WatermarkFrame | EndFrame

/** A task's own start. */
export function startOfTask(stream: StartFrame, task: TaskFrame): StartFrame {
  const { kind, store, level, stages, drain = false } = stream
  const { pipeline: group, generation, epoch, states, handles } = task
  return { kind, store, level, stages, drain, group, generation, epoch, states, handles }
}

/** A frame as its line. */
export function formatFrame({ kind, ...facts }: Frame): Buffer {
  return Buffer.from(`["$beck",1,${JSON.stringify(kind)},${JSON.stringify(facts)}]\n`)
}

/** Whether bytes begin like a frame: between frames a record that does is escaped, whatever follows. */
export const looksLikeFrame = (line: Uint8Array): boolean =>
  line.length >= FRAME_PREFIX.length && FRAME_PREFIX.equals(line.subarray(0, FRAME_PREFIX.length))

/** The record of a `data` line (without its line end), or undefined for other lines. A view. */
export function unescapeRecord(line: Uint8Array): Uint8Array | undefined {
  if (!DATA_PREFIX.equals(line.subarray(0, DATA_PREFIX.length)) || line.at(-1) !== 0x5d) return undefined
  return line.subarray(DATA_PREFIX.length, -1)
}

/**
 * Whole lines of records as they travel between frames. The same bytes unless one of them looks like a frame: a search at memory speed.
 */
export function escapeRecords(lines: Uint8Array): Uint8Array {
  const bytes = Buffer.from(lines.buffer, lines.byteOffset, lines.length)
  let at = looksLikeFrame(lines) ? 0 : nextFrame(bytes, 0)
  if (at < 0) return lines
  const parts: Uint8Array[] = []
  let done = 0
  while (at >= 0) {
    const newline = bytes.indexOf(10, at)
    const end = newline < 0 ? bytes.length : newline
    parts.push(bytes.subarray(done, at), DATA_PREFIX, bytes.subarray(at, end), DATA_END)
    done = newline < 0 ? end : end + 1
    at = looksLikeFrame(bytes.subarray(done)) ? done : nextFrame(bytes, done)
  }
  parts.push(bytes.subarray(done))
  return Buffer.concat(parts)
}

/** Where the next line after `from` begins that looks like a frame; -1 when there is none. `from` itself is not looked at. */
export function nextFrame(bytes: Buffer, from: number): number {
  // "$" is rare, and looking for one byte is quicker than for twelve, until there are many.
  let dollar = bytes.indexOf(DOLLAR, from)
  for (let looks = 0; looks < MOST_LOOKS; looks++) {
    if (dollar < 0) return -1
    const line = dollar - FRAME_PREFIX.indexOf(DOLLAR)
    if (line > from && bytes[line - 1] === 10 && looksLikeFrame(bytes.subarray(line))) return line
    dollar = bytes.indexOf(DOLLAR, dollar + 1)
  }
  if (dollar < 0) return -1
  const at = bytes.indexOf(LINE_THEN_FRAME, Math.max(from, dollar - FRAME_PREFIX.length))
  return at < 0 ? -1 : at + 1
}
const DOLLAR = 0x24
const MOST_LOOKS = 32

/** Reads a frame's line, without its line end. @throws BeckError frames */
export function parseFrame(line: Uint8Array): Frame {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(line.buffer, line.byteOffset, line.length).toString('utf8'))
  } catch (error) {
    throw damaged('it is cut off', error)
  }
  const [, , kind, facts] = value as readonly unknown[]
  if (typeof kind !== 'string' || typeof facts !== 'object' || facts === null) throw damaged('it has no kind')
  const shape = Object.hasOwn(shapes, kind) ? shapes[kind as Frame['kind']] : undefined
  if (!shape) {
    throw new BeckError('frames', {
      problem: `the pipe carries a control frame "${kind}", which this beck does not know`,
      hint: 'use the same version of beck for all stages of a pipe',
    })
  }
  const given = facts as Readonly<Record<string, unknown>>
  if (kind === 'start' && given['idle'] === true) throw new NothingToDo()
  if (kind === 'start' && given['failed'] === true) {
    throw failedStart()
  }
  for (const [member, fits] of Object.entries(shape)) {
    if (!fits(given[member])) throw damaged(`the ${member} of "${kind}" cannot be ${JSON.stringify(given[member])}`)
  }
  // Every member was looked at just now.
  return { ...given, kind } as Frame
}

type Check = (value: unknown) => boolean
const isText: Check = (value) => typeof value === 'string'
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0
const isFlag: Check = (value) => typeof value === 'boolean'
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isListOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check)
const isFile: Check = (value) =>
  isRecord(value) && isText(value['file']) && isCount(value['bytes']) && isCount(value['crc'])
const isHandle: Check = (value) =>
  value === null ||
  (isRecord(value) &&
    isFile(value) &&
    isText(value['options']) &&
    (value['sealed'] === undefined || isCount(value['sealed'])) &&
    (value['sizes'] === undefined || isListOf(isCount)(value['sizes'])) &&
    (value['chain'] === undefined || isListOf(isFile)(value['chain'])))

const isOffsets: Check = (value) => isRecord(value) && Object.values(value).every(isCount)
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value)
const isOther =
  (facts: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isRecord(value) && isText(value['group']) && Object.entries(facts).every(([member, fits]) => fits(value[member]))

/** What each kind of frame must have. Further members are of later versions, and are left alone. */
const shapes: Readonly<Record<Frame['kind'], Readonly<Record<string, Check>>>> = {
  start: {
    store: isText,
    group: isText,
    generation: isCount,
    epoch: isCount,
    level: (value) => levels.some((level) => level === value),
    stages: (value) => isListOf(isText)(value) && (value as unknown[]).length > 0,
    states: isCount,
    handles: isListOf(isHandle),
    drain: maybe(isFlag),
    ticks: maybe(isFlag),
    others: maybe(
      isListOf(
        isOther({
          generation: isCount,
          epoch: isCount,
          stages: isListOf(isText),
          states: isCount,
          handles: isListOf(isHandle),
        }),
      ),
    ),
    tasks: maybe(isListOf(isListOf(isText))),
    resolve: maybe(isCount),
  },
  task: {
    partition: isText,
    action: (value) => ['resolve', 'open', 'switch', 'close'].includes(value as string),
    pipeline: isText,
    generation: isCount,
    epoch: isCount,
    states: isCount,
    handles: isListOf(isHandle),
  },
  barrier: {
    epoch: isCount,
    records: isCount,
    offsets: isOffsets,
    handles: isListOf(isHandle),
    drain: isFlag,
    sourceEpoch: maybe(isCount),
    others: maybe(isListOf(isOther({ epoch: isCount, offsets: isOffsets, handles: isListOf(isHandle) }))),
  },
  watermark: { time: (value) => typeof value === 'number' },
  end: { epoch: isCount, records: isCount, drained: isFlag },
}

const damaged = (how: string, cause?: unknown): BeckError =>
  new BeckError('frames', { problem: `a control frame in the pipe is damaged: ${how}` }, { cause })

/**
 * Follows a stream's frames and sees that nothing was lost on the way from the stage before. Says in its errors which hop it was.
 */
export class FrameOrder {
  readonly start: StartFrame
  readonly #own: string
  /** The last barrier's epoch. */
  #epoch: number
  #ended = false

  /** @param own the name of the stage that reads */
  constructor(start: StartFrame, own: string) {
    this.start = start
    this.#own = own
    this.#epoch = start.epoch
  }

  get epoch(): number {
    return this.#epoch
  }

  /** `end` has come. */
  get ended(): boolean {
    return this.#ended
  }

  /** Takes the next frame. @param records how many came since the last barrier @throws BeckError frames */
  take(frame: Frame, records: number): void {
    if (this.#ended) throw this.#wrong(`a frame "${frame.kind}" follows the end of the stream`)
    if (frame.kind === 'watermark') return
    if (frame.kind === 'start') {
      throw this.#wrong(
        frame.group === this.start.group
          ? 'a second "start" came: two runs write into one pipe'
          : `the frames of two pipelines came, of "${this.start.group}" and of "${frame.group}"`,
      )
    }
    if (frame.kind === 'task') throw this.#wrong('a change of partitions came, which this stage knows nothing of')
    const expected = frame.kind === 'barrier' ? this.#epoch + 1 : this.#epoch
    if (frame.epoch !== expected) {
      throw this.#wrong(`barrier ${this.#epoch + 1} is missing (${frame.kind} ${frame.epoch} came)`)
    }
    if (frame.records !== records) {
      throw this.#wrong(
        frame.records > records
          ? `${frame.records - records} of ${frame.records} records before barrier ${frame.epoch} are missing`
          : `${records - frame.records} records too many came before barrier ${frame.epoch}`,
      )
    }
    this.#epoch = frame.epoch
    this.#ended = frame.kind === 'end'
  }

  /** The input has ended. @param records since the last barrier @throws BeckError frames, unless `end` was the last to come */
  finish(records = 0): void {
    if (this.#ended && records > 0) throw this.#wrong(`${records} records follow the end of the stream`)
    if (!this.#ended) throw this.#wrong(`the stream ended without its "end", after barrier ${this.#epoch}`)
  }

  #wrong(problem: string): BeckError {
    return new BeckError('frames', {
      problem: `between ${this.start.stages.at(-1) ?? 'consume'} and ${this.#own} ${problem}; what came after epoch ${this.#epoch} is not committed`,
    })
  }
}
