import { fstatSync } from 'node:fs'
import { BeckError } from '../core/errors.ts'
import type { Collector, Operator } from '../core/operator.ts'
import type { OperatorStage, Sink } from '../core/spec.ts'
import type { FrameOutput } from './framed-output.ts'
import {
  type BarrierFrame,
  cutOff,
  type EndFrame,
  FrameOrder,
  type StartFrame,
  type StateHandle,
  type WatermarkFrame,
} from './frames.ts'
import { type FrameTaker, unwelcome } from './reader.ts'
import type { RunSettings } from './settings.ts'
import { KeptState, type Marks, otherState } from './kept-state.ts'
import type { SideFiles } from './side-files.ts'

/** What an operator in an exactly-once pipe has around it. */
export interface OperatorSurroundings {
  readonly out: Collector
  readonly output: FrameOutput
  readonly sides: SideFiles
  /** The next stage is in this process. */
  readonly inside?: boolean
}

/** An operator in an exactly-once pipe: hands frames on, between its records. */
export class OperatorFrames implements FrameTaker {
  readonly #operator: Operator
  /** Undefined: what the operator holds would not survive. */
  readonly #kept: KeptState | undefined
  readonly #timers: boolean
  readonly #noFrames: OperatorStage['noFrames']
  readonly #settings: RunSettings
  readonly #out: Collector
  readonly #output: FrameOutput
  readonly #inside: boolean
  #order: FrameOrder | undefined
  /** A first frame has been handed on. */
  #begun = false
  /** How many stages before this one keep state. */
  #before = 0

  constructor(
    operator: Operator,
    {
      parallel,
      snapshots,
      noFrames,
      timers = false,
    }: Pick<OperatorStage, 'parallel' | 'snapshots' | 'noFrames' | 'timers'>,
    settings: RunSettings,
    { out, output, sides, inside = false }: OperatorSurroundings,
  ) {
    this.#operator = operator
    this.#timers = timers
    this.#noFrames = noFrames
    this.#settings = settings
    this.#out = out
    this.#output = output
    this.#inside = inside
    const { table } = settings
    const own = parallel === 'stateless' ? undefined : snapshots || undefined
    if (parallel === 'stateless' || own) {
      this.#kept = new KeptState(operator, own, settings, { sides, table: table === 'pipe' ? undefined : table })
    }
  }

  resolve(frame: StartFrame): void {
    this.#output.frame({ ...frame, stages: [...frame.stages, this.#settings.stage.name] })
    this.#begun = true
  }

