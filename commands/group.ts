import { type Action, chooseAction } from '../src/cli/actions.ts'
import { BeckError } from '../src/core/errors.ts'
import type { Arguments, CommandSpec, ToolIo, ToolStage } from '../src/core/spec.ts'
import { suggest } from '../src/core/suggest.ts'
import { assign, type Strategy } from '../src/log/assignors.ts'
import { evict, isLive, liveMembers, noSuchMember, refuseWhileLive, topicsOf } from '../src/log/groups.ts'
import { checkName, partitionName, splitPartitionName } from '../src/log/layout.ts'
import { refuseWithPipeline } from '../src/log/pipelines.ts'
import { offsetAt, parsePosition } from '../src/log/positions.ts'
import type { Group, Offset, PartitionName } from '../src/log/state.ts'
import { Store, storeFolder } from '../src/log/store.ts'
import { topicOf } from '../src/log/topics.ts'

type Options = Arguments['options']
type Run = (store: Store, words: readonly string[], options: Options, io: ToolIo) => void

const actions: Readonly<Record<string, Action<Run>>> = {
  list: { run: list, words: 0 },
  describe: { run: describe, words: 1 },
  reset: { run: reset, words: Infinity, options: ['to', 'shift', 'execute'] },
  delete: { run: remove, words: 1 },
  evict: { run: evictMember, words: 2, options: ['execute'] },
  plan: { run: plan, words: Infinity, options: ['members', 'assign'] },
}

export const group: CommandSpec = {
  name: 'group',
  summary: 'List consumer groups, show their lag, move their offsets',
  description:
    'ACTION is list, describe, reset, delete, evict or plan. reset and evict show what would change; with --execute they do it. ' +
    'plan TOPIC… shows how partitions would be shared out.',
  program: [
    { name: 'ACTION', description: Object.keys(actions).join(', ') },
    {
      name: 'NAME',
      description: 'the group, then for reset topics and for evict a member; for plan topics',
      variadic: true,
      optional: true,
    },
  ],
  files: false,
  options: [
    { flag: 'to', value: 'WHERE', description: 'reset: earliest, latest, an offset or a time' },
    { flag: 'shift', value: 'N', description: 'reset: by N records, back with -N' },
    { flag: 'execute', description: 'reset, evict: do it' },
    { flag: 'members', value: 'ID,…', description: 'plan: the members' },
    {
      flag: 'assign',
      value: 'STRATEGY',
      choices: ['range', 'roundrobin', 'sticky'],
      default: 'range',
      description: 'plan: how to share out',
    },
  ],
  common: ['store'],
  cost: { time: 'O(partitions)', memory: 'O(partitions)' },
  errors: ['usage', 'store'],
  examples: [
    {
      says: 'How far a group is',
      command:
        'beck append visits fixtures/flights.ndjson && beck consume visits --group report --limit 2 | wc -l && beck group list',
      output: '2\n{"group":"report","generation":2,"members":0,"lag":19998}\n',
    },
    {
      says: 'How three members would share four partitions',
      command: 'beck topic create t --partitions 4 && beck group plan t --members a,b,c --assign roundrobin',
      output:
        '{"member":"a","partitions":[["t",0],["t",3]]}\n{"member":"b","partitions":[["t",1]]}\n{"member":"c","partitions":[["t",2]]}\n',
    },
  ],
  place: 'first',
  create: (args) => {
    const [name = '', ...words] = args.program
    const action = chooseAction('group', actions, args, group.options)
    if (action !== list && words.length === 0) {
      throw new BeckError('usage', {
        problem: `which ${action === plan ? 'topic' : 'group'}?`,
        hint: `write beck group ${name} NAME`,
      })
    }
    return {
      role: 'tool',
      async run(io) {
        const store = Store.open(storeFolder(args.options['store'] as string | undefined), { say: io.say })
        try {
          action(store, words, args.options, io)
        } finally {
          store.close()
        }
      },
    } satisfies ToolStage
  },
}

const line = (io: ToolIo, value: unknown): void => void io.write(`${JSON.stringify(value)}\n`)

function groupOf(store: Store, name: string): Group {
  checkName('group', name)
  const group = store.state.groups.get(name)
  if (group) return group
  const suggestion = suggest(name, [...store.state.groups.keys()])
  throw new BeckError('store', {
    problem: `there is no group "${name}"`,
    hint: suggestion ? `did you mean "${suggestion}"?` : 'beck group list shows the groups; beck consume makes one',
  })
}

/** Partitions that a group has to do with: those of its offsets and those of its members' topics. */
function partitionsOf(store: Store, { offsets, membership }: Group): PartitionName[] {
  const names = new Set<PartitionName>(offsets.keys())
  // Of a topic of which one partition counts, all do.
  for (const topic of new Set([...topicsOf(membership), ...[...names].map((name) => splitPartitionName(name)[0])])) {
    for (const p of store.state.topics.get(topic)?.partitions.keys() ?? []) names.add(partitionName(topic, p))
  }
  return [...names].filter((name) => store.state.partition(name)).sort(byPartition)
}

function byPartition(a: PartitionName, b: PartitionName): number {
  const [topicA, numberA] = splitPartitionName(a)
  const [topicB, numberB] = splitPartitionName(b)
  return topicA < topicB ? -1 : topicA > topicB ? 1 : numberA - numberB
}

/** Records that a group has not had yet; one that never committed has them all to come. */
function lagOf(store: Store, group: Group, name: PartitionName): number {
  const partition = store.state.partition(name)
  if (!partition) return 0
  return Math.max(0, partition.next - Math.max(group.offsets.get(name) ?? partition.start, partition.start))
}

