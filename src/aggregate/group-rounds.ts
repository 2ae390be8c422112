import type { Collector, EndRound, SpillHandle, StageContext } from '../core/operator.ts'
import { PARTITIONS } from '../ndjson/key-parts.ts'
import { PositionRuns, type RunsState } from '../sort/position-runs.ts'
import { type Groups, SpilledGroups } from './spilled-groups.ts'

/** The groups in memory, as `GroupRounds` uses them: none before and after. */
export interface GroupsInMemory {
  size(): number
  /** How much of the memory they take: more than 1 is too much. */
  load(): number
  /** Takes in groups, adding to those that it has. */
  absorb(groups: Groups): void
  /** Writes all groups to disk, and keeps none. */
  spill(to: SpilledGroups): void
  /** The positions of all groups, ascending, and the lines of some in that order. */
  lines(): {
    readonly positions: Float64Array
    write(from: number, to: number, emit: (lines: Uint8Array) => void): void
  }
  clear(): void
}

/** The partitions from `first` on are put together; or all lines are put in order. Plain data. */
type Plan = { readonly cuts: Float64Array } & (
  | { readonly kind: 'groups'; readonly first: number; readonly partitions: readonly (readonly SpillHandle[])[] }
  | { readonly kind: 'lines'; readonly runs: readonly RunsState[] }
)

/** Of the memory, for several partitions at a time. */
const MOST_LOAD = 0.8

/**
 * From groups on disk to lines, in two rounds that threads can share. A partition's groups are put together, and their lines in the order of
 * their first records are a run; then the lines of all runs are put in order. Where runs are cut for that, the first of them tells, which one
 * thread makes before: it is chance which partition a key is in, so all runs are alike.
 */
export class GroupRounds {
  readonly #memory: GroupsInMemory
  readonly #spill: StageContext['spill']
  /** Of each thread. */
  readonly #memoryBytes: number
  #plan: Plan | undefined
  #spilled: SpilledGroups | undefined
  #runs: PositionRuns | undefined
  /** Of other threads. */
  readonly #others: RunsState[] = []

  constructor(memory: GroupsInMemory, context: Pick<StageContext, 'memoryBytes' | 'workers' | 'spill'>) {
    this.#memory = memory
    this.#spill = (handle) => context.spill(handle)
    this.#memoryBytes = context.memoryBytes / context.workers
  }

  /** The first round; `spilled` is this one's from now on. */
  begin(spilled: SpilledGroups): EndRound {
    this.#spilled = spilled
    let first = 0
    while (first < PARTITIONS && !this.#runs) this.#putTogether(spilled, first++)
    const cuts = (this.#runs ??= this.#newRuns()).cuts
    return this.#round(PARTITIONS - first, false, { kind: 'groups', first, partitions: spilled.handles, cuts })
  }

  /** The one after; undefined: that was the last. */
  next(): EndRound | undefined {
    const runs = this.#runs!
    if (this.#plan!.kind === 'lines') {
      runs.close()
      return undefined
    }
    const all = [...this.#others, ...runs.export()]
    for (const others of this.#others) runs.import(others)
    return this.#round(runs.buckets, true, { kind: 'lines', runs: all, cuts: runs.cuts })
  }

  #round(tasks: number, writes: boolean, plan: Plan): EndRound {
    this.#plan = plan
    return { tasks, writes, plan }
  }

  /** In another thread. */
  join(round: EndRound): void {
    const plan = (this.#plan = round.plan as Plan)
    this.#runs = this.#newRuns(plan.cuts)
    if (plan.kind === 'lines') for (const runs of plan.runs) this.#runs.import(runs)
    else {
      this.#spilled = new SpilledGroups(this.#spill)
      this.#spilled.adopt(plan.partitions)
    }
  }

  task(task: number): ((out: Collector) => void) | undefined {
    const plan = this.#plan!
    if (plan.kind === 'groups') return void this.#putTogether(this.#spilled!, plan.first + task)
    const drain = this.#runs!.readBucket(task)
    return (out) => drain((lines) => out.emit(lines))
  }

  /** What this thread's tasks have come to; and those of another one. */
  leave(): readonly RunsState[] {
    return this.#plan!.kind === 'groups' ? this.#runs!.export() : []
  }
  merge(runs: readonly RunsState[]): void {
    this.#others.push(...runs)
  }

  #putTogether(from: SpilledGroups, partition: number): void {
    const deeper = this.#absorbAll(from, partition)
    if (deeper) this.#putAllTogether(deeper)
    else this.#addRun(PARTITIONS)
  }

  /** The partitions of a partition: as many at a time as will probably fit, since few runs are read faster than many. */
  #putAllTogether(from: SpilledGroups): void {
    const memory = this.#memory
    let bytes = 0
    let runs = 1
    for (let part = 0; part < PARTITIONS; part++) {
      const more = from.bytes(part)
      if (bytes > 0 && (memory.load() * (bytes + more)) / bytes > MOST_LOAD) {
        this.#addRun((PARTITIONS * PARTITIONS) / runs)
        bytes = runs = 0
      }
      bytes += more
      runs++
      const deeper = this.#absorbAll(from, part)
      if (!deeper) continue
      this.#putAllTogether(deeper)
      bytes = 0
    }
    this.#addRun((PARTITIONS * PARTITIONS) / runs)
  }

  /** Has a partition in memory, with what is there; or else all of that in new partitions. */
  #absorbAll(from: SpilledGroups, partition: number): SpilledGroups | undefined {
    const memory = this.#memory
    let deeper: SpilledGroups | undefined
    for (const groups of from.partition(partition)) {
      memory.absorb(groups)
      // One group alone cannot be parted: its pieces are put together here, however large it is.
      if (memory.load() <= 1 || (!deeper && memory.size() === 1)) continue
      deeper ??= from.deeper()
      if (deeper) memory.spill(deeper)
    }
    if (deeper) memory.spill(deeper)
    return deeper
  }

  /** What is in memory becomes one. @param alike how many such runs there may be */
  #addRun(alike: number): void {
    const memory = this.#memory
    if (memory.size() === 0) return
    const { positions, write } = memory.lines()
    if (!this.#runs) {
      let bytes = 0
      write(0, positions.length, (lines) => (bytes += lines.length))
      this.#runs = this.#newRuns(PositionRuns.cutsFor(positions, bytes * alike, this.#memoryBytes))
    }
    this.#runs.add(positions, write)
    memory.clear()
  }

  #newRuns(cuts?: Float64Array): PositionRuns {
    return new PositionRuns(this.#spill, this.#memoryBytes, cuts)
  }
}
