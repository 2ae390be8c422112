import { resolve } from 'node:path'
import { BeckError } from '../core/errors.ts'
import { formatFieldPath, parseKeyFields } from '../core/field-path.ts'
import type { Strategy } from '../log/assignors.ts'
import { Follower } from '../log/follow.ts'
import { GroupMember } from '../log/groups.ts'
import { partitionName, splitPartitionName } from '../log/layout.ts'
import { checkRun, refuseWithState, startTask, taskName } from '../log/pipelines.ts'
import { Replay } from '../log/replay.ts'
import type { Offset, PartitionName } from '../log/state.ts'
import { sinkIsAlive } from '../log/sinks.ts'
import type { Store } from '../log/store.ts'
import type { AskedToStop } from './asked-to-stop.ts'
import { Output, ReaderGone } from './descriptor.ts'
import type { EpochPlan } from './epoch-source.ts'
import { FramedOutput } from './framed-output.ts'
import type { StateHandle, TaskFrame } from './frames.ts'
import { processGroup } from './upstream.ts'

export interface TaskPlan extends EpochPlan {
  readonly member: string | undefined
  readonly strategy: Strategy | undefined
}

/** As in epoch-source.ts. */
const EPOCH_BYTES = 32 << 20
const CARE_MS = 100
const SINK_MS = 10_000
const HELD_MS = 5_000

/** A partition that this pipe works on: a pipeline of its own in the journal. */
interface Task {
  readonly partition: PartitionName
  /** Its name in the journal. */
  readonly name: string
  readonly generation: number
  readonly since: number
  readonly source: Replay
  epoch: number
  /** Its stages hold something. */
  hasState: boolean
}

/**
 * Reads topics for a pipe that works partition by partition, as a member of its group: partitions are shared out over all pipelines of the
 * group, and each is a task with epochs and state of its own. A partition that goes to another pipeline is let go behind a barrier whose
 * commit is in the journal; whoever gets it begins there.
 */
export class TaskSource {
  private readonly store: Store
  private readonly plan: TaskPlan
  private readonly say: (line: string) => void
  private readonly output = new FramedOutput(new Output())
  private readonly tasks = new Map<PartitionName, Task>()
  private readonly ends = new Map<PartitionName, Offset>()
  private current: Task | undefined
  private lastCare = 0
  /** Not all epochs are committed since then. */
  private behindSince: number | undefined
  private ended = false
  private toldIdle = false

  private readonly asked: AskedToStop | undefined

  /** @param asked what people ask of it while it runs */
  constructor(store: Store, plan: TaskPlan, say: (line: string) => void, asked?: AskedToStop) {
    this.asked = asked
    this.store = store
    this.plan = plan
    this.say = say
  }

  /** @throws BeckError fenced, frames */
  async run(): Promise<void> {
    const { store, plan } = this
    const member = GroupMember.join(store, plan.group, {
      tasks: true,
      check: () => refuseWithState(store, plan.group, 'work partition by partition'),
      id: plan.member,
      topics: plan.topics,
      strategy: plan.strategy,
      sessionMs: plan.sessionMs,
    })
    const follower = new Follower(store)
    try {
      await this.work(member, follower)
    } catch (error) {
      if (!(error instanceof ReaderGone)) throw error
      if (!this.ended) throw this.notCommitted('the next stage of the pipe has ended')
      for (; !this.isCommitted(); await follower.wait(CARE_MS)) this.watchSink('closed')
    } finally {
      follower.stop()
      for (const { source } of this.tasks.values()) source.close()
      member.leave()
    }
  }

  private async work(member: GroupMember, follower: Follower): Promise<void> {
    const { plan, output, store } = this
    this.asked?.listen()
    output.frame({
      kind: 'start',
      store: resolve(store.folder),
      group: plan.group,
      generation: 0,
      epoch: 0,
      level: plan.level,
      stages: ['consume'],
      states: 0,
      handles: [],
      drain: plan.drain,
      tasks: this.keysOfTopics(),
    })
    for (;;) {
      this.care(member)
      await this.adopt(member, follower)
      this.learn()
      const begin = Date.now()
      let more = false
      for (const task of this.tasks.values()) if (this.slice(task)) more = true
      if (this.asked?.stopped || (!plan.follow && !more && this.allRead())) break
      // One round of epochs a checkpoint, unless there is more than one takes.
      const rest = plan.follow ? plan.checkpointMs - (Date.now() - begin) : CARE_MS
      if (!more) await follower.wait(Math.min(CARE_MS, Math.max(1, rest)))
    }
    const drain = plan.drain && !this.asked?.stopped
    if (drain) for (const task of this.tasks.values()) if (task.hasState) this.barrier(task, true)
    output.frame({ kind: 'end', epoch: 0, records: output.takeCount(), drained: drain })
    this.ended = true
    for (const since = Date.now(); !this.isCommitted(); await follower.wait(CARE_MS)) {
      this.care(member)
      if (Date.now() - since > HELD_MS && this.hasSinks()) output.close()
    }
  }

