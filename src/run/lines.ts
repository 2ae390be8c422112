import type { CommandStage, PlannedStage } from './plan.ts'

/**
 * A pipeline up to where it forks, and what gets its records there.
 *
 *     a | tee (b) | join (c | d) | e       [a] ─┬─▶ [join e] ──▶ out        the table of join: [c d]
 *                                               └─▶ [b]
 */
export interface Line {
  /** None: what comes in goes out. */
  readonly stages: readonly LineStage[]
  /** What gets the records of a tee: the rest of the pipeline, then its branches. Empty: they go out. */
  readonly forks: readonly Line[]
  /** The records that come out of it are the table of a join. */
  readonly isTable: boolean
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

export function linesOf(stages: readonly PlannedStage[]): Lines {
  const all: CommandStage[] = []
  const lineOf = (pipeline: readonly PlannedStage[], isTable: boolean): Line => {
    const own: LineStage[] = []
    for (const [at, stage] of pipeline.entries()) {
      if (stage.kind === 'tee') {
        // The shell has the rest before the branches, and of several the first one last.
        const rest = lineOf(pipeline.slice(at + 1), isTable)
        const branches = stage.branches.toReversed().map((branch) => lineOf(branch.stages, false))
        return { stages: own, forks: [rest, ...branches], isTable }
      }
      // A table's stages stand before its join.
      const [table] = stage.tables.map((plan) => lineOf(plan.stages, true))
      const index = all.push(stage) - 1
      own.push({ index, stage, ...(table && { table }) })
    }
    return { stages: own, forks: [], isTable }
  }
  return { line: lineOf(stages, false), all }
}
