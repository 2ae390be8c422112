import { fstatSync, realpathSync } from 'node:fs'
import { BeckError } from '../core/errors.ts'
import { formatFieldPath, parseFieldPath, parseKeyFields, Projection } from '../core/field-path.ts'
import type { Arguments, EpochSink, PartStage, PipelineStart, SinkContext, SinkStage } from '../core/spec.ts'
import { type Acks, Appender, type AppendPlan } from '../log/appender.ts'
import { KeyHash } from '../log/key-hash.ts'
import { checkName } from '../log/layout.ts'
import { appendParts, MOST_PARTITIONS, type PartPlan } from '../log/parts.ts'
import { ProducerSession } from '../log/producer.ts'
import type { TopicConfig } from '../log/state.ts'
import { Store, storeFolder } from '../log/store.ts'
import { plannedTopic, prepareTopic } from '../log/topics.ts'
import { DEFAULT_SEGMENT_BYTES } from '../log/transaction.ts'
import { EpochCommitter, unanswered } from './epoch-committer.ts'
import { expectFrames, insistsOnFrames, refuseSwallowedFrames, withoutFrames } from './swallowed-frames.ts'

/** `beck append` at work: records of a plain input, or the epochs of a pipe, into one topic. */
export async function appendTo(args: Arguments): Promise<SinkStage> {
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
  const folder = await folderOf(option('store'), args.files)
  let store = Store.isThere(folder) ? Store.open(folder) : undefined
  const acks = (option('acks') ?? 'batch') as Acks
  const config = plannedTopic(store, topic, given)
  if (partition !== undefined && partition >= config.partitions) {
    throw new BeckError('bad-option', {
      option: '--partition',
      problem: `"${topic}" has ${config.partitions === 1 ? 'only partition 0' : `partitions 0 to ${config.partitions - 1}`}`,
      hint: 'leave --partition out, or name one of those',
    })
  }
  const projection = new Projection()
  const spread = config.partitions > 1 && partition === undefined
  const keys =
    spread && config.key !== undefined ? parseKeyFields(config.key).map(({ path }) => projection.add(path)) : []
  const timeIndex = config.time === undefined ? undefined : projection.add(parseFieldPath(config.time))
  const sequenceIndex = sequence === undefined ? undefined : projection.add(parseFieldPath(sequence))
  const reading = {
    reads: projection.paths,
    partition: partition ?? 0,
    ...(timeIndex !== undefined && { timeField: timeIndex }),
  }
  const parts = producerId === undefined ? partsOf(config, reading, spread ? keys : undefined) : undefined
  return {
    role: 'sink',
    reads: projection.paths,
    ...(parts && { parts }),
    open(context: SinkContext) {
      store?.onSay(context.say)
      const begin = (): Store => {
        store ??= Store.open(folder, { create: true, say: context.say })
        const { partitions, key, time } = prepareTopic(store, topic, given, acks !== 'none')
        if (partitions !== config.partitions || key !== config.key || time !== config.time) {
          throw new BeckError('store', {
            problem: `the settings of the topic "${topic}" were changed while this command started; nothing was appended`,
            hint: 'run the command again',
          })
        }
        return store
      }
      const plan: AppendPlan = {
        topic,
        partitions: config.partitions,
        acks,
        ...(parts && { parts }),
        ...(partition !== undefined && { partition }),
        ...(keys.length > 0 && { keys: new KeyHash(context.keyTable(keys), keys.length, config.partitions) }),
        ...(timeIndex !== undefined && { timeField: { index: timeIndex, name: config.time as string } }),
        ...(sequenceIndex !== undefined && { sequenceField: { index: sequenceIndex, name: sequence as string } }),
        ...(producerId !== undefined && {
          producer: (opened: Store) => new ProducerSession(opened, topic, producerId, sequence !== undefined),
        }),
      }
      const appender = new Appender(begin, plan, context)
      const epochs = epochSink(begin, appender, producerId)
      const insists = insistsOnFrames('append', topic, args)
      let checked = args.files.length > 0
      // A consume that dies before its first line leaves a pipe that looks like any other: now its command line is there.
      const expected = !checked && fstatSync(0).isFIFO() ? expectFrames('append', insists) : undefined
      return {
        processBatch(batch) {
          if (!checked && !epochs.started) {
            expected?.()
            if (store) refuseSwallowedFrames(store)
          }
          checked = true
          appender.processBatch(batch)
        },
        addPart: (part) => appender.addPart(part),
        onIdle: () => appender.settle(),
        onTimer: (now) => appender.onTimer(now),
        onEnd() {
          if (insists && !epochs.started) throw withoutFrames()
          appender.end()
          if (appender.repeats > 0) context.count('written before, skipped:', appender.repeats)
          if (context.terminal.stderr) context.count(`appended to ${topic}:`, appender.written)
        },
        close: () => store?.close(),
        epochs,
      }
    },
  }
}

