/**
 * A batch: a block of bytes and, per record, the spans of just the fields that a stage reads (docs/architecture.md §3).
 * Two implementations: `src/ndjson/reference.ts` (readable) and `src/ndjson/wasm.ts` (fast). A differential test holds them together.
 *
 * Lifetime: a batch, its bytes and every column are valid only until `processBatch` returns. Keep copies, never views; copy with
 * `new Uint8Array(view)`, since a view may be a Buffer, whose `slice` copies nothing.
 */

/** What kind of JSON value a field of a row holds. `big`: a number whose exact value a double does not hold (see `text`). */
export const Kind = {
  missing: 0,
  null: 1,
  false: 2,
  true: 3,
  number: 4,
  string: 5,
  array: 6,
  object: 7,
  big: 8,
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/** Per row: the kind, and for `Kind.number` the double that the text means (correctly rounded; integers are exact). */
export interface NumberColumn {
  readonly kinds: Uint8Array
  readonly values: Float64Array
}

/**
 * Numbers as exact decimals: value = mantissa / 10^scale, where |mantissa| <= 2^53 and scale <= 22.
 * A number that does not fit (exponent, more digits) has `Kind.big`: read its text.
 */
export interface DecimalColumn {
  readonly kinds: Uint8Array
  readonly mantissas: Float64Array
  readonly scales: Uint8Array
}

/** Per row milliseconds since 1970-01-01T00:00:00Z, or NaN; `others` says how many are NaN. */
export interface TimeColumn {
  readonly values: Float64Array
  readonly others: number
}

export interface RecordBatch {
  /** How many records. Blank lines and bad records are not rows. */
  readonly count: number
  /** The block. All spans are offsets into it. */
  readonly bytes: Uint8Array
  /**
   * Row-major, `stride` entries a row: line start, line end (without the line end bytes), then start and end of each field's
   * raw JSON text in the order of the stage's `reads`. A missing field is 0, 0. Line spans exclude surrounding white space.
   */
  readonly spans: Uint32Array
  readonly stride: number
  /** True when every byte of the block is ASCII: then offsets are string indices. */
  readonly ascii: boolean

  /** The first rows alone: a batch over the same bytes. */
  head(rows: number): RecordBatch
  /**
   * Of the rows `from`..`to` those whose mask is 1 (all without a mask), with these of the fields, in this order: a batch over the same bytes.
   * Costs a copy of the spans.
   */
  select(fields: readonly number[], mask: Uint8Array | undefined, from: number, to: number): RecordBatch

  /** The block as a latin1 ("binary") string: one char a byte, so spans are substrings. Made once, on demand. */
  text(): string
  numbers(field: number): NumberColumn
  decimals(field: number): DecimalColumn
  /**
   * Times of RFC 3339 strings `2026-01-01T10:00:00Z`, with a fraction of up to nine digits (cut down to milliseconds) and with `+01:00` in
   * place of Z. Everything else is left to the caller.
   */
  times(field: number): TimeColumn
  /** Kinds alone, which is cheaper than numbers. */
  kinds(field: number): Uint8Array
  /**
   * Compares a field's string with a constant (UTF-8 without quotes): per row 1 equal, 0 different (also: not a string),
   * 2 undecided (the text has escapes: decode and compare).
   */
  equalsString(field: number, constant: Uint8Array): Uint8Array

  /** The lines of rows `from`..`to` whose mask is 1 (all when no mask), each ended by "\n", byte for byte. A view: write it at once. */
  lines(mask: Uint8Array | undefined, from: number, to: number): Uint8Array
  /**
   * All lines by Kafka's partition of a key field. Not every kind of batch can; undefined where a key is more than a string without escapes
   * or an integer: then src/log/key-hash.ts tells. The bytes are views.
   */
  scatter?(field: number, partitions: number): Scattered | undefined
  /** All lines, each ended by "\n", by a partition for each row, which keep their order. Views. */
  partition(targets: Uint16Array, partitions: number): PartedLines
  /** One line a row by `template` for rows `from`..`to`. A view: write it at once. */
  render(template: ObjectTemplate, from: number, to: number): Uint8Array

  /** Position of a record in the whole input (bytes before it, all inputs together): orders records over workers. */
  position(row: number): number
  /** Where a record stands, for messages. May cost a pass over the file: only for errors. */
  locate(row: number): Location
}

/** Where the lines of each partition stand in `bytes`, with whatever between them. */
export interface PartedLines {
  readonly bytes: Uint8Array
  readonly starts: Uint32Array
  readonly ends: Uint32Array
}

/** The lines of a batch, each ended by "\n", by partition. */
export interface Scattered {
  /** Partition of each row. */
  readonly targets: Uint16Array
  readonly partitions: readonly {
    readonly count: number
    readonly lines: Uint8Array
    /** Which rows of the batch they are, as src/log/gaps.ts encodes it. */
    readonly ranks: Uint8Array
  }[]
}

export interface Location {
  /** File name as given, or "stdin". */
  readonly file: string
  /** From 1. */
  readonly line: number
}

/** `{"path":…,"slow":true}`: members in order; a member whose value is undefined is left out. */
export interface ObjectTemplate {
  readonly members: readonly { readonly name: string; readonly value: TemplateValue }[]
}
export type TemplateValue =
  /** The raw text of a field; missing → the member is left out. */
  | { readonly kind: 'field'; readonly field: number }
  /** Per row 0 false, 1 true, 2 null, 3 leave out. */
  | { readonly kind: 'flags'; readonly flags: Uint8Array }
  /** The same JSON text in every row. */
  | { readonly kind: 'constant'; readonly json: string }

/**
 * Gives each distinct key (the values of one or more fields together) a dense id, in order of first appearance.
 * Keys are equal as JSON values: numbers by exact value (1 = 1.0, "1" differs), strings by content, objects whatever their
 * member order, missing = null (src/core/key.ts is the reference). A key is printed as first spelt.
 */
export interface KeyTable {
  readonly size: number
  /** The id of each row of the batch. A view, valid until the next call. */
  intern(batch: RecordBatch): Uint32Array
  /**
   * Makes each row a key of its own, with the next ids, whether it is known or not: for keys that go elsewhere before anything but `parted`,
   * `export` and the texts and positions of ids is asked for. A view as with `intern`.
   */
  append(batch: RecordBatch): Uint32Array
  /** JSON text of part `part` of key `id`, as first spelt, as a latin1 ("binary") string; a missing one is "null". */
  text(id: number, part: number): string
  /** Makes lines about keys, by a template. Made once and used for all lines: it holds memory for as long as the table. */
  lines(template: readonly LinePiece[]): KeyLines
  /** Bytes of all parts of a key together; and a part's text put into `into` at `at`, which has room: returns where it ends. */
  textBytes(id: number): number
  copyText(id: number, part: number, into: Uint8Array, at: number): number
  /** Where the key was first seen (`RecordBatch.position`): orders keys over workers. */
  position(id: number): number
  /** The same for many. */
  positionsOf(ids: Uint32Array): Float64Array
  /** All ids by `position`. */
  order(): Uint32Array
  /** All keys in 128 partitions by seven bits of their hash, from bit `shift` on: the same for equal keys, however they are spelt. */
  parted(shift: number): readonly KeyParts[]
  /**
   * The keys from an id on, by default all, as `structuredClone` takes them; and another table's keys into this one: their id there → their id
   * here. Into an empty table all of them come in with the ids that they had.
   */
  export(from?: number): KeyTableState
  /**
   * Forgets all keys and reuses their memory. Who lets keys go exports, clears, and imports the ones still in use.
   * @param expected how many keys are to come before the next time, if that is known: what is looked up in less memory is found sooner
   */
  clear(expected?: number): void
  import(state: KeyTableState): Uint32Array
  /** So many keys there will be: room for them is made at once. */
  reserve(keys: number): void
}
/** A piece of a line about a key. */
export type LinePiece =
  /** A latin1 ("binary") string. */
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'key'; readonly part: number }
  /** The line's next number: whole and safe, or NaN, which is null. */
  | { readonly kind: 'whole' }
  /** The line's next number as a time: milliseconds since 1970. */
  | { readonly kind: 'time' }

/**
 * Gathers what lines are made of, and makes many of them at once:
 *
 *     if (lines.isFull) lines.write(emit)
 *     lines.begin(id)
 *     lines.add(3)
 */
export interface KeyLines {
  readonly isFull: boolean
  /** Begins a line about a key; its numbers are to follow, in the order of the template. Only when it is not full. */
  begin(id: number): void
  add(number: number): void
  /** Makes all lines. The bytes are valid until `emit` returns. */
  write(emit: (lines: Uint8Array) => void): void
  /** Makes lines about keys whose numbers are columns by id, in the order of the template. */
  writeAll(ids: Uint32Array, columns: readonly Float64Array[], emit: (lines: Uint8Array) => void): void
}
/** The keys of a partition, and their ids. */
export interface KeyParts {
  readonly keys: KeyTableState
  readonly ids: Uint32Array
}
export interface KeyTableState {
  /** Per key and part the JSON text as first spelt, one after the other. */
  readonly bytes: Uint8Array
  /** End of each text in `bytes`. */
  readonly ends: Uint32Array
  readonly positions: Float64Array
}
