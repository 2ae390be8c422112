import { writeSync } from 'node:fs'
import { ASKED, onSignals } from '../core/signals.ts'
import type { RunState } from './framed-output.ts'

/**
 * Names a descriptor, for a source in a pipe of processes whose leader passes Ctrl-C on to it alone: it says there who it is, and
 * ends at a checkpoint when it is asked to. Without it Ctrl-C is for all processes, as in a shell.
 */
export const STOP = 'BECK_STOP'

/** The line that a source writes to its leader. */
export const sourceLine = (pid: number): string => `source ${pid}\n`
export function sourceIn(line: string): number | undefined {
  const pid = /^source (\d+)$/.exec(line)?.[1]
  return pid === undefined ? undefined : Number(pid)
}

/** What people ask of a source. */
export class AskedToStop implements RunState {
  stopped = false
  readonly failed = false
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  /** Listens from now on: there is something to end. A second signal is that of any program. */
  listen(): void {
    const release = onSignals(ASKED, () => {
      release()
      this.stopped = true
    })
    try {
      writeSync(this.#fd, sourceLine(process.pid))
    } catch {
      // The leader has gone, and will not ask.
    }
  }
}

/** Undefined where nobody asks this way. */
export function takeAsked(env: NodeJS.ProcessEnv): AskedToStop | undefined {
  const fd = env[STOP]
  delete env[STOP]
  return fd === undefined ? undefined : new AskedToStop(Number(fd))
}
