import type { OperatorStage, TableReader, TableStage } from '../core/spec.ts'
import { type Adapted, asOperator, type Ending } from './adapters.ts'
import type { LineEnds, RunAround } from './around.ts'
import { groupStages, withAhead, withSiftedFields } from './chain.ts'
import type { ChainTask } from './composite.ts'
import type { ChainStage } from './group.ts'
import type { Line, LineStage } from './lines.ts'
import { inputOfTable, type RunLine } from './relay.ts'

/** Makes of the planned stages of a line, and of its forks, the ones that run. */
export class Opening {
  readonly #around: RunAround
  readonly #ends: LineEnds
  readonly #run: RunLine
  /** What is at the ends, by stage. */
  readonly endings = new Map<number, Ending>()
  /** Of all stages that were to be opened. */
  readonly indices: number[] = []

  /** @param run runs the line of a table in brackets */
  constructor(around: RunAround, ends: LineEnds, run: RunLine) {
    this.#around = around
    this.#ends = ends
    this.#run = run
  }

  /** Makes what is only made when it runs; a table is read here, whole. `broken`: a stage could not be opened: those behind it have no input. */
  async open(line: Line, tasks: ChainTask[]): Promise<{ stages: ChainStage[]; broken: boolean }> {
    const { endings, terminal, rewrites, watch } = this.#around
    this.indices.push(...line.stages.map(({ index }) => index))
    const made: ChainStage[] = []
    const known: ChainTask[] = []
    let broken = false
    for (const lineStage of line.stages) {
      const { index, stage, table: inner } = lineStage
      const { spec, args, settings } = stage
      try {
        const opened = stage.stage ?? (await spec.create(args))
        const adapted =
          inner && opened.role === 'table'
            ? await this.#withTable(lineStage, opened, inner)
            : await asOperator(opened, settings, this.#around.countsOf(index), terminal, this.#isEnd(line, index))
        if (adapted.ending) {
          endings.set(index, adapted.ending)
          this.endings.set(index, adapted.ending)
        }
        this.#around.keptLetters(index, adapted.deadLetters ?? 0)
        made.push({ index, stage: adapted.stage, settings: adapted.settings })
        known.push({ index, command: stage.name, args, settings: adapted.settings, table: adapted.table })
      } catch (error) {
        // In a shell the stages behind it see an empty input.
        if (!(error instanceof TableFailed)) await this.#around.fail(error, index)
        made.length = 0
        broken = true
      }
    }
    const opened = withSiftedFields(withAhead(made, (at) => !broken && line.stages[at]!.stage.ahead === true))
    for (const [at, task] of known.entries()) {
      const { passes, stage } = opened[at] ?? {}
      tasks.push({ ...task, ...(passes && stage && { passes, reads: stage.reads }) })
    }
    watch?.count(groupStages(opened, rewrites).flatMap((group) => group.map(({ index }) => index)))
    const { reader } = this.#ends
    if (reader && line.isTable && line.forks.length === 0) opened.push(reader)
    return { stages: opened, broken }
  }

  /** Nothing of this process takes what comes out of a stage of a line. */
  #isEnd({ stages, next, forks, isTable }: Line, index: number): boolean {
    return stages.at(-1)?.index === index && !next && forks.length === 0 && !isTable && !this.#ends.to
  }

  /** Reads a join's table from its pipeline in brackets. @throws TableFailed, which has been told */
  async #withTable(of: LineStage, stage: TableStage, line: Line): Promise<Adapted> {
    const { index } = of
    const { settings } = of.stage
    let reader: TableReader<unknown> | undefined
    const open: OperatorStage['open'] = (context) => {
      const opened = (reader = stage.open(context))
      return { processBatch: (batch) => opened.processBatch(batch) }
    }
    const end = {
      index,
      settings,
      from: 'the table in brackets',
      stage: { role: 'operator', reads: stage.reads, open },
    } as const
    await this.#run(line, { reader: end, input: inputOfTable(of) }).run()
    if (!reader || this.#around.hasFailed(index)) throw new TableFailed()
    const table = reader.end()
    return { stage: stage.stage(table), settings, table }
  }
}

/** A table could not be read; why has been told. */
class TableFailed extends Error {}
