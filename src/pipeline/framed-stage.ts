import { createHash } from 'node:crypto'
import { fstatSync } from 'node:fs'
import { BeckError } from '../core/errors.ts'
import type { Collector, Operator } from '../core/operator.ts'
import type { OperatorStage, Sink } from '../core/spec.ts'
import { realEnv } from '../log/env.ts'
import type { FramedOutput } from './framed-output.ts'
import {
  type BarrierFrame,
  type EndFrame,
  FrameOrder,
  type StartFrame,
  type StateHandle,
  type WatermarkFrame,
} from './frames.ts'
import { type FrameTaker, unwelcome } from './reader.ts'
import type { RunSettings } from './settings.ts'
import { type Snapshots, type StatePlace, StageState } from './snapshot.ts'
import { changedTable, type Content } from './table-content.ts'

/** An operator in an exactly-once pipe: hands frames on, between its records. */
export class OperatorFrames implements FrameTaker {
  readonly #operator: Operator
  /** `table`: only which table its records are joined with. */
  readonly #keeps: 'nothing' | 'table' | Snapshots | undefined
  /** The same for each epoch, where only a table is kept. */
  #handle: StateHandle | undefined
  readonly #settings: RunSettings
  readonly #out: Collector
  readonly #output: FramedOutput
  #order: FrameOrder | undefined
  /** A first frame has been handed on. */
  #begun = false
  /** How many stages before this one keep state. */
  #before = 0
  #state: StageState | undefined

  constructor(
    operator: Operator,
    { parallel, snapshots }: Pick<OperatorStage, 'parallel' | 'snapshots'>,
    settings: RunSettings,
    { out, output }: { readonly out: Collector; readonly output: FramedOutput },
  ) {
    this.#operator = operator
    const stateless = settings.table === undefined ? 'nothing' : 'table'
    this.#keeps = parallel === 'stateless' ? stateless : snapshots || undefined
    this.#settings = settings
    this.#out = out
    this.#output = output
  }

  resolve(frame: StartFrame): void {
    this.#output.frame({ ...frame, stages: [...frame.stages, this.#settings.stage.name] })
    this.#begun = true
  }

  start(frame: StartFrame): number {
    this.#order?.take(frame, 0)
    const { name } = this.#settings.stage
    if (!this.#keeps) {
      throw unwelcome(
        `beck ${name} cannot take part in it with these options: what it holds would not survive a restart`,
      )
    }
    if (this.#settings.table === 'pipe') throw tableInPipe(name)
    refuseSideOutputs(this.#settings)
    refuseFileOutput(name)
    const keeps = this.#keeps !== 'nothing'
    const position = this.#keeps === 'nothing' ? 0 : this.#restore(frame, this.#keeps === 'table' || this.#keeps)
    this.#order = new FrameOrder(frame, name)
    this.#before = frame.states
    this.#output.frame({ ...frame, stages: [...frame.stages, name], states: frame.states + (keeps ? 1 : 0) })
    this.#begun = true
    return position
  }

  /** Takes up what an earlier run has kept. Returns how much input that has seen. */
  #restore(frame: StartFrame, snapshots: Snapshots): number {
    const { name, options } = this.#settings.stage
    const state = new StageState(placeOf(frame), `${frame.states}-${name}`, digest(options), snapshots)
    this.#state = state
    const handle = frame.handles[frame.states]
    if (handle === undefined && frame.epoch > 0) throw otherState(frame, `it has no state for beck ${name}`)
    if (!handle) {
      this.#operator.restore?.([])
      return 0
    }
    if (handle.options !== digest(options)) throw otherState(frame, `the options of beck ${name} were different`)
    let position = 0
    let table: Content | undefined
    const states = function* (): Generator<unknown> {
      for (const block of state.read(handle)) {
        // As `barrier` has written it: the CRC was checked.
        const kept = block as Kept
        position = kept.position
        table = kept.table
        yield kept.state
      }
    }
    if (this.#keeps === 'table') for (const _ of states()) this.#handle = handle
    else this.#operator.restore?.(states())
    if (changedTable(table, this.#table)) {
      const isFree = this.#keeps === 'table'
      if (!isFree || !this.#settings.newTable) throw otherTable(frame, name, isFree)
      this.#handle = undefined
    }
    return position
  }

  watermark(frame: WatermarkFrame): void {
    this.#take(frame, 0)
    this.#operator.onWatermark?.(frame.time, this.#out)
    this.#output.frame(frame)
  }

  barrier(frame: BarrierFrame, records: number, position: number): void {
    this.#take(frame, records)
    if (frame.drain) this.#operator.onEnd?.(this.#out)
    const handles = this.#state ? [...frame.handles, this.#snapshot(frame, position, this.#state)] : frame.handles
    this.#output.frame({ ...frame, handles, records: this.#output.takeCount() })
  }

  #snapshot(frame: BarrierFrame, position: number, state: StageState): StateHandle | null {
    const { start } = this.#order as FrameOrder
    const { name } = this.#settings.stage
    if (frame.handles.length !== this.#before) {
      throw new BeckError('frames', {
        problem: `barrier ${frame.epoch} came to ${name} with the state of ${frame.handles.length} stages, and ${this.#before} before it keep some`,
      })
    }
    if (frame.drain) return null
    const at = { generation: start.generation, epoch: frame.epoch }
    const table = this.#table
    if (this.#keeps === 'table') {
      return (this.#handle ??= state.write(at, (): Kept => ({ position: 0, table, state: null })))
    }
    const take = (whole: boolean): Kept => ({ position, table, state: this.#operator.snapshot?.(whole) })
    return state.write(at, take, this.#operator.mustSnapshotWhole?.())
  }

  get #table(): Content | undefined {
    const { table } = this.#settings
    return table === 'pipe' ? undefined : table
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

/** What a snapshot holds: positions of records go on where they were. */
interface Kept {
  readonly position: number
  readonly table: Content | undefined
  readonly state: unknown
}

export const placeOf = ({ store, group }: StartFrame): StatePlace => ({ env: realEnv, store, pipeline: group })

/** Command lines are long, and may hold what is nobody's business in a journal. */
export const digest = (options: string): string => createHash('sha256').update(options).digest('hex').slice(0, 32)

/** The very first line was torn. */
export const cutOff = (): BeckError =>
  new BeckError('frames', { problem: 'the pipe ended within its first line; nothing is committed' })

/** Files beside the output start anew with every run: what an earlier run kept would be lost. @throws BeckError usage */
export function refuseSideOutputs({ deadLetter }: RunSettings): void {
  if (deadLetter !== undefined) throw unwelcome('--dead-letter does not go with it yet: a restart would empty the file')
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

/** A table has changed since its state was written. */
export const otherTable = ({ group }: StartFrame, name: string, isFree: boolean): BeckError =>
  new BeckError('usage', {
    problem: `the TABLE of beck ${name} is not what it was in the last run of the pipeline "${group}"`,
    hint: isFree
      ? `give the old one back; or go on with the new one: beck ${name} --new-table …`
      : `give the old one back, as the state depends on it; or forget the state: beck pipeline reset ${group} --execute`,
  })

/** The command line has changed since its state was written. */
export const otherState = ({ group }: StartFrame, how: string): BeckError =>
  new BeckError('usage', {
    problem: `the pipeline "${group}" was run with another command line: ${how}`,
    hint: `give the old command line, or another --group; or forget the state: beck pipeline reset ${group} --execute`,
  })
