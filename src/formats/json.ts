/**
 * JSON documents to records, one element after the other: memory is bounded by one element, however large the document.
 *
 * A walk over the bytes keeps the "spine", the containers on the way to the elements, and cuts each element out by its quotes and
 * brackets alone; `LineChecker` then decides whether it is JSON. An element on one line stays byte for byte as it is; one that
 * spans lines loses the white space outside its strings.
 */
import { formatFieldPath, type FieldPath } from '../core/field-path.ts'
import type { Problem } from '../core/operator.ts'
import type { Decoder, DecoderContext, Emit } from '../core/spec.ts'
import { decodeString, LineChecker } from '../ndjson/line.ts'
import { compact, onOneLine } from './json-space.ts'

/** A container on the way to the elements. */
interface Frame {
  readonly object: boolean
  /** How many parts of the path have been gone; all of them: this is the array whose elements are the records. */
  readonly depth: number
  /** Name of the member at hand, or index of the element. */
  key: string | number
  /** The path went on from here. */
  found: boolean
}

/** What comes next on the spine. `first`: a value or key, or the end of an empty container. */
type State = 'value' | 'first' | 'key' | 'colon' | 'after'

/** What to do with the text being cut out. */
type Cut = 'record' | 'key' | 'skip'

export class JsonDecoder implements Decoder {
  private readonly path: FieldPath | readonly []
  private readonly context: DecoderContext
  private readonly checker = new LineChecker([])
  private readonly spans = new Uint32Array(2)
  /** Views of the current chunk. */
  private records: Uint8Array[] = []

  private spine: Frame[] = []
  private state: State = 'value'
  private line = 1
  /** Bytes of the line at hand in chunks before this one. */
  private lineBytes = 0
  private began = false

  private cut: Cut | undefined
  /** Its bytes so far, of chunks before this one. */
  private held: Buffer[] = []
  private heldBytes = 0
  private cutLine = 0
  private nesting = 0
  private inString = false
  private escaped = false
  private scalar = false

  constructor(path: FieldPath | undefined, context: DecoderContext) {
    this.path = path ?? []
    this.context = context
  }

