import { isPipe } from './descriptor.ts'
import {
  cutOff,
  type Frame,
  FRAME_PREFIX,
  looksLikeFrame,
  nextFrame,
  parseFrame,
  START_PREFIX,
  type StartFrame,
  unescapeRecord,
} from './frames.ts'
import { type ByteSource, openSource } from './source.ts'

const NEWLINE = 10
const BLOCK = 1 << 18
/** A frame's prefix fits. */
const LEAST_DIRECT = 1 << 12
/** A look at the first bytes of a pipe is one read of this size. */
const HEAD = 1 << 16

/** The first bytes of standard input, when somebody has looked at them before its reader. */
let stdinHead: Buffer | undefined

/**
 * The `start` of standard input, when it is a pipe with frames; waits for the first bytes, and leaves them to be read.
 * @throws BeckError frames
 */
export async function startOfStdin(): Promise<StartFrame | undefined> {
  if (!isPipe(0)) return undefined
  const { framed, source } = await lookForFrames(openSource('-'))
  let head = Buffer.alloc(0)
  let newline = -1
  // A plain stream's head is handed back at once; a framed one's is read to the end of its first line.
  for (;;) {
    const more = Buffer.allocUnsafe(HEAD)
    const n = await source.read(more)
    if (n === 0) break
    head = Buffer.concat([head, more.subarray(0, n)])
    newline = head.indexOf(NEWLINE)
    if (!framed || newline >= 0) break
  }
  stdinHead = head
  if (!framed) return undefined
  if (newline < 0) throw cutOff()
  const frame = parseFrame(head.subarray(0, newline))
  return frame.kind === 'start' ? frame : undefined
}

/**
 * Whether an input has frames, which come through pipes alone; and the same input from its beginning. Costs one copy of the first read,
 * and nothing for files. `isVoid`: a pipe that has ended without a byte, as that of a writer that was killed before it said anything.
 */
export async function lookForFrames(
  source: ByteSource,
): Promise<{ framed: boolean; source: ByteSource; isVoid: boolean }> {
  if (!source.pauses) return { framed: false, source, isVoid: false }
  const seen = source.isStdin ? stdinHead : undefined
  if (source.isStdin) stdinHead = undefined
  const head = seen && seen.length > 0 ? seen : Buffer.allocUnsafe(HEAD)
  let filled = seen?.length ?? 0
  const undecided = (): boolean =>
    filled < START_PREFIX.length && START_PREFIX.subarray(0, filled).equals(head.subarray(0, filled))
  while (undecided()) {
    const n = await source.read(head.subarray(filled))
    if (n === 0) break
    filled += n
  }
  const framed = START_PREFIX.equals(head.subarray(0, Math.min(filled, START_PREFIX.length)))
  return { framed, source: filled === 0 ? source : withHead(source, head.subarray(0, filled)), isVoid: filled === 0 }
}

function withHead(source: ByteSource, head: Buffer): ByteSource {
  let at = 0
  return {
    name: source.name,
    size: source.size,
    pauses: source.pauses,
    blocks: source.blocks ?? false,
    consumed: () => source.consumed(),
    close: () => source.close(),
    ready: () => (at === head.length ? source.ready?.() : undefined),
    read(into) {
      if (at === head.length) return source.read(into)
      const n = head.copy(into, 0, at)
      at += n
      return n
    },
  }
}

/** The stream ends within a record: its writer was killed. Thrown to unwind, since what has come of that record is no data of the user's. */
export class TornRecord extends Error {}

/**
 * The records of a stream with frames, up to the next frame: `read` says 0 there, as at the end of a file, and `takeFrame` says which it was.
 * `data` lines come out as the records that they hold; blank lines are reported and left out.
 *
 *     record record FRAME record …
 *     ├─ read ──────┤0├─ read …
 */