  start(frame: StartFrame): number | Promise<number> {
    this.#order?.take(frame, 0)
    const { name } = this.#settings.stage
    if (!this.#kept) {
      const [why, way] = this.#noFrames ?? [
        `beck ${name} cannot take part in it with these options: what it holds would not survive a restart`,
      ]
      throw unwelcome(why, way)
    }
    if (this.#settings.table === 'pipe') throw tableInPipe(name)
    if (!this.#inside) refuseFileOutput(name)
    if (this.#kept.isEmpty) return this.#started(frame, undefined)
    const kept = this.#kept
    const restore = (): number => this.#started(frame, kept.restore(frame, frame.states))
    // Within a process the stages begin one after the other.
    const ahead = this.#inside ? undefined : kept.readAhead(frame, frame.states)
    return ahead?.then(restore) ?? restore()
  }

  #started(frame: StartFrame, marks: Marks | undefined): number {
    const { name } = this.#settings.stage
    this.#order = new FrameOrder(frame, name)
    this.#before = frame.states
    const states = frame.states + (this.#kept?.isEmpty ? 0 : 1)
    const ticks = this.#timers || frame.ticks
    this.#output.frame({ ...frame, stages: [...frame.stages, name], states, ...(ticks && { ticks }) })
    this.#begun = true
    return marks?.positions[0] ?? 0
  }

  watermark(frame: WatermarkFrame): void {
    this.#take(frame, 0)
    this.#operator.onWatermark?.(frame.time, this.#out)
    this.#output.frame(frame)
  }

  barrier(frame: BarrierFrame, records: number, position: number): void {
    this.#take(frame, records)
    // What comes out before a barrier is not committed before it, so there is nothing to be gained by looking at the clock more often.
    if (this.#timers) this.#operator.onTimer?.(Date.now(), this.#out)
    if (frame.drain) this.#operator.onEnd?.(this.#out)
    const handles = this.#kept?.isEmpty ? frame.handles : [...frame.handles, this.#snapshot(frame, position)]
    this.#output.frame({ ...frame, handles, records: this.#output.takeCount() })
  }

  #snapshot(frame: BarrierFrame, position: number): StateHandle | null {
    const { start } = this.#order as FrameOrder
    const { name } = this.#settings.stage
    if (frame.handles.length !== this.#before) {
      throw new BeckError('frames', {
        problem: `barrier ${frame.epoch} came to ${name} with the state of ${frame.handles.length} stages, and ${this.#before} before it keep some`,
      })
    }
    const at = { generation: start.generation, epoch: frame.epoch }
    return this.#kept?.write(at, { positions: [position] }, frame.drain) ?? null
  }

  end(frame: EndFrame, records: number): 'stay' {
    this.#take(frame, records)
    this.#output.frame({ ...frame, records: this.#output.takeCount() })
    return 'stay'
  }

  alive(): void {
    if (this.#begun) this.#output.alive()
  }

  finish(records: number): void {
    if (!this.#order) throw cutOff()
    this.#order.finish(records)
  }

  #take(frame: BarrierFrame | EndFrame | WatermarkFrame, records: number): void {
    if (!this.#order) throw cutOff()
    this.#order.take(frame, records)
  }
}

/** A sink has no state of its own in which the file could be committed. @throws BeckError usage */
export function refuseSideOutputs({ deadLetter, stage }: RunSettings): void {
  if (deadLetter === undefined) return
  throw unwelcome(
    `--dead-letter of beck ${stage.name} could not be committed with it: take bad records out before, with beck filter true --dead-letter ${deadLetter}`,
  )
}

/** A table that comes through a pipe may be cut off by the death of its writer. */
export const tableInPipe = (name: string): BeckError =>
  new BeckError('frames', {
    problem: `the TABLE of beck ${name} comes through a pipe without control frames, and whether all of it has come nobody can tell; nothing is committed`,
    hint: 'write it to a file first; or join two topics: beck join <(beck consume prices --group prices --exactly-once) …',
  })

/** Frames are for the next stage, never for people or files. @throws BeckError usage */
export function refuseFileOutput(name: string): void {
  const stat = fstatSync(1)
  const what = stat.isFile() ? 'a file' : stat.isCharacterDevice() ? 'a terminal or device' : undefined
  if (what) throw unwelcome(`beck ${name} writes to ${what}, where nothing commits`)
}

/** A sink at the end of an exactly-once pipe: every barrier is a commit. */
export class SinkFrames implements FrameTaker {
  readonly #sink: Sink
  readonly #settings: RunSettings
  #order: FrameOrder | undefined

  constructor(sink: Sink, settings: RunSettings) {
    this.#sink = sink
    this.#settings = settings
  }

  async resolve(frame: StartFrame): Promise<void> {
    const stages = [...frame.stages, this.#settings.stage.name]
    await this.#sink.epochs?.resolve({ ...frame, stages })
  }

  async start(frame: StartFrame): Promise<number> {
    this.#order?.take(frame, 0)
    const { name } = this.#settings.stage
    if (!this.#sink.epochs) throw unwelcome(`beck ${name} cannot commit for it`)
    if (frame.others && !this.#sink.epochs.joined) {
      throw unwelcome(
        `beck ${name} cannot commit two groups as one: end the join with append, and go on from its topic`,
      )
    }
    refuseSideOutputs(this.#settings)
    if (frame.epoch > 0 && frame.handles.length !== frame.states) {
      throw otherState(
        frame,
        `its committed state is of ${frame.handles.length} stages that keep state, and this command line has ${frame.states}`,
      )
    }
    const stages = [...frame.stages, name]
    this.#order = new FrameOrder(frame, name)
    await this.#sink.epochs.start({ ...frame, stages })
    return 0
  }

  watermark(frame: WatermarkFrame): void {
    this.#order?.take(frame, 0)
  }

  async barrier(frame: BarrierFrame, records: number): Promise<void> {
    const order = this.#order
    if (!order) throw cutOff()
    const { states } = order.start
    if (frame.handles.length !== states) {
      throw new BeckError('frames', {
        problem: `barrier ${frame.epoch} carries the state of ${frame.handles.length} stages, and ${states} keep some`,
      })
    }
    order.take(frame, records)
    await this.#sink.epochs?.commit(frame)
  }

  end(frame: EndFrame, records: number): 'leave' {
    this.#order?.take(frame, records)
    return 'leave'
  }

  alive(): void {}

  finish(records: number): void {
    if (!this.#order) throw cutOff()
    this.#order.finish(records)
  }
}
