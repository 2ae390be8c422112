import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Duplex, Readable } from 'node:stream'
import { PROGRESS, type Reading, receive, upwardWord } from '../../cli/board.ts'
import type { Host } from '../../cli/main.ts'
import type { Terminal } from '../../cli/terminal.ts'
import { BeckError } from '../../core/errors.ts'
import { ENDING, onSignals } from '../../core/signals.ts'
import { Output, ReaderGone } from '../../pipeline/descriptor.ts'
import type { CommandStage, LogicalPlan, PlanSettings } from '../plan.ts'
import { hasFrames, linesOf } from '../lines.ts'
import { stageStats, writeStats } from '../stats.ts'
import type { BatchOptions } from './job.ts'

const LF = 10
/** The descriptor on which a member says what it does, where people watch. */
const UP = 3

/** Whether a pipeline is one of a consumer group: then several processes that run it share the partitions out among themselves. */
export const isOfGroup = ({ stages: [first] }: LogicalPlan): boolean =>
  first?.kind === 'command' && first.name === 'consume'

/**
 * Runs a pipeline of a consumer group in several processes, each a member. One that dies is started anew, up to `attempts` times in all; the others take
 * its partitions meanwhile. Their outputs are put together line by line. Returns the exit code of the first that failed.
 * @throws BeckError usage
 */
export async function runMembers(
  plan: LogicalPlan,
  told: Pick<PlanSettings, 'args' | 'options'>,
  options: Pick<BatchOptions, 'workers' | 'attempts' | 'stats' | 'without'>,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const workers = memberCount(plan, options.workers, told.options?.['workers'] !== undefined)
  // Here `--workers` are members.
  const { workers: _, ...shared } = told.options ?? {}
  const words = [
    'run',
    '--mode',
    'fused',
    ...options.without.flatMap((name) => ['--without', name]),
    ...Object.entries(told.args).flatMap(([name, value]) => ['--arg', `${name}=${value}`]),
    ...Object.entries(shared).flatMap(([flag, value]) => [`--${flag}`, ...(value === true ? [] : [value])]),
  ]
  const command = [...host.command, ...words, '--', plan.source.text]
  const output = new Output()
  const running = new Set<ChildProcess>()
  let left = options.attempts
  let stopped: NodeJS.Signals | undefined
  let gone = false

  const { stats } = options
  /** By process: what those that died have done counts, too. */
  const readings = new Map<number, readonly Reading[]>()
  const last = plan.stages.at(-1)
  const board = terminal.board(last?.kind === 'command' && last.output.records === 'none')
  const hide = board?.keepShown(() => together([...readings.values()]))

  let started = 0
  const to = { fd: UP, people: board !== undefined, out: stats }
  const isTold = board !== undefined || stats

  const member = async (): Promise<number> => {
    for (;;) {
      const id = started++
      const [program = '', ...rest] = command
      const child = spawn(program, rest, {
        // What they say must not fall between lines of progress.
        stdio: ['ignore', 'pipe', board ? 'pipe' : 'inherit', isTold ? 'pipe' : 'ignore'],
        env: isTold ? { ...process.env, [PROGRESS]: upwardWord({ ...to, id }) } : process.env,
      })
      running.add(child)
      if (board) void terminal.passOn(child.stderr as Readable)
      if (isTold) {
        const up = child.stdio[UP] as Duplex
        up.on('error', () => {})
        up.on(
          'data',
          receive((_, said) => void readings.set(id, said)),
        )
      }
      const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
        child.once('error', reject)
        child.once('close', (code, signal) => resolve({ code, signal }))
      })
      copyLines(child.stdout as Readable, output, () => {
        gone = true
        for (const other of running) other.kill()
      })
      const { code, signal } = await ended
      running.delete(child)
      if (code !== null || stopped || gone) return code ?? (gone ? 0 : 128 + constants.signals[signal ?? 'SIGTERM'])
      if (--left <= 0) return 128 + constants.signals[signal as NodeJS.Signals]
      terminal.news(`beck run: a worker was killed with ${signal as string}; another takes its place`)
    }
  }

  const release = onSignals(ENDING, (signal) => {
    for (const child of running) child.kill(stopped ? 'SIGKILL' : signal)
    stopped ??= signal
  })
  try {
    const exits = await Promise.all(Array.from({ length: workers }, member))
    if (stopped) return 128 + constants.signals[stopped]
    return exits.find((exit) => exit !== 0) ?? 0
  } finally {
    hide?.()
    terminal.clear()
    if (stats) {
      const stages = stageStats(linesOf(plan.stages), together([...readings.values()]))
      writeStats({ mode: 'parallel', members: workers, stages })
    }
    release()
  }
}

/**
 * How many members a run has: one where several cannot share the work.
 * @param asked whether people have said how many
 * @throws BeckError usage
 */
export function memberCount(plan: LogicalPlan, workers: number, asked: boolean): number {
  const { options } = (plan.stages[0] as CommandStage).args
  const why: readonly [problem: string, hint: string] | undefined =
    hasFrames(plan) && options['per-partition'] !== true
      ? [
          'one pipeline of a group does all of its work, so that its output is in order',
          'add --per-partition to consume, so that each partition is a pipeline of its own; or leave --workers out',
        ]
      : options['member'] !== undefined
        ? ['several members cannot have one name', 'leave --member out, or --workers']
        : options['limit'] !== undefined
          ? ['each of several members would read as many records as --limit says', 'leave --limit out, or --workers']
          : undefined
  if (!why || workers === 1) return workers
  if (!asked) return 1
  throw new BeckError('usage', { problem: why[0], hint: why[1] })
}

/** What all members do, stage by stage. */
function together(all: readonly (readonly Reading[])[]): Reading[] {
  const stages = all.find((readings) => readings.length > 0) ?? []
  return stages.map(({ name }, stage) => {
    const of = all.flatMap((readings) => readings[stage] ?? [])
    const watermarks = of.flatMap(({ watermark }) => watermark ?? [])
    const behind = of.flatMap(({ behind }) => behind ?? [])
    const out = of.flatMap(({ out }) => out ?? [])
    return {
      name,
      records: sum(of.map(({ records }) => records ?? 0)),
      ...(out.length > 0 && { out: sum(out) }),
      ...(watermarks.length > 0 && { watermark: Math.min(...watermarks) }),
      ...(behind.length > 0 && { behind: sum(behind) }),
    }
  })
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

/** Whole lines only, so that those of different processes do not mix. */
function copyLines(from: Readable, output: Output, onGone: () => void): void {
  const pending: Buffer[] = []
  const write = (...pieces: Uint8Array[]): void => {
    try {
      for (const piece of pieces) output.write(piece)
      output.flush()
    } catch (error) {
      if (!(error instanceof ReaderGone)) throw error
      onGone()
    }
  }
  from.on('data', (piece: Buffer) => {
    const end = piece.lastIndexOf(LF) + 1
    if (end > 0) write(...pending.splice(0), piece.subarray(0, end))
    if (end < piece.length) pending.push(piece.subarray(end))
  })
  // What a process that was killed has written of a line: it is not committed, and comes again.
  from.on('end', () => pending.splice(0))
}
