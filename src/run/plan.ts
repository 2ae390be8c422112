import { BeckError } from '../core/errors.ts'
import type { FieldPath } from '../core/field-path.ts'
import { PIPELINE_WORD } from '../core/pipeline-word.ts'
import type { Arguments, CommandSpec, Stage } from '../core/spec.ts'
import { suggest } from '../core/suggest.ts'
import { optionsOf, parseCommandLine } from '../cli/command-line.ts'
import { runSettings, stageIdentity } from '../cli/common-options.ts'
import type { Registry } from '../cli/registry.ts'
import type { RunSettings } from '../pipeline/settings.ts'
import { hasFrames } from './lines.ts'
import { type JobSource, type PipelineText, placeIn, plainWords, type StageText, textError, type Word } from './text.ts'

/**
 * The logical plan: what each stage of a text is, before anything is said about processes or threads. Nothing has been read or opened yet,
 * so that a plan can be explained without being run.
 */
export interface LogicalPlan {
  readonly source: JobSource
  readonly text: PipelineText
  readonly stages: readonly PlannedStage[]
}
export type PlannedStage = CommandStage | TeeStage

/** A command of beck. */
export interface CommandStage {
  readonly kind: 'command'
  readonly name: string
  readonly text: StageText
  readonly spec: CommandSpec
  /** What it was given, as `CommandSpec.create` takes it; and the words that say so, the `--arg`s of the whole text among them. */
  readonly args: Arguments
  readonly words: readonly string[]
  readonly settings: RunSettings
  readonly role: Stage['role']
  /** Made to see what it reads. Undefined where making it opens something: sources and sinks are made when they run. */
  readonly stage: Stage | undefined
  /** The planner has put it before the next stage, which would have refused bad lines first. */
  readonly ahead?: true
  /** Pipelines in brackets, and the word of `words` that stands for each (`PIPELINE_WORD` and its number). */
  readonly tables: readonly LogicalPlan[]
  /** The fields that its scanner extracts; undefined where that is known only when it runs. */
  readonly reads: readonly FieldPath[] | undefined
  readonly output: OutputProperties
}

/** `tee (…)`: all records to each branch, and on to the next stage. */
export interface TeeStage {
  readonly kind: 'tee'
  readonly name: 'tee'
  readonly text: StageText
  readonly branches: readonly LogicalPlan[]
}

/** What is known of a stage's records without running it. */
export interface OutputProperties {
  /** `kept`: records that came in, byte for byte. `new`: others. `none`: nothing for another stage. */
  readonly records: 'kept' | 'new' | 'none'
  /** `input`: theirs. `key`: sorted by `by`. `first`: of the first record of each key. `time`: of window ends. `partition`: one after the other. */
  readonly order: 'input' | 'key' | 'first' | 'time' | 'partition'
  /** As written after `--by`. */
  readonly by?: string
  /** Records of one key (`by`) are in one of so many partitions, which come one after the other. */
  readonly partitions?: number
}

/** What planning needs to know of the world around. */
export interface PlanSettings {
  readonly registry: Registry
  readonly env: NodeJS.ProcessEnv
  /** `--arg`s for all stages. */
  readonly args: Readonly<Record<string, string>>
  /** Options for all stages that have them, by flag; what a stage says itself goes before. */
  readonly options?: Readonly<Record<string, string | true>>
}

/** Looks the stages up and reads their command lines. @throws BeckError with the place in the text */
export async function planPipeline(
  source: JobSource,
  text: PipelineText,
  settings: PlanSettings,
  input: 'stdin' | 'tee' = 'stdin',
): Promise<LogicalPlan> {
  const stages: PlannedStage[] = []
  for (const [index, stage] of text.stages.entries()) {
    const from = index === 0 ? input : 'stage'
    stages.push(
      stage.name === 'tee' ? await planTee(source, stage, settings) : await planCommand(source, stage, settings, from),
    )
  }
  stages.forEach((stage, index) => checkPlace(source, stage, index, stages.length))
  stages.forEach((stage) => checkInputs(source, stage))
  const tee = hasFrames({ stages }) && stages.find(({ kind }) => kind === 'tee')
  if (tee) throw textError(source, tee.text.at, ...MANY_ENDS)
  return { source, text, stages }
}

/** Each way of a tee has an end that commits, and an epoch can be committed once. */
export const MANY_ENDS = [
  'tee has several ends, and a pipe that delivers exactly once can have one, which commits',
  'let one way end it, and the other begin with what that has written:\n  beck consume clicks --group g --exactly-once | … | beck append all\n  beck consume all --group h --exactly-once | beck filter r.bad | beck append problems',
] as const

