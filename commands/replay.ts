import { BeckError } from '../src/core/errors.ts'
import type { Arguments, CommandSpec, ToolIo, ToolStage } from '../src/core/spec.ts'
import { Follower } from '../src/log/follow.ts'
import { partitionName } from '../src/log/layout.ts'
import { OutputBehind } from '../src/log/line-output.ts'
import { onCorrupt } from '../src/log/options.ts'
import { offsetAt, parsePosition, type Position } from '../src/log/positions.ts'
import { PartitionReader, type ReadPolicy } from '../src/log/reader.ts'
import { Replay, type ReplayPlan } from '../src/log/replay.ts'
import type { Offset, PartitionName } from '../src/log/state.ts'
import { Store, storeFolder } from '../src/log/store.ts'
import { topicOf } from '../src/log/topics.ts'

export const replay: CommandSpec = {
  name: 'replay',
  summary: 'Read the records of a topic, as often as you like',
  description:
    'Writes the records of a topic in exactly the order in which they were appended, over all partitions, and changes nothing. ' +
    'It ends at the records that are there when it starts, unless it follows. --from is inclusive, --to exclusive; a time bounds ' +
    'each record by its own time when the topic has a time field, else by when it was appended.',
  program: [{ name: 'TOPIC', description: 'the name of a topic' }],
  files: false,
  options: [
    {
      flag: 'from',
      value: 'WHERE',
      default: 'earliest',
      description: 'earliest, latest, an offset, -N for the last N, or a time',
    },
    { flag: 'to', value: 'WHERE', description: 'an offset or a time', default: 'the end' },
    { flag: 'partition', value: 'N,…', description: 'only these partitions' },
    { flag: 'follow', short: 'f', description: 'go on with what is appended from now on' },
    { flag: 'limit', value: 'N', description: 'stop after N records' },
    { flag: 'meta', description: 'lines of {"topic","partition","offset","time","key","value"}' },
    { flag: 'speed', value: 'FACTOR', description: "the events' own pauses, 10x as fast; max: none", default: 'max' },
    onCorrupt,
  ],
  common: ['store'],
  cost: { time: 'O(bytes read)', memory: 'O(partitions)' },
  errors: ['usage', 'bad-option', 'store'],
  examples: [
    {
      says: 'The last two records',
      command: 'beck append visits fixtures/flights.ndjson && beck replay visits --from -2',
    },
    {
      says: 'One hour of events',
      command:
        'beck append hits fixtures/flights.ndjson --time date && beck replay hits --from 2001-01-14T20:00:00Z --to 2001-01-14T21:00:00Z --limit 3',
    },
  ],
  place: 'first',
  create: (args) => ({ role: 'tool', run: (io) => run(args, io) }) satisfies ToolStage,
}

async function run(args: Arguments, io: ToolIo): Promise<void> {
  const option = (flag: string): string | undefined => args.options[flag] as string | undefined
  const name = args.program[0] ?? ''
  const now = Date.now()
  const from = parsePosition(option('from') ?? 'earliest', '--from', now)
  const to = option('to') === undefined ? undefined : parseEnd(option('to') as string, now)
  const limit = option('limit') === undefined ? undefined : wholeNumber(option('limit') as string, '--limit')
  const store = Store.open(storeFolder(option('store')), { say: io.say })
  const policy: ReadPolicy = {
    onCorrupt: option('on-corrupt') === 'skip' ? 'skip' : 'fail',
    onLost: 'fail',
    say: io.say,
  }
  try {
    const { partitions } = topicOf(store, name)
    const names = choose(name, partitions.length, option('partition'))
    const plan = planOf(store, names, from, to, args.options['follow'] === true, policy)
    const pace = pacer(option('speed') ?? 'max')
    await copy(store, { ...plan, limit, meta: args.options['meta'] === true, ...(pace && { pace }) }, io)
  } finally {
    store.close()
  }
}

