import { BeckError } from '../core/errors.ts'
import { type FieldPath, formatFieldPath, parseKeyFields, samePath } from '../core/field-path.ts'
import type { Arguments } from '../core/spec.ts'
import { guardText } from '../expression/sift.ts'
import { parseOn } from '../join/on.ts'
import { suggest } from '../core/suggest.ts'
import { outputOf, type CommandStage, type LogicalPlan, type PlannedStage, readsOf } from './plan.ts'

/** What the planner may do to a pipeline. Each is switched off by its name, and none changes a result. */
export const rewriteNames = {
  fuse: 'stages that see the same lines share one scan, for the fields of all of them',
  projection: 'what follows a map of nothing but fields reads them from the map’s input',
  'filter-first': 'filters go before sorting, shuffling, joining and grouping',
  partial: 'groups are made before a shuffle, and put together after it',
  'top-n': 'sort --limit keeps no more than it gives out',
  threads: 'the first stages of files run on all threads',
} as const
export type RewriteName = keyof typeof rewriteNames
export type Rewrites = Readonly<Record<RewriteName, boolean>>

/** All but those that are named. @throws BeckError bad-option */
export function chooseRewrites(off: readonly string[]): Rewrites {
  const names = Object.keys(rewriteNames) as RewriteName[]
  for (const name of off) {
    if (names.includes(name as RewriteName)) continue
    throw new BeckError('bad-option', {
      option: '--without',
      problem: `there is no rewrite "${name}"`,
      suggestion: suggest(name, names),
      ...(suggest(name, names) === undefined && { hint: `they are ${names.join(', ')}` }),
    })
  }
  // Made of all names.
  return Object.fromEntries(names.map((name) => [name, !off.includes(name)])) as Rewrites
}

export const allRewrites: Rewrites = chooseRewrites([])

/** A rewrite that was made. */
export interface RewriteMade {
  readonly name: RewriteName
  readonly says: string
}

export interface RewrittenPlan {
  readonly plan: LogicalPlan
  readonly made: readonly RewriteMade[]
}

/** Rewrites the stages of a plan, and those of the pipelines within it. */
export async function rewritePlan(plan: LogicalPlan, rewrites: Rewrites): Promise<RewrittenPlan> {
  const made: RewriteMade[] = []
  let stages: PlannedStage[] = []
  for (const stage of plan.stages) {
    const inner = async (part: LogicalPlan): Promise<LogicalPlan> => {
      const rewritten = await rewritePlan(part, rewrites)
      made.push(...rewritten.made)
      return rewritten.plan
    }
    stages.push(
      stage.kind === 'tee'
        ? { ...stage, branches: await Promise.all(stage.branches.map(inner)) }
        : { ...stage, tables: await Promise.all(stage.tables.map(inner)) },
    )
  }
  if (rewrites['filter-first']) stages = await filtersFirst(stages, made)
  if (rewrites.partial) stages = await partialFirst(stages, made)
  for (const stage of stages) {
    const limit = stage.kind === 'command' && stage.name === 'sort' ? stage.args.options['limit'] : undefined
    if (limit === undefined || !rewrites['top-n']) continue
    made.push({ name: 'top-n', says: `sort keeps its first ${String(limit)} records and no others` })
  }
  if (!rewrites['top-n']) stages = await sortWhole(stages)
  return { plan: { ...plan, stages }, made }
}

/** The same command with other arguments. */
export async function remake(
  stage: CommandStage,
  options: Arguments['options'],
  words: readonly string[],
): Promise<CommandStage> {
  const args = { ...stage.args, options }
  const made = await stage.spec.create(args)
  return {
    ...stage,
    args,
    words,
    stage: made,
    reads: readsOf(made),
    output: outputOf(stage.name, made.role, args, made),
  }
}

/**
 * A filter that only compares fields goes before what neither changes records nor needs those that it drops. A copy goes: the filter itself stays
 * where it stood, and decides about the records on which the copy fails, as it would have without.
 */
