import type { EntriesState } from '../sort/entries.ts'
import type { RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { Collector, SpillFile, StageContext } from '../core/operator.ts'
import type { PairOperator } from '../core/spec.ts'
import { Pieces, SLACK } from '../ndjson/heap.ts'
import { storeHeap } from '../sort/arena.ts'
import type { RunHandle } from '../sort/external.ts'
import { compareKeys, type Cursor } from '../sort/runs.ts'
import { KernelMembers } from './kernel-members.ts'
import { MergeSide, WITH_NULL } from './merge-side.ts'
import { Shapes } from './shapes.ts'
import { Splicer, type SpliceRules } from './splice.ts'
import type { JoinType } from './table.ts'

const PIECE = 1 << 18
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
export class MergeJoin implements PairOperator<readonly RunHandle[]> {
  readonly #options: MergeJoinOptions
  readonly #context: StageContext
  readonly #sides: readonly [MergeSide, MergeSide]
  readonly #splicer: Splicer
  readonly #shapes = new Shapes(new KernelMembers())
  readonly #into = new ByteBuffer(PIECE + (PIECE >> 2))

  constructor(options: MergeJoinOptions, left: StageContext, right: StageContext) {
    this.#options = options
    this.#context = right
    this.#splicer = new Splicer(options.rules, true)
    this.#sides = [new MergeSide(options, 0, left), new MergeSide(options, 1, right)]
  }

  processBatch(batch: RecordBatch, _out: Collector, port: 0 | 1): void {
    this.#sides[port].processBatch(batch)
  }

  takeSide(port: 0 | 1, runs: readonly RunHandle[]): void {
    this.#sides[port].takeOver(runs)
  }

  /** Of the left side alone: the table is read again. */
  snapshot(): readonly EntriesState[] {
    return this.#sides[0].added()
  }
  restore(states: Iterable<readonly EntriesState[]>): void {
    this.#sides[0].restore(states)
  }

  onEnd(out: Collector): void {
    const { type } = this.#options
    const left = this.#sides[0].sorted()
    const right = this.#sides[1].sorted()
    const context = this.#context
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

/** Longer keys than this are compared the slow way. */
const KEY_BYTES = 1 << 12

/** The right records of one key: in memory, and on disk where they are too many. Each is its length (32 bits) and its line. */
class RightGroup {
  readonly #splicer: Splicer
  readonly #most: number
  readonly #spill: () => SpillFile
  /** Mostly in the store, where keys are compared by the kernel. */
  readonly #store = storeHeap()
  readonly #storedKey: number
  readonly #longKey = new ByteBuffer(0)
  #keyLength = 0
  readonly #lines = new ByteBuffer(1 << 12)
  #file: SpillFile | undefined
  /** Tails for left records of a shape, where all lines are in memory: that of the last group's, until it is known. */
  readonly #tails = new ByteBuffer(1 << 12)
  readonly #tailEnds: number[] = []
  #tailShape: ReturnType<Shapes['read']> | 'none' = 'none'

  constructor(splicer: Splicer, most: number, spill: () => SpillFile) {
    this.#splicer = splicer
    this.#most = most
    this.#spill = spill
    this.#storedKey = new Pieces(this.#store, this).allocate(KEY_BYTES + SLACK)
  }

  begin({ key, keyStart, keyEnd }: Cursor): void {
    this.#longKey.length = this.#lines.length = this.#tails.length = this.#tailEnds.length = 0
    this.#keyLength = keyEnd - keyStart
    if (this.#keyLength > KEY_BYTES) this.#longKey.copy(key, keyStart, keyEnd)
    else {
      const { bytes } = this.#store
      for (let p = 0; p < this.#keyLength; p++) bytes[this.#storedKey + p] = key[keyStart + p]!
    }
    this.#file?.close()
    this.#file = undefined
  }

  isOf({ key, keyStart, keyEnd }: Cursor): boolean {
    const length = this.#keyLength
    if (keyEnd - keyStart !== length) return false
    const { bytes, kernel } = this.#store
    const isLong = length > KEY_BYTES
    if (!isLong && key === bytes) return kernel.compareBytes(this.#storedKey, length, keyStart, length) === 0
    const own = isLong ? this.#longKey.bytes : bytes
    const from = isLong ? 0 : this.#storedKey
    for (let p = 0; p < length; p++) if (own[from + p] !== key[keyStart + p]) return false
    return true
  }

  add({ bytes, start, end }: Cursor): void {
    this.#lines.uint32(end - start - 1)
    this.#lines.copy(bytes, start, end - 1)
    if (this.#tailShape !== 'none') {
      this.#splicer.tail(this.#tails, bytes, start, end - 1, this.#tailShape)
      this.#tailEnds.push(this.#tails.length)
    }
    if (this.#lines.length > this.#most) {
      this.#tailShape = 'none'
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
