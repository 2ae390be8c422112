import { type Action, chooseAction } from '../src/cli/actions.ts'
import { parseLength } from '../src/core/duration.ts'
import { BeckError } from '../src/core/errors.ts'
import { formatFieldPath, parseFieldPath, parseKeyFields, Projection } from '../src/core/field-path.ts'
import { parseSize } from '../src/core/size.ts'
import type { Arguments, CommandSpec, ToolIo, ToolStage } from '../src/core/spec.ts'
import { partitionName } from '../src/log/layout.ts'
import { offsetAt, parsePosition } from '../src/log/positions.ts'
import type { ReadPolicy } from '../src/log/reader.ts'
import { applyRetention, bytesOf } from '../src/log/retention.ts'
import type { TopicConfig } from '../src/log/state.ts'
import { Store, storeFolder } from '../src/log/store.ts'
import { alterTopic, createTopic, deleteTopic, topicOf } from '../src/log/topics.ts'

type Options = Arguments['options']
type Run = (store: Store, topic: string, options: Options, io: ToolIo) => void | Promise<void>

const settings = [
  'partitions',
  'by',
  'time',
  'retain',
  'retain-bytes',
  'segment',
  'compact',
  'tombstone',
  'tombstone-keep',
] as const
const actions: Readonly<Record<string, Action<Run>>> = {
  list: { run: list, words: 0 },
  create: { run: create, words: 1, options: settings },
  describe: { run: describe, words: 1 },
  delete: { run: remove, words: 1 },
  truncate: { run: truncate, words: 1, options: ['before'] },
  compact: { run: compact, words: 1 },
  verify: { run: verify, words: 1 },
  alter: { run: alter, words: 1, options: settings },
}

export const topic: CommandSpec = {
  name: 'topic',
  summary: 'List, make, change, check and delete topics',
  description:
    'ACTION is list, create, describe, alter, truncate, compact, verify or delete. Limits (--retain, --retain-bytes) drop whole ' +
    'segments from the front, when records are appended and when the topic is altered. compact keeps the latest record of each key in ' +
    'the closed segments. verify reads everything again against its checksums.',
  program: [
    { name: 'ACTION', description: Object.keys(actions).join(', ') },
    { name: 'TOPIC', description: 'all but list need one', optional: true },
  ],
  files: false,
  options: [
    { flag: 'partitions', value: 'N', description: 'create, alter: how many; they can only become more', default: '1' },
    { flag: 'by', value: 'KEY', description: 'create, alter: records of one key go to one partition' },
    { flag: 'time', value: 'FIELD', description: 'create, alter: the event time' },
    {
      flag: 'retain',
      value: 'DURATION',
      description: 'create, alter: drop segments whose newest record is older; none: keep',
    },
    {
      flag: 'retain-bytes',
      value: 'SIZE',
      description: 'create, alter: drop the oldest segments beyond this size; none: keep',
    },
    { flag: 'segment', value: 'SIZE', description: 'create, alter: when a segment is closed', default: '128MiB' },
    { flag: 'compact', value: 'KEY', description: 'create, alter: the key by which compact keeps the latest record' },
    {
      flag: 'tombstone',
      value: 'EXPRESSION',
      description: 'create, alter: which records say that their key is gone',
      default: 'those that are nothing but their key',
    },
    {
      flag: 'tombstone-keep',
      value: 'DURATION',
      description: 'create, alter: how long compact keeps those',
      default: '1d',
    },
    {
      flag: 'before',
      value: 'WHERE',
      description: 'truncate: drop what is before an offset or a time',
      default: 'everything',
    },
  ],
  common: ['store'],
  cost: { time: 'O(topics); compact and verify O(bytes)', memory: 'O(topics); compact O(keys)' },
  errors: ['usage', 'bad-option', 'store'],
  examples: [
    {
      says: 'Make a topic with four partitions, and look at it',
      command: 'beck topic create clicks --partitions 4 --by user_id && beck topic list',
    },
    { says: 'Keep a week', command: 'beck topic create hits --retain 7d && beck topic alter hits --retain-bytes 10GB' },
    {
      says: 'Read everything again against its checksums',
      command: 'beck append visits fixtures/flights.ndjson && beck topic verify visits',
    },
  ],
  place: 'first',
  create: (args) => {
    const [name = '', target] = args.program
    const action = chooseAction('topic', actions, args, topic.options)
    if (action !== list && target === undefined) {
      throw new BeckError('usage', { problem: 'which topic?', hint: `name one: beck topic ${name} TOPIC` })
    }
    return {
      role: 'tool',
      async run(io) {
        const option = args.options['store'] as string | undefined
        const store = Store.open(storeFolder(option), { create: action === create, say: io.say })
        try {
          await action(store, target ?? '', args.options, io)
        } finally {
          store.close()
        }
      },
    } satisfies ToolStage
  },
}

