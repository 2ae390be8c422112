import { BeckError } from '../src/core/errors.ts'
import { formatFieldPath, parseKeyFields, Projection } from '../src/core/field-path.ts'
import type { Arguments, CommandSpec, Stage } from '../src/core/spec.ts'
import { drain } from '../src/sort/line-sorter.ts'
import { isWide, SharedShuffler, type ShufflePlan, ShuffleSample } from '../src/sort/shared-shuffler.ts'
import { Shuffler } from '../src/sort/shuffler.ts'
import { parseSortKeys } from '../src/sort/sort-keys.ts'

export const shuffle: CommandSpec = {
  name: 'shuffle',
  summary: 'Bring the records of a key together, in partitions',
  description:
    "MapReduce's shuffle: partitions come in order, and within one records are sorted by key, those of a key in their order. A key's partition is Kafka's.",
  files: true,
  options: [
    { flag: 'by', value: 'KEYS', description: 'records with the same values of these fields come together' },
    { flag: 'partitions', value: 'N', description: 'how many partitions', default: '1' },
    { flag: 'sort', value: 'KEYS', description: 'sort the records of a key by these fields: ts,-count' },
    {
      flag: 'out',
      value: 'DIR',
      description: 'write a file a partition, part-00000.ndjson …, and _SUCCESS when all are there',
    },
    { flag: 'exec', value: 'CMD', description: 'send each partition through a process of its own, several at once' },
  ],
  common: ['input', 'workers', 'memory', 'tmp'],
  threads: false,
  cost: { time: 'O(records)', memory: 'O(records), at most --memory; the rest is spilled' },
  errors: ['bad-record', 'bad-option', 'file', 'process', 'spill-full'],
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
    const paths = parseKeyFields(options['by'] as string).map(({ path }) => path)
    const keyFields = paths.map((path) => projection.add(path))
    const partitions = Number(options['partitions'] ?? 1)
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > 100_000) {
      throw new BeckError('bad-option', {
        option: '--partitions',
        problem: `"${String(options['partitions'])}" is not a number of partitions`,
        hint: 'write --partitions 8',
      })
    }
    const by = options['sort'] === undefined ? [] : parseSortKeys(options['sort'] as string, '--sort')
    const sort = by.map(({ path, descending }) => ({ field: projection.add(path), descending }))
    const folder = options['out'] as string | undefined
    const exec = options['exec'] as string | undefined
    const reads = projection.paths
    const shuffling = { partitions, keyFields, sort }
    if (folder !== undefined || exec !== undefined) {
      return {
        role: 'partitions',
        reads,
        partitions,
        folder,
        exec,
        open(context) {
          const shuffler = new Shuffler(shuffling, context)
          return {
            processBatch: (batch) => shuffler.add(batch),
            onEnd: (write) => shuffler.drain(write),
          }
        },
      }
    }
    return {
      role: 'operator',
      reads,
      snapshots: 'appends',
      keys: paths.map(formatFieldPath),
      sampled: {
        suits: (bytes, { memoryBytes }) => isWide(bytes, memoryBytes),
        open(context) {
          const sample = new ShuffleSample(shuffling, context)
          return {
            processBatch: (batch) => sample.processBatch(batch),
            end: (bytes) => sample.plan(bytes, context),
          }
        },
        stage: (plan) => ({
          role: 'operator',
          reads,
          parallel: 'merge',
          open: (context) => new SharedShuffler({ ...shuffling, reads }, plan as ShufflePlan, context), // as `end` has given it
        }),
      },
      open(context) {
        const shuffler = new Shuffler(shuffling, context)
        return {
          processBatch: (batch) => shuffler.add(batch),
          onEnd: (out) => drain(shuffler.sorted(), (lines) => out.emit(lines)),
          snapshot: () => shuffler.added(),
          // As `snapshot` has given it.
          restore: (states) => shuffler.restore(states as Iterable<ReturnType<typeof shuffler.added>>),
        }
      },
    }
  },
}
