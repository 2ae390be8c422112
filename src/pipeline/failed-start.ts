import { BeckError } from '../core/errors.ts'
import { hasWritten, isPipe, NothingToDo, writeAll } from './descriptor.ts'
import { asksForFrames, FAILED_START, IDLE_START } from './frames.ts'
import { upstreamGroup } from './upstream.ts'

/** What leaves these has no frames. */
const ENDS = ['append', 'into', 'commit', 'to']

/**
 * A command has failed, or has nothing to do (`NothingToDo`). Where its pipe was to have control frames, and none has left it yet, it tells the
 * next stage so, which would take an empty pipe for one without frames, and say what there is to say about nothing. Costs nothing else; a look
 * at the command lines before it where standard input is a pipe.
 */
export function tellNextStage(name: string, words: readonly string[], error: unknown): void {
  if (ENDS.includes(name) || !canTell()) return
  if (error instanceof NothingToDo) return void writeAll(1, IDLE_START, 'standard output')
  const isSource = asksForFrames(words)
  const isBehind = (): boolean =>
    (error instanceof BeckError && error.code === 'frames') || upstreamGroup() !== undefined
  if (isSource || (isPipe(0) && isBehind())) writeAll(1, FAILED_START, 'standard output')
}

/** The same of a run within a pipe with control frames: its stages have said why, and are over. */
export function tellNextOfRun(): void {
  if (canTell()) writeAll(1, FAILED_START, 'standard output')
}

/** There may be a next stage, and it has got nothing. */
const canTell = (): boolean => !hasWritten() && isPipe(1)
