import type { Readable } from 'node:stream'
import { PIPELINE_WORD } from '../core/pipeline-word.ts'
import { ReaderGone } from '../pipeline/descriptor.ts'
import type { DrivenStage } from '../pipeline/driven.ts'
import type { Progress } from '../pipeline/run-stage.ts'
import { collectInto } from '../pipeline/context.ts'
import type { Meter } from '../pipeline/meter.ts'
import { addCounts } from '../pipeline/settings.ts'
import type { ByteSource } from '../pipeline/source.ts'
import type { StageOutput } from '../pipeline/stage-io.ts'
import { StagePipe } from '../pipeline/stage-pipe.ts'
import type { LineSink } from './chain.ts'
import type { LineEnds, RunAround } from './around.ts'
import type { Line, LineStage, NextStage } from './lines.ts'

/** Runs a line, from or to pipes of this process. Resolves at its end: what went wrong has been told. */
export type RunLine = (line: Line, ends: LineEnds) => RunningLine
export interface RunningLine {
  run(): Promise<void>
  /** What has come in so far has come to the ends of all that is behind. */
  settled(): Promise<void>
}

/**
 * A stage that reads by itself, between the line before it and the one behind it. All three are in this process and wait for each other.
 *
 *     line ──▶ pipe ──▶ stage ──▶ pipe ──▶ rest
 *              table ──▶ pipe ──┘
 */
export class Relay {
  /** What the line before writes into. Undefined: the stage begins the line, and reads what that would. */
  readonly pipe: StagePipe | undefined
  readonly #next: NextStage
  readonly #around: RunAround
  readonly #inputs = new Map<string, ByteSource>()
  readonly #runLine: RunLine
  readonly #behind: StagePipe | undefined
  readonly #rest: RunningLine | undefined
  readonly #output: StageOutput

  /**
   * @param before whether there is a line before it; else it reads what that would
   * @param ends of the line with all that is behind it
   */
  constructor(next: NextStage, around: RunAround, before: boolean, { input, ...ends }: LineEnds, runLine: RunLine) {
    this.#next = next
    this.#around = around
    this.#runLine = runLine
    const { stage, rest } = next
    const { tmp } = stage.stage.settings
    if (before) this.pipe = new StagePipe('stdin', tmp)
    const left = this.pipe?.source ?? input
    if (left) this.#inputs.set('-', left)
    const isEnd = rest.stages.length === 0 && rest.forks.length === 0 && !rest.next && !ends.reader
    if (isEnd) this.#output = ends.to ?? directly(around.sink, around.watch?.meter, stage.index)
    else {
      this.#output = this.#behind = new StagePipe('stdin', tmp)
      this.#rest = runLine(rest, { ...ends, input: this.#behind.source })
    }
  }

  /** Runs the stage, its table in brackets and all that is behind it. */
  async run(): Promise<void> {
    const { table, stage } = this.#next.stage
    const running = [this.#drive(), this.#rest?.run()]
    if (table) {
      const pipe = new StagePipe('the table in brackets', stage.settings.tmp)
      this.#inputs.set(`${PIPELINE_WORD}0`, pipe.source)
      running.push(this.#runLine(table, { to: pipe, input: inputOfTable(this.#next.stage) }).run())
    }
    await Promise.all(running)
  }

  async settled(): Promise<void> {
    await this.pipe?.settled()
    await this.#behind?.settled()
    await this.#rest?.settled()
  }

  async #drive(): Promise<void> {
    const { index, stage } = this.#next.stage
    const { name, args, settings } = stage
    const around = this.#around
    // The table's pipe is known by then.
    await Promise.resolve()
    try {
      const { runDriven } = await import('../pipeline/driven.ts')
      const driven = (stage.stage ?? (await stage.spec.create(args))) as DrivenStage // as `readsByItself` has said
      const { terminal, spawn, watch } = around
      const say = (line: string, always?: boolean): void => terminal.news(line, always)
      watch?.count(driven.role === 'process' ? [] : [index])
      watch?.drives(index)
      const progress: Progress | undefined =
        watch &&
        ((_source, records, watermark) => {
          if (driven.role === 'decoder') watch.meter.gave(index, records)
          else watch.meter.add(index, records)
          watch.meter.see(index, watermark)
        })
      // It must not fall between lines of progress.
      const said = watch?.isShown === true ? (text: Readable): void => void terminal.passOn(text) : undefined
      const ready = (): Promise<void> | undefined => this.#behind?.ready()
      const io = { inputs: this.#inputs, output: this.#output, ready }
      const outcome = await runDriven(driven, { command: name, args, settings }, { spawn, say, said, progress, io })
      addCounts(around.countsOf(index), outcome?.counts ?? [])
      around.keptLetters(index, outcome?.deadLetters ?? 0)
    } catch (error) {
      if (error instanceof ReaderGone) around.leave([index])
      else {
        await around.fail(error, index)
        if (this.#next.rest.framed) this.#behind?.failStart()
      }
    } finally {
      for (const input of this.#inputs.values()) input.close()
      this.#output.close()
    }
  }
}

/** A program in brackets that the left side's records are not for reads nothing. */
export function inputOfTable({ stage, table }: LineStage): ByteSource | undefined {
  const [first] = table?.stages ?? []
  const reads = first ?? table?.next?.stage
  if (reads?.stage.role !== 'process' || stage.args.files.length > 0) return undefined
  const pipe = new StagePipe('stdin', stage.settings.tmp)
  pipe.close()
  return pipe.source
}

/** @param meter told what comes out at the end, if it counts that */
function directly(sink: LineSink, meter: Meter | undefined, index: number): StageOutput {
  const { emit, emitText } = meter?.counting(index, collectInto(sink)) ?? collectInto(sink)
  return {
    write: emit,
    writeBinary: emitText,
    async writeBehind(bytes) {
      emit(bytes)
      return true
    },
    flush: () => sink.settle(),
    close() {},
  }
}