export class FrameSource implements ByteSource {
  readonly name: string
  readonly size = undefined
  readonly pauses = true
  #frame: Frame | undefined
  readonly #source: ByteSource
  readonly #onBlank: () => void
  #block = Buffer.allocUnsafe(BLOCK)
  #at = 0
  #end = 0
  /** Up to here there is no frame. */
  #limit = 0
  #atLineStart = true
  #ended = false
  /** Of a record that was escaped: what is still to be handed out. */
  #record: Uint8Array = new Uint8Array(0)

  constructor(source: ByteSource, onBlank: () => void) {
    this.#source = source
    this.#onBlank = onBlank
    this.name = source.name
  }
  consumed(): number {
    return this.#source.consumed()
  }
  close(): void {
    this.#source.close()
  }

  /** The frame at which `read` has stopped; undefined at the end of the input. */
  takeFrame(): Frame | undefined {
    const frame = this.#frame
    this.#frame = undefined
    return frame
  }

  ready(): Promise<void> | undefined {
    return this.#isDirect() ? undefined : this.#gather()
  }

  #gather(): Promise<void> | undefined {
    while (this.#look() === 'more') {
      const filled = this.#fill()
      if (typeof filled !== 'number') return filled.then((n) => this.#filled(n)).then(() => this.#gather())
      this.#filled(filled)
    }
    return undefined
  }

  /** At most `into` is filled; 0 at a frame and at the end. @throws TornRecord */
  read(into: Uint8Array): number | Promise<number> {
    if (this.#isDirect() && into.length >= LEAST_DIRECT) return this.#readDirect(into)
    const ready = this.#gather()
    return ready ? ready.then(() => this.#take(into)) : this.#take(into)
  }

  /** Nothing waits in the block, and `into` will be there when the bytes come. */
  #isDirect(): boolean {
    return (
      this.#source.blocks === true &&
      this.#at === this.#end &&
      !this.#frame &&
      !this.#ended &&
      this.#record.length === 0
    )
  }

  /** The way of nearly all bytes: straight to where they are scanned, up to the next frame; what is from there on goes to the block. */
  #readDirect(into: Uint8Array): number | Promise<number> {
    const n = this.#source.read(into.subarray(0, BLOCK)) as number
    if (n === 0) {
      this.#ended = true
      return this.#take(into)
    }
    const bytes = Buffer.from(into.buffer, into.byteOffset, n)
    const end = this.#atLineStart && (bytes[0] === NEWLINE || bytes[0] === FRAME_PREFIX[0]) ? 0 : recordsEnd(bytes)
    if (end < n) {
      this.#at = 0
      this.#end = bytes.copy(this.#block, 0, end)
      this.#limit = 0
    }
    if (end === 0) return this.read(into)
    this.#atLineStart = bytes[end - 1] === NEWLINE
    return end
  }