  /** Of topics with several partitions: by which fields records come to one. */
  private keysOfTopics(): string[][] {
    return this.plan.topics.flatMap((topic) => {
      const known = this.store.state.topics.get(topic)
      if (!known || known.partitions.length < 2) return []
      const { key } = known.config
      return [key === undefined ? [] : parseKeyFields(key).map(({ path }) => formatFieldPath(path))]
    })
  }

  /** Where a run that does not follow ends, of partitions that are new to it. */
  private learn(): void {
    for (const topic of this.plan.topics) {
      for (const [p, { next }] of (this.store.state.topics.get(topic)?.partitions ?? []).entries()) {
        const name = partitionName(topic, p)
        if (!this.ends.has(name)) this.ends.set(name, next)
      }
    }
  }

  /** Takes on a changed ownership: lets go of partitions that others wait for, and begins with those that are ours now. */
  private async adopt(member: GroupMember, follower: Follower): Promise<void> {
    if (!member.isIn) {
      throw new BeckError('fenced', {
        problem: `the group "${this.plan.group}" has gone on without this pipeline (member ${member.member.id})`,
        hint: 'nothing is lost: others go on from the last committed epochs; start it again to take part',
      })
    }
    if (member.mustRelease()) {
      for (; !this.isCommitted(); await follower.wait(CARE_MS)) this.care(member)
      const { owners, targets } = member.membership
      for (const task of this.tasks.values()) {
        if (owners[task.partition] !== targets[task.partition]) this.close(task)
      }
      member.commit(new Map())
    }
    const owned = new Set(member.owned())
    for (const task of this.tasks.values()) if (!owned.has(task.partition)) this.close(task)
    for (const partition of owned) if (!this.tasks.has(partition)) await this.open(partition, member, follower)
    if (owned.size > 0) this.toldIdle = false
    else if (!this.toldIdle) {
      this.toldIdle = true
      this.say(`${member.member.id}: idle, all partitions have another pipeline; waiting to take over`)
    }
  }

  /** What an outside system has not answered is asked first. */
  private async open(partition: PartitionName, member: GroupMember, follower: Follower): Promise<void> {
    const { store, plan } = this
    const [topic, p] = splitPartitionName(partition)
    const { start = 0, next = 0 } = store.state.topics.get(topic)?.partitions[p] ?? {}
    const begin = plan.from === 'earliest' ? start : next
    const name = taskName(plan.group, partition)
    let state = startTask(store, plan.group, partition, begin, processGroup())
    if (state.prepared) {
      this.output.frame(this.frameOf({ partition, name, ...state }, 'resolve'))
      this.current = undefined
      for (; state.prepared; await follower.wait(CARE_MS)) {
        this.care(member)
        state = checkRun(store, { name, generation: state.generation })
      }
    }
    // After the generation has moved on: nobody else can change it any more.
    const from = new Map([[partition, store.state.group(plan.group).offsets.get(partition) ?? begin]])
    const source = new Replay(store, {
      from,
      until: plan.follow ? undefined : new Map([[partition, next]]),
      policy: plan.policy,
    })
    const { generation, epoch } = state
    const handles = state.handles as readonly (StateHandle | null)[]
    const hasState = handles.some((handle) => handle !== null)
    const task: Task = { partition, name, generation, since: Date.now(), source, epoch, hasState }
    this.tasks.set(partition, task)
    if (!plan.follow) this.ends.set(partition, next)
    this.output.frame({ ...this.frameOf(task, 'open'), handles })
    this.current = task
  }