/** What other threads can do of an append; undefined where each record counts. */
function partsOf(
  { partitions, segmentBytes = DEFAULT_SEGMENT_BYTES }: TopicConfig,
  plan: Omit<PartPlan, 'partitions'>,
  keys: readonly number[] | undefined,
): PartStage | undefined {
  if (segmentBytes < LEAST_SEGMENT_BYTES) return undefined
  if (!keys) return appendParts({ ...plan, partitions: 1 })
  const [key] = keys
  if (key === undefined || keys.length > 1 || partitions > MOST_PARTITIONS) return undefined
  return appendParts({ ...plan, partitions, key })
}

/** A block goes into one segment. */
const LEAST_SEGMENT_BYTES = 4 << 20

/** The store's folder. An exactly-once pipe names it in its first line; that is waited for where nothing else names one. */
async function folderOf(option: string | undefined, files: readonly string[]): Promise<string> {
  const named = option !== undefined || process.env['BECK_STORE'] || (files.length > 0 && !files.includes('-'))
  const start = named ? undefined : await (await import('./frame-source.ts')).startOfStdin()
  return start?.store ?? storeFolder(option)
}

/** Commits what an exactly-once pipe brings, with its offsets and state, as one line of the journal. */
function epochSink(
  begin: () => Store,
  appender: Appender,
  producer: string | undefined,
): EpochSink & { readonly started: boolean } {
  let committer: EpochCommitter | undefined
  const known = new Map<string, EpochCommitter>()
  const open = (pipeline: PipelineStart): EpochCommitter => {
    const store = begin()
    if (realpathSync(store.folder) === realpathSync(pipeline.store)) return new EpochCommitter(store, pipeline)
    throw new BeckError('bad-option', {
      option: '--store',
      problem: `the pipe reads from the store ${pipeline.store}, and output and offsets can be one only in one store`,
      hint: `leave --store and $BECK_STORE out, or name that store: --store ${pipeline.store}`,
    })
  }
  return {
    get started() {
      return committer !== undefined
    },
    resolve(pipeline) {
      throw unanswered(open(pipeline).state(), 'append')
    },
    start(pipeline) {
      if (producer !== undefined) {
        throw new BeckError('bad-option', {
          option: '--producer',
          problem: 'does not go with a pipe that delivers exactly once',
          hint: 'leave it out: nothing is written twice',
        })
      }
      const run = `${pipeline.group} ${pipeline.generation}`
      committer = known.get(run) ?? open(pipeline)
      known.set(run, committer)
      appender.hold()
    },
    joined: true,
    tasks: true,
    commit: (epoch) => appender.commit((transaction) => committer?.commit(transaction, epoch) ?? false),
  }
}

function number(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d{1,15}$/.test(text)) return value
  throw new BeckError('bad-option', { option, problem: `"${text}" is not a number`, hint: `write ${option} 4` })
}
