import { BeckError } from '../core/errors.ts'
import { assign, type Assignment, type Strategy, type TopicPartition } from './assignors.ts'
import { ensureFolder, type Env, readSmallFile, removeIfThere, writeAll } from './env.ts'
import { layout, partitionName, splitPartitionName } from './layout.ts'
import type { Member, Membership, Offset, PartitionName, StoreState } from './state.ts'
import { type Store, translate } from './store.ts'
import type { Transaction } from './transaction.ts'

/**
 * Consumer groups. Members, generation and ownership are in the journal, so that joining, leaving and committing are commits like
 * any other. A partition changes hands in two steps: its target changes with the generation; its owner changes when the old one lets
 * go (with a commit of what it has written) or is proven dead. So no partition has two owners at any time.
 */

/** Whether a member still is. A heartbeat counts only for those with a session timeout. */
export function isLive(env: Env, store: string, group: string, member: Member): boolean {
  if (env.alive(member.identity) === 'dead') return false
  if (member.sessionMs === undefined) return true
  const beat = Number(readSmallFile(env, heartbeatFile(store, group, member))?.toString('latin1') ?? NaN)
  return !(env.now() - beat > member.sessionMs)
}

const heartbeatFile = (store: string, group: string, { id, life }: Member): string =>
  `${layout.groups(store)}/${group}/${id}.${life}.beat`

/** Members without the dead ones; ownership follows. The same object when nothing changed. */
function withMembers(state: StoreState, old: Membership, members: readonly Member[], strategy: string): Membership {
  const topics = new Set(members.flatMap((member) => member.topics))
  const counts = new Map([...topics].map((topic) => [topic, state.topics.get(topic)?.partitions.length ?? 0]))
  const previous: Assignment = new Map()
  for (const [name, id] of Object.entries(old.targets)) {
    previous.set(id, [...(previous.get(id) ?? []), splitPartitionName(name) as TopicPartition])
  }
  const targets: Record<PartitionName, string> = {}
  for (const [id, partitions] of assign(strategy as Strategy, members, counts, previous)) {
    for (const [topic, partition] of partitions) targets[partitionName(topic, partition)] = id
  }
  // An owner that is gone, or has come back as another life, lets go at once.
  const lives = new Map(old.members.map((member) => [member.id, member.life]))
  const stays = (id: string | undefined): boolean =>
    id !== undefined && members.some((member) => member.id === id && member.life === lives.get(id))
  const owners: Record<PartitionName, string> = {}
  for (const name of Object.keys(targets)) {
    const owner = old.owners[name]
    owners[name] = stays(owner) ? (owner as string) : (targets[name] as string)
  }
  const left = members.length > 0 ? undefined : topicsOf(old)
  return { generation: old.generation + 1, strategy, members, owners, targets, ...(left && { topics: left }) }
}

/** What a group reads: the topics of its members, or of those it had. */
export const topicsOf = ({ members, topics = [] }: Membership): readonly string[] =>
  members.length > 0 ? [...new Set(members.flatMap((member) => member.topics))] : topics

/** A member of a group: this process's part of it. */
export class GroupMember {
  readonly member: Member
  readonly group: string
  private readonly store: Store
  private beat: number | undefined
  private lastBeat = 0

  private constructor(store: Store, group: string, member: Member) {
    this.store = store
    this.group = group
    this.member = member
  }

  /** Joins a group. @throws BeckError usage, when the id is taken or others assign by another strategy */
  static join(
    store: Store,
    group: string,
    options: {
      id?: string | undefined
      topics: readonly string[]
      strategy?: Strategy | undefined
      sessionMs?: number | undefined
      /** Part of a pipeline that works partition by partition: such members and plain ones do not mix. */
      tasks?: boolean | undefined
      /** Under the lock: whether it may be. */
      check?: (() => void) | undefined
    },
  ): GroupMember {
    const { env } = store
    const life = Math.random().toString(36).slice(2, 10)
    const member: Member = {
      id: options.id ?? `${env.identity.pid}-${life}`,
      life,
      identity: env.identity,
      topics: options.topics,
      ...(options.sessionMs !== undefined && { sessionMs: options.sessionMs }),
      ...(options.tasks && { tasks: true as const }),
    }
    const self = new GroupMember(store, group, member)
    self.heartbeat()
    store.transact(true, (transaction) => {
      options.check?.()
      const { membership } = store.state.group(group)
      const others = membership.members.filter((other) => isLive(env, store.folder, group, other))
      if (others.some((other) => other.tasks !== member.tasks)) {
        throw new BeckError('store', {
          problem: `the group "${group}" has living members of another kind: ${member.tasks ? 'plain readers' : 'pipelines that deliver exactly once'}`,
          hint: 'give this one a --group of its own',
        })
      }
      if (others.some((other) => other.id === member.id)) {
        throw new BeckError('usage', {
          problem: `the group "${group}" has a living member "${member.id}"`,
          hint: 'choose another --member ID, or leave it out',
        })
      }
      const strategy = options.strategy ?? (others.length > 0 ? membership.strategy : 'range')
      if (others.length > 0 && strategy !== membership.strategy) {
        throw new BeckError('usage', {
          problem: `the group "${group}" assigns by ${membership.strategy}`,
          hint: `leave --assign out, or stop its ${others.length} members first`,
        })
      }
      transaction.membership(group, withMembers(store.state, membership, [...others, member], strategy))
    })
    return self
  }

  get membership(): Membership {
    return this.store.state.group(this.group).membership
  }

