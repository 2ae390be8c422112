import { statSync } from 'node:fs'
import { BeckError } from '../core/errors.ts'
import { hidePasswords } from '../core/secrets.ts'
import type { JobStage } from '../core/spec.ts'
import type { Host } from '../cli/main.ts'
import type { Terminal } from '../cli/terminal.ts'
import { Output } from '../pipeline/descriptor.ts'
import type { RunSettings } from '../pipeline/settings.ts'
import type { BatchOptions } from './batch/job.ts'
import { type LogicalPlan, planPipeline } from './plan.ts'
import { chooseRewrites, rewritePlan, type Rewrites } from './rewrite.ts'
import { hasFrames } from './lines.ts'
import { type TakeStats, writeStats } from './stats.ts'
import { type JobSource, parsePipeline, readJob } from './text.ts'

/** What `run` and `explain` do. Returns the exit code. @throws BeckError */
export async function runJob(
  { action, job, args }: JobStage,
  settings: Pick<RunSettings, 'workers' | 'memoryBytes' | 'tmp'>,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const { options } = args
  const batch = async () => (await import('./batch/job.ts')).batchOptions(options, settings)
  if (options['resume'] !== undefined) {
    if (job !== '')
      throw new BeckError('usage', {
        problem: 'a job that goes on has its text already',
        hint: `beck run --resume ${String(options['resume'])}`,
      })
    const { resumeBatch } = await import('./batch/job.ts')
    return resumeBatch(options['resume'] as string, await batch(), sharedOptions(options), host, terminal)
  }
  if (job === '')
    throw new BeckError('usage', {
      problem: 'TEXT is missing',
      hint: "for example: beck run 'replay clicks | filter r.ok | to csv'",
    })
  for (const flag of options['mode'] === 'parallel' ? [] : ['out', 'attempts', 'speculate', 'split']) {
    if (options[flag] !== undefined)
      throw new BeckError('usage', { problem: `--${flag} is about tasks`, hint: `add --mode parallel` })
  }
  const store = options['store'] as string | undefined
  // Stages in this process look there as well.
  if (store !== undefined) process.env['BECK_STORE'] = store
  const { env } = process
  const source = sourceOf(job)
  const rewrites = chooseRewrites((options['without'] ?? []) as readonly string[])
  const shared = action === 'explain' ? {} : sharedOptions(options)
  const plan = await planPipeline(source, parsePipeline(source), {
    registry: host.registry,
    env,
    args: args.args,
    options: shared,
  })
  if (action === 'explain')
    return print(
      hidePasswords(await explainPlan(plan, rewrites, options, await batch(), options['workers'] !== undefined)),
    )
  if (options['print-shell'] === true) {
    const { shellLine } = await import('./shell-line.ts')
    return print(`${hidePasswords(shellLine(plan))}\n`)
  }
  if (options['mode'] === 'parallel') {
    const { isOfGroup, runMembers } = await import('./batch/members.ts')
    if (isOfGroup(plan)) return runMembers(plan, { args: args.args, options: shared }, await batch(), host, terminal)
    const { runBatch } = await import('./batch/job.ts')
    const exit = await runBatch(plan, args.args, await batch(), host, terminal)
    return exit ?? runPlan(plan, rewrites, host, terminal, options['stats'] === 'json')
  }
  if (options['restart'] === true) {
    if (!hasFrames(plan)) {
      throw new BeckError('usage', {
        problem: '--restart needs a pipeline that can go on where it was: this one would begin again',
        hint: 'begin it with consume TOPIC --group G --exactly-once, and end it with append TOPIC',
      })
    }
    const { keepRunning } = await import('./restart.ts')
    // The same command line, without that word.
    const words = process.argv.slice(2).filter((word) => word !== '--restart')
    return keepRunning([...host.command, ...words], (line) => terminal.say(`beck run: ${line}`))
  }
  const fused = options['mode'] !== 'pipes'
  const stats = options['stats'] === 'json'
  return fused ? runPlan(plan, rewrites, host, terminal, stats) : runPiped(plan, host, terminal, stats)
}

