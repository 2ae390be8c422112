import { countLines } from '../core/count-lines.ts'
import type { ProcessStage } from '../core/spec.ts'
import { refuseFileOutput } from './framed-stage.ts'
import { FramedOutput } from './framed-output.ts'
import { FrameSource, lookForFrames, PingFilter, TornRecord, withoutBlankLines } from './frame-source.ts'
import {
  type BarrierFrame,
  cutOff,
  type EndFrame,
  FrameOrder,
  type StartFrame,
  startOfTask,
  type TaskFrame,
  type WatermarkFrame,
} from './frames.ts'
import { Program, type ProgramAround } from './program.ts'
import type { RunSettings } from './settings.ts'
import type { ByteSource } from './source.ts'
import { openInput, outputOf, type StageIo } from './stage-io.ts'

const BLOCK = 1 << 16
type Say = (line: string) => void

/** Runs `via`: standard input → another program → standard output, unless `io` has others. @throws BeckError process, frames; ReaderGone */
export async function runVia(
  stage: ProcessStage,
  { stage: { name } }: RunSettings,
  say: Say,
  io?: StageIo,
  said?: ProgramAround['said'],
): Promise<void> {
  const { framed, source } = await lookForFrames(openInput(io, '-', true))
  try {
    const around = { said, ready: io && (() => io.ready()) }
    await throughProgram(stage, { name, say, io, around }, framed, source)
  } finally {
    source.close()
  }
}

interface ViaRun {
  readonly name: string
  readonly say: Say
  readonly io: StageIo | undefined
  readonly around: ProgramAround
}

async function throughProgram(stage: ProcessStage, run: ViaRun, framed: boolean, source: ByteSource): Promise<void> {
  if (framed) return new FramedVia(stage, run).run(source)
  // Not its own standard output: whether somebody still reads that is for us to know.
  const output = outputOf(run.io)
  const take = (lines: Uint8Array): void => {
    output.write(lines)
    output.flush()
  }
  if (stage.lines) return lineByLine(new Program(stage, take, run.around), source)
  if (source.pauses) return pump(new Program(stage, take, run.around), source)
  return new Program(stage, take, run.around, 'ours').finish()
}

/** All of the input through one run. */
async function pump(program: Program, source: ByteSource): Promise<void> {
  try {
    const block = Buffer.allocUnsafeSlow(BLOCK)
    while (program.open) {
      const n = await source.read(block)
      if (n === 0) break
      await program.write(block.subarray(0, n))
    }
    await program.finish()
  } finally {
    program.kill()
  }
}

async function lineByLine(program: Program, source: ByteSource): Promise<void> {
  try {
    const block = Buffer.allocUnsafeSlow(BLOCK)
    let last = 10
    for (;;) {
      const n = await source.read(block)
      if (n === 0) break
      program.asked += countLines(block.subarray(0, n))
      last = block[n - 1] as number
      await program.write(block.subarray(0, n))
    }
    if (last !== 10) {
      program.asked++
      await program.write(Buffer.of(10))
    }
    await program.finish()
    program.checkAnswers()
  } finally {
    program.kill()
  }
}

/** The stage in an exactly-once pipe: one run an epoch, or (`--lines`) one for all of them. */
class FramedVia {
  private readonly stage: ProcessStage
  private readonly name: string
  private readonly say: Say
  private readonly isInside: boolean
  private readonly around: ProgramAround
  private readonly output: FramedOutput
  private begun = false
  /** Of a partition, where the pipe works partition by partition. */
  private order: FrameOrder | undefined
  private tasks: { readonly start: StartFrame; readonly orders: Map<string, FrameOrder>; ended: boolean } | undefined
  private program: Program | undefined
  /** Goes on behind the records that came before it, which the program still has. */
  private watermark: WatermarkFrame | undefined
  /** Since the last barrier. */
  private records = 0
  private readonly pings = new PingFilter()

  constructor(stage: ProcessStage, { name, say, io, around }: ViaRun) {
    this.stage = stage
    this.name = name
    this.say = say
    this.isInside = io !== undefined
    this.around = around
    this.output = new FramedOutput(outputOf(io))
  }

  async run(source: ByteSource): Promise<void> {
    const input = new FrameSource(source, () => {
      if (this.begun) this.output.alive()
    })
    const block = Buffer.allocUnsafeSlow(BLOCK)
    try {
      for (;;) {
        let n: number
        try {
          n = await input.read(block)
        } catch (error) {
          if (!(error instanceof TornRecord)) throw error
          this.records++
          break // the end that is missing says so
        }
        if (n > 0) {
          for (const lines of this.pings.without(block.subarray(0, n))) await this.take(lines)
          continue
        }
        const frame = input.takeFrame()
        if (!frame) break
        if (frame.kind === 'start') this.start(frame)
        else if (frame.kind === 'task') this.task(frame)
        else if (frame.kind === 'end' && this.tasks) await this.endTasks(frame)
        else if (!this.order) throw cutOff()
        else if (frame.kind === 'watermark') this.watermark = frame
        else await this.close(frame, this.order)
      }
      if (this.tasks?.ended) return
      if (!this.order) throw cutOff()
      this.order.finish(this.records)
    } finally {
      this.program?.kill()
    }
  }

  private start(frame: StartFrame): void {
    this.order?.take(frame, 0)
    if (!this.isInside) refuseFileOutput(this.name)
    if (frame.tasks) this.tasks = { start: frame, orders: new Map(), ended: false }
    else if (frame.resolve === undefined) this.order = new FrameOrder(frame, this.name)
    this.output.frame({ ...frame, stages: [...frame.stages, this.name] })
    this.begun = true
  }

  /** Between two epochs the program has nothing of either, so partitions need not be kept apart. */
  private task(frame: TaskFrame): void {
    const { tasks, name } = this
    if (!tasks || this.records > 0) throw cutOff()
    const { orders, start } = tasks
    if (frame.action === 'open') orders.set(frame.partition, new FrameOrder(startOfTask(start, frame), name))
    this.order = frame.action === 'close' ? undefined : orders.get(frame.partition)
    if (frame.action === 'close') orders.delete(frame.partition)
    this.output.frame(frame)
  }

  private async endTasks(frame: EndFrame): Promise<void> {
    if (!this.tasks || this.records > 0) throw cutOff()
    this.tasks.ended = true
    await this.program?.finish()
    this.program?.checkAnswers()
    this.program = undefined
    this.output.frame({ ...frame, records: this.output.takeCount() })
  }

  private async take(lines: Uint8Array): Promise<void> {
    const count = countLines(lines)
    this.records += count
    this.program ??= new Program(
      this.stage,
      (answer) => {
        this.output.write(withoutBlankLines(answer))
        this.output.flush()
      },
      this.around,
    )
    this.program.asked += count
    await this.program.write(lines)
  }

  private async close(frame: BarrierFrame | EndFrame, order: FrameOrder): Promise<void> {
    order.take(frame, this.records)
    this.records = 0
    const { program, stage } = this
    if (program && stage.lines) await program.answers(this.say)
    if (program && (!stage.lines || frame.kind === 'end')) {
      await program.finish()
      if (stage.lines) program.checkAnswers()
      this.program = undefined
    }
    if (this.watermark) this.output.frame(this.watermark)
    this.watermark = undefined
    this.output.frame({ ...frame, records: this.output.takeCount() })
  }
}
