import { BeckError } from '../src/core/errors.ts'
import { formatFieldPath, parseFieldPath, parseKeyFields, Projection } from '../src/core/field-path.ts'
import type { Arguments, CommandSpec, SinkContext, SinkStage } from '../src/core/spec.ts'
import { type Acks, Appender, type AppendPlan } from '../src/log/appender.ts'
import { KeyHash } from '../src/log/key-hash.ts'
import { checkName } from '../src/log/layout.ts'
import { ProducerSession } from '../src/log/producer.ts'
import { Store, storeFolder } from '../src/log/store.ts'
import { prepareTopic } from '../src/log/topics.ts'

export const append: CommandSpec = {
  name: 'append',
  summary: 'Keep records in a topic',
  description:
    'Appends records to a topic of the store, byte for byte. The store and the topic are made when they are not there. What was ' +
    'acknowledged (the command has ended, or an input that pauses is idle) survives kill -9 with --acks none, and a power cut with ' +
    'batch and all.',
  program: [{ name: 'TOPIC', description: 'letters, digits, ".", "_", "-"' }],
  files: true,
  options: [
    { flag: 'by', value: 'KEY', description: 'records of one key go to one partition; remembered by the topic' },
    { flag: 'partition', value: 'N', description: 'all records to this partition' },
    { flag: 'partitions', value: 'N', description: 'partitions of a new topic', default: '1' },
    {
      flag: 'time',
      value: 'FIELD',
      description: 'the event time, for finding records by time; remembered by the topic',
    },
    {
      flag: 'acks',
      value: 'LEVEL',
      choices: ['none', 'batch', 'all'],
      default: 'batch',
      description: 'when records reach the disk: with no commit, with each group (50 ms or 1 MiB), or at once',
    },
    {
      flag: 'producer',
      value: 'ID',
      description: 'writes nothing twice: the same input run again goes on where it stopped',
    },
    { flag: 'sequence', value: 'FIELD', description: 'a number that grows, by which --producer knows repeats' },
  ],
  common: ['input', 'store'],
  cost: { time: 'O(bytes)', memory: 'O(1)' },
  errors: ['bad-record', 'usage', 'store', 'disk-full', 'fenced'],
  examples: [
    {
      says: 'Keep records, and read them back',
      command: 'beck append flights fixtures/flights.ndjson && beck replay flights --limit 1',
    },
    {
      says: 'Four partitions by origin, readable by time',
      command: 'beck append visits fixtures/flights.ndjson --partitions 4 --by origin --time date',
    },
    {
      says: 'Run twice, written once',
      command:
        'beck append flights fixtures/flights.ndjson --producer import && beck append flights fixtures/flights.ndjson --producer import',
    },
  ],
  create: createStage,
}

function createStage(args: Arguments): SinkStage {
  const topic = checkName('topic', args.program[0] ?? '')
  const option = (flag: string): string | undefined => args.options[flag] as string | undefined
  const given = {
    partitions: number(option('partitions'), '--partitions'),
    key: option('by'),
    time: option('time') && formatFieldPath(parseFieldPath(option('time') as string)),
  }
  const partition = number(option('partition'), '--partition')
  const producerId = option('producer')
  const sequence = option('sequence')
  if (producerId !== undefined) checkName('producer', producerId)
  if (sequence !== undefined && producerId === undefined) {
    throw new BeckError('bad-option', { option: '--sequence', problem: 'needs a producer', hint: 'add --producer ID' })
  }
  // What is read depends on what the topic remembers, so the store is opened before the first byte.
  const store = Store.open(storeFolder(option('store')), { create: true })
  const acks = (option('acks') ?? 'batch') as Acks
  const config = prepareTopic(store, topic, given, acks !== 'none')
  if (partition !== undefined && partition >= config.partitions) {
    throw new BeckError('bad-option', {
      option: '--partition',
      problem: `"${topic}" has ${config.partitions === 1 ? 'only partition 0' : `partitions 0 to ${config.partitions - 1}`}`,
    })
  }
  const projection = new Projection()
  const spread = config.partitions > 1 && partition === undefined
  const keys =
    spread && config.key !== undefined ? parseKeyFields(config.key).map(({ path }) => projection.add(path)) : []
  const timeIndex = config.time === undefined ? undefined : projection.add(parseFieldPath(config.time))
  const sequenceIndex = sequence === undefined ? undefined : projection.add(parseFieldPath(sequence))
  return {
    role: 'sink',
    reads: projection.paths,
    open(context: SinkContext) {
      store.onSay(context.say)
      const plan: AppendPlan = {
        topic,
        partitions: config.partitions,
        acks,
        ...(partition !== undefined && { partition }),
        ...(keys.length > 0 && { keys: new KeyHash(context.keyTable(keys), keys.length, config.partitions) }),
        ...(timeIndex !== undefined && { timeField: { index: timeIndex, name: config.time as string } }),
        ...(sequenceIndex !== undefined && { sequenceField: { index: sequenceIndex, name: sequence as string } }),
        ...(producerId !== undefined && {
          producer: new ProducerSession(store, topic, producerId, sequence !== undefined),
        }),
      }
      const appender = new Appender(store, plan, context)
      return {
        processBatch: (batch) => appender.processBatch(batch),
        onIdle: () => appender.settle(),
        onTimer: (now) => appender.onTimer(now),
        onEnd() {
          appender.end()
          const repeats = plan.producer?.repeats ?? 0
          if (repeats > 0) context.count('written before, skipped:', repeats)
          if (context.terminal.stderr) context.count(`appended to ${topic}:`, appender.written)
        },
        close: () => store.close(),
      }
    },
  }
}

function number(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d{1,6}$/.test(text)) return value
  throw new BeckError('bad-option', { option, problem: `"${text}" is not a number`, hint: `write ${option} 4` })
}
