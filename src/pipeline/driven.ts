import type { Readable } from 'node:stream'
import type {
  Arguments,
  DecoderStage,
  OperatorStage,
  PairStage,
  PartitionStage,
  ProcessStage,
  TableStage,
} from '../core/spec.ts'
import type { Spawn } from './parallel.ts'
import type { Progress } from './run-stage.ts'
import { addOutcomes, type Outcome, type RunSettings } from './settings.ts'
import type { StageIo } from './stage-io.ts'

/** Stages that can read by themselves and write what they make, as a process of their own or beside others. */
export type DrivenStage = OperatorStage | TableStage | PairStage | PartitionStage | ProcessStage | DecoderStage

/** A command line. */
export interface DrivenWork {
  readonly command: string
  readonly args: Arguments
  readonly settings: RunSettings
}
export interface DrivenAround {
  readonly spawn: Spawn
  /** A line for people: `always` even if they have asked for quiet, as what other programs say is no news of ours. */
  readonly say: (line: string, always?: boolean) => void
  readonly progress?: Progress | undefined
  /** Gets what other programs write to standard error, where something else stands there. */
  readonly said?: ((text: Readable) => void) | undefined
  /** Without it: descriptors of this process. */
  readonly io?: StageIo
}

/**
 * Runs a stage with a reader of its own. Operators are run by one thread; they have others where many threads work on files.
 * @throws BeckError, ReaderGone
 */
export async function runDriven(
  stage: DrivenStage,
  work: DrivenWork,
  { spawn, say, said, progress, io }: DrivenAround,
): Promise<Outcome | undefined> {
  const { args, settings } = work
  switch (stage.role) {
    case 'pair': {
      if (stage.openLeft && settings.workers > 1 && settings.deadLetter === undefined) {
        const { planInputs } = await import('./parallel.ts')
        const inputs = planInputs(args.files)
        const { runPairParallel } = await import('./pair-parallel.ts')
        if (inputs) return runPairParallel(stage, { ...work, inputs }, spawn, progress, io)
      }
      return (await import('./pair.ts')).runPair(stage, args.files, settings, progress, io)
    }
    case 'partitions': {
      const { runPartitions } = await import('./partitions.ts')
      return runPartitions(stage, args.files, settings, (line) => say(line, true), progress, io)
    }
    case 'process':
      await (await import('./via.ts')).runVia(stage, settings, say, io, said)
      return undefined
    case 'table': {
      const { readTable } = await import('./table.ts')
      const { table, outcome, rest } = await readTable(stage, settings, io)
      const { runOperator } = await import('./run-stage.ts')
      return addOutcomes(outcome, await runOperator(stage.stage(table), args.files, rest, progress, io))
    }
    case 'decoder':
      return (await import('./run-stage.ts')).runDecoder(stage, args.files, settings, progress, io)
    case 'operator':
      return (await import('./run-stage.ts')).runOperator(stage, args.files, settings, progress, io)
  }
}
