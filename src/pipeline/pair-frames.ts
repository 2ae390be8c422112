import { realpathSync } from 'node:fs'
import { BeckError } from '../core/errors.ts'
import type { Collector } from '../core/operator.ts'
import type { PairOperator, PairStage } from '../core/spec.ts'
import type { FramedOutput } from './framed-output.ts'
import { refuseFileOutput, tableInPipe } from './framed-stage.ts'
import {
  type BarrierFrame,
  cutOff,
  type EndFrame,
  FrameOrder,
  type OtherEpoch,
  type OtherSource,
  type StartFrame,
  type StateHandle,
} from './frames.ts'
import { type FrameTaker, unwelcome } from './reader.ts'
import type { RunSettings } from './settings.ts'
import { KeptState, type Marks, otherState } from './kept-state.ts'
import type { SideFiles } from './side-files.ts'
import type { Content } from './table-content.ts'

/** What of an input belongs to the last barrier that went on. */
type Standing = Pick<BarrierFrame, 'epoch' | 'sourceEpoch' | 'offsets' | 'handles' | 'others'>

interface Side {
  start: StartFrame | undefined
  order: FrameOrder | undefined
  standing: Standing
  /** A barrier that waits for the other input's. */
  held: BarrierFrame | undefined
  /** Records since the last barrier that went on. */
  records: number
  /** Bytes of the input before its last barrier. */
  position: number
  ended: boolean
  drained: boolean
  release: () => void
}

/** An input has control frames, or it is a pipe without them, or something that is there as a whole. */
export type InputKind = 'frames' | 'pipe' | 'file'

/** What a run lends for its two inputs. */
export interface PairRun {
  readonly out: Collector
  readonly output: FramedOutput
  readonly sides: SideFiles
  /** The next stage is in this process. */
  readonly inside: boolean
  /** Lets the other input go on while this one waits. */
  wait<Result>(port: 0 | 1, promise: Promise<Result>): Promise<Result>
  /** Has the input's pipe read on into memory or a file from now until `release`: who writes it may write the other one, too. */
  spill(port: 0 | 1): void
  release(port: 0 | 1): void
  /** What the inputs are, once that is known. */
  readonly inputs: readonly [Promise<InputKind>, Promise<InputKind>]
  /** The table has been read whole, where it has no frames. */
  readonly tableIsRead: Promise<Content>
}

/**
 * An operator of two inputs in an exactly-once pipe. Both are pipelines of their own, and go on as one:
 *
 *     left   ── barrier 5 ──────────── barrier 6 ─────────┐ one stream: of the left group, with barriers numbered anew, each of which
 *     right  ───────── barrier 3 ── barrier 4 ────────────┘ says how far both sources are
 *
 * The input whose barrier came first is not read until the other's comes; one that has sent nothing since its last barrier is there
 * already, and so is one that has ended. Where both come from one source (a diamond) the same barrier has to come on both ways, and what
 * the one that waits has to say is read meanwhile, since its writer may have to get rid of it before it writes the other.
 */
export class PairFrames {
  readonly #operator: PairOperator
  readonly #snapshots: PairStage['snapshots']
  readonly #follows: boolean
  readonly #settings: RunSettings
  readonly #run: PairRun
  readonly #sides: readonly [Side, Side] = [newSide(), newSide()]
  readonly #begun: Promise<void>
  #begin: () => void = () => {}
  #kept: KeptState | undefined
  #generation = 0
  #epoch = 0
  #diamond = false
  #written = false

  constructor(operator: PairOperator, { snapshots, follow = false }: PairStage, settings: RunSettings, run: PairRun) {
    this.#operator = operator
    this.#snapshots = snapshots
    this.#follows = follow
    this.#settings = settings
    this.#run = run
    this.#begun = new Promise((resolve) => (this.#begin = resolve))
  }

  count(port: 0 | 1, records: number): void {
    this.#sides[port].records += records
  }

  taker(port: 0 | 1): FrameTaker {
    return {
      resolve: (frame) => {
        this.#run.output.frame({ ...frame, stages: [...frame.stages, this.#settings.stage.name] })
        this.#written = true
      },
      start: (frame) => this.#start(port, frame),
      watermark: (frame) => this.#orderOf(port).take(frame, 0),
      barrier: (frame, records, position) => this.#barrier(port, frame, records, position),
      end: (frame, records) => this.#end(port, frame, records),
      alive: () => this.#written && this.#run.output.alive(),
      finish: (records) => this.#orderOf(port).finish(records),
    }
  }