async function filtersFirst(stages: readonly PlannedStage[], made: RewriteMade[]): Promise<PlannedStage[]> {
  const out: PlannedStage[] = []
  for (const stage of stages) {
    out.push(stage)
    const filter = stage.kind === 'command' && stage.name === 'filter' ? stage : undefined
    if (filter?.stage?.role !== 'operator' || filter.stage.sifts !== true || filter.settings.deadLetter !== undefined)
      continue
    let at = out.length - 1
    let way: Way = { reads: filter.reads ?? [], guards: [] }
    while (at > 0) {
      const further = passes(out[at - 1]!, way, filter, out[at - 2])
      if (!further || stopsAt(out[at]!, out[at - 1]!)) break
      way = further
      at--
    }
    const window = out[at - 1]
    if (window && wants(window, way, filter)) {
      out[at - 1] = await wanting(window, filter)
      made.push({ name: 'filter-first', says: `window keeps nothing of keys that ${nameOf(filter)} drops` })
      continue
    }
    if (at === out.length - 1) continue
    const passed = out.slice(at, -1) as CommandStage[]
    const [behind] = passed as [CommandStage]
    // The filter's copy reads what the first of them has read, up to one that makes other records.
    const end = passed.findIndex(({ name }) => name === 'reduce')
    const seen = end < 0 ? passed : passed.slice(0, end + 1)
    const sift = seen.flatMap(({ reads }) => (reads ?? []).map(formatFieldPath))
    const options = { ...filter.args.options, sift, guards: way.guards, ...(way.by && { siftBy: way.by }) }
    const copy = withFiles(await remake(filter, options, filter.words), behind.args.files)
    out[at] = withFiles(behind, [])
    const before = passed.map(({ name }) => name)
    out.splice(at, 0, copy)
    made.push({ name: 'filter-first', says: `${nameOf(filter)} goes before ${before.join(' and ')}` })
  }
  return out
}

const nameOf = (filter: CommandStage): string => `filter ${filter.args.program[0] ?? ''}`

/** What a filter has come to on its way to the front. */
interface Way {
  /** Its fields, as the records have them there. */
  readonly reads: readonly FieldPath[]
  /** What records are like that may be dropped there (src/expression/sift.ts). */
  readonly guards: readonly string[]
  /** It has come past a stage that tells its records apart by key. */
  readonly apart?: true
  /** The `--by` of a reduce, whose names the filter uses. */
  readonly by?: string
}

/**
 * Whether a filter that has gone before one stage does not go before the next. What joins read is known when they run, and only to a filter that
 * runs right before them. And what one join adds, another that nests may refuse.
 */
const stopsAt = (passed: PlannedStage, next: PlannedStage): boolean =>
  isJoin(passed) && (!isJoin(next) || (passed.kind === 'command' && passed.args.options['nest'] !== undefined))

const isJoin = (stage: PlannedStage): boolean => stage.kind === 'command' && stage.name === 'join'

/** Whether a stage and a filter agree about what a bad line is. Bad lines would be found in another order. */
const agree = (stage: CommandStage, filter: CommandStage): boolean =>
  stage.settings.strict === filter.settings.strict && stage.settings.maxLineBytes === filter.settings.maxLineBytes

/** How a filter is in front of a stage; undefined where it must not go there. @param before what stands in front of the stage */
function passes(
  stage: PlannedStage,
  way: Way,
  filter: CommandStage,
  before: PlannedStage | undefined,
): Way | undefined {
  if (stage.kind !== 'command' || stage.stage === undefined || !agree(stage, filter)) return undefined
  if (stage.settings.deadLetter !== undefined) return undefined
  const { options } = stage.args
  switch (stage.name) {
    case 'sort':
      return options['limit'] === undefined && options['check'] === undefined ? way : undefined
    case 'shuffle':
      return stage.role === 'operator' ? way : undefined
    case 'join': {
      if (way.apart || !passesJoin(stage, way.reads)) return undefined
      const nest = options['nest'] as string | undefined
      // A join refuses records that have a member of the nest's name.
      return nest === undefined ? way : { ...way, guards: [...way.guards, guardText('missing', [nest])] }
    }
    case 'dedupe': {
      const keys = parseKeyFields(options['by'] as string).map(({ path }) => path)
      return passesApart(stage, way, (read) => keys.find((key) => samePath(key, read)))
    }
    case 'reduce': {
      const by = options['by'] as string | undefined
      // What it reads through a map is worth more.
      if (by === undefined || (before?.kind === 'command' && before.name === 'map')) return undefined
      const further = passesApart(stage, way, (read) => keyNamed(by, read))
      return further && { ...further, by }
    }
    default:
      return undefined
  }
}

const keyNamed = (by: string, read: FieldPath): FieldPath | undefined =>
  parseKeyFields(by).find(({ name }) => samePath([name], read))?.path

/** Past a stage whose keys have nothing to do with each other, a filter goes that only looks at keys. */
function passesApart(
  { stage }: CommandStage,
  way: Way,
  keyOf: (read: FieldPath) => FieldPath | undefined,
): Way | undefined {
  if (stage?.role !== 'operator' || !stage.apart || way.apart || way.guards.length > 0) return undefined
  const reads = way.reads.map(keyOf).filter((path) => path !== undefined)
  if (reads.length < way.reads.length) return undefined
  return { reads, guards: [...stage.apart, ...reads.map((path) => guardText('key', path))], apart: true }
}

