import type { RecordBatch } from '../src/core/batch.ts'
import { ByteBuffer } from '../src/core/byte-buffer.ts'
import { BeckError } from '../src/core/errors.ts'
import { parseKeyFields, Projection } from '../src/core/field-path.ts'
import type { Collector, Operator, StageContext } from '../src/core/operator.ts'
import type { Arguments, CommandSpec, Stage } from '../src/core/spec.ts'
import { Shuffler, type ShuffleOptions } from '../src/sort/shuffler.ts'

export const shuffle: CommandSpec = {
  name: 'shuffle',
  summary: 'brings records of a key together, in partitions',
  description:
    "MapReduce's shuffle: partitions come in order, and within one records are sorted by key, those of a key in their order. A key's partition is Kafka's.",
  files: true,
  options: [
    { flag: 'by', value: 'KEYS', description: 'records with the same values of these fields come together' },
    { flag: 'partitions', value: 'N', description: 'how many partitions', default: '1' },
  ],
  common: ['input', 'memory', 'tmp'],
  cost: { time: 'O(records)', memory: 'O(records), at most --memory; the rest is spilled' },
  errors: ['bad-record', 'bad-option', 'spill-full'],
  examples: [
    {
      says: 'Records of a key together, sorted by key',
      command: `printf '%s\\n' '{"k":"b","n":1}' '{"k":"a","n":2}' '{"k":"b","n":3}' | beck shuffle --by k`,
      output: '{"k":"a","n":2}\n{"k":"b","n":1}\n{"k":"b","n":3}\n',
    },
  ],
  create({ options }: Arguments): Stage {
    if (options['by'] === undefined) {
      throw new BeckError('usage', { problem: 'shuffle needs --by', hint: 'beck shuffle --by user_id' })
    }
    const projection = new Projection()
    const keyFields = parseKeyFields(options['by'] as string).map(({ path }) => projection.add(path))
    const partitions = Number(options['partitions'] ?? 1)
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > 100_000) {
      throw new BeckError('bad-option', {
        option: '--partitions',
        problem: `"${String(options['partitions'])}" is not a number of partitions`,
        hint: 'write --partitions 8',
      })
    }
    return {
      role: 'operator',
      reads: projection.paths,
      open: (context) => new ShuffleLines({ partitions, keyFields, sort: [] }, context),
    }
  },
}

/** Output is handed on in pieces of about this size. */
const PIECE = 1 << 18

class ShuffleLines implements Operator {
  readonly #shuffler: Shuffler
  constructor(options: ShuffleOptions, context: StageContext) {
    this.#shuffler = new Shuffler(options, context)
  }
  processBatch(batch: RecordBatch): void {
    this.#shuffler.add(batch)
  }
  onEnd(out: Collector): void {
    const piece = new ByteBuffer(PIECE + (PIECE >> 2))
    this.#shuffler.drain((_partition, bytes, start, end) => {
      piece.copy(bytes, start, end)
      if (piece.length < PIECE) return
      out.emit(piece.view())
      piece.length = 0
    })
    out.emit(piece.view())
  }
}
