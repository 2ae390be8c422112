import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { BeckError, Exit } from '../core/errors.ts'
import { formatDuration } from '../core/duration.ts'
import { ASKED, onSignals } from '../core/signals.ts'

/** The first wait after a crash; each further one is twice as long, up to the longest. A run that has lasted that long begins anew. */
const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 60_000

/**
 * Runs a command line, and again when it crashes: it goes on after its last checkpoint. What a restart does not change ends it: bad data, a wrong command
 * line, another run that has taken over. Signals to this process go to the run. Returns its exit code.
 */
export async function keepRunning(command: readonly string[], say: (line: string) => void): Promise<number> {
  let waitMs = FIRST_WAIT_MS
  let stopped = false
  let kill: (signal: NodeJS.Signals) => void = () => {}
  const release = onSignals(ASKED, (signal) => {
    stopped = true
    kill(signal)
  })
  try {
    for (;;) {
      const started = Date.now()
      const { code, how } = await once(command, (killer) => (kill = killer))
      if (stopped || [Exit.ok, Exit.data, Exit.usage, Exit.fenced].some((exit) => exit === code)) return code
      if (Date.now() - started > LONGEST_WAIT_MS) waitMs = FIRST_WAIT_MS
      say(`the pipeline ended with ${how}; it goes on after its last checkpoint in ${formatDuration(waitMs)}`)
      const pause = new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs)
        kill = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      await pause
      if (stopped) return code
      waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)
    }
  } finally {
    release()
  }
}

function once(
  [file = '', ...words]: readonly string[],
  running: (kill: (signal: NodeJS.Signals) => void) => void,
): Promise<{ code: number; how: string }> {
  return new Promise((resolve, reject) => {
    // A group of its own, so that Ctrl-C reaches it once, by way of this process.
    const child = spawn(file, words, { stdio: 'inherit', detached: true })
    running((signal) => void child.kill(signal))
    child.once('error', (cause) => {
      reject(new BeckError('process', { command: file, problem: 'cannot be started' }, { cause }))
    })
    child.once('exit', (code, signal) => {
      const how = signal ? `signal ${signal}` : `exit ${code}`
      resolve({ code: code ?? 128 + (signal ? constants.signals[signal] : 0), how })
    })
  })
}
