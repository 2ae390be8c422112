import type { LogicalPlan, PlannedStage } from './plan.ts'
import { PIPELINE_WORD } from '../core/pipeline-word.ts'

/**
 * A pipeline as a line for a shell: what `--print-shell` shows and `--mode pipes` runs. Plain pipes for plain pipelines. Descriptors beyond
 * 2 where a stage has two inputs or two outputs; so the shell waits for every process, and `pipefail` sees each one's exit code, as it does not
 * with `<(…)`:
 *
 *     a | join (b | c) | d      a | { b 3<&- | c 3<&- | join /dev/fd/4 4<&0 <&3 3<&- ; } 3<&0 | d
 *     a | tee (b) | c           { a | { tee /dev/fd/4 | { c ; } >&3 3>&- 4>&- ; } 4>&1 | { b ; } 3>&- ; } 3>&1
 *
 * @param free descriptors from here on are not used outside
 * @param before what stands before the command of a stage
 */
export function shellLine(
  plan: LogicalPlan,
  beck: readonly string[] = ['beck'],
  free = 3,
  before: (name: string) => string = () => '',
): string {
  return pipeline(plan.stages, { beck: beck.map(quoted).join(' '), free, before })
}

interface Context {
  readonly beck: string
  /** Descriptors from here on are not used outside. */
  readonly free: number
  readonly before: (name: string) => string
}

function pipeline(stages: readonly PlannedStage[], context: Context): string {
  const fork = stages.findIndex(({ kind }) => kind === 'tee')
  const tee = stages[fork]
  if (tee?.kind !== 'tee') {
    return stages.map((stage) => (stage.kind === 'tee' ? '' : command(stage, context))).join(' | ')
  }
  const { free } = context
  const inner = { ...context, free: free + 2 }
  const [out, copy] = [free, free + 1]
  const before = stages.slice(0, fork).map((stage) => command(stage as Exclude<PlannedStage, { kind: 'tee' }>, inner))
  const rest = stages.slice(fork + 1)
  // Several branches are one tee after the other.
  const [branch, ...more] = tee.branches
  const after = more.length > 0 ? [{ ...tee, branches: more }, ...rest] : rest
  const through = after.length > 0 ? pipeline(after, inner) : 'cat'
  const forked = `{ tee /dev/fd/${copy} | { ${through} ; } >&${out} ${out}>&- ${copy}>&- ; } ${copy}>&1`
  const branched = `{ ${pipeline(branch?.stages ?? [], inner)} ; } ${out}>&-`
  return `{ ${[...before, forked, branched].join(' | ')} ; } ${out}>&1`
}

function command({ name, words, tables, args }: Exclude<PlannedStage, { kind: 'tee' }>, context: Context): string {
  const [table] = tables
  const { beck, free, before } = context
  if (!table) return [`${before(name)}${beck}`, name, ...words.map(quoted)].join(' ')
  const inner = { ...context, free: free + 2 }
  const [input, from] = [free, free + 1]
  const own = words.map((word) => (word.startsWith(PIPELINE_WORD) ? `/dev/fd/${from}` : quoted(word)))
  // A program at the beginning of the table would take what comes to the join.
  const [first] = table.stages
  const isProgram = first?.kind === 'command' && first.role === 'process'
  const none = isProgram && (args.files.length === 0 || args.files.includes('-')) ? ' </dev/null' : ''
  const side = `{ ${pipeline(table.stages, inner)} ; } ${input}<&-${none}`
  return `{ ${side} | ${[`${before(name)}${beck}`, name, ...own].join(' ')} ${from}<&0 <&${input} ${input}<&- ; } ${input}<&0`
}

/** A word that every shell reads as it is. */
export const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) && !/^\w+=/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
