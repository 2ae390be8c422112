import { BeckError } from '../core/errors.ts'
import { addCounts, type Outcome } from '../pipeline/settings.ts'
import type { RunAround } from './around.ts'
import type { Chain, LineSink } from './chain.ts'
import { type ChainTask, type ChainWork, compose, parallelHead } from './composite.ts'
import { letsFew } from './few.ts'
import type { ChainStage } from './group.ts'
import type { CommandStage } from './plan.ts'
import type { Watch } from './watch.ts'

/** What the line has, and does, for stages that run on all threads. */
interface Rest {
  readonly around: RunAround
  /** The stages as workers get them. */
  readonly tasks: readonly ChainTask[]
  readonly progress: Watch['reads'] | undefined
  /** What comes out goes to standard output, and nowhere else. */
  readonly direct: boolean
  /** Something behind looks at the clock. */
  readonly timed: boolean
  readonly out: LineSink
  chain(tail: readonly ChainStage[]): Chain | undefined
  ready(): Promise<void> | undefined
  through(tail: Chain | undefined, read: () => Promise<void>): Promise<void>
}

/**
 * Lets all threads work on the first stages; the others follow in this one. Returns false, with nothing done, where one thread does as well. Output and
 * errors are the same.
 */
export async function runInParallel(
  first: CommandStage | undefined,
  stages: readonly ChainStage[],
  rest: Rest,
): Promise<boolean> {
  const { around, direct } = rest
  const { rewrites, spawn } = around
  if (!first || first.args.files.length === 0) return false
  const { args } = first
  const head = rewrites.threads ? parallelHead(stages, direct) : undefined
  const workers = Math.min(...stages.slice(0, head?.count ?? 0).map(({ settings }) => settings.workers))
  // Dead letters of several stages would have to wait for their turn.
  const plain = stages.every(({ stage, settings }) => settings.deadLetter === undefined && !stage.timers)
  if (!head || workers < 2 || !plain || rest.timed) return false
  const { planInputs, runParallel } = await import('../pipeline/parallel.ts')
  const inputs = (around.planInputs ?? planInputs)(args.files)
  if (!inputs) return false
  const few = rewrites.fuse && letsFew(stages, inputs)
  /** The first stage is the filter. */
  const told = <Stage extends { readonly few?: true }>(list: readonly Stage[]): Stage[] =>
    list.slice(0, head.count).map((one, at) => (few && at === 0 ? { ...one, few } : one))
  const tail = rest.chain(stages.slice(head.count))
  const into = tail?.entry ?? rest.out
  let written = false
  const output = {
    write(bytes: Uint8Array) {
      written = true
      into.write(bytes)
    },
    writeBinary(text: string) {
      written = true
      into.writeBinary(text)
    },
    flush: () => (tail ?? rest.out).settle(),
    ready: () => rest.ready(),
  }
  const settings = { ...stages[0]!.settings, workers }
  const chain: ChainWork = {
    tasks: told(rest.tasks),
    kind: head.kind,
    rewrites,
    counts: around.watch?.meter.shared,
  }
  const task = { command: 'run', args, settings, inputs, chain }
  const stage = compose(told(stages), head.kind, rewrites, around.watch?.meter)
  let worked = true
  const before = around.watch?.meter.now
  await rest
    .through(tail, async () => {
      let outcome: Outcome | undefined
      if (stage.parallel === 'ordered') {
        const { runOrdered } = await import('../pipeline/ordered.ts')
        outcome = await runOrdered(stage, task, spawn, rest.progress, output)
        worked = outcome !== undefined
      } else {
        try {
          outcome = await runParallel(stage, task, spawn, rest.progress, output)
        } catch (error) {
          // What the stages behind would get of the input up to a bad record is found out in order.
          if (stage.parallel === 'stateless' || written || !(error instanceof BeckError)) throw error
          worked = false
        }
      }
      for (const [name, records] of outcome?.counts ?? []) {
        const at = name.indexOf(' ')
        addCounts(around.countsOf(Number(name.slice(0, at))), [[name.slice(at + 1), records]])
      }
      if (worked) return
      if (before) around.watch?.meter.goBack(before)
      throw new NotParallel()
    })
    .catch((error: unknown) => {
      if (!(error instanceof NotParallel)) throw error
    })
  return worked
}

/** Thrown to unwind when one thread does as well; nothing has been written. */
export class NotParallel extends Error {}
