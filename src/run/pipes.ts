import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Duplex } from 'node:stream'
import { BeckError } from '../core/errors.ts'
import type { LogicalPlan } from './plan.ts'
import { shellLine } from './shell-line.ts'

/** A socket to this process, of which every process of the pipeline has the other end. */
const TIE = 3

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
export function runPipes(plan: LogicalPlan, beck: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  // A group of its own, so that a signal to this process ends all of them, and none that is not ours.
  const child = spawn('bash', ['-c', bound(shellLine(plan, beck, TIE + 1))], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env,
    detached: true,
  })
  const tie = child.stdio[TIE] as Duplex
  tie.on('error', () => {})
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  let stopped: NodeJS.Signals | undefined
  const forward = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, stopped ? 'SIGKILL' : signal)
    } catch {
      // It has ended.
    }
    stopped ??= signal
  }
  for (const signal of signals) process.on(signal, forward)
  return new Promise<number>((resolve, reject) => {
    child.once('error', (error) => {
      const facts = {
        command: 'bash',
        problem: 'cannot be started',
        hint: '--mode pipes needs bash; --mode fused does not',
      }
      reject(new BeckError('process', facts, { cause: error }))
    })
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[stopped ?? signal ?? 'SIGKILL']))
  }).finally(() => {
    tie.destroy()
    for (const signal of signals) process.off(signal, forward)
  })
}
