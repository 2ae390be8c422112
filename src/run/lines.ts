import { levels } from '../pipeline/frames.ts'
import type { CommandStage, LogicalPlan, PlannedStage } from './plan.ts'

/**
 * A pipeline up to where it forks, or comes to a stage that reads by itself; and what gets its records there.
 *
 *     a | tee (b) | join (c | d) | e       [a] ─┬─▶ [join e] ──▶ out        the table of join: [c d]
 *                                               └─▶ [b]
 *     a | via -- jq . | b                  [a] ──▶ via ──▶ [b] ──▶ out
 */
export interface Line {
  /** None: what comes in goes out. */
  readonly stages: readonly LineStage[]
  /** What gets the records of a tee: the rest of the pipeline, then its branches. Empty: they go on, or out. */
  readonly forks: readonly Line[]
  /** What they go on to, without a fork. */
  readonly next: NextStage | undefined
  /** The records that come out of it are the table of a join. */
  readonly isTable: boolean
  /** Control frames come with the records. */
  readonly framed: boolean
}

/** A stage that reads by itself, and the line behind it. */
export interface NextStage {
  readonly stage: LineStage
  readonly rest: Line
}

export interface LineStage {
  readonly index: number
  readonly stage: CommandStage
  /** A join's table in brackets. */
  readonly table?: Line
}

/**
 * The stages of a pipeline and of those in brackets within it, in the order of the line that a shell runs: `all`, by their index. The last one that
 * fails there decides about the exit code.
 */
export interface Lines {
  readonly line: Line
  readonly all: readonly CommandStage[]
}

/** @param isStage the whole is a stage of a pipe of processes, which brings control frames */
export function linesOf(stages: readonly PlannedStage[], isStage = false): Lines {
  const all: CommandStage[] = []
  const lineOf = (pipeline: readonly PlannedStage[], isTable: boolean, framed: boolean, isBranch = false): Line => {
    const own: LineStage[] = []
    const line = { stages: own, forks: [], next: undefined, isTable, framed }
    for (const [at, stage] of pipeline.entries()) {
      const rest = (): Line => lineOf(pipeline.slice(at + 1), isTable, framed, true)
      if (stage.kind === 'tee') {
        // The shell has the rest before the branches, and of several the first one last.
        const behind = rest()
        const branches = stage.branches.toReversed().map((branch) => lineOf(branch.stages, false, false, true))
        return { ...line, forks: [behind, ...branches] }
      }
      // A table's stages stand before its join.
      const [table] = stage.tables.map((plan) => lineOf(plan.stages, true, hasFrames(plan)))
      const index = all.push(stage) - 1
      const made = { index, stage, ...(table && { table }) }
      if (readsByItself(stage, framed, at === 0 && !isBranch)) return { ...line, next: { stage: made, rest: rest() } }
      own.push(made)
    }
    return line
  }
  return { line: lineOf(stages, false, isStage || hasFrames({ stages })), all }
}

/** Whether a pipeline commits at checkpoints, which control frames bring. */
export const hasFrames = ({ stages: [first] }: Pick<LogicalPlan, 'stages'>): boolean =>
  first?.kind === 'command' && first.name === 'consume' && levels.some((level) => first.args.options[level] === true)

/**
 * Whether a stage is run by a reader of its own, beside the others: it has two inputs, reads no records, or waits for other programs. With control frames
 * also who watches a table or the clock, or writes files beside the output, as that is looked after where frames are read.
 * @param isFirst it begins a pipeline
 */
export function readsByItself(of: CommandStage, framed: boolean, isFirst: boolean): boolean {
  const { role, stage, settings, tables } = of
  // One that begins a pipeline has nobody beside it.
  if (role === 'decoder') return !isFirst
  if (role === 'pair' || role === 'process' || role === 'partitions') return true
  // Bad records of a table in brackets come before those of its join, in one file.
  if (role === 'table') return framed || (tables.length > 0 && settings.deadLetter !== undefined)
  if (!framed || stage?.role !== 'operator') return false
  return stage.timers === true || writesBeside(of)
}

/** Whether a stage writes files beside its output. */
export const writesBeside = ({ args: { options }, settings }: CommandStage): boolean =>
  settings.deadLetter !== undefined || ['late-to', 'dupes-to'].some((flag) => options[flag] !== undefined)
