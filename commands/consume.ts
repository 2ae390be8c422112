import { BeckError } from '../src/core/errors.ts'
import { parseLength, parsePositiveLength } from '../src/core/duration.ts'
import type { Arguments, CommandSpec, ToolIo, ToolStage } from '../src/core/spec.ts'
import type { Strategy } from '../src/log/assignors.ts'
import { Consumer } from '../src/log/consumer.ts'
import { GroupMember } from '../src/log/groups.ts'
import { refuseWhileRunning } from '../src/log/pipelines.ts'
import type { ReadPolicy } from '../src/log/reader.ts'
import { checkName } from '../src/log/layout.ts'
import { onCorrupt } from '../src/log/options.ts'
import { Store, storeFolder } from '../src/log/store.ts'
import { topicOf } from '../src/log/topics.ts'

export const consume: CommandSpec = {
  name: 'consume',
  summary: 'Read topics as a member of a group, each record once per group',
  description:
    'Writes the records that the group has not had yet, and commits what it has written to its standard output. That protects ' +
    "against this command's own death, not against its readers': what a later stage of the pipe had not finished is not delivered " +
    'again. Killed at any moment and started again, it delivers everything at least once; with --at-most-once, which commits before ' +
    'it writes, at most once. With --exactly-once the end of the pipe (beck append, beck into) commits output, offsets and the state of the ' +
    'stages as one: docs/exactly-once.md; in scripts, BECK_EXACTLY_ONCE=1 makes that end take nothing that comes without control frames, as the pipe of a ' +
    'consume that was killed at its start. With --follow, programs behind it that gather their output hold records back: jq --unbuffered, ' +
    'grep --line-buffered, sed -u. Members of one group share the partitions; members beyond the partitions stand by to take over.',
  program: [{ name: 'TOPIC', description: 'one or more topics', variadic: true }],
  files: false,
  options: [
    { flag: 'group', short: 'g', value: 'G', description: 'the group; its offsets are kept in the store' },
    { flag: 'follow', short: 'f', description: 'go on with what is appended from now on' },
    {
      flag: 'from',
      value: 'WHERE',
      choices: ['earliest', 'latest'],
      default: 'earliest',
      description: 'where a group without an offset begins',
    },
    { flag: 'limit', value: 'N', description: 'stop after N records' },
    { flag: 'member', value: 'ID', description: 'the name of this member', default: 'one of its own' },
    {
      flag: 'assign',
      value: 'STRATEGY',
      choices: ['range', 'roundrobin', 'sticky'],
      default: "the group's, else range",
      description: 'how partitions are shared out, as in Kafka',
    },
    {
      flag: 'exactly-once',
      description: 'the command at the end of the pipe commits, output and offsets as one: see docs/exactly-once.md',
    },
    { flag: 'at-least-once', description: 'the same for an end that cannot do it exactly once: see beck commit' },
    {
      flag: 'checkpoint',
      value: 'DURATION',
      description: 'how often the end of the pipe commits (after 32 MiB at the latest)',
      default: '1s',
    },
    {
      flag: 'per-partition',
      description:
        'all pipelines of the group work, each on partitions of its own, whose state goes with them; the keys of stages contain the key of the topic',
    },
    { flag: 'drain', description: 'at the end, stages give out what they hold, as open windows' },
    { flag: 'no-wait', description: 'leave at once when the group is being worked on' },
    { flag: 'at-most-once', description: 'commit before writing: nothing twice, but a crash may lose records' },
    {
      flag: 'session-timeout',
      value: 'DURATION',
      description: 'others may put this member out when it hangs for so long; longer than an epoch takes',
      default: 'never',
    },
    {
      flag: 'on-lost',
      value: 'WHAT',
      choices: ['fail', 'skip'],
      default: 'fail',
      description: 'when retention was faster than the group',
    },
    onCorrupt,
  ],
  common: ['store'],
  cost: { time: 'O(bytes read)', memory: 'O(partitions)' },
  errors: ['usage', 'store', 'fenced'],
  examples: [
    {
      says: 'What is new for this group: everything, then nothing',
      command:
        'beck append visits fixtures/flights.ndjson && beck consume visits --group report --limit 2 && beck consume visits -g report | beck reduce count',
    },
  ],
  place: 'first',
  create: (args) => ({ role: 'tool', run: (io) => run(args, io) }) satisfies ToolStage,
}

