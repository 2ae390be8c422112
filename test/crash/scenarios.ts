import { Buffer } from 'node:buffer'
import { compactTopic } from '../../src/log/compaction.ts'
import type { Env } from '../../src/log/env.ts'
import { GroupMember } from '../../src/log/groups.ts'
import { partitionName } from '../../src/log/layout.ts'
import { forEachRecord, MergedReader } from '../../src/log/merge.ts'
import { offsetOf } from '../../src/log/reader.ts'
import { retentionStarts } from '../../src/log/retention.ts'
import type { PartitionName } from '../../src/log/state.ts'
import { Store } from '../../src/log/store.ts'
import { createTopic, deleteTopic } from '../../src/log/topics.ts'
import { verifyTopic } from '../../src/log/verify.ts'

/** One thing that a process does: all of it counts, or nothing. */
export interface Action {
  readonly name: string
  run(store: Store): void
  /** When it returns, a power cut takes nothing of it nor of anything before it. */
  readonly synced: boolean
}
export interface Scenario {
  readonly name: string
  /** Journal files are replaced beyond this size. */
  readonly rollBytes?: number
  readonly before: readonly Action[]
  readonly actions: readonly Action[]
}

export const openStore = (env: Env, scenario: Scenario): Store =>
  Store.open('/store', {
    env,
    create: true,
    ...(scenario.rollBytes !== undefined && { rollBytes: scenario.rollBytes }),
  })

const failing = { onCorrupt: 'fail', onLost: 'fail', say: () => {} } as const

/** Everything that anybody can see of a store, and that it is sound. @throws when it is not */
export function observe(env: Env): string {
  const store = Store.open('/store', { env })
  try {
    const seen: unknown[] = []
    for (const [topic, { partitions, config }] of [...store.state.topics].sort(([a], [b]) => (a < b ? -1 : 1))) {
      for (const { findings } of verifyTopic(store, topic)) {
        if (findings.length > 0) throw new Error(`verify: ${JSON.stringify(findings)}`)
      }
      const from = new Map(partitions.map(({ start }, p) => [partitionName(topic, p), start]))
      const reader = new MergedReader(store, from, failing)
      const records: string[] = []
      for (let commit; (commit = reader.next(undefined));) {
        forEachRecord(commit, (part, index, start, end) => {
          const line = part.bytes.toString('utf8', start, end)
          records.push(`${part.name}:${offsetOf(part.batch, index)} ${line}`)
        })
      }
      reader.close()
      seen.push({ topic, config, ends: partitions.map(({ start, next }) => [start, next]), records })
    }
    const groups = [...store.state.groups].flatMap(([name, { offsets }]) =>
      offsets.size > 0 ? [[name, [...offsets]]] : [],
    )
    return JSON.stringify({ seen, groups, producers: [...store.state.producers] }, undefined, 1)
  } finally {
    store.close()
  }
}

const create = (topic: string, partitions: number, segmentBytes = 1000): Action => ({
  name: `create ${topic}`,
  synced: true,
  run: (store) =>
    store.transact(true, (transaction) => createTopic(store, transaction, topic, { partitions, segmentBytes })),
})

let serial = 0
/** Appends records to partitions; the first record's number makes every line different. */
function append(topic: string, spread: readonly number[], sync: boolean, key?: string): Action {
  const first = ++serial * 100
  return {
    name: `append ${spread.length} to ${topic}${sync ? ' synced' : ''}`,
    synced: sync,
    run: (store) =>
      store.transact(sync, (transaction) => {
        for (const p of new Set(spread)) {
          const ranks = spread.flatMap((target, i) => (target === p ? [i] : []))
          const lines = ranks.map((i) => `{"n":${first + i},"k":"${key ?? i}","pad":"${'x'.repeat(30)}"}\n`)
          transaction.append(partitionName(topic, p), {
            lines: [Buffer.from(lines.join(''))],
            count: lines.length,
            ...(ranks.length < spread.length && { ranks: Uint32Array.from(ranks) }),
          })
        }
      }),
  }
}

const commitOffsets = (group: string, offsets: Record<PartitionName, number>): Action => ({
  name: 'commit offsets',
  synced: true,
  run: (store) => store.transact(false, (transaction) => transaction.offsets(group, offsets)),
})

const produce = (sequence: number): Action => ({
  name: 'idempotent append',
  synced: true,
  run: (store) =>
    store.transact(true, (transaction) => {
      const done = store.state.producers.get('t/p')?.[1] ?? 0
      if (done >= sequence) return
      transaction.append('t/0', { lines: [Buffer.from(`{"sequence":${sequence}}\n`)], count: 1 })
      transaction.producer('t/p', [1, sequence, sequence])
    }),
})

