import { resolve } from 'node:path'
import { BeckError } from '../core/errors.ts'
import type { ToolIo } from '../core/spec.ts'
import { Follower } from '../log/follow.ts'
import { partitionName } from '../log/layout.ts'
import { beat, checkRun, isRunning, pipelineOf, type PipelineState, startRun } from '../log/pipelines.ts'
import type { ReadPolicy } from '../log/reader.ts'
import { Replay } from '../log/replay.ts'
import type { Offset, PartitionName } from '../log/state.ts'
import { sinkOf } from '../log/sinks.ts'
import type { Store } from '../log/store.ts'
import type { AskedToStop } from './asked-to-stop.ts'
import { NothingToDo, ReaderGone } from './descriptor.ts'
import { type SourceOutput, SourcePipe } from './framed-output.ts'
import type { Level, StartFrame, StateHandle } from './frames.ts'
import { processGroup } from './upstream.ts'

export interface EpochPlan {
  readonly group: string
  readonly topics: readonly string[]
  readonly level: Level
  /** Where to begin in a partition for which the group has no offset. */
  readonly from: 'earliest' | 'latest'
  readonly follow: boolean
  readonly limit: number | undefined
  /** At the end, what stages hold (open windows) comes out. */
  readonly drain: boolean
  /** How often there is a barrier while records come. */
  readonly checkpointMs: number
  /** When another run is at work: wait for its end, or leave. */
  readonly wait: boolean
  /** Others may take over when this run hangs for so long. */
  readonly sessionMs: number | undefined
  readonly policy: ReadPolicy
}

/** An epoch is committed as a whole, so its output is held in memory: a busy input has a barrier after so many bytes at the latest. */
const EPOCH_BYTES = 32 << 20
/** How often an idle source says that it is there, and looks whether the others are. */
const CARE_MS = 100
/** A pipe whose sink has not seen `start` after so long has something in it that swallows frames. */
const SINK_MS = 10_000
/** Programs between the stages that hold back what they have read (grep, jq) give it out when their input ends. */
const HELD_MS = 5_000

/** Reads topics for an exactly-once pipe: `start`, records, a barrier at each checkpoint, `end`; then waits for the commit. */
export class EpochSource {
  private readonly store: Store
  private readonly plan: EpochPlan
  private readonly say: (line: string) => void
  private readonly output: SourceOutput
  private readonly behind: ((records: number) => void) | undefined
  private readonly asked: AskedToStop | undefined
  private readonly follower: Follower
  private epoch = 0
  private generation = 0
  private started = 0
  private lastCare = 0
  private lastBeat = 0
  /** Epochs wait for their commit since then; and the last one that was committed. */
  private waitsSince: number | undefined
  private committed = 0
  /** `end` is written. */
  private ended = false
  /** A sink has said that it is there. */
  private hasSink = false
  /** Stages go by the clock. */
  private ticks = false
  /** The stages behind it are processes of their own. */
  private readonly isProcess: boolean

  /** @param io its `frames` are the stages behind it, where they are in this process; `asked` is for those that are not */
  constructor(
    store: Store,
    plan: EpochPlan,
    io: Pick<ToolIo, 'say' | 'frames' | 'behind' | 'wrote'> & { readonly asked?: AskedToStop | undefined },
  ) {
    const { say, frames, behind } = io
    this.isProcess = frames === undefined
    this.output = frames ?? new SourcePipe(undefined, io.asked, io.wrote)
    this.behind = behind
    this.asked = io.asked
    this.store = store
    this.plan = plan
    this.say = say
    this.follower = new Follower(store)
  }

  /** @throws BeckError fenced, when the pipe's reader ends before the last epoch is committed; NothingToDo */
  async run(): Promise<void> {
    try {
      const pipeline = await this.claim()
      if (pipeline) await this.stream(pipeline)
      // The next stage would take an empty pipe for one without frames.
      else if (this.isProcess) throw new NothingToDo()
    } finally {
      this.follower.stop()
    }
  }

  /** Waits for our turn. Undefined: another run is at work, and nobody waits any more. */
  private async claim(): Promise<PipelineState | undefined> {
    const { store, plan } = this
    for (let told = false; ;) {
      const { started, pipeline } = startRun(store, plan.group, this.offsets(plan.from), {
        group: processGroup(),
        sessionMs: plan.sessionMs,
      })
      if (started) return pipeline
      const who = `the pipeline "${plan.group}" is run by process ${pipeline.owner.pid}`
      if (!plan.wait) {
        this.say(`${who}: nothing to do`)
        return undefined
      }
      if (!told) this.say(`${who}: waiting to take over`)
      told = true
      while (isRunning(store, plan.group)) {
        if (this.output.stopped) return undefined
        await this.follower.wait(CARE_MS)
      }
    }
  }