  push(chunk: Uint8Array, emit: Emit): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    let at = this.cut ? this.walk(bytes, 0, 0, emit) : 0
    while (at < bytes.length) {
      const byte = bytes[at] as number
      if (byte === LF) this.line++
      if (byte === SPACE || byte === LF || byte === CR || byte === TAB) at++
      else at = this.step(bytes, at, byte, emit)
    }
    this.flush(emit)
    const newline = bytes.lastIndexOf(LF)
    this.lineBytes = newline < 0 ? this.lineBytes + bytes.length : bytes.length - newline - 1
  }

  endFile(emit: Emit): void {
    // A number at the very end is complete; any other record is broken, and the check says how.
    if (this.cut === 'record' && this.spine.length === 0) this.finish(Buffer.alloc(0), emit)
    this.flush(emit)
    if (this.cut || this.spine.length > 0) {
      this.context.fail(this.line, {
        problem: 'the input ends in the middle of a JSON document',
        hint: 'was it cut off?',
      })
    }
    this.line = 1
    this.lineBytes = 0
    this.began = false
    this.state = 'value'
  }

  /** One token of the spine, or the beginning of a value that is cut out. */
  private step(bytes: Buffer, at: number, byte: number, emit: Emit): number {
    const frame = this.spine.at(-1)
    const { state } = this
    if (!frame) {
      // A BOM, whose three bytes may come in three chunks.
      if (!this.began && this.line === 1 && BOM.includes(byte)) return at + 1
      this.began = true
    }
    if (frame && (state === 'first' || state === 'after') && byte === (frame.object ? CLOSE_OBJECT : CLOSE_ARRAY)) {
      this.close(frame, emit)
      return at + 1
    }
    if (state === 'after') {
      if (byte !== COMMA) this.unexpected(bytes, at, frame?.object ? '"," or "}"' : '"," or "]"', emit)
      this.state = frame?.object ? 'key' : 'value'
      if (frame && !frame.object) (frame.key as number)++
      return at + 1
    }
    if (state === 'colon') {
      if (byte !== COLON) this.unexpected(bytes, at, '":"', emit)
      this.state = 'value'
      return at + 1
    }
    if (frame?.object && (state === 'key' || state === 'first')) {
      if (byte !== QUOTE) this.unexpected(bytes, at, 'a member name in double quotes', emit)
      return this.begin('key', bytes, at, emit)
    }
    if (byte < SPACE || byte === COMMA || byte === COLON || byte === CLOSE_ARRAY || byte === CLOSE_OBJECT)
      this.unexpected(bytes, at, 'a value', emit)
    return this.value(frame, bytes, at, byte, emit)
  }

  private value(frame: Frame | undefined, bytes: Buffer, at: number, byte: number, emit: Emit): number {
    const open = byte === OPEN_OBJECT || byte === OPEN_ARRAY
    let depth = frame?.depth ?? 0
    if (frame && depth === this.path.length) return this.begin('record', bytes, at, emit)
    if (frame) {
      if (frame.key !== this.path[depth]) return this.begin('skip', bytes, at, emit)
      depth++
      if (open || depth === this.path.length) frame.found = true
    }
    const wanted = depth === this.path.length
    if (!open || (wanted && byte === OPEN_OBJECT)) {
      if (!wanted && !frame) this.missing(emit)
      return this.begin(wanted ? 'record' : 'skip', bytes, at, emit)
    }
    this.spine.push({ object: byte === OPEN_OBJECT, depth, key: 0, found: wanted })
    this.state = 'first'
    return at + 1
  }

  private close(frame: Frame, emit: Emit): void {
    if (!frame.found) this.missing(emit)
    this.spine.pop()
    this.valueEnded()
  }

  private valueEnded(): void {
    this.state = this.spine.length > 0 ? 'after' : 'value'
  }

  private begin(cut: Cut, bytes: Buffer, at: number, emit: Emit): number {
    this.cut = cut
    this.cutLine = this.line
    this.nesting = 0
    this.inString = false
    this.escaped = false
    const byte = bytes[at]
    this.scalar = byte !== QUOTE && byte !== OPEN_OBJECT && byte !== OPEN_ARRAY
    return this.walk(bytes, at, at, emit)
  }

  /** Goes on to the end of the text that is cut out, which began at `start` (or in a chunk before). Returns where it ends. */
  private walk(bytes: Buffer, start: number, at: number, emit: Emit): number {
    let { nesting, inString, escaped, line } = this
    const { scalar } = this
    let ended = false
    for (; at < bytes.length && !ended; at++) {
      const byte = bytes[at] as number
      if (inString) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) {
          inString = false
          ended = nesting === 0
        } else if (byte === LF) line++
        continue
      }
      switch (byte) {
        case QUOTE:
          inString = true
          break
        case OPEN_OBJECT:
        case OPEN_ARRAY:
          nesting++
          break
        case CLOSE_OBJECT:
        case CLOSE_ARRAY:
          nesting--
          ended = nesting <= 0
          break
        case LF:
          line++
          break
      }
      // A scalar ends before what is no part of it.
      if (scalar && (byte <= SPACE || byte === COMMA || byte === COLON || nesting !== 0 || inString)) {
        if (byte === LF) line--
        ended = true
        inString = false
        at--
      }
    }
    this.nesting = nesting
    this.inString = inString
    this.escaped = escaped
    this.line = line
    if (ended) this.finish(bytes.subarray(start, at), emit)
    else this.hold(bytes.subarray(start, at), emit)
    return at
  }

  private hold(part: Buffer, emit: Emit): void {
    if (this.cut === 'skip') return
    this.held.push(Buffer.from(part))
    this.heldBytes += part.length
    this.checkLength(this.heldBytes, emit)
  }

  private checkLength(bytes: number, emit: Emit): void {
    const { maxLineBytes } = this.context
    if (bytes <= maxLineBytes) return
    const problem = `the value that begins here is longer than ${maxLineBytes} bytes`
    const hint = 'name the array inside it with --at, as in --at items, or allow longer records with --max-line 64MiB'
    this.fail(this.cutLine, { problem, hint }, emit)
  }

  private finish(part: Buffer, emit: Emit): void {
    const { cut } = this
    this.cut = undefined
    this.state = 'value'
    if (cut === 'skip') return this.valueEnded()
    const bytes = this.heldBytes > 0 ? Buffer.concat([...this.held, part]) : part
    this.checkLength(bytes.length, emit)
    this.held = []
    this.heldBytes = 0
    if (cut === 'record') {
      this.record(bytes, emit)
      return this.valueEnded()
    }
    const problem = this.check(bytes)
    if (problem) this.fail(this.cutLine, problem, emit)
    ;(this.spine.at(-1) as Frame).key = decodeString(bytes, 0, bytes.length)
    this.state = 'colon'
  }

  private record(bytes: Buffer, emit: Emit): void {
    const spread = bytes.includes(LF)
    const line = spread ? onOneLine(bytes) : bytes
    const problem = this.check(line)
    if (!problem) {
      this.records.push(spread ? compact(line) : line, NEWLINE)
      return
    }
    this.flush(emit)
    const at = (problem.column ?? 1) - 1
    const lineStart = bytes.subarray(0, at).lastIndexOf(LF) + 1
    let { cutLine } = this
    for (let p = bytes.indexOf(LF); p >= 0 && p < lineStart; p = bytes.indexOf(LF, p + 1)) cutLine++
    this.context.reject(cutLine, bytes, lineStart > 0 ? { ...problem, column: at - lineStart + 1 } : problem)
  }

  private flush(emit: Emit): void {
    if (this.records.length > 0) emit(Buffer.concat(this.records))
    this.records = []
  }

  private check(line: Buffer): Problem | undefined {
    return this.checker.check(line, 0, line.length, this.spans, 0)
  }

  private missing(emit: Emit): never {
    const at = formatFieldPath(this.path as FieldPath)
    return this.fail(
      this.line,
      {
        problem: `the document has no "${at}"`,
        hint: 'name the array with --at, as in: beck from json --at data.items FILE',
      },
      emit,
    )
  }

  private unexpected(bytes: Buffer, at: number, expected: string, emit: Emit): never {
    const byte = bytes[at] as number
    const newline = bytes.subarray(0, at).lastIndexOf(LF)
    const column = newline < 0 ? this.lineBytes + at + 1 : at - newline
    const code = `byte 0x${byte.toString(16).padStart(2, '0')}`
    const found = byte > SPACE && byte < 0x7f ? `"${String.fromCharCode(byte)}"` : code
    const trailing = this.spine.length > 0 && (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT)
    const hint = trailing
      ? 'brackets must match, and JSON has no comma after the last element'
      : 'is it JSON? See beck from --help for the other formats'
    return this.fail(this.line, { problem: `expected ${expected}, found ${found}`, column, hint }, emit)
  }

  private fail(line: number, problem: Problem, emit: Emit): never {
    this.flush(emit)
    return this.context.fail(line, problem)
  }
}

const NEWLINE = Buffer.from('\n')
const BOM = [0xef, 0xbb, 0xbf]
const TAB = 9
const LF = 10
const CR = 13
const SPACE = 32
const QUOTE = 34
const COMMA = 44
const COLON = 58
const OPEN_ARRAY = 91
const BACKSLASH = 92
const CLOSE_ARRAY = 93
const OPEN_OBJECT = 123
const CLOSE_OBJECT = 125