  #orderOf(port: 0 | 1): FrameOrder {
    const { order } = this.#sides[port]
    if (!order) throw cutOff()
    return order
  }

  async #start(port: 0 | 1, frame: StartFrame): Promise<number> {
    const side = this.#sides[port]
    side.order?.take(frame, 0)
    const { name } = this.#settings.stage
    if (!this.#snapshots) {
      throw unwelcome(
        `beck ${name} cannot take part in it with these options: what it holds would not survive a restart`,
      )
    }
    if (!this.#run.inside) refuseFileOutput(name)
    side.start = frame
    side.order = new FrameOrder(frame, name)
    side.standing = standingOf(frame)
    const [left, right] = this.#sides
    const other = await this.#run.wait(port, this.#run.inputs[1 - port] as Promise<InputKind>)
    if (other !== 'frames' && port === 1) {
      throw unwelcome('the left side has no control frames: it has to come from consume, too')
    }
    if (other !== 'frames' && this.#follows) {
      throw unwelcome(
        `a TABLE that goes on needs offsets of its own: beck ${name} <(beck consume NAME --group GROUP --exactly-once --follow) …`,
      )
    }
    if (other === 'pipe') throw tableInPipe(name)
    if (other === 'file') {
      // It is there as a whole before the first record of the left side.
      const table = await this.#run.wait(0, this.#run.tableIsRead)
      right.ended = right.drained = true
      this.#together(frame, undefined, table)
    } else if (left.start && right.start && !this.#kept) this.#together(left.start, right.start)
    await this.#run.wait(port, this.#begun)
    return side.position
  }

  /** Both inputs have begun: takes up what an earlier run has kept, and hands on one `start`. */
  #together(left: StartFrame, right: StartFrame | undefined, table?: Content): void {
    const { name } = this.#settings.stage
    const { output, sides } = this.#run
    if (right) this.#check(left, right)
    this.#diamond = right?.group === left.group
    this.#generation = left.generation
    this.#epoch = left.epoch
    const others = [...(left.others ?? []), ...(right && !this.#diamond ? otherSources(right, name) : [])]
    const states = Math.max(left.states, this.#diamond && right ? right.states : 0)
    this.#kept = new KeptState(this.#operator, this.#snapshots || undefined, this.#settings, { sides, table })
    const marks = this.#kept.restore(left, states)
    if (marks) this.#take(left, marks, [left, ...others])
    const stages = [...left.stages, name]
    const ticks = left.ticks || right?.ticks
    output.frame({
      ...left,
      stages,
      states: states + 1,
      ...(ticks && { ticks }),
      ...(others.length > 0 && { others }),
    })
    this.#written = true
    this.#begin()
  }

  #check(left: StartFrame, right: StartFrame): void {
    const refuse = (problem: string, hint: string): BeckError => new BeckError('usage', { problem, hint })
    if (realpathSync(left.store) !== realpathSync(right.store)) {
      throw refuse(
        `the two inputs are of two stores, ${left.store} and ${right.store}, and only one store can commit both as one`,
        'keep both topics in one store',
      )
    }
    if (left.level !== right.level || (left.drain ?? false) !== (right.drain ?? false)) {
      const what = left.level === right.level ? '--drain' : `--${left.level}`
      throw refuse(`only one of the two inputs has ${what}`, 'give both consume commands the same options')
    }
    const groups = [left, ...(left.others ?? [])].map(({ group }) => group)
    const twice = [right, ...(right.others ?? [])].find(({ group }) => groups.includes(group))
    if (twice && !(groups.length === 1 && !right.others && left.generation === right.generation)) {
      throw refuse(`both inputs are of the group "${twice.group}"`, 'give each consume a --group of its own')
    }
  }

  /** Sees that the state is of these sources, as of their committed epochs. */
  #take(left: StartFrame, { sources: known = [], positions }: Marks, sources: NonNullable<Marks['sources']>): void {
    const differs = sources.some(({ group, epoch }, index) => {
      const there = known[index]
      return there?.group !== group || there.epoch !== epoch
    })
    if (differs || known.length !== sources.length) {
      const listed = (all: typeof sources): string =>
        all.map(({ group, epoch }) => `"${group}" (epoch ${epoch})`).join(' and ')
      throw otherState(
        left,
        `beck ${this.#settings.stage.name} has joined ${listed(known)}, and now come ${listed(sources)}`,
      )
    }
    this.#sides[0].position = positions[0] ?? 0
    this.#sides[1].position = positions[1] ?? 0
  }

  async #barrier(port: 0 | 1, frame: BarrierFrame, records: number, position: number): Promise<void> {
    const side = this.#sides[port]
    this.#orderOf(port).take(frame, records)
    side.held = frame
    side.position = position
    this.#align()
    if (!this.#isHeld(side)) return
    const released = new Promise<void>((resolve) => (side.release = resolve))
    if (this.#diamond) this.#run.spill(port)
    await this.#run.wait(port, released)
    this.#run.release(port)
  }
  #isHeld({ held }: Side): boolean {
    return held !== undefined
  }

  #end(port: 0 | 1, frame: EndFrame, records: number): 'stay' {
    const side = this.#sides[port]
    this.#orderOf(port).take(frame, records)
    side.ended = true
    side.drained ||= frame.drained
    this.#align()
    const { output } = this.#run
    if (this.#sides.every(({ ended }) => ended)) {
      const drained = this.#sides.every(({ drained }) => drained)
      output.frame({ kind: 'end', epoch: this.#epoch, records: output.takeCount(), drained })
    }
    return 'stay'
  }

  /** Hands a barrier on, if both inputs have come to one. */
  #align(): void {
    const [left, right] = this.#sides
    if (!left.held && !right.held) return
    if (!this.#isThere(left, right) || !this.#isThere(right, left)) return
    for (const side of this.#sides) {
      if (!side.held) continue
      side.standing = side.held
      side.drained ||= side.held.drain
    }
    const drain = left.drained && right.drained
    if (drain) this.#drain()
    this.#epoch++
    const { output } = this.#run
    const before = this.#diamond ? sharedHandles(left, right) : left.standing.handles
    const frame: BarrierFrame = {
      kind: 'barrier',
      ...this.#sources(),
      epoch: this.#epoch,
      records: 0,
      handles: [...before, this.#snapshot(drain)],
      drain,
    }
    output.frame({ ...frame, records: output.takeCount() })
    for (const side of this.#sides) {
      side.records = 0
      side.held = undefined
      side.release()
    }
  }

  #drain(): void {
    const { out } = this.#run
    this.#operator.onEndOf?.(0, out)
    this.#operator.onEndOf?.(1, out)
    this.#operator.onEnd?.(out)
  }

  #isThere(side: Side, other: Side): boolean {
    if (side.held || side.ended) return true
    // Before the last barrier of all, the other's last records have to come.
    return !this.#diamond && side.records === 0 && !other.held?.drain
  }

  /** How far the sources are. */
  #sources(): Pick<BarrierFrame, 'offsets' | 'sourceEpoch' | 'others'> {
    const [left, right] = this.#sides
    const { standing, start } = right
    const own: readonly OtherEpoch[] = start && !this.#diamond ? [{ group: start.group, ...first(standing) }] : []
    const others = [...(left.standing.others ?? []), ...own, ...(this.#diamond ? [] : (standing.others ?? []))]
    const { offsets, epoch } = first(left.standing)
    return { offsets, sourceEpoch: epoch, ...(others.length > 0 && { others }) }
  }

  #snapshot(drain: boolean): StateHandle | null {
    const [left, right] = this.#sides
    const { sourceEpoch, others = [] } = this.#sources()
    const sources = [{ group: left.start?.group ?? '', epoch: sourceEpoch ?? 0 }]
    for (const { group, epoch } of others) sources.push({ group, epoch })
    const at = { generation: this.#generation, epoch: this.#epoch }
    return this.#kept?.write(at, { positions: [left.position, right.position], sources }, drain) ?? null
  }
}

const newSide = (): Side => ({
  start: undefined,
  order: undefined,
  standing: { epoch: 0, offsets: {}, handles: [] },
  held: undefined,
  records: 0,
  position: 0,
  ended: false,
  drained: false,
  release: () => {},
})

const padded = (handles: readonly (StateHandle | null)[], states: number): (StateHandle | null)[] =>
  Array.from({ length: states }, (_, index) => handles[index] ?? null)

/** Where an input stands before its first barrier: at what was committed. */
function standingOf({ epoch, handles, states, others }: StartFrame): Standing {
  return {
    epoch,
    offsets: {},
    handles: padded(handles, states),
    ...(others && {
      others: others.map((other) => ({ ...other, offsets: {}, handles: padded(other.handles, other.states) })),
    }),
  }
}

/** What a standing says of its first source. */
const first = ({ epoch, sourceEpoch, offsets, handles }: Standing): Omit<OtherEpoch, 'group'> => ({
  epoch: sourceEpoch ?? epoch,
  offsets,
  handles,
})

/** The sources of the right input. @throws BeckError usage, when one keeps state of more stages than there are */
function otherSources(right: StartFrame, name: string): OtherSource[] {
  const { group, generation, epoch, stages, states, handles, others = [] } = right
  if (epoch > 0 && handles.length !== states) {
    throw otherState(right, `its committed state is of ${handles.length} stages that keep state, and now ${states} do`)
  }
  return [{ group, generation, epoch, stages: [...stages, name], states, handles }, ...others]
}

/** In a diamond both ways share the stages before they part. @throws BeckError frames, usage */
function sharedHandles(left: Side, right: Side): readonly (StateHandle | null)[] {
  const [a, b] = [left.standing, right.standing]
  if (a.epoch !== b.epoch) {
    throw new BeckError('frames', { problem: `barrier ${a.epoch} came on one way and barrier ${b.epoch} on the other` })
  }
  const [short, long] = a.handles.length < b.handles.length ? [a.handles, b.handles] : [b.handles, a.handles]
  if (short.some((handle, index) => handle?.file !== long[index]?.file)) {
    throw new BeckError('usage', {
      problem: 'both ways from one source to a join have stages that keep state',
      hint: 'keep state on one of them only; or give each way a consume with a --group of its own',
    })
  }
  return long
}