  /** What comes next. `more`: the block must be filled first. */
  #look(): 'more' | 'record' | 'stop' {
    if (this.#record.length > 0) return 'record'
    if (this.#frame) return 'stop'
    if (this.#atLineStart) this.#skipBlanks()
    if (this.#at === this.#end) return this.#ended ? 'stop' : 'more'
    if (this.#at < this.#limit) return 'record'
    const start = this.#atLineStart ? this.#lineStart() : 'record'
    if (start === 'more') return 'more'
    if (start === 'frame') return 'stop'
    if (start === 'data') return 'record'
    this.#findLimit()
    return this.#at === this.#limit ? 'more' : 'record'
  }

  #take(into: Uint8Array): number {
    if (this.#record.length > 0) return this.#handOut(into)
    const n = this.#frame ? 0 : Math.max(0, Math.min(this.#limit - this.#at, into.length))
    if (this.#ended && this.#at === this.#end && !this.#atLineStart) throw new TornRecord()
    this.#block.copy(into, 0, this.#at, this.#at + n)
    this.#at += n
    if (n > 0) this.#atLineStart = this.#block[this.#at - 1] === NEWLINE
    return n
  }

  #handOut(into: Uint8Array): number {
    const n = Math.min(this.#record.length, into.length)
    into.set(this.#record.subarray(0, n))
    this.#record = this.#record.subarray(n)
    return n
  }

  #skipBlanks(): void {
    const from = this.#at
    while (this.#at < this.#end && this.#block[this.#at] === NEWLINE) this.#at++
    if (this.#at > from) this.#onBlank()
  }

  /** What begins here: a frame is taken, and so is an escaped record. */
  #lineStart(): 'record' | 'more' | 'frame' | 'data' {
    const rest = this.#block.subarray(this.#at, this.#end)
    const size = Math.min(rest.length, FRAME_PREFIX.length)
    if (!FRAME_PREFIX.subarray(0, size).equals(rest.subarray(0, size))) return 'record'
    const newline = looksLikeFrame(rest) ? rest.indexOf(NEWLINE) : -1
    if (newline < 0) {
      if (!this.#ended) return 'more'
      this.#at = this.#end // torn by the death of its writer: the end that is missing says so
      return 'frame'
    }
    const line = rest.subarray(0, newline)
    this.#at += newline + 1
    const record = unescapeRecord(line)
    if (!record) {
      this.#frame = parseFrame(line)
      return 'frame'
    }
    this.#record = Buffer.concat([record, Buffer.of(NEWLINE)])
    return 'data'
  }

  /** Records go up to the next frame; the beginning of the last line stays when it may become one. */
  #findLimit(): void {
    const there = this.#block.subarray(this.#at, this.#end)
    const frame = this.#ended ? nextFrame(there, 0) : recordsEnd(there)
    this.#limit = frame < 0 ? this.#end : this.#at + frame
  }

  #fill(): number | Promise<number> {
    if (this.#at > 0) {
      this.#block.copyWithin(0, this.#at, this.#end)
      this.#end -= this.#at
      this.#limit = Math.max(0, this.#limit - this.#at)
      this.#at = 0
    }
    if (this.#end === this.#block.length) {
      const larger = Buffer.allocUnsafe(2 * this.#block.length)
      this.#block.copy(larger, 0, 0, this.#end)
      this.#block = larger
    }
    return this.#source.read(this.#block.subarray(this.#end))
  }
  #filled(n: number): void {
    if (n === 0) this.#ended = true
    this.#end += n
  }
}

/** Where the records end that bytes begin with: before the next frame, or before the last line when that may become one. */
function recordsEnd(bytes: Buffer): number {
  const frame = nextFrame(bytes, 0)
  if (frame >= 0) return frame
  const tail = bytes.subarray(Math.max(0, bytes.length - FRAME_PREFIX.length))
  const line = tail.subarray(tail.lastIndexOf(NEWLINE) + 1)
  const isOne = line.length < tail.length && FRAME_PREFIX.subarray(0, line.length).equals(line)
  return isOne ? bytes.length - line.length : bytes.length
}

/** Takes out of what a `FrameSource` has read the blank lines by which idle stages say that they are there. */
export class PingFilter {
  /** The last block ended within a record. */
  #midLine = false

  /** @param block may begin and end within a record */
  without(block: Uint8Array): Uint8Array[] {
    const cut = this.#midLine ? block.indexOf(NEWLINE) + 1 || block.length : 0
    this.#midLine = block.at(-1) !== NEWLINE
    return [block.subarray(0, cut), withoutBlankLines(block.subarray(cut))].filter(({ length }) => length > 0)
  }
}

/** Blank lines are no records, so no stage counts them. */
export function withoutBlankLines(lines: Uint8Array): Uint8Array {
  const text = Buffer.from(lines.buffer, lines.byteOffset, lines.length).toString('latin1')
  if (!/(?:^|\n)[ \t\r]*\n/.test(text)) return lines
  return Buffer.from(text.replace(/(?<=^|\n)(?:[ \t\r]*\n)+/g, ''), 'latin1')
}
