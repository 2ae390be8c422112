import { BeckError } from '../core/errors.ts'
import type { Collector } from '../core/operator.ts'
import type { Encoder, OperatorStage, Sink, Stage } from '../core/spec.ts'
import type { Terminal } from '../cli/terminal.ts'
import { otherFormat } from '../pipeline/reader.ts'
import { addCounts, type RunSettings } from '../pipeline/settings.ts'

/** What a stage wants beside its batches. */
export interface Ending {
  /** Awaited before more is read: it is behind. @throws BeckError */
  ready?(): Promise<void> | undefined
  /** The input pauses. */
  onIdle?(): void | Promise<void>
  /** The stage has failed. */
  onFailure?(error: unknown): void | Promise<void>
  /** Awaited once the stage has ended. @throws BeckError */
  finish?(): Promise<void> | undefined
  /** Always called at last. */
  close?(): void | Promise<void>
  /** The sink itself, once its stage is open. */
  sink?(): Sink | undefined
}

/** A stage as part of a chain. */
export interface Adapted {
  readonly stage: OperatorStage
  readonly settings: RunSettings
  readonly ending?: Ending
  /** What the table of a join came to, for workers. */
  readonly table?: unknown
  /** Bad records of its table, kept already. */
  readonly deadLetters?: number
}

/** Every role that records go into, as an operator. A table is read here. @param isEnd what it gives out is the run's output @throws BeckError */
export async function asOperator(
  stage: Stage,
  settings: RunSettings,
  counts: Map<string, number>,
  terminal: Terminal,
  isEnd: boolean,
): Promise<Adapted> {
  switch (stage.role) {
    case 'operator':
      return { stage, settings }
    case 'table': {
      const { readTable } = await import('../pipeline/table.ts')
      const { table, outcome, rest } = await readTable(stage, settings)
      addCounts(counts, outcome.counts)
      return { stage: stage.stage(table), settings: rest, table, deadLetters: outcome.deadLetters }
    }
    case 'encoder': {
      let encoder: Encoder | undefined
      let out: Collector | undefined
      const write = (text: Uint8Array | string): void => out?.emit(typeof text === 'string' ? Buffer.from(text) : text)
      const operator: OperatorStage = {
        role: 'operator',
        reads: stage.reads,
        noFrames: otherFormat(settings.stage.name),
        open(context) {
          const screen = isEnd ? terminal.output : undefined
          const opened = (encoder = stage.open(screen ? { ...context, terminal: screen } : context))
          return {
            processBatch(batch, collector) {
              out = collector
              opened.processBatch(batch, write)
            },
            onEnd(collector) {
              out = collector
              opened.onEnd?.(write)
            },
          }
        },
      }
      const onFailure = (error: unknown): void => {
        if (error instanceof BeckError && error.code === 'bad-record') encoder?.onStop?.(write)
      }
      return { stage: operator, settings, ending: { onFailure } }
    }
    case 'sink': {
      let sink: Sink | undefined
      let ended: void | Promise<void>
      const operator: OperatorStage = {
        role: 'operator',
        reads: stage.reads,
        timers: true,
        open(context) {
          const io = terminal.toolIo()
          const opened = (sink = stage.open({ ...context, say: io.say, terminal: io.terminal }))
          return {
            processBatch: (batch) => opened.processBatch(batch),
            onTimer: (now) => opened.onTimer(now),
            onEnd() {
              ended = opened.onEnd()
              ended?.catch(() => {}) // thrown by `finish`
            },
          }
        },
      }
      const onIdle = (): void | Promise<void> => sink?.onIdle()
      const onFailure = (error: unknown): void | Promise<void> => {
        if (error instanceof BeckError && error.code === 'bad-record') return onIdle()
      }
      const finish = (): Promise<void> | undefined => {
        const waiting = ended ?? undefined
        ended = undefined
        return waiting
      }
      return {
        stage: operator,
        settings,
        ending: {
          ready: () => sink?.ready?.(),
          onIdle,
          onFailure,
          finish,
          close: () => sink?.close(),
          sink: () => sink,
        },
      }
    }
    default:
      throw new Error(`a ${stage.role} takes no records`)
  }
}
