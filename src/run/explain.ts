import { formatFieldPath } from '../core/field-path.ts'
import { PIPELINE_WORD } from '../core/pipeline-word.ts'
import type { OperatorStage } from '../core/spec.ts'
import { groupStages } from './chain.ts'
import { parallelHead } from './composite.ts'
import { whyNotFused } from './fused.ts'
import type { ChainStage } from './group.ts'
import { keptBy } from './kept.ts'
import { hasFrames, readsByItself } from './lines.ts'
import type { CommandStage, LogicalPlan, PlannedStage } from './plan.ts'
import { type RewriteMade, rewritePlan, type Rewrites } from './rewrite.ts'
import { quoted } from './shell-line.ts'
import { placeIn } from './text.ts'

/** What `explain --json` writes. */
export interface Explained {
  readonly mode: 'fused' | 'pipes'
  /** What keeps the stages from being in one process. */
  readonly why?: string
  readonly stages: readonly ExplainedStage[]
  readonly rewrites: readonly RewriteMade[]
}
export interface ExplainedStage {
  readonly number: number
  readonly command: string
  readonly place: string
  /**
   * Where its records come from: `files`, `stdin`, in a branch the `tee`, or the stage before: its `rows` as they stand in memory, its `lines` scanned anew, a `pipe`. In tasks:
   * `pieces` of the files, a `partition` of what the map tasks have made, the `results` of all tasks, or their `states`.
   */
  readonly input?: {
    readonly from: 'files' | 'stdin' | 'tee' | 'rows' | 'lines' | 'pipe' | 'pieces' | 'partition' | 'results' | 'states'
    readonly stage?: number
    readonly files?: readonly string[]
  }
  /** What the scan in front of it extracts, for all stages that share it; `table`: and what a join needs, which its table decides. */
  readonly scan?: { readonly fields: readonly string[]; readonly table?: true; readonly stages: readonly number[] }
  /** Left out: the next stage reads the fields from its input. */
  readonly inlined?: true
  readonly threads: 'all' | 'one'
  /** How what several threads have made is put together. */
  readonly joined?: 'in order' | 'merged' | 'parts in order'
  readonly memory: string
  /** Of pipelines that deliver exactly once: what is kept at checkpoints. */
  readonly state?: string
  readonly exchange?: string
  readonly output: string
  readonly branches?: readonly Explained[]
  readonly tables?: readonly Explained[]
}

/** The plan for people, or as JSON. Nothing is run. @param pipes as a process a stage, although one process could do it */
export async function explain(
  plan: LogicalPlan,
  rewrites: Rewrites,
  { json, pipes }: { readonly json: boolean; readonly pipes: boolean },
): Promise<string> {
  const explained = await explainPlan(plan, rewrites, pipes)
  return json ? `${JSON.stringify(explained, null, 2)}\n` : `${forPeople(explained, '').join('\n')}\n`
}

async function explainPlan(logical: LogicalPlan, rewrites: Rewrites, pipes: boolean): Promise<Explained> {
  const why = pipes ? '--mode pipes asks for it' : whyNotFused(logical)
  const fused = why === undefined
  // Processes of their own run what is written, and state that is kept is that of the stages as they are written.
  const { plan, made } =
    fused && !hasFrames(logical) ? await rewritePlan(logical, rewrites) : { plan: logical, made: [] }
  const { stages, made: more } = explainStages(plan, fused, rewrites)
  return { mode: fused ? 'fused' : 'pipes', ...(why && { why }), stages, rewrites: [...made, ...more] }
}

/** The stages of a plan that needs no more rewriting. @param fused in one process @param inner it stands in brackets */
export function explainStages(
  plan: LogicalPlan,
  fused: boolean,
  rewrites: Rewrites,
  inner?: 'branch' | 'table',
): { stages: ExplainedStage[]; made: readonly RewriteMade[] } {
  const branch = inner === 'branch'
  const physical = physicalOf(plan, fused, branch ? { ...rewrites, threads: false } : rewrites, branch)
  const stages = plan.stages.map((stage, index) => explainStage(plan, stage, index, physical, rewrites))
  const [first, ...more] = stages
  // What comes to a tee is its branches' input.
  if (inner === 'branch') return { stages: [{ ...first!, input: { from: 'tee' } }, ...more], made: physical.made }
  return { stages, made: physical.made }
}

