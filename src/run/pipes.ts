import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Duplex, Readable } from 'node:stream'
import { PROGRESS, type Reading, receive, upwardWord } from '../cli/board.ts'
import type { Terminal } from '../cli/terminal.ts'
import { BeckError } from '../core/errors.ts'
import { countLines } from '../core/count-lines.ts'
import { ENDING, onSignals } from '../core/signals.ts'
import { sourceIn, STOP } from '../pipeline/asked-to-stop.ts'
import { Output, ReaderGone } from '../pipeline/descriptor.ts'
import { hasFrames, linesOf } from './lines.ts'
import type { LogicalPlan } from './plan.ts'
import { shellLine } from './shell-line.ts'
import { stageStats, type TakeStats } from './stats.ts'

/** A socket to this process, of which every process of the pipeline has the other end. What they do goes up there, too, where people watch. */
const TIE = 3
/** What processes have said arrives within so long after the shell's end. */
const LAST_WORDS_MS = 500

/**
 * Around the pipeline: a reader of the tie, to which nobody writes. It meets the end of its input when this process is gone, killed with -9, say, and
 * ends the process group. The pipeline's own end ends it; it has none of the pipeline's outputs, whose readers would wait for it.
 */
const bound = (line: string): string =>
  `set -o pipefail; { read -r _ || kill -TERM 0; } <&${TIE} >/dev/null 2>&1 & ${line}; code=$?; kill $!; exit $code`

/**
 * Runs a pipeline as the shell would: a process a stage, real pipes between them. Returns the exit code that a shell with `pipefail` has.
 * The first signal that people send reaches every process, the second one kills them. So does the death of this process. Where records are
 * delivered exactly once, the first one reaches the sources alone: they end at a checkpoint, and the others behind them.
 * @throws BeckError process, when there is no shell
 */
export function runPipes(
  plan: LogicalPlan,
  beck: readonly string[],
  env: NodeJS.ProcessEnv,
  terminal: Terminal,
  stats?: TakeStats,
): Promise<number> {
  const last = plan.stages.at(-1)
  const board = terminal.board(last?.kind === 'command' && last.output.records === 'none')
  const readings: Reading[] = []
  const to = { fd: TIE, people: board !== undefined, out: stats !== undefined }
  const told = board !== undefined || stats !== undefined
  const framed = hasFrames(plan)
  /** How many sources there are that can end at a checkpoint, and those that have said so. */
  let sources = 0
  const ready = new Set<number>()
  const before = (name: string): string => {
    const isSource = framed && name === 'consume'
    if (isSource) sources++
    const id = readings.push({ name }) - 1
    return `${isSource ? `${STOP}=${TIE} ` : ''}${told ? `${PROGRESS}=${upwardWord({ ...to, id })} ` : ''}`
  }
  const line = shellLine(plan, beck, TIE + 1, before)
  // Only what comes out of the whole has nobody behind it who counts.
  const counted = stats && !terminal.output ? new CountedOutput() : undefined
  // A group of its own, so that a signal to this process ends all of them, and none that is not ours.
  const child = spawn('bash', ['-c', bound(line)], {
    // What they say must not fall between lines of progress.
    stdio: ['inherit', counted ? 'pipe' : 'inherit', board ? 'pipe' : 'inherit', 'pipe'],
    env,
    detached: true,
  })
  const tie = child.stdio[TIE] as Duplex
  tie.on('error', () => {})
  const heard = new Promise<void>((resolve) => tie.once('close', resolve))
  const hide = board?.keepShown(() => readings)
  const said = board && terminal.passOn(child.stderr!)
  const output = counted?.take(child.stdout as Readable)
  const take = receive(
    (id, [reading]) => {
      if (reading && readings[id]) readings[id] = { ...reading, name: readings[id].name }
    },
    (other) => {
      const pid = sourceIn(other)
      if (pid !== undefined) ready.add(pid)
    },
  )
  tie.on('data', take)
  let stopped: NodeJS.Signals | undefined
  let gently = false
  const pass = (signal: NodeJS.Signals): void => {
    const first = stopped === undefined
    stopped ??= signal
    // What comes behind the sources ends with them, when all that they have read is committed.
    const toSources = first && signal !== 'SIGHUP' && ready.size > 0 && ready.size === sources
    gently ||= toSources
    const to = toSources ? [...ready] : child.pid === undefined ? [] : [-child.pid]
    for (const pid of to) {
      try {
        process.kill(pid, first ? signal : 'SIGKILL')
      } catch {
        // It has ended.
      }
    }
  }
  // What sources have said before is heard before.
  const release = onSignals(ENDING, (signal) => void setImmediate(pass, signal))
  return new Promise<number>((resolve, reject) => {
    child.once('error', (error) => {
      const facts = {
        command: 'bash',
        problem: 'cannot be started',
        hint: '--mode pipes needs bash; --mode fused does not',
      }
      reject(new BeckError('process', facts, { cause: error }))
    })
    child.once('exit', (code, signal) => {
      // One that has ended at a checkpoint has ended well.
      const exit = (gently ? code || undefined : code) ?? 128 + constants.signals[stopped ?? signal ?? 'SIGKILL']
      if (!told) return resolve(exit)
      // Somebody else may hold them open, as a program in the background does.
      setTimeout(() => {
        child.stderr?.destroy()
        tie.destroy()
      }, LAST_WORDS_MS).unref()
      void Promise.all([said, heard, output]).then(() => resolve(exit), reject)
    })
  }).finally(() => {
    hide?.()
    terminal.clear()
    stats?.(stageStats(linesOf(plan.stages), readings, counted?.records))
    tie.destroy()
    release()
  })
}

/** The output of a pipeline on its way to standard output. */
class CountedOutput {
  records = 0
  readonly #output = new Output()

  /** Resolves at the end. @throws BeckError */
  take(from: Readable): Promise<void> {
    return new Promise((resolve, reject) => {
      from.on('data', (bytes: Buffer) => {
        this.records += countLines(bytes)
        try {
          this.#output.write(bytes)
          this.#output.flush()
        } catch (error) {
          // The pipeline learns from its own output that nobody reads it.
          from.destroy()
          if (!(error instanceof ReaderGone)) reject(error)
        }
      })
      from.once('close', resolve)
    })
  }
}
