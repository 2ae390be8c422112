import type { RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { SideOperator, StageContext } from '../core/operator.ts'
import { storedBytes } from '../sort/arena.ts'
import type { BlockOrigin, EntriesState } from '../sort/entries.ts'
import { ExternalSorter, type RunHandle } from '../sort/external.ts'
import type { Cursor } from '../sort/runs.ts'
import { appendSortKey } from '../sort/sort-key.ts'
import type { MergeJoinOptions } from './merge.ts'

/** The first byte of a key in the sorters: one with a null in it has no partner. */
export const WITH_NULL = 0
const WITHOUT_NULL = 1
const NEWLINE = 0x0a
const LETTER_N = 0x6e
const OPEN = 0x7b

/** One side of a merge join: its records by key. Each side may be read by a thread of its own. */
export class MergeSide implements SideOperator<readonly RunHandle[]> {
  readonly #isLeft: boolean
  readonly #fields: readonly number[]
  readonly #nestField: number | undefined
  /** Records with a null key are needed only where records without a partner are kept. */
  readonly #keepsAll: boolean
  readonly #needsObject: boolean
  readonly #context: StageContext
  readonly #sorter: ExternalSorter
  readonly #key = new ByteBuffer(256)

  constructor({ type, rules, leftKey, rightKey, nestField }: MergeJoinOptions, port: 0 | 1, context: StageContext) {
    this.#isLeft = port === 0
    this.#fields = this.#isLeft ? leftKey : rightKey
    this.#nestField = this.#isLeft ? nestField : undefined
    this.#keepsAll = type === 'full' || (this.#isLeft ? type === 'left' || type === 'anti' : type === 'right')
    this.#needsObject = type !== 'semi' && type !== 'anti' && (this.#isLeft || rules.nest === undefined)
    this.#context = context
    const memoryBytes = storedBytes(context.memoryBytes) / 2
    this.#sorter = new ExternalSorter({ memoryBytes, spill: () => context.spill(), grouped: false })
  }

  processBatch(batch: RecordBatch): void {
    const { bytes, spans, stride, count } = batch
    if (count === 0) return
    const lines = batch.lines(undefined, 0, count)
    let place = this.#sorter.place(lines, 0, lines.length, this.#originOf(batch, lines.length))
    const key = this.#key
    for (let row = 0; row < count; row++) {
      const at = row * stride
      const start = spans[at]!
      const length = spans[at + 1]! - start + 1
      key.length = 0
      key.byte(WITHOUT_NULL)
      for (const field of this.#fields) {
        const from = spans[at + 2 + 2 * field]!
        const to = spans[at + 3 + 2 * field]!
        if (from === to || bytes[from] === LETTER_N) key.bytes[0] = WITH_NULL
        appendSortKey(key, bytes, from, to)
      }
      const matches = key.bytes[0] === WITHOUT_NULL
      const nest = this.#nestField
      const problem =
        bytes[start] !== OPEN && ((this.#needsObject && matches) || (nest !== undefined && this.#keepsAll))
          ? { problem: 'only objects can be joined' }
          : nest !== undefined && spans[at + 3 + 2 * nest] !== 0
            ? { problem: 'the record has a member of that name already', hint: 'choose another name with --nest NAME' }
            : undefined
      if (problem) this.#context.reject(batch, row, problem)
      else if (matches || this.#keepsAll) {
        this.#sorter.add(this.#sorter.key(key.bytes, 0, key.length), place, length)
      }
      place += length
    }
  }

  /** Where the batch's lines can be read again, if they stand there as they are here. */
  #originOf(batch: RecordBatch, size: number): BlockOrigin | undefined {
    const input = this.#context.input?.()
    if (!input) return undefined
    const { bytes, spans, stride, count } = batch
    const position = batch.position(0)
    const start = spans[(count - 1) * stride]!
    const end = spans[(count - 1) * stride + 1]!
    const between = batch.position(count - 1) - position
    return between + end - start + 1 === size && bytes[end] === NEWLINE ? { input, position } : undefined
  }

  handOver(): readonly RunHandle[] {
    return this.#sorter.handOver()
  }
  /** Takes up what another thread's side has handed over. */
  takeOver(runs: readonly RunHandle[]): void {
    this.#sorter.takeOver(runs.map((run) => ({ ...run, file: this.#context.spill(run) })))
  }

  /** What has come since the last call, to be put back by `restore`, which comes before the first record. */
  added(): readonly EntriesState[] {
    return this.#sorter.added()
  }
  restore(logs: Iterable<readonly EntriesState[]>): void {
    this.#sorter.added()
    for (const added of logs) this.#sorter.restore(added)
  }

  /** Call it once. */
  sorted(): Cursor {
    return this.#sorter.sorted()
  }
}