async function run(args: Arguments, io: ToolIo): Promise<void> {
  const option = (flag: string): string | undefined => args.options[flag] as string | undefined
  const group = option('group')
  if (group === undefined) {
    throw new BeckError('usage', {
      problem: 'which group?',
      hint: `name one: beck consume ${args.program[0] ?? 'TOPIC'} --group report; to read without one: beck replay ${args.program[0] ?? 'TOPIC'}`,
    })
  }
  checkName('group', group)
  const id = option('member')
  if (id !== undefined) checkName('member', id)
  const limit = option('limit')
  if (limit !== undefined && !/^\d{1,15}$/.test(limit)) {
    throw new BeckError('bad-option', {
      option: '--limit',
      problem: `"${limit}" is not a number of records`,
      hint: 'write --limit 10',
    })
  }
  const session = option('session-timeout')
  const sessionMs = session === undefined ? undefined : parsePositiveLength(session, '--session-timeout')
  const level = levelOption(args.options)
  const store = Store.open(storeFolder(option('store')), { say: io.say })
  try {
    const topics = [...new Set(args.program)]
    for (const topic of topics) topicOf(store, topic)
    const policy: ReadPolicy = {
      onCorrupt: option('on-corrupt') === 'skip' ? 'skip' : 'fail',
      onLost: option('on-lost') === 'skip' ? 'skip' : 'fail',
      say: io.say,
    }
    const from = option('from') === 'latest' ? 'latest' : 'earliest'
    const follow = args.options['follow'] === true
    if (level) {
      const { EpochSource } = await import('../src/pipeline/epoch-source.ts')
      const { refuseFileOutput } = await import('../src/pipeline/framed-stage.ts')
      if (!io.frames) refuseFileOutput('consume')
      const { takeAsked } = await import('../src/pipeline/asked-to-stop.ts')
      const asked = io.frames ? undefined : takeAsked(process.env)
      const plan = {
        group,
        topics,
        level,
        from,
        follow,
        limit: limit === undefined ? undefined : Number(limit),
        drain: args.options['drain'] === true,
        checkpointMs: parseLength(option('checkpoint') ?? '1s', '--checkpoint'),
        wait: args.options['no-wait'] !== true,
        sessionMs,
        policy,
      } as const
      if (args.options['per-partition'] !== true) {
        return await new EpochSource(store, plan, { ...io, asked }).run()
      }
      const { TaskSource } = await import('../src/pipeline/task-source.ts')
      const tasks = { ...plan, member: id, strategy: option('assign') as Strategy | undefined }
      return await new TaskSource(store, tasks, io.say, asked).run()
    }
    const member = GroupMember.join(store, group, {
      check: () => refuseWhileRunning(store, group),
      id,
      topics,
      strategy: option('assign') as Strategy | undefined,
      sessionMs,
    })
    const consumer = new Consumer(
      store,
      member,
      {
        topics,
        from,
        follow,
        limit: limit === undefined ? undefined : Number(limit),
        atMostOnce: args.options['at-most-once'] === true,
        policy,
      },
      io,
    )
    try {
      await consumer.run()
    } catch (error) {
      try {
        member.leave()
      } catch {
        // The first error is the one to tell; whoever comes next finds this member dead.
      }
      throw error
    }
    member.leave()
  } finally {
    store.close()
  }
}

const levels = ['exactly-once', 'at-least-once', 'at-most-once'] as const

/** Who commits: the end of the pipe (a level), or `consume` itself (undefined). @throws BeckError usage, bad-option */
function levelOption(options: Arguments['options']): 'exactly-once' | 'at-least-once' | undefined {
  const given = levels.filter((flag) => options[flag] === true)
  if (given.length > 1) {
    throw new BeckError('usage', { problem: `--${given[0]} and --${given[1]} do not go together`, hint: 'choose one' })
  }
  const level = given[0] === 'at-most-once' ? undefined : given[0]
  const tasks = level !== undefined && options['per-partition'] === true
  const alone = tasks
    ? ['limit', 'no-wait']
    : level
      ? ['member', 'assign']
      : ['checkpoint', 'drain', 'no-wait', 'per-partition']
  const wrong = alone.find((flag) => options[flag] !== undefined)
  if (wrong !== undefined) {
    throw new BeckError('bad-option', {
      option: `--${wrong}`,
      problem: tasks
        ? 'does not go with --per-partition'
        : level
          ? `does not go with --${level} alone`
          : 'goes with --exactly-once or --at-least-once',
      hint:
        level && !tasks
          ? 'one pipeline of a group works, further ones stand by to take over; with --per-partition all of them work'
          : undefined,
    })
  }
  if (options['drain'] === true && options['follow'] === true) {
    throw new BeckError('bad-option', { option: '--drain', problem: 'is for the end, and --follow has none' })
  }
  return level
}
