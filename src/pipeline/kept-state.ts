import { createHash } from 'node:crypto'
import { BeckError } from '../core/errors.ts'
import type { Operator } from '../core/operator.ts'
import { realEnv } from '../log/env.ts'
import type { StartFrame, StateHandle } from './frames.ts'
import type { RunSettings } from './settings.ts'
import type { SideFiles, SideState } from './side-files.ts'
import { readStateAhead, type Snapshots, type StatePlace, StageState } from './snapshot.ts'
import { changedTable, type Content } from './table-content.ts'

/** What belongs to a snapshot beside the operator's own state: positions of its inputs, and what of the sources is in it. */
export interface Marks {
  readonly positions: readonly number[]
  readonly sources?: readonly { readonly group: string; readonly epoch: number }[]
}

interface Kept extends Marks {
  readonly table: Content | undefined
  readonly sides: readonly SideState[]
  readonly state: unknown
}

/** In place of a command line's: the stage has given out what it held, and any command line can go on. Only its files remain. */
const DRAINED = 'drained'

/** All that a stage keeps from one epoch to the next: its operator's state, which table it has joined, how far its side files are. */
export class KeptState {
  readonly #operator: Operator
  readonly #snapshots: Snapshots | undefined
  readonly #settings: RunSettings
  readonly #table: Content | undefined
  readonly #sides: SideFiles
  #place: StatePlace | undefined
  #stage = ''
  #state: StageState | undefined
  /** Files that are read already. */
  #ahead: Map<string, Buffer> | undefined
  /** What was written last, where the operator has no state. */
  #last: { readonly handle: StateHandle; readonly sides: readonly SideState[] } | undefined

  constructor(
    operator: Operator,
    snapshots: Snapshots | undefined,
    settings: RunSettings,
    { sides, table }: { readonly sides: SideFiles; readonly table: Content | undefined },
  ) {
    this.#operator = operator
    this.#snapshots = snapshots
    this.#settings = settings
    this.#sides = sides
    this.#table = table
  }

  /** Whether there is nothing to keep. */
  get isEmpty(): boolean {
    return !this.#snapshots && !this.#table && this.#sides.isEmpty
  }

  /**
   * Before `restore` of the same: where the state is large, other threads read it while the operator makes room. Undefined where it is not, or
   * will be refused.
   */
  readAhead(start: StartFrame, index: number): Promise<void> | undefined {
    const handle = start.handles[index]
    if (!handle || !this.#snapshots || handle.options !== digest(this.#settings.stage.options)) return undefined
    const reading = readStateAhead(placeOf(start), handle)
    if (handle.sizes) this.#operator.makeRoom?.(handle.sizes)
    return reading?.then((files) => void (this.#ahead = files))
  }

  /** Takes up what an earlier run has kept. @param index of the stage among those with state @throws BeckError frames, usage, file */
  restore(start: StartFrame, index: number): Marks | undefined {
    const { name, options } = this.#settings.stage
    const operator = this.#operator
    this.#place = placeOf(start)
    this.#stage = `${index}-${name}`
    const open = (): StageState => new StageState(placeOf(start), this.#stage, digest(options), this.#snapshots ?? true)
    this.#state = open()
    const handle = start.handles[index]
    if (handle === undefined && start.epoch > 0) throw otherState(start, `it has no state for beck ${name}`)
    const isDrained = handle?.options === DRAINED
    if (handle && !isDrained && handle.options !== digest(options)) {
      throw otherState(start, `the options of beck ${name} were different`)
    }
    let last: Kept | undefined
    const ahead = this.#ahead
    this.#ahead = undefined
    const states = function* (from: StageState): Generator<unknown> {
      for (const block of handle ? from.read(handle, ahead) : []) {
        // As `write` has written it: the CRC was checked.
        last = block as Kept
        yield last.state
      }
    }
    if (this.#snapshots && !isDrained) {
      if (handle?.sizes) operator.makeRoom?.(handle.sizes)
      operator.restore?.(states(this.#state))
    } else {
      for (const _ of states(open()));
      operator.restore?.([])
    }
    const isOther = last && !isDrained && changedTable(last.table, this.#table)
    if (isOther && (this.#snapshots || !this.#settings.newTable)) throw otherTable(start, name, !this.#snapshots)
    this.#sides.restore(last?.sides ?? [], isOther ?? true)
    if (handle && last && !this.#snapshots && !isDrained && !isOther) this.#last = { handle, sides: last.sides }
    return isDrained ? undefined : last
  }

  /** Keeps the state of an epoch. Null when nothing is left. @throws BeckError disk-full, store, frames, file */
  write(
    at: { readonly generation: number; readonly epoch: number },
    marks: Marks,
    isDrained: boolean,
  ): StateHandle | null {
    const operator = this.#operator
    const table = this.#table
    const sides = this.#sides.sync()
    if (isDrained) {
      if (sides.length === 0) return null
      const state = new StageState(this.#place as StatePlace, this.#stage, DRAINED, true)
      return state.write(at, (): Kept => ({ positions: [], table: undefined, sides, state: undefined }))
    }
    const state = this.#state as StageState
    if (this.#snapshots) {
      const take = (whole: boolean): Kept => ({ ...marks, table, sides, state: operator.snapshot?.(whole) })
      const handle = state.write(at, take, operator.mustSnapshotWhole?.())
      const sizes = operator.sizes?.()
      return sizes ? { ...handle, sizes } : handle
    }
    if (this.#last && same(this.#last.sides, sides)) return this.#last.handle
    const handle = state.write(at, (): Kept => ({ positions: [], table, sides, state: undefined }))
    this.#last = { handle, sides }
    return handle
  }
}

const same = (a: readonly SideState[], b: readonly SideState[]): boolean =>
  a.length === b.length && a.every(({ path, bytes }, index) => b[index]?.path === path && b[index].bytes === bytes)

const placeOf = ({ store, group }: StartFrame): StatePlace => ({ env: realEnv, store, pipeline: group })

/** Command lines are long, and may hold what is nobody's business in a journal. */
const digest = (options: string): string => createHash('sha256').update(options).digest('hex').slice(0, 32)

/** A table has changed since its state was written. */
const otherTable = ({ group }: StartFrame, name: string, isFree: boolean): BeckError =>
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