async function planTee(source: JobSource, text: StageText, settings: PlanSettings): Promise<TeeStage> {
  const example = 'for example: … | tee (filter r.bad | append problems) | …'
  const branches: LogicalPlan[] = []
  for (const word of text.words) {
    if (word.kind !== 'pipeline') throw textError(source, word.at, 'tee takes pipelines in brackets', example)
    const branch = await planPipeline(source, word.pipeline, settings, 'tee')
    const last = branch.stages.at(-1) as PlannedStage
    if (last.kind === 'tee' || last.output.records !== 'none') {
      const hint = 'end a branch with a command that keeps its records, as append TOPIC or shuffle --by KEY --out DIR'
      throw textError(source, last.text.at, 'the output of this branch would go nowhere', hint)
    }
    branches.push(branch)
  }
  if (branches.length === 0) throw textError(source, text.at, 'a tee needs a branch', example)
  return { kind: 'tee', name: 'tee', text, branches }
}

async function planCommand(
  source: JobSource,
  text: StageText,
  settings: PlanSettings,
  from: 'stdin' | 'tee' | 'stage',
): Promise<CommandStage> {
  const { name } = text
  const { registry, env, args: shared, options = {} } = settings
  const load = Object.hasOwn(registry, name) ? registry[name] : undefined
  if (!load) throw unknownCommand(source, text, registry)
  const tables = await planTables(source, text, settings)
  return at(source, text, async () => {
    const spec = await load()
    const own = plainWords(text, (index) => `${PIPELINE_WORD}${text.words.slice(0, index).filter(isPipeline).length}`)
    const has = new Set(optionsOf(spec).map(({ flag }) => flag))
    const words = [
      ...(has.has('arg') ? Object.entries(shared).flatMap(([key, value]) => ['--arg', `${key}=${value}`]) : []),
      ...Object.entries(options).flatMap(([flag, value]) =>
        has.has(flag) ? [`--${flag}`, ...(value === true ? [] : [value])] : [],
      ),
      ...own,
    ]
    const parsed = parseCommandLine(spec, words)
    if (parsed === 'help') {
      throw new BeckError('usage', { problem: `no help within a pipeline`, hint: `beck ${name} --help shows it` })
    }
    const { args, values } = parsed
    const stage = spec.place === undefined ? await spec.create(args) : undefined
    const role = stage?.role ?? (spec.place === 'last' ? 'sink' : 'tool')
    const stdin = from === 'stdin' && role !== 'tool' ? ['-'] : []
    const main = spec.files ? (args.files.length > 0 ? args.files : stdin) : []
    const inputs = [...main, ...(stage && 'table' in stage ? [stage.table] : [])]
    return {
      kind: 'command',
      name,
      text,
      spec,
      args,
      words,
      settings: { ...runSettings(values, env), stage: stageIdentity(spec, stage, args), inputs },
      role,
      stage,
      tables,
      reads: stage && readsOf(stage),
      output: outputOf(name, role, args, stage),
    }
  })
}

const isPipeline = (word: Word): boolean => word.kind === 'pipeline'

async function planTables(source: JobSource, text: StageText, settings: PlanSettings): Promise<LogicalPlan[]> {
  const tables: LogicalPlan[] = []
  for (const word of text.words) {
    if (word.kind !== 'pipeline') continue
    if (text.name !== 'join') {
      const hint = 'join (…) --on id takes its table from a pipeline, and tee (…) sends records into one'
      throw textError(source, word.at, `${text.name} takes no pipeline in brackets`, hint)
    }
    const table = await planPipeline(source, word.pipeline, settings)
    const last = table.stages.at(-1) as PlannedStage
    if (last.kind === 'command' && last.output.records === 'none') {
      throw textError(
        source,
        last.text.at,
        `${last.name} gives out no records`,
        'the table is what the pipeline in brackets writes',
      )
    }
    tables.push(table)
  }
  return tables
}

/** Runs a part of the planning; errors of the command get their place in the text. */
async function at<Result>(source: JobSource, text: StageText, plan: () => Promise<Result>): Promise<Result> {
  try {
    return await plan()
  } catch (error) {
    if (!(error instanceof BeckError) || error.facts['place'] !== undefined) throw error
    const place = `${placeIn(source, text.at)} (${text.name})`
    throw new BeckError(error.code, { ...error.facts, place }, { cause: error })
  }
}

