import { statSync } from 'node:fs'
import type { JobStage } from '../core/spec.ts'
import type { Host } from '../cli/main.ts'
import { Output } from '../pipeline/descriptor.ts'
import { type LogicalPlan, planPipeline } from './plan.ts'
import { type JobSource, parsePipeline, readJob } from './text.ts'

/** What `run` and `explain` do. Returns the exit code. @throws BeckError */
export async function runJob({ action, job, args }: JobStage, host: Host): Promise<number> {
  const { options } = args
  const store = options['store'] as string | undefined
  const env = store === undefined ? process.env : { ...process.env, BECK_STORE: store }
  const source = sourceOf(job)
  const plan = await planPipeline(source, parsePipeline(source), { registry: host.registry, env, args: args.args })
  if (action === 'explain') {
    const { explain } = await import('./explain.ts')
    return print(explain(plan, options['json'] === true))
  }
  if (options['print-shell'] === true) {
    const { shellLine } = await import('./shell-line.ts')
    return print(`${shellLine(plan)}\n`)
  }
  return runPlan(plan, host, env)
}

async function runPlan(plan: LogicalPlan, host: Host, env: NodeJS.ProcessEnv): Promise<number> {
  const { runPipes } = await import('./pipes.ts')
  return runPipes(plan, host.command, env)
}

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