const line = (io: ToolIo, value: unknown): void => void io.write(`${JSON.stringify(value)}\n`)
const text = (options: Options, flag: string): string | undefined => options[flag] as string | undefined

function list(store: Store, _topic: string, _options: Options, io: ToolIo): void {
  let out = ''
  for (const [name, { partitions }] of [...store.state.topics].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const records = partitions.reduce((sum, { start, next }) => sum + next - start, 0)
    const bytes = partitions.reduce((sum, partition) => sum + bytesOf(partition), 0)
    out += `${JSON.stringify({ topic: name, partitions: partitions.length, records, bytes })}\n`
  }
  if (out) io.write(out)
}

function describe(store: Store, name: string, _options: Options, io: ToolIo): void {
  const { config, partitions } = topicOf(store, name)
  line(io, {
    topic: name,
    ...config,
    partitions: partitions.map((partition, number) => ({
      partition: number,
      start: partition.start,
      end: partition.next,
      segments: partition.segments.length,
      bytes: bytesOf(partition),
    })),
  })
}

async function create(store: Store, name: string, options: Options): Promise<void> {
  await checkTombstone(options)
  const config = configOf({ partitions: 1 }, options)
  store.transact(true, (transaction) => {
    if (store.state.topics.has(name)) {
      throw new BeckError('store', {
        problem: `there is a topic "${name}" already`,
        hint: `change it: beck topic alter ${name}`,
      })
    }
    createTopic(store, transaction, name, config)
  })
}

async function alter(store: Store, name: string, options: Options): Promise<void> {
  await checkTombstone(options)
  store.transact(true, (transaction) =>
    alterTopic(store, transaction, name, configOf(topicOf(store, name).config, options)),
  )
  applyRetention(store, name)
}

function remove(store: Store, name: string): void {
  store.transact(true, (transaction) => deleteTopic(store, transaction, name))
}

function truncate(store: Store, name: string, options: Options): void {
  const { partitions } = topicOf(store, name)
  const before = parsePosition(text(options, 'before') ?? 'latest', '--before', store.env.now())
  const starts = partitions.map(
    (_, p) => [partitionName(name, p), offsetAt(store, partitionName(name, p), before, failing)] as const,
  )
  store.transact(true, (transaction) => {
    for (const [partition, offset] of starts) {
      if (offset > (store.state.partition(partition)?.start ?? Infinity)) transaction.start(partition, offset)
    }
  })
}

const failing: ReadPolicy = { onCorrupt: 'fail', onLost: 'fail', say: () => {} }

async function compact(store: Store, name: string, _options: Options, io: ToolIo): Promise<void> {
  const { config } = topicOf(store, name)
  const by = config.compact ?? config.key
  if (by === undefined) {
    throw new BeckError('usage', {
      problem: `the topic "${name}" has no key to compact by`,
      hint: `name it once: beck topic alter ${name} --compact id`,
    })
  }
  const { compactTopic, DEFAULT_TOMBSTONE_MS } = await import('../src/log/compaction.ts')
  const projection = new Projection()
  const keys = parseKeyFields(by).map(({ path }) => path)
  for (const path of keys) projection.add(path)
  const isTombstone = config.tombstone === undefined ? undefined : await tester(config.tombstone, projection)
  const done = compactTopic(store, name, {
    keys,
    reads: projection.paths.slice(keys.length),
    tombstoneMs: config.tombstoneMs ?? DEFAULT_TOMBSTONE_MS,
    policy: failing,
    ...(isTombstone && { isTombstone }),
  })
  for (const { partition, before, after } of done) line(io, { topic: name, partition, records: before, kept: after })
  if (done.every(({ before }) => before === 0)) {
    io.say('nothing was compacted: only closed segments are, and the last one of a partition is open')
  }
}

