import { BeckError } from '../core/errors.ts'
import { ownerIsAlive, type PipelineState } from '../log/pipelines.ts'
import type { Arguments } from '../core/spec.ts'
import { withoutSink } from '../log/sinks.ts'
import type { Store } from '../log/store.ts'
import { shellSaysFrames } from './shell-text.ts'
import { isUpstream, processGroup, upstreamGroup } from './upstream.ts'

/**
 * Records without frames came to `append`: refuses them if an exactly-once pipe leads here, on which something swallows the frames.
 * @throws BeckError frames
 */
export function refuseSwallowedFrames(store: Store): void {
  const group = startedWithUs(store)
  if (group !== undefined) throw swallowed('append', group)
}

/** Whether a sink is to take nothing without frames: it was told so, or all that read pipes here are, or its shell's text says it. */
export const insistsOnFrames = (
  name: string,
  target: string,
  { options, files }: Pick<Arguments, 'options' | 'files'>,
): boolean =>
  options['exactly-once'] === true ||
  (files.length === 0 && (process.env[EXACTLY_ONCE] === '1' || shellSaysFrames(name, target)))
/** `beck run` sets it for the processes of a pipeline that begins with frames, and people may for their own. */
export const EXACTLY_ONCE = 'BECK_EXACTLY_ONCE'

/**
 * The same for a sink that knows no store: asks the command lines before it. Called when it opens, while those are there; what it returns
 * is called when records, or the end, come without frames. Costs a look at all processes.
 * @param insists there must be frames: a `consume` that dies at once leaves a pipe behind that looks like any other
 */
export function expectFrames(name: string, insists: boolean): () => void {
  const group = upstreamGroup()
  return () => {
    if (group !== undefined) throw swallowed(name, group)
    if (insists) throw withoutFrames()
  }
}

/** The sink was told that there would be frames. */
export const withoutFrames = (): BeckError =>
  new BeckError('frames', {
    problem:
      'no control frames have come: the consume at the beginning of this pipe has ended early, or there is none; nothing is committed',
    hint: 'run the same command line again; it begins with consume --exactly-once or --at-least-once',
  })

const swallowed = (name: string, group: string): BeckError =>
  new BeckError('frames', {
    problem: `this pipe begins with consume --group ${group} and delivers exactly once, but its control frames do not arrive here; nothing is committed`,
    hint: `grep, head, jq and other programs swallow them: between consume and ${name} only beck commands can stand, as beck filter in place of grep, or beck via around a program; a consume that was killed at its start has sent none: run the same line again`,
  })
/** A shell starts the stages of a pipe within this time. Hundredths of a second, as Linux counts them. */
const TOGETHER_TICKS = 20

/** The journal knows of a run without a sink that is at the other end of our pipe, or has been. */
function startedWithUs(store: Store): string | undefined {
  store.refresh()
  const { identity } = store.env
  const together = ({ owner, group }: PipelineState): boolean =>
    group === processGroup() &&
    owner.boot === identity.boot &&
    Math.abs(Number(owner.start) - Number(identity.start)) < TOGETHER_TICKS
  return withoutSink(store).find(([, pipeline]) =>
    // A source that has given up (it waits some seconds for a sink) was one of ours if it was started with us.
    ownerIsAlive(store, pipeline) ? isUpstream(pipeline.owner.pid) : together(pipeline),
  )?.[0]
}
