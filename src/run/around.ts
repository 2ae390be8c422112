import type { Terminal } from '../cli/terminal.ts'
import type { BadRecords } from '../pipeline/bad-records.ts'
import type { Spawn } from '../pipeline/parallel.ts'
import type { RunSettings } from '../pipeline/settings.ts'
import type { ByteSource } from '../pipeline/source.ts'
import type { StageOutput } from '../pipeline/stage-io.ts'
import type { StagePipe } from '../pipeline/stage-pipe.ts'
import type { Ending } from './adapters.ts'
import type { LineSink } from './chain.ts'
import type { FusedHost } from './fused.ts'
import type { FramedInput } from './framed-input.ts'
import type { ChainStage, Surroundings } from './group.ts'
import type { Rewrites } from './rewrite.ts'
import type { Watch } from './watch.ts'

/** What the run as a whole does for its lines. */
export interface RunAround {
  readonly terminal: Terminal
  readonly spawn: Spawn
  readonly rewrites: Rewrites
  readonly planInputs: FusedHost['planInputs']
  /** Only where somebody looks. */
  readonly watch: Watch | undefined
  readonly surroundings: Surroundings
  /** Standard input, when it brings control frames. */
  readonly framed: FramedInput | undefined
  /** What comes out at the end, by way of `sink`. `direct`: standard output. */
  readonly output: StageOutput
  readonly sink: LineSink
  readonly direct: boolean
  readonly endings: Map<number, Ending>
  /** Has this closed when the run is over: then others can have its memory. */
  closeAtEnd(one: { close(): void }): void
  countsOf(index: number): Map<string, number>
  badOf(index: number, settings: RunSettings): BadRecords
  /** Bad records of a table that are kept already. */
  keptLetters(index: number, records: number): void
  /** Tells people of an error of a stage: the one that it names, else this one. */
  fail(error: unknown, index: number): Promise<void>
  hasFailed(index: number): boolean
  /** Nobody reads any more what these stages write: they have ended, and have nothing to say. */
  leave(indices: readonly number[]): void
  /** A signal has asked for an end. */
  stop(exit: number): void
  readonly stopped: boolean
  /** A stage has failed. */
  readonly failed: boolean
}

/** Where a line begins and ends, if not at files or standard input, and standard output. */
export interface LineEnds {
  readonly input?: ByteSource | undefined
  readonly to?: StagePipe | undefined
  /** What takes the table that the line makes, at its end. */
  readonly reader?: ChainStage | undefined
}