function passesJoin({ role, args: { options } }: CommandStage, reads: readonly FieldPath[]): boolean {
  if (role !== 'table' || options['as-of'] !== undefined) return false
  const type = options['type'] ?? 'inner'
  if (type === 'semi' || type === 'anti') return true
  if (type !== 'inner' && type !== 'left') return false
  const nest = options['nest'] as string | undefined
  if (nest !== undefined) return !reads.some(([root]) => String(root) === nest)
  // A field that the left record lacks may come from the table, but for the keys.
  const keys = parseOn(options['on'] as string, '--on').map(({ left }) => left)
  return reads.every((path) => keys.some((key) => key.length === 1 && samePath(key, path)))
}

/** Whether a filter that has come right behind windows wants some of their keys only. The windows have to see all records, for their times. */
function wants(stage: PlannedStage, way: Way, filter: CommandStage): stage is CommandStage {
  if (stage.kind !== 'command' || stage.name !== 'window' || stage.stage?.role !== 'operator') return false
  if (!stage.stage.wantsKeys || !agree(stage, filter) || way.guards.length > 0) return false
  const { by, wanted } = stage.args.options
  return wanted === undefined && way.reads.every((read) => keyNamed(by as string, read) !== undefined)
}

const wanting = (window: CommandStage, { args: { program, args } }: CommandStage): Promise<CommandStage> =>
  remake(window, { ...window.args.options, wanted: [program[0]!, JSON.stringify(args)] }, window.words)

/** `shuffle --by k | reduce … --by k` makes the groups first: what is shuffled is one line a group. */
async function partialFirst(stages: readonly PlannedStage[], made: RewriteMade[]): Promise<PlannedStage[]> {
  const out: PlannedStage[] = []
  for (const stage of stages) {
    const before = out.at(-1)
    if (before?.kind !== 'command' || stage.kind !== 'command' || !sameGroups(before, stage)) {
      out.push(stage)
      continue
    }
    const { options } = stage.args
    const by = parseKeyFields(options['by'] as string)
      .map(({ name }) => formatFieldPath([name]))
      .join(',')
    const first = await remake(stage, { ...options, partial: true }, [...stage.words, '--partial'])
    const middle = await remake(before, { ...before.args.options, by }, before.words)
    const last = await remake(stage, { ...options, merge: true }, [...stage.words, '--merge'])
    out.pop()
    out.push({ ...withFiles(first, before.args.files), ahead: true }, withFiles(middle, []), last)
    const says = `reduce ${stage.args.program[0] ?? ''} makes its groups before shuffle, and puts them together after it`
    made.push({ name: 'partial', says })
  }
  return out
}

function withFiles(stage: CommandStage, files: readonly string[]): CommandStage {
  const words = [...stage.words]
  // From the end: a join's table may have the same name.
  for (const file of stage.args.files) words.splice(words.lastIndexOf(file), 1)
  return {
    ...stage,
    words: [...words, ...files],
    args: { ...stage.args, files },
    settings: { ...stage.settings, inputs: files },
  }
}

/** Whether a reduce groups by what the shuffle before it brings together. */
function sameGroups(shuffle: CommandStage, reduce: CommandStage): boolean {
  if (shuffle.name !== 'shuffle' || shuffle.role !== 'operator' || reduce.name !== 'reduce') return false
  if (reduce.stage?.role !== 'operator' || reduce.stage.parallel !== 'merge') return false
  // Records would be refused in another order.
  if ([shuffle, reduce].some(({ settings }) => settings.deadLetter !== undefined)) return false
  const { by, merge, partial } = reduce.args.options
  if (by === undefined || merge === true || partial === true || shuffle.args.options['sort'] !== undefined) return false
  const left = parseKeyFields(shuffle.args.options['by'] as string)
  const right = parseKeyFields(by as string)
  return left.length === right.length && left.every(({ path }, index) => samePath(path, right[index]!.path))
}

/** A sort with a limit as a whole sort, of which the first records are taken. */
async function sortWhole(stages: readonly PlannedStage[]): Promise<PlannedStage[]> {
  const out: PlannedStage[] = []
  for (const stage of stages) {
    const limited = stage.kind === 'command' && stage.name === 'sort' && stage.args.options['limit'] !== undefined
    out.push(limited ? await remake(stage, { ...stage.args.options, whole: true }, stage.words) : stage)
  }
  return out
}
