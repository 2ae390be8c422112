import { BeckError } from '../core/errors.ts'
import { readSmallFile } from './env.ts'
import type { Identity } from './identity.ts'
import { layout } from './layout.ts'
import { checkRun, pipelineOf, type PipelineState, replaceFile } from './pipelines.ts'
import { type Store, translate } from './store.ts'

/** A file beside a pipeline's state names the process that commits for a run. */
const sinkFile = (store: Store, name: string, generation: number): string =>
  `${layout.state(store.folder, name)}/sink.${generation}`

/**
 * Says that this process commits for a run: so its source learns that the frames arrive, when nobody is left to commit, and whether stages
 * go by the clock (`ticks`). Of two ends of a pipe the second would find every epoch committed, and what has come to it would be lost: then the run is
 * over for both. Also when the first has ended: a run has one end, and when that dies, so does the run.
 * @throws BeckError usage
 */
export function announceSink(store: Store, name: string, generation: number, ticks = false): void {
  const { identity } = store.env
  const isSecond = store.transact(true, (transaction) => {
    const known = sinkOf(store, name, generation)?.identity
    if (known && (known.pid !== identity.pid || known.start !== identity.start)) {
      transaction.handles(name, { ...checkRun(store, { name, generation }), generation: generation + 1 })
      return true
    }
    const text = JSON.stringify({ ...identity, ticks })
    translate(store.folder, () => replaceFile(store, name, 'sink.', sinkFile(store, name, generation), text))
    return false
  })
  if (!isSecond) return
  throw new BeckError('usage', {
    problem: `two ends of the pipe "${name}" commit, and an epoch can be committed once: neither commits any more`,
    hint: `let one of them end the pipe, as … | beck append all, and the other begin with what it has written: beck consume all --group other --exactly-once | …`,
  })
}

/** Whether the process that commits for a run is there; undefined while none has said so. */
export const sinkIsAlive = (store: Store, name: string, generation: number): boolean | undefined =>
  sinkOf(store, name, generation)?.alive

/** The process that commits for a run, once it has said so. */
export function sinkOf(
  store: Store,
  name: string,
  generation: number,
): { readonly identity: Identity; readonly alive: boolean; readonly ticks: boolean } | undefined {
  const text = translate(store.folder, () => readSmallFile(store.env, sinkFile(store, name, generation)))
  if (!text || text.length === 0) return undefined
  try {
    const { ticks, ...identity } = JSON.parse(text.toString()) as Identity & { readonly ticks: boolean }
    return { identity, alive: store.env.alive(identity) !== 'dead', ticks }
  } catch {
    return undefined // it is being written
  }
}

/** Pipelines for whose last run nobody has said that it commits. */
export const withoutSink = (store: Store): [name: string, pipeline: PipelineState][] =>
  [...store.state.handles.keys()].flatMap((name) => {
    const pipeline = pipelineOf(store, name)
    const alone = pipeline && sinkIsAlive(store, name, pipeline.generation) === undefined
    return alone ? [[name, pipeline] as [string, PipelineState]] : []
  })