function list(store: Store, _words: readonly string[], _options: Options, io: ToolIo): void {
  for (const [name, group] of [...store.state.groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const lag = partitionsOf(store, group).reduce((sum, partition) => sum + lagOf(store, group, partition), 0)
    line(io, { group: name, generation: group.membership.generation, members: liveMembers(store, name).length, lag })
  }
}

function describe(store: Store, [name = '']: readonly string[], _options: Options, io: ToolIo): void {
  const group = groupOf(store, name)
  const { generation, strategy, members, owners, targets } = group.membership
  line(io, {
    group: name,
    generation,
    strategy,
    members: members.map((member) => ({
      member: member.id,
      pid: member.identity.pid,
      alive: isLive(store.env, store.folder, name, member),
      partitions: Object.keys(owners)
        .filter((partition) => owners[partition] === member.id)
        .sort(byPartition)
        .map(splitPartitionName),
    })),
    partitions: partitionsOf(store, group).map((partition) => {
      const [topic, number] = splitPartitionName(partition)
      const owner = owners[partition]
      return {
        topic,
        partition: number,
        offset: group.offsets.get(partition) ?? null,
        end: store.state.partition(partition)?.next,
        lag: lagOf(store, group, partition),
        member: owner ?? null,
        ...(targets[partition] !== owner && { next: targets[partition] }),
      }
    }),
  })
}

function reset(store: Store, [name = '', ...topics]: readonly string[], options: Options, io: ToolIo): void {
  checkName('group', name)
  const to = options['to'] as string | undefined
  const shift = options['shift'] as string | undefined
  if ((to === undefined) === (shift === undefined)) {
    throw new BeckError('usage', {
      problem: 'where to?',
      hint: `write beck group reset ${name} --to earliest, or --shift -100`,
    })
  }
  if (shift !== undefined && !/^[-+]?\d{1,15}$/.test(shift)) {
    throw new BeckError('bad-option', {
      option: '--shift',
      problem: `"${shift}" is not a number of records`,
      hint: 'write --shift=-100',
    })
  }
  const position = to === undefined ? undefined : parsePosition(to, '--to', store.env.now())
  const names =
    topics.length > 0
      ? topics.flatMap((topic) => topicOf(store, topic).partitions.map((_, p) => partitionName(topic, p)))
      : partitionsOf(store, groupOf(store, name))
  const policy = { onCorrupt: 'fail', onLost: 'fail', say: io.say } as const
  const targetOf = (partition: PartitionName): Offset => {
    if (position) return offsetAt(store, partition, position, policy)
    const state = store.state.partition(partition)
    const now = store.state.groups.get(name)?.offsets.get(partition) ?? state?.start ?? 0
    return Math.min(Math.max(now + Number(shift), state?.start ?? 0), state?.next ?? 0)
  }
  refuseWhileUsed(store, name, `run beck group reset ${name} again`)
  const targets = new Map(names.map((partition) => [partition, targetOf(partition)]))
  const before = new Map(store.state.groups.get(name)?.offsets)
  if (options['execute'] === true) {
    store.transact(true, (transaction) => {
      refuseWhileUsed(store, name, `run beck group reset ${name} again`)
      transaction.offsets(name, Object.fromEntries(targets))
    })
  }
  for (const [partition, offset] of targets) {
    const [topic, number] = splitPartitionName(partition)
    line(io, { group: name, topic, partition: number, from: before.get(partition) ?? null, to: offset })
  }
  if (options['execute'] !== true) io.say('nothing was changed: add --execute to do it')
}

/** Members read by these offsets, and so do pipelines, whose state belongs to them. */
function refuseWhileUsed(store: Store, name: string, what: string): void {
  refuseWhileLive(store, name, what)
  refuseWithPipeline(store, name, what)
}

function remove(store: Store, [name = '']: readonly string[]): void {
  groupOf(store, name)
  store.transact(true, (transaction) => {
    refuseWhileUsed(store, name, `run beck group delete ${name} again`)
    transaction.membership(name, null)
  })
}

function evictMember(store: Store, [name = '', member]: readonly string[], options: Options, io: ToolIo): void {
  const { membership } = groupOf(store, name)
  if (member === undefined) {
    throw new BeckError('usage', {
      problem: 'which member?',
      hint: `write beck group evict ${name} MEMBER; beck group describe ${name} shows them`,
    })
  }
  const found = membership.members.find(({ id }) => id === member)
  if (!found) throw noSuchMember(name, member, membership)
  if (options['execute'] === true) store.transact(true, (transaction) => evict(store, transaction, name, member))
  line(io, { group: name, member, pid: found.identity.pid, alive: isLive(store.env, store.folder, name, found) })
  if (options['execute'] !== true) io.say('nothing was changed: add --execute to do it')
}

function plan(store: Store, topics: readonly string[], options: Options, io: ToolIo): void {
  const members = ((options['members'] as string | undefined) ?? '').split(',').filter((id) => id !== '')
  if (members.length === 0) {
    throw new BeckError('usage', {
      problem: 'which members?',
      hint: `write beck group plan ${topics.join(' ')} --members c1,c2`,
    })
  }
  for (const id of members) checkName('member', id)
  const partitions = new Map(topics.map((topic) => [topic, topicOf(store, topic).partitions.length]))
  const strategy = (options['assign'] as Strategy | undefined) ?? 'range'
  for (const [member, assigned] of assign(
    strategy,
    [...new Set(members)].map((id) => ({ id, topics })),
    partitions,
  )) {
    line(io, { member, partitions: assigned })
  }
}