/** A tombstone that does not compile is refused when it is given, not when `compact` first needs it. @throws BeckError */
async function checkTombstone(options: Options): Promise<void> {
  const expression = text(options, 'tombstone')
  if (expression !== undefined) await tester(expression, new Projection())
}

async function tester(
  expression: string,
  projection: Projection,
): Promise<(batch: import('../src/core/batch.ts').RecordBatch) => Uint8Array> {
  const { compileExpression } = await import('../src/expression/index.ts')
  const compiled = compileExpression(expression, projection, { args: {} })
  return (batch) => compiled.test(batch, 0)
}

async function verify(store: Store, name: string, _options: Options, io: ToolIo): Promise<void> {
  topicOf(store, name)
  const { verifyTopic } = await import('../src/log/verify.ts')
  let wrong = 0
  for (const { findings, ...rest } of verifyTopic(store, name)) {
    wrong += findings.length
    line(io, { topic: name, ...rest, ok: findings.length === 0, ...(findings.length > 0 && { findings }) })
  }
  if (wrong > 0) {
    throw new BeckError('store', {
      problem: `the topic "${name}" is damaged: ${wrong} ${wrong === 1 ? 'finding' : 'findings'}`,
      hint: 'restore the files from a backup, or read around the damage: beck replay --on-corrupt skip',
    })
  }
}

/** Settings as given, over those there are. `none` takes a limit away. */
function configOf(base: TopicConfig, options: Options): TopicConfig {
  const config: { -readonly [Name in keyof TopicConfig]: TopicConfig[Name] } = { ...base }
  const partitions = text(options, 'partitions')
  if (partitions !== undefined) config.partitions = Number(/^\d{1,6}$/.test(partitions) ? partitions : NaN)
  const by = text(options, 'by')
  if (by !== undefined) parseKeyFields((config.key = by))
  const time = text(options, 'time')
  if (time !== undefined) config.time = formatFieldPath(parseFieldPath(time))
  const compactBy = text(options, 'compact')
  if (compactBy !== undefined) parseKeyFields((config.compact = compactBy), '--compact')
  const tombstone = text(options, 'tombstone')
  if (tombstone !== undefined) config.tombstone = tombstone
  limit(config, 'retainMs', text(options, 'retain'), (given) => parseLength(given, '--retain'))
  limit(config, 'tombstoneMs', text(options, 'tombstone-keep'), (given) => parseLength(given, '--tombstone-keep'))
  limit(config, 'retainBytes', text(options, 'retain-bytes'), (given) => parseSize(given, '--retain-bytes'))
  limit(config, 'segmentBytes', text(options, 'segment'), segmentSize)
  if (config.compact !== undefined && config.partitions > 1 && (config.key ??= config.compact) !== config.compact) {
    throw new BeckError('bad-option', {
      option: '--compact',
      problem: `records of one ${config.compact} are spread over partitions by ${config.key}`,
      hint: `partition by the same key: --by ${config.compact}`,
    })
  }
  return config
}

function limit<Name extends 'retainMs' | 'retainBytes' | 'segmentBytes' | 'tombstoneMs'>(
  config: { -readonly [N in Name]?: number },
  name: Name,
  given: string | undefined,
  parse: (given: string) => number,
): void {
  if (given === 'none') delete config[name]
  else if (given !== undefined) config[name] = parse(given)
}

function segmentSize(given: string): number {
  const bytes = parseSize(given, '--segment')
  if (bytes >= 1 && bytes <= 2 ** 31) return bytes
  throw new BeckError('bad-option', {
    option: '--segment',
    problem: `"${given}" is not between 1 byte and 2 GiB`,
    hint: 'write --segment 128MiB',
  })
}
