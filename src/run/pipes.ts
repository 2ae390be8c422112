import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { BeckError } from '../core/errors.ts'
import type { LogicalPlan } from './plan.ts'
import { shellLine } from './shell-line.ts'

/**
 * Runs a pipeline as the shell would: a process a stage, real pipes between them. Returns the exit code that a shell with `pipefail` has.
 * Signals that people send reach every process.
 * @throws BeckError process, when there is no shell
 */
export function runPipes(plan: LogicalPlan, beck: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  // A group of its own, so that a signal to this process ends all of them, and none that is not ours.
  const child = spawn('bash', ['-c', `set -o pipefail; ${shellLine(plan, beck)}`], {
    stdio: 'inherit',
    env,
    detached: true,
  })
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const forward = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal)
    } catch {
      // It has ended.
    }
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
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  }).finally(() => {
    for (const signal of signals) process.off(signal, forward)
  })
}