/** A pipeline in brackets, which is run as the whole one is, and has been rewritten with it. */
function explainInner(plan: LogicalPlan, fused: boolean, rewrites: Rewrites, inner: 'branch' | 'table'): Explained {
  const { stages, made } = explainStages(plan, fused, rewrites, inner)
  return { mode: fused ? 'fused' : 'pipes', stages, rewrites: made }
}

interface ScanGroup {
  readonly stages: readonly number[]
  readonly fields: readonly string[]
  readonly table: boolean
}

/** How stages share scans and threads. */
interface Physical {
  readonly fused: boolean
  /** Per stage the stages with which it shares a scan, itself among them, and its fields. */
  readonly groups: ReadonlyMap<number, ScanGroup>
  readonly inlined: ReadonlySet<number>
  readonly threaded: ReadonlyMap<number, ExplainedStage['joined']>
  readonly made: readonly RewriteMade[]
}

function physicalOf(plan: LogicalPlan, fused: boolean, rewrites: Rewrites, branch: boolean): Physical {
  const made: RewriteMade[] = []
  const framed = hasFrames(plan)
  const chains: ChainStage[][] = [[]]
  for (const [index, stage] of plan.stages.entries()) {
    const isAlone = stage.kind === 'tee' || readsByItself(stage, framed, index === 0 && !branch)
    if (isAlone) chains.push([])
    const made = stage.kind === 'tee' ? undefined : chainStage(stage, index)
    if (made) chains.at(-1)!.push(made)
    if (isAlone && made) chains.push([])
  }
  const [chain] = chains as [ChainStage[]]
  const how = fused ? rewrites : { ...rewrites, fuse: false, projection: false }
  const groups: [number, ScanGroup][] = []
  const kept = new Set<number>()
  for (const group of chains.flatMap((part) => groupStages(part, how))) {
    const stages = group.map(({ index }) => index)
    const table = group.some(({ index }) => (plan.stages[index] as CommandStage).role === 'table')
    const fields = new Set(group.flatMap(({ stage }) => stage.reads.map(formatFieldPath)))
    for (const index of stages) groups.push([index, { stages, fields: [...fields], table }])
    for (const index of stages) kept.add(index)
    if (stages.length > 1) made.push({ name: 'fuse', says: `stages ${listed(stages)} share one scan` })
  }
  const inlined = new Set(
    chains
      .flat()
      .map(({ index }) => index)
      .filter((index) => !kept.has(index)),
  )
  for (const index of inlined)
    made.push({
      name: 'projection',
      says: `stage ${index + 2} reads its fields from the records before the map of stage ${index + 1}`,
    })
  const threaded = new Map<number, ExplainedStage['joined']>()
  const [first] = plan.stages
  const files =
    first?.kind === 'command' && first.spec.files && first.args.files.length > 0 && !first.args.files.includes('-')
  const alone = plan.stages.findIndex(
    (stage, index) => stage.kind === 'command' && readsByItself(stage, framed, index === 0 && !branch),
  )
  const plain =
    chain.every(({ stage, settings }) => settings.deadLetter === undefined && !stage.timers) &&
    // A clock behind a stage that reads by itself is another's business.
    !plan.stages.slice(chain.length, alone < 0 ? undefined : alone).some(isTimed)
  const head =
    files && plain && fused && rewrites.threads && chain[0]?.index === 0
      ? parallelHead(chain, chains.length === 1)
      : undefined
  if (head && !plan.stages.slice(0, head.count).some(hasOneThread)) {
    const joined = head.kind === 'merge' ? 'merged' : head.kind === 'ordered' ? 'parts in order' : 'in order'
    for (let index = 0; index < head.count; index++) threaded.set(index, joined)
    made.push({
      name: 'threads',
      says: `${head.count === 1 ? 'stage 1 runs' : `stages 1 to ${head.count} run`} on all threads, for files of 32 MiB and more`,
    })
  }
  return { fused, groups: new Map(groups), inlined, threaded, made }
}

