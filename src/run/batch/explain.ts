import type { CommandStage, LogicalPlan } from '../plan.ts'
import { type ExplainedStage, explainStages, rewritesForPeople, stageForPeople } from '../explain.ts'
import { chooseRewrites, remake, type RewriteMade } from '../rewrite.ts'
import { type BatchOptions, planTasks, splitSize, workerCount } from './job.ts'
import type { BatchPlan, TaskStage } from './plan.ts'
import { cutInputs } from './splits.ts'

/** What `explain --mode parallel --json` writes of a pipeline that is cut into tasks. */
interface ExplainedJob {
  readonly mode: 'parallel'
  /** Processes that do the tasks. */
  readonly workers: number
  readonly phases: readonly ExplainedPhase[]
  readonly rewrites: readonly RewriteMade[]
}
interface ExplainedPhase {
  /** `rest`: once, in one process, behind the tasks. */
  readonly phase: 'map' | 'reduce' | 'rest'
  readonly tasks: number
  readonly stages: readonly ExplainedStage[]
}

/** A pipeline as tasks, for people or as JSON. The input files are looked at, not read. Or why it is not cut into tasks. @throws BeckError usage */
export async function explainTasks(
  planned: LogicalPlan,
  options: BatchOptions,
  json: boolean,
): Promise<{ readonly text: string } | { readonly why: string }> {
  const cut = await planTasks(planned, options.without, options.out)
  if ('why' in cut) return cut
  const { plan, rewritten } = cut
  const pieces = cutInputs(plan.inputs, splitSize(plan.inputs, options))
  const phases = await phasesOf(plan, rewritten.plan, options.without, pieces.length)
  const early = plan.map.find(({ command, args }) => command === 'reduce' && args.options['partial'] === true)
  const partial: RewriteMade = {
    name: 'partial',
    says: `reduce ${early?.args.program[0] ?? ''} makes its groups in the map tasks, and puts them together in the reduce tasks`,
  }
  const explained: ExplainedJob = {
    mode: 'parallel',
    workers: workerCount(options.workers, pieces.length, plan),
    phases,
    rewrites: [...rewritten.made, ...(early ? [partial] : [])],
  }
  return { text: json ? `${JSON.stringify(explained, null, 2)}\n` : `${forPeople(explained).join('\n')}\n` }
}

async function phasesOf(
  plan: BatchPlan,
  logical: LogicalPlan,
  without: readonly string[],
  pieces: number,
): Promise<ExplainedPhase[]> {
  // A worker has one thread.
  const inTasks = chooseRewrites([...without, 'threads'])
  const explain = (stages: readonly CommandStage[], indexes: readonly number[], rewrites = inTasks) =>
    renumbered(explainStages({ ...logical, stages }, true, rewrites).stages, indexes)
  const tasks = async (stages: readonly TaskStage[]) =>
    explain(
      await Promise.all(stages.map((stage) => asCommand(stage, logical))),
      stages.map(({ index }) => index),
    )
  const map = await tasks(plan.map)
  const files = plan.inputs.map(({ file }) => file)
  map[0] = { ...map[0]!, input: { from: 'pieces', files } }
  if (plan.merges) map.push({ ...map.pop()!, output: 'its state, which is a file a task' })
  if (plan.partitions !== undefined) {
    map.push({ ...map.pop()!, output: `a file a task and partition, ${sortedBy(plan.map.at(-1)!)}` })
  }
  const phases: ExplainedPhase[] = [{ phase: 'map', tasks: pieces, stages: map }]
  if (plan.partitions !== undefined) {
    const reduce = await tasks(plan.reduce)
    const { exchange: _, ...merging } = reduce[0]!
    reduce[0] = {
      ...merging,
      input: { from: 'partition' },
      output: `records as they came, ${sortedBy(plan.reduce[0]!)}`,
    }
    phases.push({ phase: 'reduce', tasks: plan.partitions, stages: reduce })
  }
  if (plan.rest.length > 0) {
    const from = logical.stages.length - plan.rest.length
    const indexes = plan.rest.map((_, at) => from + at)
    // What it reads is no file of the text.
    const rest = explain(plan.rest, indexes, chooseRewrites(without))
    const { scan, ...first } = rest[0]!
    const { merges } = plan
    rest[0] = { ...first, ...(scan && !merges && { scan }), input: { from: merges ? 'states' : 'results' } }
    phases.push({ phase: 'rest', tasks: 1, stages: rest })
  }
  return phases
}

const sortedBy = ({ args: { options } }: TaskStage): string =>
  `sorted by ${String(options['by'])}${options['sort'] === undefined ? '' : `, then ${String(options['sort'])}`}`

/** What a task runs, as if it stood in the text. */
function asCommand(task: TaskStage, { stages }: LogicalPlan): CommandStage | Promise<CommandStage> {
  const stage = stages[task.index] as CommandStage
  if (task.command !== 'reduce') return stage
  const flag = (['partial', 'merge'] as const).find((name) => task.args.options[name] === true)
  if (flag === undefined || stage.args.options[flag] === true) return stage
  return remake(stage, task.args.options, [...stage.words, `--${flag}`])
}

/** Stages under the numbers that they have in the text. */
function renumbered(stages: readonly ExplainedStage[], indexes: readonly number[]): ExplainedStage[] {
  const number = (own: number): number => indexes[own - 1]! + 1
  return stages.map((stage) => ({
    ...stage,
    number: number(stage.number),
    ...(stage.input && {
      input: { ...stage.input, ...(stage.input.stage !== undefined && { stage: number(stage.input.stage) }) },
    }),
    ...(stage.scan && { scan: { ...stage.scan, stages: stage.scan.stages.map(number) } }),
  }))
}

function forPeople({ workers, phases, rewrites }: ExplainedJob): string[] {
  const titles = {
    map: (tasks: number) => `map: ${plural(tasks, 'task')}, a piece of the input each`,
    reduce: (tasks: number) => `reduce: ${plural(tasks, 'task')}, a partition each`,
    rest: () => 'rest: once, in one process',
  }
  return [
    `in tasks, by ${workers === 1 ? 'one worker' : `${workers} workers`}`,
    ...phases.flatMap(({ phase, tasks, stages }) => [
      titles[phase](tasks),
      ...stages.flatMap((stage) => stageForPeople(stage, '  ')),
    ]),
    ...rewritesForPeople(rewrites, ''),
  ]
}

const plural = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`
