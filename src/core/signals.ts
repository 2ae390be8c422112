import { constants } from 'node:os'

/** What asks a program to end. */
export const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** Of these, what people ask; that its terminal has gone ends a run at once. */
export const ASKED = ['SIGINT', 'SIGTERM'] as const

/** Calls `listener` in place of what these signals do by themselves, until the function that it returns is called. */
export function onSignals(signals: readonly NodeJS.Signals[], listener: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of signals) process.on(signal, listener)
  return () => {
    for (const signal of signals) process.off(signal, listener)
  }
}

/** The first Ctrl-C (or SIGTERM) asks for an end at the next checkpoint, the second one is that of any program. Returns what ends it. */
export function stopAtCheckpoint(ask: (exit: number) => void): () => void {
  let isAsked = false
  const stop = onSignals(ASKED, (signal) => {
    if (isAsked) {
      stop()
      process.kill(process.pid, signal)
    }
    isAsked = true
    ask(128 + constants.signals[signal])
  })
  return stop
}