  private close(task: Task): void {
    task.source.close()
    this.tasks.delete(task.partition)
    this.output.frame(this.frameOf(task, 'close'))
    this.current = undefined
  }

  private frameOf(
    task: Pick<Task, 'partition' | 'name' | 'generation' | 'epoch'>,
    action: TaskFrame['action'],
  ): TaskFrame {
    const { partition, name, generation, epoch } = task
    return { kind: 'task', partition, action, pipeline: name, generation, epoch, states: 0, handles: [] }
  }

  private goTo(task: Task): void {
    if (this.current === task) return
    this.current = task
    this.output.frame(this.frameOf(task, 'switch'))
  }

  /** An epoch of a task, with what there is now, but not for longer than a checkpoint. Whether there may be more. */
  private slice(task: Task): boolean {
    const end = Date.now() + this.plan.checkpointMs / this.tasks.size
    let bytes = 0
    let more = true
    while (bytes < EPOCH_BYTES && (bytes === 0 || Date.now() < end)) {
      const step = task.source.next()
      if (!step || !('lines' in step)) {
        more = false
        break
      }
      this.goTo(task)
      this.output.write(step.lines, step.records)
      bytes += step.lines.length
    }
    if (bytes > 0) this.barrier(task, false)
    return more && bytes > 0
  }

  private barrier(task: Task, drain: boolean): void {
    this.goTo(task)
    this.output.frame({
      kind: 'barrier',
      epoch: ++task.epoch,
      records: this.output.takeCount(),
      offsets: Object.fromEntries(task.source.offsets()),
      handles: [],
      drain,
    })
    task.hasState = !drain
  }

  /** Whether the group is through with what was there when this run began, whoever read it, and ours is committed. */
  private allRead(): boolean {
    const committed = this.store.state.group(this.plan.group).offsets
    return [...this.ends].every(([name, end]) => {
      const own = this.tasks.get(name)
      return ((own ? own.source.offsets().get(name) : committed.get(name)) as Offset) >= end
    })
  }

  private care(member: GroupMember): void {
    const now = Date.now()
    if (now - this.lastCare < CARE_MS) return
    this.lastCare = now
    this.store.refresh()
    // As in epoch-source.ts: a pipe whose later stages hang is not well.
    const behind = [...this.tasks.values()].some(
      ({ name, generation, epoch }) => checkRun(this.store, { name, generation }).epoch < epoch,
    )
    if (!behind) this.behindSince = undefined
    else this.behindSince ??= now
    if (this.behindSince === undefined || now - this.behindSince < (this.plan.sessionMs ?? Infinity)) member.heartbeat()
    if (member.isIn) member.expire()
    this.output.alive()
    this.watchSink('open')
  }

  /** @throws BeckError frames, when nobody is there who could commit */
  private watchSink(pipe: 'open' | 'closed'): void {
    for (const { name, generation, epoch, since } of this.tasks.values()) {
      const alive = sinkIsAlive(this.store, name, generation)
      if (alive === false && checkRun(this.store, { name, generation }).epoch < epoch) {
        throw this.notCommitted('the stage that commits has ended')
      }
      // Stages leave after the sink alone.
      if (alive === undefined && pipe === 'closed') throw this.notCommitted('the next stage of the pipe has ended')
      if (alive === undefined && Date.now() - since > SINK_MS) {
        throw this.notCommitted(
          'no stage has taken up the control frames of this pipe, so that nothing would be committed',
          'end the pipe with beck append TOPIC; what stands between must be beck commands, which hand control frames on',
        )
      }
    }
  }

  /** Whether the journal has the last epochs of all tasks. @throws BeckError fenced */
  private isCommitted(): boolean {
    this.store.refresh()
    return [...this.tasks.values()].every(
      ({ name, generation, epoch }) => checkRun(this.store, { name, generation }).epoch >= epoch,
    )
  }

  /** The sink has taken up all tasks. */
  private hasSinks(): boolean {
    return [...this.tasks.values()].every(
      ({ name, generation }) => sinkIsAlive(this.store, name, generation) !== undefined,
    )
  }

  private notCommitted(problem: string, hint?: string): BeckError {
    const at = [...this.tasks.values()].map(({ partition, epoch }) => `${partition} at epoch ${epoch}`).join(', ')
    return new BeckError('frames', { problem: `${problem}; not all of ${at || 'it'} is committed`, hint })
  }
}
