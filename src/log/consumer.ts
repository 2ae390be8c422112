import { countLines } from '../core/count-lines.ts'
import type { ToolIo } from '../core/spec.ts'
import { Follower } from './follow.ts'
import type { GroupMember } from './groups.ts'
import { partitionName } from './layout.ts'
import { LineOutput } from './line-output.ts'
import type { ReadPolicy } from './reader.ts'
import { Replay } from './replay.ts'
import type { Offset, PartitionName } from './state.ts'
import type { Store } from './store.ts'

export interface ConsumePlan {
  readonly topics: readonly string[]
  /** Where to begin in a partition for which the group has no offset. */
  readonly from: 'earliest' | 'latest'
  readonly follow: boolean
  readonly limit: number | undefined
  /** Commit before writing instead of after. */
  readonly atMostOnce: boolean
  readonly policy: ReadPolicy
}

/** How often what has been written is committed while there is more to read. */
const COMMIT_MS = 100
/** How often the other members are looked after. */
const CARE_MS = 200

/** Reads as a member of a group, and commits what it has written. */
export class Consumer {
  private readonly store: Store
  private readonly member: GroupMember
  private readonly plan: ConsumePlan
  private readonly io: ToolIo
  private readonly output: LineOutput
  /** Where a partition begins without a committed offset, and where a run that does not follow ends. */
  private readonly begin = new Map<PartitionName, Offset>()
  private readonly ends = new Map<PartitionName, Offset>()
  private source: Replay | undefined
  private owned = ''
  private left: number
  private lastCommit = 0
  private toldIdle = false

  constructor(store: Store, member: GroupMember, plan: ConsumePlan, io: ToolIo) {
    this.store = store
    this.member = member
    this.plan = plan
    this.io = io
    this.output = new LineOutput(io)
    this.left = plan.limit ?? Infinity
    this.learn()
  }

  /** Begins and ends of partitions that are new: at the start, and when a topic gets more. */
  private learn(): void {
    for (const topic of this.plan.topics) {
      for (const [p, { start, next }] of (this.store.state.topics.get(topic)?.partitions ?? []).entries()) {
        const name = partitionName(topic, p)
        if (this.ends.has(name)) continue
        this.begin.set(name, this.plan.from === 'earliest' ? start : next)
        this.ends.set(name, next)
      }
    }
  }

  async run(): Promise<void> {
    const follower = new Follower(this.store)
    let lastCare = Date.now()
    try {
      while (this.left > 0) {
        if (Date.now() - lastCare >= CARE_MS) {
          lastCare = Date.now()
          this.store.refresh()
          this.member.heartbeat()
          this.member.expire()
          this.io.behind?.(this.lag())
        }
        await this.io.ready?.()
        if (!(await this.adopt())) return
        const step = this.source?.next()
        if (step && 'lines' in step) {
          if (!(await this.hand(step.lines))) return
          continue
        }
        if (!(await this.settle())) return
        if (!this.plan.follow && this.allRead()) return
        await follower.wait(CARE_MS)
      }
      await this.settle()
    } finally {
      follower.stop()
      this.source?.close()
    }
  }

  /**
   * Takes on a changed ownership: commits and lets go first, then reads on with what is ours now. False when the reader has gone.
   * @throws BeckError fenced, when others have put this member out: then nothing more may be written
   */
  private async adopt(): Promise<boolean> {
    if (this.source && this.member.mustRelease() && !(await this.settle())) return false
    const owned = this.member.isIn ? this.member.owned().sort() : []
    const key = owned.join(' ')
    if (this.source && key === this.owned && this.member.isIn) return true
    if (this.source) {
      if (!(await this.settle())) return false
      this.source.close()
    }
    this.learn()
    this.owned = key
    const committed = this.store.state.group(this.member.group).offsets
    const from = new Map(owned.map((name) => [name, committed.get(name) ?? this.begin.get(name) ?? 0]))
    const until = this.plan.follow ? undefined : new Map(owned.map((name) => [name, this.ends.get(name) ?? 0]))
    this.source = new Replay(this.store, {
      from,
      until,
      policy: this.plan.policy,
      ...(this.left < Infinity && { limit: this.left }),
    })
    if (owned.length === 0 && !this.toldIdle) {
      this.toldIdle = true
      this.io.say(`${this.member.member.id}: idle, all partitions have another member; waiting to take over`)
    } else if (owned.length > 0) this.toldIdle = false
    return true
  }

  /** Writes lines; false when the reader has gone. */
  private async hand(lines: Uint8Array): Promise<boolean> {
    if (this.left < Infinity) this.left -= countLines(lines)
    if (this.plan.atMostOnce) {
      this.commit()
      return this.output.write(lines) && this.output.flush()
    }
    if (!this.output.write(lines)) return false
    return Date.now() - this.lastCommit < COMMIT_MS || this.settle()
  }

  /** Everything read so far is written and committed; false when the reader has gone, and then nothing is committed. */
  private async settle(): Promise<boolean> {
    if (!this.output.flush()) return false
    // One kill would end both.
    await this.io.settleBehind?.()
    this.commit()
    return true
  }

  private commit(): void {
    const read = this.source?.offsets() ?? new Map<PartitionName, Offset>()
    // What was let go is another's now. A member that others have put out must hear of it: it commits what it believes to own.
    const owned = new Set(this.member.isIn ? this.member.owned() : read.keys())
    const known = this.store.state.group(this.member.group).offsets
    const moved = [...read].filter(([name, offset]) => owned.has(name) && known.get(name) !== offset)
    if (moved.length > 0 || this.member.mustRelease() || !this.member.isIn)
      this.member.commit(new Map(moved), () => this.source?.check())
    this.lastCommit = Date.now()
  }

  /** Records of this member's partitions that it has not read. */
  private lag(): number {
    let records = 0
    for (const [name, offset] of this.source?.offsets() ?? []) {
      records += Math.max(0, (this.store.state.partition(name)?.next ?? 0) - offset)
    }
    return records
  }

  /** Whether the group is through with what was there when this run began, whoever read it. */
  private allRead(): boolean {
    const committed = this.store.state.group(this.member.group).offsets
    return [...this.ends].every(([name, end]) => {
      const start = this.store.state.partition(name)?.start ?? end
      return Math.max(committed.get(name) ?? this.begin.get(name) ?? 0, start) >= end
    })
  }
}
