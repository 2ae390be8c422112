import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Duplex } from 'node:stream'
import { PROGRESS, type Reading, receive, upwardWord } from '../cli/board.ts'
import type { Terminal } from '../cli/terminal.ts'
import { BeckError } from '../core/errors.ts'
import type { LogicalPlan } from './plan.ts'
import { shellLine } from './shell-line.ts'
import { ENDING, onSignals } from './signals.ts'

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
 * The first signal that people send reaches every process, the second one kills them. So does the death of this process.
 * @throws BeckError process, when there is no shell
 */
export function runPipes(
  plan: LogicalPlan,
  beck: readonly string[],
  env: NodeJS.ProcessEnv,
  terminal: Terminal,
): Promise<number> {
  const last = plan.stages.at(-1)
  const board = terminal.board(last?.kind === 'command' && last.output.records === 'none')
  const readings: Reading[] = []
  const sending = (name: string): string => `${PROGRESS}=${upwardWord({ fd: TIE, id: readings.push({ name }) - 1 })} `
  const line = shellLine(plan, beck, TIE + 1, board && sending)
  // A group of its own, so that a signal to this process ends all of them, and none that is not ours.
  const child = spawn('bash', ['-c', bound(line)], {
    // What they say must not fall between lines of progress.
    stdio: ['inherit', 'inherit', board ? 'pipe' : 'inherit', 'pipe'],
    env,
    detached: true,
  })
  const tie = child.stdio[TIE] as Duplex
  tie.on('error', () => {})
  const hide = board?.keepShown(() => readings)
  const said = board && terminal.passOn(child.stderr!)
  if (board) {
    const take = receive((id, [reading]) => {
      if (reading) readings[id] = { ...reading, name: readings[id]!.name }
    })
    tie.on('data', take)
  }
  let stopped: NodeJS.Signals | undefined
  const release = onSignals(ENDING, (signal) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, stopped ? 'SIGKILL' : signal)
    } catch {
      // It has ended.
    }
    stopped ??= signal
  })
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
      const exit = code ?? 128 + constants.signals[stopped ?? signal ?? 'SIGKILL']
      if (!said) return resolve(exit)
      // Somebody else may hold it open, as a program in the background does.
      setTimeout(() => child.stderr?.destroy(), LAST_WORDS_MS)
      void said.then(() => resolve(exit))
    })
  }).finally(() => {
    hide?.()
    terminal.clear()
    tie.destroy()
    release()
  })
}
