import type { RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { Collector, SpillFile, StageContext } from '../core/operator.ts'
import type { PairOperator } from '../core/spec.ts'
import { storedBytes } from '../sort/arena.ts'
import { ExternalSorter } from '../sort/external.ts'
import { compareKeys, type Cursor } from '../sort/runs.ts'
import { appendSortKey } from '../sort/sort-key.ts'
import { Shapes } from './shapes.ts'
import { Splicer, type SpliceRules } from './splice.ts'
import type { JoinType } from './table.ts'

const PIECE = 1 << 18
/** The first byte of a key in the sorters: one with a null in it has no partner. */
const WITH_NULL = 0
const WITHOUT_NULL = 1
const LETTER_N = 0x6e
const OPEN = 0x7b

export interface MergeJoinOptions {
  readonly type: JoinType
  readonly rules: SpliceRules
  /** The parts of the key, by their index on both sides. */
  readonly leftKey: readonly number[]
  readonly rightKey: readonly number[]
  readonly nestField: number | undefined
}

/**
 * A join of two large sides: both are sorted by key, in bounded memory, and then read side by side. Output is in the order of keys; of one
 * key every left record in its order with every right one in theirs. O(n log n), and the pairs.
 */
export class MergeJoin implements PairOperator {
  readonly #options: MergeJoinOptions
  readonly #contexts: readonly [StageContext, StageContext]
  readonly #sorters: readonly [ExternalSorter, ExternalSorter]
  readonly #key = new ByteBuffer(256)
  readonly #splicer: Splicer
  readonly #shapes = new Shapes()
  readonly #into = new ByteBuffer(PIECE + (PIECE >> 2))

  constructor(options: MergeJoinOptions, left: StageContext, right: StageContext) {
    this.#options = options
    this.#contexts = [left, right]
    this.#splicer = new Splicer(options.rules)
    const sorter = (context: StageContext): ExternalSorter =>
      new ExternalSorter({
        memoryBytes: storedBytes(context.memoryBytes) / 2,
        spill: () => context.spill(),
        grouped: false,
      })
    this.#sorters = [sorter(left), sorter(right)]
  }

  processBatch(batch: RecordBatch, _out: Collector, port: 0 | 1): void {
    const { type, nestField } = this.#options
    const fields = port === 0 ? this.#options.leftKey : this.#options.rightKey
    // Records with a null key are needed only where records without a partner are kept.
    const keepsAll = type === 'full' || (port === 0 ? type === 'left' || type === 'anti' : type === 'right')
    const needsObject = type !== 'semi' && type !== 'anti' && (port === 0 || this.#options.rules.nest === undefined)
    const { bytes, spans, stride, count } = batch
    const lines = batch.lines(undefined, 0, count)
    let place = count > 0 ? this.#sorters[port].place(lines, 0, lines.length) : 0
    for (let row = 0; row < count; row++) {
      const at = row * stride
      const start = spans[at]!
      const length = spans[at + 1]! - start + 1
      const key = this.#key
      key.length = 0
      key.byte(WITHOUT_NULL)
      for (const field of fields) {
        const from = spans[at + 2 + 2 * field]!
        const to = spans[at + 3 + 2 * field]!
        if (from === to || bytes[from] === LETTER_N) key.bytes[0] = WITH_NULL
        appendSortKey(key, bytes, from, to)
      }
      const matches = key.bytes[0] === WITHOUT_NULL
      const problem =
        bytes[start] !== OPEN && ((needsObject && matches) || (port === 0 && nestField !== undefined && keepsAll))
          ? { problem: 'only objects can be joined' }
          : port === 0 && nestField !== undefined && spans[at + 3 + 2 * nestField] !== 0
            ? { problem: 'the record has a member of that name already', hint: 'choose another name with --nest NAME' }
            : undefined
      if (problem) this.#contexts[port].reject(batch, row, problem)
      else if (matches || keepsAll)
        this.#sorters[port].add(this.#sorters[port].key(key.bytes, 0, key.length), place, length)
      place += length
    }
  }

  onEnd(out: Collector): void {
    const { type } = this.#options
    const left = this.#sorters[0].sorted()
    const right = this.#sorters[1].sorted()
    const context = this.#contexts[1]
    const group = new RightGroup(this.#splicer, context.memoryBytes / 8, () => context.spill())
    let hasLeft = left.advance()
    let hasRight = right.advance()
    while (hasLeft || hasRight) {
      const order = !hasLeft ? 1 : !hasRight ? -1 : compareKeys(left, right)
      if (order < 0) {
        this.#leftAlone(left)
        hasLeft = left.advance()
      } else if (order > 0) {
        this.#rightAlone(right)
        hasRight = right.advance()
      } else if (left.key[left.keyStart] === WITH_NULL) {
        this.#leftAlone(left)
        hasLeft = left.advance()
      } else {
        group.begin(right)
        do {
          group.add(right)
          hasRight = right.advance()
        } while (hasRight && group.isOf(right))
        while (hasLeft && group.isOf(left)) {
          if (type === 'semi') this.#copy(left)
          else if (type !== 'anti') this.#pairs(left, group, out)
          hasLeft = left.advance()
          this.#flush(out, PIECE)
        }
      }
      this.#flush(out, PIECE)
    }
    this.#flush(out, 1)
  }

  #copy({ bytes, start, end }: Cursor): void {
    this.#into.copy(bytes, start, end)
  }
  #leftAlone(left: Cursor): void {
    const { type } = this.#options
    if (type === 'anti') this.#copy(left)
    else if (type === 'left' || type === 'full') {
      this.#splicer.leftOnly(this.#into, left.bytes, left.start, left.end - 1)
    }
  }
  #rightAlone(right: Cursor): void {
    const { type } = this.#options
    if (type === 'right' || type === 'full') {
      this.#splicer.rightOnly(this.#into, right.bytes, right.start, right.end - 1)
    }
  }

  #pairs(left: Cursor, group: RightGroup, out: Collector): void {
    const { bytes, start, end } = left
    const shape = this.#options.rules.nest === undefined ? this.#shapes.read(bytes, start, end - 1) : undefined
    group.eachTail(shape, (tails, from, to) => {
      this.#splicer.head(this.#into, bytes, start, end - 1)
      this.#into.copy(tails, from, to)
      this.#flush(out, PIECE)
    })
  }

  #flush(out: Collector, from: number): void {
    if (this.#into.length < from) return
    out.emit(this.#into.view())
    this.#into.length = 0
  }
}