function planOf(
  store: Store,
  names: readonly PartitionName[],
  from: Position,
  to: Position | undefined,
  follow: boolean,
  policy: ReadPolicy,
): ReplayPlan {
  const starts = new Map<PartitionName, Offset>()
  const ends = new Map<PartitionName, Offset>()
  for (const name of names) {
    const partition = store.state.partition(name)
    const end = partition?.next ?? 0
    // A time as a start: where the first such record may be; which records belong is told one by one.
    starts.set(
      name,
      from.kind === 'time' ? firstBatch(store, name, from.time, policy) : offsetAt(store, name, from, policy),
    )
    ends.set(name, to?.kind === 'offset' ? (follow ? to.offset : Math.min(to.offset, end)) : end)
  }
  const endless = follow && to?.kind !== 'offset'
  const skip = from.kind === 'last' ? Math.max(0, countRecords(store, starts, policy) - from.records) : 0
  return {
    from: starts,
    until: endless ? undefined : ends,
    skip,
    policy,
    ...(from.kind === 'time' && { fromTime: from.time }),
    ...(to?.kind === 'time' && { toTime: to.time }),
  }
}

/** The first batch that may hold a record at or after a time; else the end. */
function firstBatch(store: Store, name: PartitionName, time: number, policy: ReadPolicy): Offset {
  const partition = store.state.partition(name)
  const reader = new PartitionReader(store, name, partition?.start ?? 0, policy)
  try {
    const batch = reader.searchFrom(
      (segment) => segment.maxTime >= time,
      (batch) => batch.segmentMaxTime >= time,
    )
    return batch ? Math.max(batch.offset, partition?.start ?? 0) : (partition?.next ?? 0)
  } finally {
    reader.close()
  }
}

/** How many records there are from some offsets on; compaction leaves fewer than the offsets say. */
function countRecords(store: Store, starts: ReadonlyMap<PartitionName, Offset>, policy: ReadPolicy): number {
  let count = 0
  for (const [name, offset] of starts) {
    const reader = new PartitionReader(store, name, offset, policy)
    try {
      for (let part; (part = reader.peek(Infinity)); reader.passOver(part)) count += part.to - part.from
    } finally {
      reader.close()
    }
  }
  return count
}

async function copy(store: Store, plan: ReplayPlan, io: ToolIo): Promise<void> {
  const output = new OutputBehind(io)
  const source = new Replay(store, plan)
  const follower = plan.until || plan.limit === 0 ? undefined : new Follower(store)
  try {
    while (!source.done) {
      const step = source.next()
      if (step && 'lines' in step) {
        if (!(await output.write(step.lines))) return
        continue
      }
      if (!(await output.flush())) return
      if (step) await sleep(step.waitMs)
      else if (follower) await follower.wait()
      else return
    }
    await output.flush()
  } catch (error) {
    await output.flush() // what came before the error
    throw error
  } finally {
    follower?.stop()
    source.close()
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

/** Waits as long as the events did, divided by a factor. Late events do not wait. */
function pacer(text: string): ((time: number) => number) | undefined {
  if (text === 'max') return undefined
  const factor = Number(/^(\d+(?:\.\d+)?)x?$/.exec(text)?.[1])
  if (!(factor > 0)) {
    throw new BeckError('bad-option', {
      option: '--speed',
      problem: `"${text}" is not a speed`,
      hint: 'write 1x, 10x, 0.5x or max',
    })
  }
  let origin: { time: number; wall: number } | undefined
  return (time) => {
    origin ??= { time, wall: Date.now() }
    return Math.max(0, origin.wall + (time - origin.time) / factor - Date.now())
  }
}

function choose(topic: string, partitions: number, text: string | undefined): PartitionName[] {
  const all = Array.from({ length: partitions }, (_, p) => partitionName(topic, p))
  if (text === undefined) return all
  return [...new Set(text.split(','))].map((part) => {
    const name = /^\d+$/.test(part.trim()) ? all[Number(part)] : undefined
    if (name !== undefined) return name
    const range = partitions === 1 ? 'only partition 0' : `partitions 0 to ${partitions - 1}`
    throw new BeckError('bad-option', {
      option: '--partition',
      problem: `"${part}": the topic "${topic}" has ${range}`,
    })
  })
}

function parseEnd(text: string, now: number): Position {
  const position = parsePosition(text, '--to', now)
  if (position.kind === 'offset' || position.kind === 'time') return position
  throw new BeckError('bad-option', {
    option: '--to',
    problem: `"${text}" is neither an offset nor a time`,
    hint: 'write --to 1042 or --to 2026-01-31T10:00:00Z',
  })
}

function wholeNumber(text: string, option: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new BeckError('bad-option', {
    option,
    problem: `"${text}" is not a number of records`,
    hint: `write ${option} 10`,
  })
}
