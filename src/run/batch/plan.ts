import { parseKeyFields } from '../../core/field-path.ts'
import type { Arguments } from '../../core/spec.ts'
import type { RunSettings } from '../../pipeline/settings.ts'
import type { CommandStage, LogicalPlan } from '../plan.ts'
import type { ChainRewrites } from '../chain.ts'
import { type JobInput, lookAtInputs } from './splits.ts'

/** A command as plain data, which goes to other processes as it is. */
export interface TaskStage {
  /** Of the stage of the text that it does the work of, or a part of it. */
  readonly index: number
  readonly command: string
  readonly args: Arguments
  readonly settings: RunSettings
}

/**
 * A pipeline as MapReduce: map tasks run `map` on pieces of the inputs, and reduce tasks run `reduce` on what all of them have for one
 * partition. `rest` runs once, on what comes out of that, in order.
 *
 *     from lines | map … | shuffle --by word --partitions 8 | reduce count --by word | sort --by -count
 *     └ map ─────────────────────────────┘  exchange         └ reduce ────────────┘   └ rest ────────┘
 */
export interface BatchPlan {
  readonly inputs: readonly JobInput[]
  readonly map: readonly TaskStage[]
  /** The last stage of `map` writes so many partitions, and the first of `reduce` puts those of all tasks together. */
  readonly partitions: number | undefined
  /** The last stage of `map` is the first of `rest`: tasks write its state, and `rest` begins with all of these put together. */
  readonly merges: boolean
  readonly reduce: readonly TaskStage[]
  readonly rest: readonly CommandStage[]
  /** Within a task. */
  readonly rewrites: ChainRewrites
}

/** A plan, or in words what keeps the pipeline from being cut into tasks. */
export type Planned = { readonly plan: BatchPlan } | { readonly why: string }

/** What the planner may do beside cutting. `partial`: aggregates of each task go through the exchange, in place of records. */
export type BatchRewrites = ChainRewrites & { readonly partial: boolean }

/** Formats that decode line by line, so that a piece of a file can be decoded. */
const LINE_FORMATS = ['lines', 'words', 'combined', 'common', 'logfmt', 'syslog', 'regex']

/** Cuts a pipeline into tasks. Its inputs are looked at. */
export function planBatch({ stages }: LogicalPlan, rewrites: BatchRewrites): Planned {
  const commands: CommandStage[] = []
  for (const stage of stages) {
    if (stage.kind !== 'command') return { why: 'tee has two outputs' }
    if (stage.tables.length > 0) return { why: `${stage.name} has a pipeline in brackets` }
    commands.push(stage)
  }
  const [first] = commands as [CommandStage]
  if (first.role === 'tool') return { why: `${first.name} does not read files` }
  const { files } = first.args
  if (files.length === 0) return { why: 'standard input cannot be read twice' }
  const byLine = first.role !== 'decoder' || LINE_FORMATS.includes(first.args.program[0] ?? '')
  const inputs = lookAtInputs(files, byLine)
  if (!inputs) return { why: `not all of ${files.join(', ')} are files` }

  const counted = commands.map((stage, index) => ({ stage, task: taskStage(stage, index) }))
  const alone = counted.findIndex(
    ({ stage }, index) => !(index === 0 && stage.role === 'decoder') && !isStateless(stage),
  )
  const map = counted.slice(0, alone < 0 ? counted.length : alone).map(({ task }) => task)
  const next = counted[map.length]
  const after = counted.slice(map.length + 1)

  if (next && isMergeableReduce(next.stage)) {
    const rest = [next.stage, ...after.map(({ stage }) => stage)]
    return {
      plan: { inputs, map: [...map, next.task], partitions: undefined, merges: true, reduce: [], rest, rewrites },
    }
  }
  if (next?.stage.name === 'shuffle' && next.stage.role === 'operator') {
    const keyed = after[0]
    const early = rewrites.partial && keyed !== undefined && aggregatesEarly(next.stage, keyed.stage)
    const separate = separable(
      next.stage,
      after.map(({ stage }) => stage),
    )
    const reduce = after.slice(0, separate).map(({ task }) => task)
    if (early) reduce[0] = withOptions(keyed.task, { merge: true })
    const plan: BatchPlan = {
      inputs,
      // The name of the folder is the task's business.
      map: [...map, ...(early ? [partial(keyed.task)] : []), withOptions(next.task, { out: '.' })],
      partitions: next.stage.output.partitions ?? 1,
      merges: false,
      reduce: [withOptions(next.task, { partitions: '1' }), ...reduce],
      rest: after.slice(separate).map(({ stage }) => stage),
      rewrites,
    }
    return { plan }
  }
  if (map.length === 0) return { why: `${first.name} needs all records in one place` }
  const rest = counted.slice(map.length).map(({ stage }) => stage)
  return { plan: { inputs, map, partitions: undefined, merges: false, reduce: [], rest, rewrites } }
}

/** The bad records of a table would be kept once a task. */
const isStateless = ({ stage, settings }: CommandStage): boolean =>
  (stage?.role === 'operator' || (stage?.role === 'table' && settings.deadLetter === undefined)) &&
  stage.parallel === 'stateless'

const isMergeableReduce = ({ name, stage, args: { options } }: CommandStage): boolean =>
  name === 'reduce' &&
  stage?.role === 'operator' &&
  stage.parallel === 'merge' &&
  options['partial'] !== true &&
  options['merge'] !== true

function taskStage({ name, args, settings }: CommandStage, index: number): TaskStage {
  return { index, command: name, args: { ...args, files: [] }, settings: { ...settings, workers: 1 } }
}

const withOptions = (task: TaskStage, options: Arguments['options']): TaskStage => ({
  ...task,
  args: { ...task.args, options: { ...task.args.options, ...options } },
})
const partial = (task: TaskStage): TaskStage => withOptions(task, { partial: true })

/** Whether `reduce` may put its groups together before the exchange: then each record of a key is one of a task's groups. */
function aggregatesEarly(shuffle: CommandStage, reduce: CommandStage): boolean {
  const by = keyNames(shuffle)
  return (
    isMergeableReduce(reduce) &&
    shuffle.args.options['sort'] === undefined &&
    by !== undefined &&
    by.join() === keyNames(reduce)?.join()
  )
}

/** The keys where all of them are fields at the top, under their own names. */
function keyNames({ args: { options } }: CommandStage): string[] | undefined {
  const by = options['by']
  if (typeof by !== 'string') return undefined
  const keys = parseKeyFields(by)
  // What a partial aggregate of other names looks like is between `reduce --partial` and `--merge`.
  const plain = keys.every(({ path, name }) => path.length === 1 && path[0] === name && name !== 'partial')
  return plain ? keys.map(({ name }) => name) : undefined
}

/**
 * How many of the stages after an exchange can run on each partition for itself: those that look at one record at a time, and a
 * `reduce` whose groups lie in one partition each, since they have the keys of the exchange.
 */
function separable(shuffle: CommandStage, after: readonly CommandStage[]): number {
  const keys = keyNames(shuffle)
  let kept = true
  for (const [index, stage] of after.entries()) {
    if (isStateless(stage)) {
      kept &&= stage.output.records === 'kept'
      continue
    }
    const by = keyNames(stage)
    if (!kept || stage.name !== 'reduce' || stage.role !== 'operator' || !keys?.every((key) => by?.includes(key)))
      return index
    kept = false
  }
  return after.length
}
