import { lookForFrames, startOfStdin } from '../pipeline/frame-source.ts'
import { refuseFileOutput } from '../pipeline/framed-stage.ts'
import { unwelcome } from '../pipeline/reader.ts'
import { shellSaysFrames } from '../pipeline/shell-text.ts'
import { type ByteSource, openSource } from '../pipeline/source.ts'
import { withoutFrames } from '../pipeline/swallowed-frames.ts'
import { whyNotFused } from './fused.ts'
import { type CommandStage, type LogicalPlan, MANY_ENDS } from './plan.ts'

/** Standard input that brings control frames: the run is a stage of a pipe that other processes begin. */
export interface FramedInput {
  readonly source: ByteSource
  /** The store that the pipe names. */
  readonly store: string
  /** The run ends the pipe. */
  readonly keeps: boolean
}

/**
 * Looks whether standard input brings control frames, if a pipeline reads it; waits for its first bytes, and leaves them to be read.
 * @throws BeckError usage, when the pipeline cannot take them in one process; frames, when there must be some
 */
export async function framedInput(plan: LogicalPlan): Promise<FramedInput | undefined> {
  const [first] = plan.stages
  if (first?.kind !== 'command' || !readsStdin(first)) return undefined
  const last = plan.stages.at(-1)
  const keeps = last?.kind === 'command' && last.role === 'sink'
  const start = await startOfStdin()
  if (!start) {
    // What `append` as a process would look for is not to be seen from here: the text of the shell has its name within ours.
    if (keeps && shellSaysFrames('run', '')) throw withoutFrames()
    return undefined
  }
  if (first.args.files.length > 1) throw unwelcome('it can have no other input beside it')
  if (plan.stages.some(({ kind }) => kind === 'tee')) throw unwelcome(...MANY_ENDS)
  const why = start.tasks ? 'beck run cannot work partition by partition in one process' : whyNotFused(plan, 'stage')
  if (why !== undefined) throw unwelcome(why, 'beck run --mode pipes makes a process of each stage, and takes it')
  if (!keeps) refuseFileOutput(last!.name)
  const { source } = await lookForFrames(openSource('-', true))
  return { source, store: start.store, keeps }
}

/** Sources have nothing to read there, and what makes records of something else has no frames. */
function readsStdin({ role, args: { files } }: CommandStage): boolean {
  return role !== 'tool' && role !== 'decoder' && (files.length === 0 || files.includes('-'))
}
