import type { RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import { latin1 } from '../core/latin1.ts'
import type { Problem } from '../core/operator.ts'
import { appendSortKey } from '../sort/sort-key.ts'
import { Shapes } from './shapes.ts'
import { Splicer, type SpliceRules } from './splice.ts'
import type { JoinType } from './table.ts'

const LETTER_N = 0x6e
const OPEN = 0x7b
const NEWLINE = Buffer.from('\n')
const NOTHING = new Uint8Array(0)

export interface PairRules {
  readonly type: JoinType
  readonly rules: SpliceRules
  /** The parts of the key, by their index on both sides. */
  readonly leftKey: readonly number[]
  readonly rightKey: readonly number[]
  readonly nestField: number | undefined
}

/** Records of two streams that are kept as they came: what can be joined, by which key, and how a pair is written. */
export class PairRecords {
  readonly #rules: PairRules
  readonly #filters: boolean
  readonly #splicer: Splicer
  readonly #shapes = new Shapes()
  readonly #key = new ByteBuffer(256)

  constructor(rules: PairRules) {
    this.#rules = rules
    this.#filters = rules.type === 'semi' || rules.type === 'anti'
    this.#splicer = new Splicer(rules.rules)
  }

  /** What is wrong with a row that cannot be joined. */
  problem({ bytes, spans, stride }: RecordBatch, row: number, port: 0 | 1): Problem | undefined {
    const { rules, nestField } = this.#rules
    if (this.#filters) return undefined
    const at = row * stride
    if (bytes[spans[at]!] !== OPEN && (port === 0 || rules.nest === undefined)) {
      return { problem: 'only objects can be joined' }
    }
    if (port === 0 && nestField !== undefined && spans[at + 3 + 2 * nestField] !== 0) {
      return {
        problem: 'the record has a member of that name already',
        hint: 'choose another name with --nest NAME',
      }
    }
    return undefined
  }

  /** A copy of a row's line, if it can be written. */
  line({ bytes, spans, stride }: RecordBatch, row: number, port: 0 | 1): Uint8Array {
    if (port === 1 && this.#filters) return NOTHING
    return new Uint8Array(bytes.subarray(spans[row * stride], spans[row * stride + 1]))
  }

  /** The key of a row, as the bytes that equal keys share; undefined when a part is null. */
  keyOf({ bytes, spans, stride }: RecordBatch, row: number, port: 0 | 1): string | undefined {
    const key = this.#key
    key.length = 0
    for (const field of port === 0 ? this.#rules.leftKey : this.#rules.rightKey) {
      const start = spans[row * stride + 2 + 2 * field]!
      const end = spans[row * stride + 3 + 2 * field]!
      if (start === end || bytes[start] === LETTER_N) return undefined
      appendSortKey(key, bytes, start, end)
    }
    return latin1(key.bytes, 0, key.length)
  }

  /** Appends a pair, or a record that is alone. */
  write(into: ByteBuffer, left: Uint8Array | undefined, right: Uint8Array | undefined): void {
    if (left && this.#filters) {
      into.append(left)
      into.append(NEWLINE)
    } else if (left && right) {
      const shape = this.#rules.rules.nest === undefined ? this.#shapes.read(left, 0, left.length) : undefined
      this.#splicer.head(into, left, 0, left.length)
      this.#splicer.tail(into, right, 0, right.length, shape)
    } else if (left) this.#splicer.leftOnly(into, left, 0, left.length)
    else if (right) this.#splicer.rightOnly(into, right, 0, right.length)
  }
}