/** As it would stand in a chain; a join's stage is only made when its table is read. */
function chainStage({ stage, settings, role }: CommandStage, index: number): ChainStage | undefined {
  if (stage?.role === 'operator') return { index, stage, settings }
  const reads = stage && 'reads' in stage && role === 'encoder' ? (stage.reads as OperatorStage['reads']) : []
  const open = (): never => {
    throw new Error('explained only')
  }
  if (stage?.role === 'table') {
    return {
      index,
      settings,
      stage: {
        role: 'operator',
        reads,
        open,
        selects: stage.selects === true,
        ...(stage.parallel && { parallel: stage.parallel }),
        streams: stage.streams === true,
      },
    }
  }
  if (stage?.role === 'pair' || stage?.role === 'partitions') {
    const own = stage.role === 'pair' ? stage.reads[0] : stage.reads
    return { index, settings, stage: { role: 'operator', reads: own, open } }
  }
  if (role === 'encoder' || role === 'sink') {
    return { index, settings, stage: { role: 'operator', reads, open, timers: role === 'sink' } }
  }
  return undefined
}

/** A stage is told to take no more than one thread. (How many there are is the machine's business.) */
const hasOneThread = (stage: PlannedStage): boolean =>
  stage.kind === 'command' && stage.settings.workers === 1 && stage.words.some((word) => /^--workers(=|$)/.test(word))

/** Whether stages that one process runs want to know the time. */
const isTimed = (stage: PlannedStage): boolean =>
  stage.kind === 'tee'
    ? stage.branches.some(({ stages }) => stages.some(isTimed))
    : stage.role === 'sink' || (stage.stage?.role === 'operator' && stage.stage.timers === true)

function explainStage(
  plan: LogicalPlan,
  stage: PlannedStage,
  index: number,
  { fused, groups, inlined, threaded }: Physical,
  rewrites: Rewrites,
): ExplainedStage {
  const base = { number: index + 1, place: placeIn(plan.source, stage.text.at) }
  const before = index > 0 ? { stage: index } : {}
  if (stage.kind === 'tee') {
    const branches = stage.branches.map((branch) => explainInner(branch, fused, rewrites, 'branch'))
    const output = 'the same records, to each branch and to the next stage'
    return {
      ...base,
      command: 'tee',
      input: { from: fused ? 'lines' : 'pipe', ...before },
      threads: 'one',
      memory: 'O(1)',
      output,
      branches,
    }
  }
  const group = groups.get(index)
  const leads = group?.stages[0] === index
  const { files } = stage.args
  const own = stage.spec.files && files.length > 0
  const from = own
    ? 'files'
    : index === 0
      ? 'stdin'
      : !fused
        ? 'pipe'
        : leads || inlined.has(index) || !group
          ? 'lines'
          : 'rows'
  const joined = threaded.get(index)
  const tables = stage.tables.map((table) => explainInner(table, fused, rewrites, 'table'))
  const source = stage.spec.place === 'first' || (index === 0 && stage.role === 'tool')
  return {
    ...base,
    command: commandOf(stage),
    ...(!source && { input: { from, ...(own ? { files } : before) } }),
    ...(leads && {
      scan: {
        fields: group.fields,
        ...(group.table && { table: true }),
        stages: group.stages.map((other) => other + 1),
      },
    }),
    ...(inlined.has(index) && { inlined: true }),
    threads: joined ? 'all' : 'one',
    ...(joined && { joined }),
    memory: stage.spec.cost.memory,
    ...(hasFrames(plan) && { state: keptBy(stage) }),
    ...exchangeOf(stage),
    output: outputText(stage),
    ...(tables.length > 0 && { tables }),
  }
}

const commandOf = ({ name, words }: CommandStage): string =>
  [name, ...words.map((word) => (word.startsWith(PIPELINE_WORD) ? '(…)' : quoted(word)))].join(' ')

/** Whether a join reads both sides beside each other. */
const isOfStreams = ({ name, role, args }: CommandStage): boolean =>
  name === 'join' && role === 'pair' && args.options['merge'] !== true

/** Where records change places by key. */
function exchangeOf(stage: CommandStage): { exchange?: string } {
  const { name, args } = stage
  const by = args.options['by'] as string | undefined
  if (name === 'shuffle')
    return { exchange: `by ${by ?? ''} into ${String(args.options['partitions'] ?? 1)} partitions` }
  if (name !== 'join') return {}
  if (args.options['merge'] === true) return { exchange: 'both sides are sorted by key' }
  return {
    exchange: isOfStreams(stage) ? 'both sides are held as long as their time asks' : 'the table is held whole',
  }
}