/** The right records of one key: in memory, and on disk where they are too many. Each is its length (32 bits) and its line. */
class RightGroup {
  readonly #splicer: Splicer
  readonly #most: number
  readonly #spill: () => SpillFile
  readonly #key = new ByteBuffer(256)
  readonly #lines = new ByteBuffer(1 << 12)
  #file: SpillFile | undefined
  /** Tails for left records of a shape, where all lines are in memory. */
  readonly #tails = new ByteBuffer(1 << 12)
  readonly #tailEnds: number[] = []
  #tailShape: ReturnType<Shapes['read']> | 'none' = 'none'

  constructor(splicer: Splicer, most: number, spill: () => SpillFile) {
    this.#splicer = splicer
    this.#most = most
    this.#spill = spill
  }

  begin({ key, keyStart, keyEnd }: Cursor): void {
    this.#key.length = this.#lines.length = 0
    this.#key.copy(key, keyStart, keyEnd)
    this.#file?.close()
    this.#file = undefined
    this.#tailShape = 'none'
  }

  isOf({ key, keyStart, keyEnd }: Cursor): boolean {
    const { bytes, length } = this.#key
    if (keyEnd - keyStart !== length) return false
    for (let p = 0; p < length; p++) if (bytes[p] !== key[keyStart + p]) return false
    return true
  }

  add({ bytes, start, end }: Cursor): void {
    this.#lines.uint32(end - start - 1)
    this.#lines.copy(bytes, start, end - 1)
    if (this.#lines.length > this.#most) {
      this.#file ??= this.#spill()
      this.#file.append(this.#lines.view())
      this.#lines.length = 0
    }
  }

  /** Shows the tail of each record for a left one of this shape. */
  eachTail(left: ReturnType<Shapes['read']>, visit: (bytes: Uint8Array, start: number, end: number) => void): void {
    if (this.#file) {
      this.#eachSpilled(left, visit)
      return
    }
    if (this.#tailShape !== left) {
      this.#tailShape = left
      this.#tails.length = this.#tailEnds.length = 0
      eachLine(this.#lines.view(), (bytes, start, end) => {
        this.#splicer.tail(this.#tails, bytes, start, end, left)
        this.#tailEnds.push(this.#tails.length)
      })
    }
    let from = 0
    for (const to of this.#tailEnds) {
      visit(this.#tails.bytes, from, to)
      from = to
    }
  }

  #eachSpilled(left: ReturnType<Shapes['read']>, visit: (bytes: Uint8Array, start: number, end: number) => void): void {
    const file = this.#file!
    const show = (bytes: Uint8Array, start: number, end: number): void => {
      this.#tails.length = 0
      this.#splicer.tail(this.#tails, bytes, start, end, left)
      visit(this.#tails.bytes, 0, this.#tails.length)
    }
    this.#tailShape = 'none'
    let piece = new Uint8Array(1 << 18)
    for (let at = 0; at < file.size;) {
      const read = piece.subarray(0, file.read(piece, at))
      const used = eachLine(read, show)
      if (used === 0) piece = new Uint8Array(2 * piece.length)
      at += used
    }
    eachLine(this.#lines.view(), show)
  }
}

/** Shows the whole lines of a group's bytes; returns where the first one begins that is cut off. */
function eachLine(bytes: Uint8Array, visit: (bytes: Uint8Array, start: number, end: number) => void): number {
  let at = 0
  while (at + 4 <= bytes.length) {
    const length = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
    if (at + 4 + length > bytes.length) break
    visit(bytes, at + 4, at + 4 + length)
    at += 4 + length
  }
  return at
}