  /** Whether others still count this member in. */
  get isIn(): boolean {
    return this.membership.members.some(({ id, life }) => id === this.member.id && life === this.member.life)
  }

  /** The partitions that this member may read now. */
  owned(): PartitionName[] {
    return Object.keys(this.membership.owners).filter((name) => this.membership.owners[name] === this.member.id)
  }

  /** Whether somebody waits for a partition of ours. */
  mustRelease(): boolean {
    const { owners, targets } = this.membership
    return this.owned().some((name) => owners[name] !== targets[name])
  }

  /**
   * Commits offsets of partitions that this member owns, and lets go of those that others wait for.
   * @param check throws when the offsets are none of what is there by now
   * @throws BeckError fenced, when the group has gone on without this member
   */
  commit(offsets: ReadonlyMap<PartitionName, Offset>, check?: () => void): void {
    this.store.transact(true, (transaction) => {
      this.check()
      check?.()
      const { owners, targets } = this.membership
      const moved: Record<PartitionName, Offset> = {}
      const known = this.store.state.group(this.group).offsets
      for (const [name, offset] of offsets) {
        if (owners[name] !== this.member.id) throw this.fenced()
        if (known.get(name) !== offset) moved[name] = offset
      }
      if (Object.keys(moved).length > 0) transaction.offsets(this.group, moved)
      if (this.mustRelease()) {
        const released = Object.fromEntries(
          Object.entries(owners).map(([name, owner]) => [
            name,
            owner === this.member.id ? (targets[name] as string) : owner,
          ]),
        )
        transaction.membership(this.group, { ...this.membership, owners: released })
      }
    })
  }

  /**
   * Removes members that died or hang, so that their partitions go to others, and shares out partitions that are new. Returns whether
   * there was anything to do.
   */
  expire(): boolean {
    const { store, group } = this
    const gone = (member: Member): boolean =>
      member.life !== this.member.life && !isLive(store.env, store.folder, group, member)
    if (!this.membership.members.some(gone) && !this.hasNewPartitions()) return false
    store.transact(true, (transaction) => {
      this.check()
      const { membership } = this
      const members = membership.members.filter((member) => !gone(member))
      if (members.length < membership.members.length || this.hasNewPartitions()) {
        transaction.membership(group, withMembers(store.state, membership, members, membership.strategy))
      }
    })
    return true
  }

  /** A topic has got more partitions since they were shared out. */
  private hasNewPartitions(): boolean {
    const { targets } = this.membership
    return this.member.topics.some((topic) => {
      const count = this.store.state.topics.get(topic)?.partitions.length ?? 0
      return count > 0 && targets[partitionName(topic, count - 1)] === undefined
    })
  }

  /** Says that this member is well, if it has a session timeout. */
  heartbeat(): void {
    const { store, member } = this
    const { env } = store
    if (member.sessionMs === undefined || env.now() - this.lastBeat < member.sessionMs / 4) return
    this.lastBeat = env.now()
    const path = heartbeatFile(store.folder, this.group, member)
    translate(store.folder, () => {
      if (this.beat === undefined) {
        ensureFolder(env, layout.groups(store.folder))
        ensureFolder(env, `${layout.groups(store.folder)}/${this.group}`)
        this.beat = env.open(path, 'create')
      }
      writeAll(env, this.beat, Buffer.from(String(env.now())), 0)
    })
  }

  /** Leaves; what it owned goes to others. Nothing happens when others have put it out already. */
  leave(): void {
    const { store, group } = this
    store.transact(true, (transaction) => {
      if (!this.isIn) return
      const { membership } = this
      const members = membership.members.filter(({ life }) => life !== this.member.life)
      transaction.membership(group, withMembers(store.state, membership, members, membership.strategy))
    })
    if (this.beat === undefined) return
    store.env.close(this.beat)
    removeIfThere(store.env, heartbeatFile(store.folder, group, this.member))
    this.beat = undefined
  }

  private check(): void {
    if (!this.isIn) throw this.fenced()
  }

  private fenced(): BeckError {
    return new BeckError('fenced', {
      problem: `the group "${this.group}" has gone on without member "${this.member.id}" (generation ${this.membership.generation}); what it wrote since its last commit will be delivered again`,
      hint: 'start it again; a longer --session-timeout gives a slow reader more time',
    })
  }
}

/** Puts a member out. @throws BeckError usage, when there is none */
export function evict(store: Store, transaction: Transaction, group: string, id: string): void {
  const { membership } = store.state.group(group)
  const members = membership.members.filter((member) => member.id !== id)
  if (members.length === membership.members.length) throw noSuchMember(group, id, membership)
  transaction.membership(group, withMembers(store.state, membership, members, membership.strategy))
}

export const noSuchMember = (group: string, id: string, { members }: Membership): BeckError =>
  new BeckError('usage', {
    problem: `the group "${group}" has no member "${id}"`,
    hint: members.length > 0 ? `its members are ${members.map((m) => m.id).join(', ')}` : 'it has no members',
  })

/** Members that are alive, as far as can be told. */
export const liveMembers = (store: Store, group: string): Member[] =>
  store.state.group(group).membership.members.filter((member) => isLive(store.env, store.folder, group, member))

/** @throws BeckError store, while members are alive */
export function refuseWhileLive(store: Store, group: string, what: string): void {
  const live = liveMembers(store, group)
  if (live.length === 0) return
  throw new BeckError('store', {
    problem: `the group "${group}" has living members: ${live.map((m) => `${m.id} (process ${m.identity.pid})`).join(', ')}`,
    hint: `stop them, then ${what}`,
  })
}