function outputText(stage: CommandStage): string {
  const { output, role, name, args } = stage
  if (role === 'encoder') return 'text'
  if (name === 'join' && args.options['merge'] === true) return `new records, sorted by ${String(args.options['on'])}`
  if (isOfStreams(stage)) return 'new records, in the order of event time'
  if (output.records === 'none') return 'nothing'
  const order = {
    input: output.records === 'kept' ? 'in their order' : 'in the order of the input',
    key: `sorted by ${output.by ?? 'key'}${output.partitions === undefined ? '' : ', partition after partition'}`,
    first: output.by === undefined ? 'one' : 'in the order in which keys come first',
    time: 'in the order of window ends',
    partition: 'partition after partition',
  }[output.order]
  return `${output.records === 'kept' ? 'records as they came' : 'new records'}, ${order}`
}

function listed(stages: readonly number[]): string {
  const numbers = stages.map((stage) => String(stage + 1))
  const [first, last] = [numbers[0]!, numbers.at(-1)!]
  if (stages.length > 3 && Number(last) - Number(first) === stages.length - 1) return `${first} to ${last}`
  return numbers.join(', ').replace(/, (\d+)$/, ' and $1')
}

function forPeople({ mode, why, stages, rewrites }: Explained, indent: string): string[] {
  const out: string[] = []
  const alone = stages.every(isOnOneThread)
  if (indent === '')
    out.push(mode === 'fused' ? `in one process${alone ? ', on one thread' : ''}` : 'a process a stage')
  if (why) out.push(`     ${'why'.padEnd(9)}${why}`)
  return [...out, ...stages.flatMap((stage) => stageForPeople(stage, indent)), ...rewritesForPeople(rewrites, indent)]
}

const isOnOneThread = ({ threads, tables = [] }: ExplainedStage): boolean =>
  threads === 'one' && tables.every(({ stages }) => stages.every(isOnOneThread))

/** A stage for people, its pipelines in brackets indented beneath it. */
export function stageForPeople(stage: ExplainedStage, indent: string): string[] {
  const out: string[] = []
  const say = (text: string): void => void out.push(`${indent}${text}`)
  say(`${stage.number}  ${stage.command}`)
  const row = (label: string, text: string): void => say(`     ${label.padEnd(9)}${text}`)
  if (stage.input) row('input', inputText(stage))
  if (stage.scan) {
    const { fields, table, stages: shared } = stage.scan
    const known = [...fields, ...(table ? ['what the join needs for its table'] : [])].join(', ')
    const what = known === '' ? 'whole records' : known
    row('scan', `${what}${shared.length > 1 ? ` (for stages ${listed(shared.map((number) => number - 1))})` : ''}`)
  }
  if (stage.inlined) row('is', 'left out: the next stage reads its fields from the input of this one')
  if (stage.joined) row('threads', `all, ${stage.joined}`)
  if (stage.exchange) row('exchange', stage.exchange)
  row('memory', stage.memory)
  if (stage.state) row('state', stage.state)
  row('output', stage.output)
  for (const branch of stage.branches ?? []) {
    say('     branch')
    out.push(...forPeople(branch, `${indent}       `))
  }
  for (const table of stage.tables ?? []) {
    say('     table')
    out.push(...forPeople(table, `${indent}       `))
  }
  return out
}

export const rewritesForPeople = (rewrites: readonly RewriteMade[], indent: string): string[] =>
  rewrites.length === 0
    ? []
    : [`${indent}rewrites`, ...rewrites.map(({ name, says }) => `${indent}     ${name.padEnd(13)}${says}`)]

function inputText({ input, inlined }: ExplainedStage): string {
  switch (input?.from) {
    case 'files':
      return (input.files ?? []).join(' ')
    case 'stdin':
      return 'standard input'
    case 'tee':
      return 'what comes to the tee'
    case 'rows':
      return `rows of stage ${input.stage}, where they are`
    case 'pipe':
      return `a pipe from stage ${input.stage}`
    case 'pieces':
      return `a piece of ${(input.files ?? []).join(' ')}`
    case 'partition':
      return 'one partition of all map tasks, merged'
    case 'results':
      return 'what the tasks have made, in order'
    case 'states':
      return 'the states of all map tasks, put together'
    default:
      return `${inlined ? 'rows' : 'lines'} of stage ${input?.stage}`
  }
}
