import { availableParallelism } from 'node:os'
import { BeckError, Exit, type ExitCode } from '../core/errors.ts'
import type { CommandSpec, Stage } from '../core/spec.ts'
import { suggest } from '../core/suggest.ts'
import { NothingToDo, Output, ReaderGone } from '../pipeline/descriptor.ts'
import { refuseOwnInput } from '../pipeline/own-input.ts'
import type { Spawn } from '../pipeline/parallel.ts'
import type { Outcome } from '../pipeline/settings.ts'
import type { Parsed } from './command-line.ts'
import { runSettings, stageIdentity } from './common-options.ts'
import type { Registry } from './registry.ts'
import { Terminal } from './terminal.ts'
import { needsThreads } from './threads-ahead.ts'

/** What `bin` lends to the command line. */
export interface Host {
  readonly version: string
  readonly registry: Registry
  readonly spawn: Spawn
  /** Starts threads that `spawn` may need soon. */
  readonly spawnAhead: (count: number) => void
  /** Words that start this program again. */
  readonly command: readonly string[]
}

/** Makes this program a worker of a job, instead of a command. Not for people. */
export const WORKER_WORD = '__worker'

/** Runs one command line. Prints errors; returns the exit code and never exits. */
export async function main(argv: readonly string[], host: Host): Promise<number> {
  const [name, ...words] = argv
  const terminal = new Terminal(argv)
  let where = 'beck'
  try {
    if (name === '--version' || name === '-V') return print(`${host.version}\n`)
    if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
      const { commandHelp, overview } = await import('./help.ts')
      const load = name === 'help' && words[0] ? commandOf(host.registry, words[0]) : undefined
      return print(load ? commandHelp(await load()) : await overview(host.registry))
    }
    if (name === 'completion') {
      const { completionScript } = await import('./completion.ts')
      return print(await completionScript(words[0], host.registry))
    }
    if (name === WORKER_WORD) return await (await import('../run/batch/workers.ts')).serveTasks(host.registry)
    const load = commandOf(host.registry, name)
    where = `beck ${name}`
    const spec = await load()
    // Starting a thread takes longer than all that happens before the first record is read, so it begins before the words are understood.
    // One that nobody needs after all costs nothing but its start.
    if (needsThreads(spec, words)) host.spawnAhead(availableParallelism() - 1)
    const { parseCommandLine } = await import('./command-line.ts')
    const parsed = parseCommandLine(spec, words)
    if (parsed === 'help') return print((await import('./help.ts')).commandHelp(spec))
    const outcome = await runCommand(spec, parsed, host, terminal)
    // The exit code of a pipeline is that of its stages.
    if (typeof outcome === 'number') return outcome
    if (outcome) terminal.report(where, outcome)
    return Exit.ok
  } catch (error) {
    terminal.clear()
    if (error instanceof ReaderGone) return Exit.ok
    const isIdle = error instanceof NothingToDo
    if (!isIdle) await terminal.error(where, error)
    if (name !== undefined) (await import('../pipeline/failed-start.ts')).tellNextStage(name, words, error)
    if (isIdle) return Exit.ok
    return error instanceof BeckError ? error.exit : Exit.bug
  }
}

function commandOf(registry: Registry, name: string): () => Promise<CommandSpec> {
  const load = Object.hasOwn(registry, name) ? registry[name] : undefined
  if (load) return load
  if (name.startsWith('-')) throw new BeckError('usage', { problem: `there is no option ${name}`, hint: 'beck --help' })
  throw new BeckError('unknown-command', { name, suggestion: suggest(name, Object.keys(registry)) })
}

async function runCommand(
  spec: CommandSpec,
  { args, values }: Parsed,
  host: Host,
  terminal: Terminal,
): Promise<Outcome | number | undefined> {
  const options = runSettings(values, process.env)
  const stage: Stage = await spec.create(args)
  const inputs = inputsOf(spec, stage, args)
  const settings = { ...options, stage: stageIdentity(spec, stage, args), inputs }
  refuseOwnInput(inputs, 1)
  const progress = terminal.progress(args.files)
  switch (stage.role) {
    case 'operator': {
      const { bytesOf, planInputs, runParallel } = await import('../pipeline/parallel.ts')
      const { parallel, sampled } = stage
      const inputs = (parallel || sampled) && settings.workers > 1 ? planInputs(args.files) : undefined
      if (inputs && parallel === 'ordered') {
        const { runOrdered } = await import('../pipeline/ordered.ts')
        const work = { command: spec.name, args, settings, inputs }
        const outcome = settings.deadLetter === undefined && (await runOrdered(stage, work, host.spawn, progress))
        if (outcome) return outcome
      } else if (inputs && sampled) {
        if (sampled.suits(bytesOf(inputs), settings)) {
          const sample = await (await import('../pipeline/sample.ts')).takeSample(stage, sampled, inputs, settings)
          const work = { command: spec.name, args, settings, inputs, sample }
          return runParallel(sampled.stage(sample), work, host.spawn, progress)
        }
      } else if (inputs) {
        return runParallel(stage, { command: spec.name, args, settings, inputs }, host.spawn, progress)
      }
      return (await import('../pipeline/run-stage.ts')).runOperator(stage, args.files, settings, progress)
    }
    case 'table': {
      const { readTable } = await import('../pipeline/table.ts')
      const { table, outcome, rest } = await readTable(stage, settings)
      const { planInputs, runParallel } = await import('../pipeline/parallel.ts')
      const { addOutcomes } = await import('../pipeline/settings.ts')
      const operator = stage.stage(table)
      const inputs = stage.parallel && settings.workers > 1 ? planInputs(args.files) : undefined
      const main = inputs
        ? runParallel(operator, { command: spec.name, args, settings: rest, inputs, table }, host.spawn, progress)
        : (await import('../pipeline/run-stage.ts')).runOperator(operator, args.files, rest, progress)
      return addOutcomes(outcome, await main)
    }
    case 'partitions':
    case 'pair':
    case 'process':
    case 'decoder': {
      const { runDriven } = await import('../pipeline/driven.ts')
      const say = (line: string, always?: boolean): void => terminal.news(line, always)
      return runDriven(stage, { command: spec.name, args, settings }, { spawn: host.spawn, say, progress })
    }
    case 'encoder':
      return (await import('../pipeline/run-stage.ts')).runEncoder(
        stage,
        args.files,
        settings,
        terminal.output,
        progress,
      )
    case 'sink': {
      const { parts } = stage
      const { planParts } = await import('../pipeline/parallel-sink.ts')
      const threads = parts && planParts(parts, { command: spec.name, args, settings }, host.spawn)
      const { runSink } = await import('../pipeline/run-stage.ts')
      return runSink(stage, args.files, settings, terminal.toolIo(), progress, threads)
    }
    case 'job':
      return (await import('../run/job.ts')).runJob(stage, settings, host, terminal)
    case 'tool':
      await stage.run(terminal.toolIo())
      return undefined
  }
}

/** What a command reads: its files, else standard input, and its table. */
function inputsOf(spec: CommandSpec, stage: Stage, { files }: Parsed['args']): string[] {
  const main = spec.files && stage.role !== 'tool' && stage.role !== 'job' ? (files.length > 0 ? files : ['-']) : []
  return stage.role === 'table' || stage.role === 'pair' ? [...main, stage.table] : [...main]
}

function print(text: string): ExitCode {
  const output = new Output()
  output.write(Buffer.from(text))
  output.flush()
  return Exit.ok
}