/** Whoever asks for it: files that it frees may only go once nothing brings them back. */
const retain = (retainBytes: number): Action => ({
  name: 'retention',
  synced: true,
  run: (store) =>
    store.transact(false, (transaction) => {
      const topic = store.state.topics.get('t')
      if (!topic) throw new Error('no topic')
      const starts = retentionStarts('t', { ...topic, config: { ...topic.config, retainBytes } }, transaction.at)
      for (const [partition, start] of starts) transaction.start(partition, start)
    }),
})

const compact: Action = {
  name: 'compact',
  synced: true,
  run: (store) =>
    void compactTopic(store, 't', {
      keys: [['k']],
      reads: [],
      tombstoneMs: 1e12,
      policy: failing,
      scanner: 'reference',
    }),
}

const remove: Action = {
  name: 'delete topic',
  synced: true,
  run: (store) => store.transact(false, (transaction) => deleteTopic(store, transaction, 't')),
}

const consume: Action = {
  name: 'join, commit, leave',
  synced: true,
  // Joining and leaving are seen only by members; the offset is what counts.
  run(store) {
    const member = GroupMember.join(store, 'g', { topics: ['t'] })
    member.commit(new Map(member.owned().map((name) => [name, store.state.partition(name)?.next ?? 0])))
    member.leave()
  },
}

const four = [0, 1, 2, 3, 1, 0, 2, 2]

export const scenarios: readonly Scenario[] = [
  { name: 'a new store', before: [], actions: [create('t', 1), append('t', [0], true)] },
  {
    name: 'append, acks none',
    before: [create('t', 1), append('t', [0], true)],
    actions: [append('t', [0, 0], false), append('t', [0], false), append('t', [0], false)],
  },
  {
    name: 'append, acks none then batch',
    before: [create('t', 4), append('t', four, true)],
    actions: [
      append('t', four, false),
      append('t', [0, 1], false),
      append('t', [2], true),
      append('t', four, true),
      append('t', [1], false),
    ],
  },
  {
    name: 'append, every one synced, segments roll',
    before: [create('t', 2, 150)],
    actions: [append('t', [0, 1], true), append('t', [0, 0], true), append('t', [1, 0], true)],
  },
  {
    name: 'append, unsynced segments roll, then an offset',
    before: [create('t', 2, 150)],
    actions: [
      append('t', [0, 1], false),
      append('t', [0, 0], false),
      commitOffsets('g', { 't/0': 2 }),
      append('t', [1, 0], false),
    ],
  },
  {
    name: 'a synced batch after unsynced ones in other segments',
    before: [create('t', 2, 150), append('t', [0, 0], false), append('t', [1, 1, 0], false)],
    actions: [append('t', [0, 1], true), append('t', [0, 1], false)],
  },
  {
    name: 'the journal rolls',
    rollBytes: 600,
    before: [create('t', 2), append('t', [0, 1], true)],
    actions: [
      append('t', [0], false),
      append('t', [1, 0], true),
      append('t', [0, 1], false),
      commitOffsets('g', { 't/0': 1, 't/1': 1 }),
    ],
  },
  {
    name: 'consume commits',
    before: [
      create('t', 2),
      append(
        't',
        four.map((p) => p % 2),
        false,
      ),
    ],
    actions: [consume, append('t', [1], false), commitOffsets('g', { 't/1': 3 })],
  },
  {
    name: 'an idempotent producer',
    before: [create('t', 1)],
    actions: [produce(1), produce(2), produce(3)],
  },
  {
    name: 'retention',
    before: [
      create('t', 1, 120),
      append('t', [0], true),
      append('t', [0], true),
      append('t', [0], true),
      append('t', [0], false),
    ],
    actions: [retain(100), append('t', [0], false), retain(50), append('t', [0], true)],
  },
  {
    name: 'compaction',
    before: [
      create('t', 1, 120),
      append('t', [0, 0], true, 'a'),
      append('t', [0, 0], false, 'b'),
      append('t', [0, 0], true, 'a'),
      append('t', [0], false, 'b'),
    ],
    actions: [compact, append('t', [0], false, 'a'), compact],
  },
  {
    name: 'a topic is deleted and made again',
    before: [create('t', 2), append('t', [0, 1], false), create('u', 1), append('u', [0], false)],
    actions: [remove, create('t', 1), append('t', [0], true)],
  },
]