/** What `run` is told and its stages have to know. The store they find in the environment, but for a line that is only shown. */
function sharedOptions(options: JobStage['args']['options']): Record<string, string | true> {
  const flags = ['workers', 'memory', 'tmp', 'quiet', ...(options['print-shell'] === true ? ['store'] : [])]
  return Object.fromEntries(
    flags.flatMap((flag) => {
      const value = options[flag]
      return typeof value === 'string' || value === true ? [[flag, value]] : []
    }),
  )
}

/** What is written of a plan, in the mode that is asked for. */
async function explainPlan(
  plan: LogicalPlan,
  chosen: Rewrites,
  { mode, json, workers }: JobStage['args']['options'],
  options: BatchOptions,
  asked: boolean,
): Promise<string> {
  const { explain } = await import('./explain.ts')
  const asJson = json === true
  const rewrites = workers === '1' ? { ...chosen, threads: false } : chosen
  if (mode !== 'parallel') return explain(plan, rewrites, { json: asJson, pipes: mode === 'pipes' })
  const { isOfGroup, memberCount } = await import('./batch/members.ts')
  if (isOfGroup(plan)) {
    const text = await explain(plan, rewrites, { json: asJson, pipes: false })
    const members = memberCount(plan, options.workers, asked)
    const by =
      members === 1 ? 'one member of the group' : `${members} members of the group, each on partitions of its own`
    return asJson ? text : `by ${by}\n${text}`
  }
  const { explainTasks } = await import('./batch/explain.ts')
  const explained = await explainTasks(plan, options, asJson)
  if ('text' in explained) return explained.text
  const text = await explain(plan, rewrites, { json: asJson, pipes: false })
  return asJson ? text : `not in tasks: ${explained.why}\n${text}`
}

async function runPlan(
  logical: LogicalPlan,
  rewrites: Rewrites,
  host: Host,
  terminal: Terminal,
  stats: boolean,
): Promise<number> {
  const [{ canFuse, runFused }, { framedInput }] = await Promise.all([
    import('./fused.ts'),
    import('./framed-input.ts'),
  ])
  if (!canFuse(logical)) return runPiped(logical, host, terminal, stats)
  const framed = await framedInput(logical)
  // State that is kept is that of the stages as they are written.
  const { plan } = framed || hasFrames(logical) ? { plan: logical } : await rewritePlan(logical, rewrites)
  const exit = await runFused(plan.stages, {
    terminal,
    spawn: host.spawn,
    rewrites,
    stats: stats ? statsOf('fused') : undefined,
    framed,
  })
  if (exit > 0 && framed && !framed.keeps) (await import('../pipeline/failed-start.ts')).tellNextOfRun()
  return exit
}

async function runPiped(plan: LogicalPlan, host: Host, terminal: Terminal, stats: boolean): Promise<number> {
  const { runPipes } = await import('./pipes.ts')
  const { EXACTLY_ONCE } = await import('../pipeline/swallowed-frames.ts')
  const env = hasFrames(plan) ? { ...process.env, [EXACTLY_ONCE]: '1' } : process.env
  return runPipes(plan, host.command, env, terminal, stats ? statsOf('pipes') : undefined)
}

const statsOf =
  (mode: 'fused' | 'pipes'): TakeStats =>
  (stages) =>
    writeStats({ mode, stages })

/** A text has spaces or bars; a single word is the name of a file. @throws BeckError no-such-file */
function sourceOf(job: string): JobSource {
  if (/[\s|]/.test(job.trim()) && !isFile(job)) return { name: 'text', text: job }
  if (isFile(job) || /[./]/.test(job)) return readJob(job)
  return { name: 'text', text: job }
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function print(text: string): number {
  const output = new Output()
  output.write(Buffer.from(text))
  output.flush()
  return 0
}
