import { BeckError } from '../src/core/errors.ts'
import { parseLength } from '../src/core/duration.ts'
import { formatFieldPath, parseFieldPath, parseKeyFields, Projection } from '../src/core/field-path.ts'
import type { Arguments, CommandSpec, OperatorStage, Stage } from '../src/core/spec.ts'
import { DedupeFirst } from '../src/dedupe/first.ts'
import { guardText } from '../src/expression/sift.ts'
import { timeOptions } from '../src/core/time-options.ts'

export const dedupe: CommandSpec = {
  name: 'dedupe',
  summary: 'Keep one record per key',
  description:
    'The first record of each key leaves at once, in order, byte for byte. Keys are equal as JSON values: 1 is 1.0, and a missing key is null. ' +
    'With --within a key is new again when that time has passed since its last record that was kept.',
  files: true,
  options: [
    { flag: 'by', value: 'KEYS', description: 'records with the same values of these fields are duplicates' },
    {
      flag: 'keep',
      value: 'WHICH',
      description: 'which record of a key; the last one leaves at the end',
      choices: ['first', 'last'],
      default: 'first',
    },
    { flag: 'count', description: 'add a member "count": how often the key came. Records leave at the end' },
    { flag: 'within', value: 'DURATION', description: 'duplicates are no further apart than this in event time' },
    { flag: 'time', value: 'FIELD', description: 'event time for --within' },
    { flag: 'delay', value: 'DURATION', description: 'how far out of order records come, for --within', default: '0s' },
    { flag: 'approx', value: 'RATE', description: 'bounded memory: that part of new keys may be taken for duplicates' },
    { flag: 'dupes-to', value: 'FILE', description: 'keep the duplicates in FILE' },
    ...timeOptions,
  ],
  common: ['input', 'memory', 'tmp'],
  cost: {
    time: 'O(records)',
    memory:
      'O(keys), at most --memory: the rest is spilled; the keys of the last D with --within; about 2 bytes a key with --approx',
  },
  errors: ['bad-record', 'bad-option', 'spill-full'],
  examples: [
    {
      says: 'One record of each, the others apart',
      command: `printf '%s\\n' '{"id":1,"n":"a"}' '{"id":2,"n":"b"}' '{"id":1.0,"n":"c"}' | beck dedupe --by id`,
      output: '{"id":1,"n":"a"}\n{"id":2,"n":"b"}\n',
    },
    {
      says: 'The latest state of each, and how many there were',
      command: `printf '%s\\n' '{"id":1,"n":"a"}' '{"id":2,"n":"b"}' '{"id":1,"n":"c"}' | beck dedupe --by id --keep last --count`,
      output: '{"id":2,"n":"b","count":1}\n{"id":1,"n":"c","count":2}\n',
    },
    {
      says: 'A message that is repeated within ten minutes is one',
      command: `printf '%s\\n' '{"id":1,"t":"2026-01-01T10:00:00Z"}' '{"id":1,"t":"2026-01-01T10:10:00Z"}' '{"id":1,"t":"2026-01-01T10:11:00Z"}' | beck dedupe --by id --within 10m --time t`,
      output: '{"id":1,"t":"2026-01-01T10:00:00Z"}\n{"id":1,"t":"2026-01-01T10:11:00Z"}\n',
    },
  ],
  async create({ options }: Arguments): Promise<Stage> {
    if (options['by'] === undefined) {
      throw new BeckError('usage', { problem: 'dedupe needs --by', hint: 'beck dedupe --by id' })
    }
    checkTogether(options)
    const projection = new Projection()
    const paths = parseKeyFields(options['by'] as string).map(({ path }) => path)
    const fields = paths.map((path) => projection.add(path))
    const keys = paths.map(formatFieldPath)
    const reads = projection.paths
    const dupesTo = options['dupes-to'] as string | undefined
    const keep = (options['keep'] ?? 'first') as 'first' | 'last'
    const countField = options['count'] === true ? projection.add(['count']) : undefined
    if (options['approx'] !== undefined) {
      const rate = Number(options['approx'])
      if (!(rate > 0 && rate < 1)) {
        throw new BeckError('bad-option', {
          option: '--approx',
          problem: `"${options['approx'] as string}" is not a part of one`,
          hint: 'write --approx 0.001 for one key in a thousand',
        })
      }
      const { DedupeApproximate } = await import('../src/dedupe/approximate.ts')
      const open: OperatorStage['open'] = (context) => new DedupeApproximate({ fields, dupesTo }, rate, context)
      return { role: 'operator', reads, selects: true, snapshots: 'changes', keys, open }
    }
    if (options['within'] !== undefined) {
      const { DedupeBursts } = await import('../src/dedupe/bursts.ts')
      const { timesOf } = await import('../src/join/times.ts')
      const path = parseFieldPath(options['time'] as string)
      const timeField = projection.add(path)
      const times = await timesOf(options)
      const withinMs = parseLength(options['within'] as string, '--within')
      const delayMs = parseLength((options['delay'] ?? '0s') as string, '--delay')
      const bursts = { fields, keep, countField, dupesTo, withinMs, delayMs }
      return {
        role: 'operator',
        reads,
        snapshots: 'changes',
        keys,
        open: (context) => new DedupeBursts({ ...bursts, times: times(path, timeField) }, context),
      }
    }
    const apart =
      dupesTo === undefined && countField === undefined ? { apart: paths.map((path) => guardText('plain', path)) } : {}
    if (keep === 'last' || countField !== undefined) {
      const { DedupeHeld } = await import('../src/dedupe/held.ts')
      return {
        role: 'operator',
        reads,
        snapshots: 'changes',
        keys,
        ...apart,
        open: (context) => new DedupeHeld({ fields, keep, countField, dupesTo }, context),
      }
    }
    return {
      role: 'operator',
      reads,
      snapshots: 'changes',
      keys,
      ...apart,
      open: (context) => new DedupeFirst({ fields, dupesTo }, context),
    }
  },
}

function checkTogether(options: Arguments['options']): void {
  const needs = [
    ['within', 'time'],
    ['time', 'within'],
    ['delay', 'within'],
  ] as const
  for (const [flag, other] of needs) {
    if (options[flag] === undefined || options[other] !== undefined) continue
    throw new BeckError('usage', {
      problem: `--${flag} needs --${other}`,
      hint: 'beck dedupe --by id --within 10m --time ts',
    })
  }
  if (options['approx'] === undefined) return
  const other = ['within', 'count', 'keep'].find((flag) => options[flag] !== undefined && options[flag] !== 'first')
  if (other) {
    throw new BeckError('usage', {
      problem: `--approx and --${other} do not go together`,
      hint: 'without --approx the answer is exact, and spills beyond --memory',
    })
  }
}
