import type { KeyTable, RecordBatch } from '../core/batch.ts'
import type { FieldPath } from '../core/field-path.ts'
import type { Problem } from '../core/operator.ts'

/**
 * Cuts a stream of bytes into batches. The scanner owns the input memory: sources read straight into `room()`.
 * It drops a BOM at the start of each input and blank lines, accepts CRLF, and hands malformed lines out as `bad`.
 */
export interface Scanner {
  readonly name: 'reference' | 'wasm'
  /** Starts an input; what was pending must have been scanned with `last`. `origin` says where its bytes stand. */
  begin(origin: Origin): void
  /** Free space after the pending bytes of an unfinished line; read input into it. At least 64 KiB, normally a block. */
  room(): Uint8Array
  /**
   * `filled` bytes of `room()` are new input. Scans all whole lines; an unfinished one stays pending, unless this is the `last` of
   * the input, where it counts as a line. The result is valid until the next call of `room`.
   */
  scan(filled: number, last: boolean): Scanned
  /**
   * Room for what comes behind the bytes that are to be scanned next: another thread may fill it meanwhile, also while their batch is worked on. Undefined
   * where that cannot be. `turn` comes before anything else is read.
   */
  roomAhead?(): Uint8Array | undefined
  /** In place of `room`: `filled` bytes of `roomAhead` are what `scan` is about to be told of. */
  turn?(filled: number): void
  /** The `filled` bytes of new input that `scan` has not been told of. */
  fresh(filled: number): Uint8Array
  /** Length of the unfinished line. The reader turns one beyond `--max-line` into a data error. */
  readonly pendingBytes: number
  /** Takes the pending bytes out (a view): the reader streams an over-long line away itself. */
  takePending(): Uint8Array
  /** Bytes of the input that the reader kept to itself (the rest of an over-long line), so that positions stay right. */
  skip(bytes: number): void
  /**
   * Makes records of lines of text (valid UTF-8, the last may lack its end), as `from words` and `from lines` do, and hands them to `take` as batches
   * that are valid until it returns. Only for a scanner without pending bytes. Returns undefined, with nothing done, where the readable way must do it.
   * @param member of the records that holds the word or line; default: the kind's name
   */
  readText?(
    kind: TextKind,
    text: Uint8Array,
    take: (scanned: Scanned, bytes: number) => void,
    member?: string,
  ): TextCounts | undefined
  /** Ids for the values of some fields together. */
  keyTable(fields: readonly number[]): KeyTable
  /**
   * Gives its memory back, and that of its key tables: neither they nor batches are used any more. Doing it twice is doing it once. One that is not closed
   * has its memory until it is garbage, which is well for the few scanners of a process that ends with them.
   */
  close(): void
}

/** What a text is made of, each a record with one member, by default of this name. */
export type TextKind = 'word' | 'line'
export interface TextCounts {
  readonly records: number
  /** Line ends of the text. */
  readonly lineEnds: number
}

export interface Scanned {
  readonly batch: RecordBatch
  /** Malformed lines, in order. They are not rows of the batch. */
  readonly bad: readonly BadLine[]
  /** Lines of the block, blank and bad ones too: keeps line numbers of inputs that cannot be read again. */
  readonly lines: number
}

export interface BadLine extends Problem {
  /** The number of rows of the batch before it. */
  readonly row: number
  /** Span of the whole line in the block, without its line end. */
  readonly start: number
  readonly end: number
  /** Bytes of all inputs before it, as `RecordBatch.position`. */
  readonly position: number
}

/** Where the bytes of an input stand: for positions and messages. */
export interface Origin {
  readonly file: string
  /** Bytes of all inputs before the first byte handed to `room`. */
  readonly base: number
  /**
   * Number (from 1) of the line that starts `offset` bytes after `base`, which is always the first byte of a scanned block: the
   * scanner itself counts from there to a row. May cost a pass over the file: only for errors.
   */
  lineAt(offset: number): number
}

export interface ScannerOptions {
  readonly reads: readonly FieldPath[]
  /** Parse every line whole (RFC 8259). */
  readonly strict: boolean
  /** A longer line is malformed. Default: any length. */
  readonly maxLineBytes?: number
  /** Memory of its own, and of its key tables: what other scanners have handed out stays where it is when this one needs more. */
  readonly apart?: boolean
  /** How many stages work on a batch. Default: 1. */
  readonly stages?: number
  /** How much is read at a time, of the fast one. Default: what stays in the processor's cache with its spans and columns. */
  readonly blockBytes?: number
}