  /** Begins or ends of all partitions. */
  private offsets(which: 'earliest' | 'latest'): Map<PartitionName, Offset> {
    const offsets = new Map<PartitionName, Offset>()
    for (const topic of this.plan.topics) {
      for (const [p, { start, next }] of (this.store.state.topics.get(topic)?.partitions ?? []).entries()) {
        offsets.set(partitionName(topic, p), which === 'earliest' ? start : next)
      }
    }
    return offsets
  }

  private async stream(pipeline: PipelineState): Promise<void> {
    this.asked?.listen()
    this.generation = pipeline.generation
    this.epoch = pipeline.epoch
    this.started = Date.now()
    try {
      await this.write(pipeline.prepared ? await this.resolved(pipeline) : pipeline)
    } catch (error) {
      if (!(error instanceof ReaderGone)) throw error
      // A pipe may close behind `end`, when all is done; the sink may still be at it.
      if (!this.ended || this.output.failed) throw this.notCommitted('the next stage of the pipe has ended')
      for (const since = Date.now(); !this.isCommitted(); await this.follower.wait(CARE_MS)) {
        this.watchSink('closed')
        // A shell that holds the pipe open, as one in <( ) does, keeps the stages behind it waiting.
        if (Date.now() - since > SINK_MS) throw this.notCommitted('the next stage of the pipe has ended')
      }
    }
  }

  /** An earlier run has left an epoch of which an outside system alone knows whether it is committed: the sink asks it. */
  private async resolved(pipeline: PipelineState): Promise<PipelineState> {
    await this.output.frame(this.start(pipeline))
    for (let now: PipelineState | undefined = pipeline; ; now = pipelineOf(this.store, this.plan.group)) {
      this.care()
      if (now && !now.prepared) {
        this.epoch = now.epoch
        return now
      }
      await this.follower.wait(CARE_MS)
      this.store.refresh()
    }
  }

  private start({ generation, epoch, handles, prepared }: PipelineState): StartFrame {
    return {
      kind: 'start',
      store: resolve(this.store.folder),
      group: this.plan.group,
      generation,
      epoch,
      level: this.plan.level,
      stages: ['consume'],
      states: 0,
      // The stages that wrote them check what they get back.
      handles: handles as readonly (StateHandle | null)[],
      drain: this.plan.drain,
      ...(prepared && { resolve: prepared.epoch }),
    }
  }

  private async write(pipeline: PipelineState): Promise<void> {
    const { plan, store } = this
    // Read after the generation has moved on: a sink of an earlier run cannot change them any more.
    const ends = this.offsets('latest')
    const committed = store.state.group(plan.group).offsets
    const from = new Map([...ends].map(([name, end]) => [name, committed.get(name) ?? end]))
    const first = new Replay(store, {
      from,
      until: plan.follow ? undefined : ends,
      policy: plan.policy,
      ...(plan.limit !== undefined && { limit: plan.limit }),
    })
    try {
      await this.writeEpochs(first, pipeline)
    } finally {
      first.close()
    }
  }

  /** Partitions that topics have got meanwhile are read too, from their beginning. */
  private withNewPartitions(source: Replay): Replay {
    const known = source.offsets()
    const all = this.offsets('earliest')
    if (all.size === known.size) return source
    source.close()
    return new Replay(this.store, { from: new Map([...all, ...known]), until: undefined, policy: this.plan.policy })
  }

  private async writeEpochs(from: Replay, pipeline: PipelineState): Promise<void> {
    const { plan, output } = this
    await output.frame(this.start(pipeline))
    const source = await this.records(from)
    const drain = plan.drain && !output.stopped
    const hasState = pipeline.handles.some((handle) => handle !== null)
    if (output.count > 0 || (drain && (this.epoch > pipeline.epoch || hasState))) await this.barrier(source, drain)
    await output.frame({ kind: 'end', epoch: this.epoch, records: output.takeCount(), drained: drain })
    this.ended = true
    for (const since = Date.now(); !this.isCommitted(); await this.follower.wait(CARE_MS)) {
      this.care()
      // Not before: records whose `start` was swallowed would come to a sink that cannot find us at the other end.
      if (this.hasSink && Date.now() - since > HELD_MS) output.close?.()
    }
  }