function unknownCommand(source: JobSource, { name, at }: StageText, registry: Registry): BeckError {
  const near = suggest(name, [...Object.keys(registry), 'tee'])
  const via = Object.hasOwn(registry, 'via')
    ? `another program stands behind via: via -- ${name} …`
    : 'beck --help lists the commands'
  return textError(source, at, `there is no command "${name}"`, near ? `did you mean "${near}"?` : via)
}

/** Sources begin a pipeline, and behind a sink there is nothing. */
function checkPlace(source: JobSource, stage: PlannedStage, index: number, count: number): void {
  if (stage.kind === 'tee') {
    if (index === 0) throw textError(source, stage.text.at, 'tee has no input here', 'it stands between two stages')
    return
  }
  if (index > 0 && stage.spec.place === 'first') {
    const hint = `it stands at the beginning of a pipeline, or of one in brackets: join (${stage.name} …) --on id`
    throw textError(source, stage.text.at, `${stage.name} reads no records`, hint)
  }
  if (index > 0 && stage.args.files.length > 0 && !stage.args.files.includes('-')) {
    const hint = 'name files in the first stage, or write - for what comes through the pipe'
    throw textError(
      source,
      stage.text.at,
      `${stage.name} reads ${stage.args.files.join(' ')}, not what comes before it`,
      hint,
    )
  }
  if (index < count - 1 && stage.output.records === 'none') {
    throw textError(
      source,
      stage.text.end,
      `nothing comes out of ${stage.name}`,
      'it stands at the end; to keep records on the way: tee (append TOPIC)',
    )
  }
}

/** Who is in brackets has its own input, where another one reads standard input or the stage before; and a branch has none. */
function checkInputs(source: JobSource, stage: PlannedStage): void {
  if (stage.kind === 'tee') {
    for (const branch of stage.branches) {
      const [first] = branch.stages
      if (first?.kind !== 'command' || !hasInput(first)) continue
      const hint =
        'a branch begins with a command that takes what comes to the tee: tee (filter r.bad | append problems)'
      throw textError(source, first.text.at, `${first.name} reads no records of the tee`, hint)
    }
    return
  }
  if (hasInput(stage)) return
  for (const table of stage.tables) {
    const reader = readerOfInput(table)
    if (!reader) continue
    const hint = `name its files, or begin with a source: ${stage.name} (replay orders | ${reader.name} …) --on id`
    throw textError(source, reader.text.at, `${reader.name} would read what comes to ${stage.name}`, hint)
  }
}

/** The stage that reads standard input for a pipeline. Other programs are given none where somebody else reads it. */
function readerOfInput({ stages: [first] }: LogicalPlan): CommandStage | undefined {
  if (first?.kind !== 'command' || first.role === 'process') return undefined
  if (!hasInput(first)) return first
  return first.tables.map(readerOfInput).find((reader) => reader !== undefined)
}

/** Whether a stage has an input of its own: not standard input, nor the stage before. */
function hasInput({ role, args: { files } }: CommandStage): boolean {
  return role === 'tool' || (files.length > 0 && !files.includes('-'))
}

/** The fields that a stage's scanner extracts, where that is known before it runs. */
export function readsOf(stage: Stage): readonly FieldPath[] | undefined {
  if (stage.role === 'pair') return stage.reads[0]
  return 'reads' in stage && stage.role !== 'table' ? stage.reads : undefined
}

/** What is known of a stage's records. */
export function outputOf(
  name: string,
  role: Stage['role'],
  { options }: Arguments,
  stage: Stage | undefined,
): OutputProperties {
  // What comes of processes goes on, unless it goes to files.
  const isKept = role === 'partitions' && options['out'] !== undefined
  if (stage?.role === 'sink' && stage.passes) return { records: 'kept', order: 'input' }
  if (role === 'sink' || isKept) return { records: 'none', order: 'input' }
  const by = options['by'] as string | undefined
  const keyed = by === undefined ? {} : { by }
  switch (name) {
    case 'sort':
      return { records: 'kept', order: 'key', ...keyed }
    case 'shuffle':
      if (role === 'partitions') return { records: 'new', order: 'partition' }
      return { records: 'kept', order: 'key', ...keyed, partitions: Number(options['partitions'] ?? 1) }
    case 'reduce':
      return { records: 'new', order: 'first', ...keyed }
    case 'window':
      return { records: 'new', order: 'time', ...keyed }
    default:
      return { records: stage?.role === 'operator' && stage.selects ? 'kept' : 'new', order: 'input' }
  }
}