  /** Records and barriers, until there is no more to come. Returns what was read from at last. */
  private async records(from: Replay): Promise<Replay> {
    const { plan, output } = this
    let source = from
    let since = Date.now()
    let bytes = 0
    while (!source.done && !output.stopped) {
      const step = source.next()
      if (step && 'lines' in step) {
        await output.write(step.lines, step.records)
        bytes += step.lines.length
      } else if (!plan.follow) return source
      else {
        await output.flush()
        await this.follower.wait(CARE_MS)
        if (plan.limit === undefined) source = this.withNewPartitions(source)
      }
      const isDue = output.count > 0 || this.ticks
      if (isDue && (bytes >= EPOCH_BYTES || Date.now() - since >= plan.checkpointMs)) {
        await this.barrier(source, false)
        bytes = 0
        since = Date.now()
      } else if (!isDue) since = Date.now()
      this.care(source)
    }
    return source
  }

  /** Records that are not read yet. */
  private lag(source: Replay): number {
    let records = 0
    for (const [name, end] of this.offsets('latest')) records += Math.max(0, end - (source.offsets().get(name) ?? 0))
    return records
  }

  private async barrier(source: Replay, drain: boolean): Promise<void> {
    this.waitsSince ??= Date.now()
    await this.output.frame({
      kind: 'barrier',
      epoch: ++this.epoch,
      records: this.output.takeCount(),
      offsets: Object.fromEntries(source.offsets()),
      handles: [],
      drain,
    })
  }

  /** Now and then: is the next stage there, is the sink, and are we still meant? @throws BeckError fenced, frames; ReaderGone */
  private care(source?: Replay): void {
    const { store, plan } = this
    const now = Date.now()
    if (now - this.lastCare < CARE_MS) return
    this.lastCare = now
    store.refresh()
    if (source && this.behind) this.behind(this.lag(source))
    const { epoch } = checkRun(store, { name: plan.group, generation: this.generation })
    if (epoch >= this.epoch) this.waitsSince = undefined
    else if (epoch > this.committed) this.waitsSince = now
    this.committed = epoch
    this.output.alive()
    // A later stage may hang, too: as long as nothing is committed, this run is not well, however lively its source is.
    const isWell = this.waitsSince === undefined || now - this.waitsSince < (plan.sessionMs ?? Infinity)
    if (plan.sessionMs !== undefined && isWell && now - this.lastBeat >= plan.sessionMs / 4) {
      this.lastBeat = now
      beat(store, plan.group, this.generation)
    }
    this.watchSink('open')
  }

  /** @throws BeckError frames, when nobody is there who could commit */
  private watchSink(pipe: 'open' | 'closed'): void {
    const sink = sinkOf(this.store, this.plan.group, this.generation)
    const alive = sink?.alive
    this.ticks = sink?.ticks ?? false
    this.hasSink = sink !== undefined
    if (alive === false && !this.isCommitted()) throw this.notCommitted('the stage that commits has ended')
    // Stages leave after the sink alone.
    if (alive === undefined && pipe === 'closed') throw this.notCommitted('the next stage of the pipe has ended')
    if (alive === undefined && Date.now() - this.started > SINK_MS) {
      throw this.notCommitted(
        'no stage has taken up the control frames of this pipe, so that nothing would be committed',
        'end the pipe with beck append TOPIC, beck into TARGET or beck commit; what stands between must be beck commands, which hand control frames on: grep and head do not, nor does jq unless it passes every line on at once (--unbuffered), but beck via -- jq … does',
      )
    }
  }

  /** Whether the journal has the last epoch. @throws BeckError fenced */
  private isCommitted(): boolean {
    this.store.refresh()
    return checkRun(this.store, { name: this.plan.group, generation: this.generation }).epoch >= this.epoch
  }

  private notCommitted(problem: string, hint?: string): BeckError {
    const { epoch = 0 } = checkRun(this.store, { name: this.plan.group, generation: this.generation })
    return new BeckError('frames', {
      problem: `${problem}; pipeline "${this.plan.group}" stands at epoch ${epoch}, and epoch ${Math.max(this.epoch, epoch + 1)} is not committed`,
      hint,
    })
  }
}
