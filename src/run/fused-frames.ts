import { countLines } from '../core/count-lines.ts'
import type { Sink } from '../core/spec.ts'
import { OperatorFrames, SinkFrames } from '../pipeline/framed-stage.ts'
import { type BarrierFrame, cutOff, failedStart, type Frame, FrameOrder, type StartFrame } from '../pipeline/frames.ts'
import { FrameSource, PingFilter, TornRecord } from '../pipeline/frame-source.ts'
import type { FramedOutput, FrameOutput, RunState, SourceOutput } from '../pipeline/framed-output.ts'
import type { FrameTaker } from '../pipeline/reader.ts'
import { SideFiles } from '../pipeline/side-files.ts'
import type { ByteSource } from '../pipeline/source.ts'
import type { Chain } from './chain.ts'
import { withStage } from './group.ts'

/** The end of a chain that control frames go through: the sink that commits, or a pipe to the next stage of the process. */
export type FramedEnd =
  | { readonly sink: Sink }
  | { readonly to: FramedOutput; readonly ready: () => Promise<void> | undefined }

/**
 * Control frames within a process: what `consume` writes at its checkpoints goes from stage to stage as it would through pipes, behind the records that
 * came before it, and each stage keeps its state under its own name. So a run in pipes goes on where a fused one has stopped, and the other way round.
 *
 *     consume ── frame(barrier 5) ──▶ window: snapshot ──▶ filter ──▶ append: commit
 */
export class FusedFrames implements SourceOutput {
  readonly #chain: Chain
  readonly #end: FramedEnd
  readonly #takers: FrameTaker[]
  readonly #run: RunState
  readonly #wrote: (records: number) => void
  #count = 0
  #isBegun = false
  /** What the sink is still at. */
  #sinking: void | number | Promise<void | number> = undefined

  /** @param end of the chain, or of its last stage @param wrote told of records */
  constructor(chain: Chain, end: FramedEnd, run: RunState, wrote: (records: number) => void) {
    this.#chain = chain
    this.#end = end
    this.#run = run
    this.#wrote = wrote
    const { nodes } = chain
    this.#takers = nodes.map(({ operator, stage, out }, index) =>
      'sink' in end && index === nodes.length - 1
        ? new SinkFrames(end.sink, stage.settings)
        : new OperatorFrames(operator, stage.stage, stage.settings, {
            out,
            output: this.#to(index + 1),
            sides: new SideFiles(stage.settings.inputs),
            inside: true,
          }),
    )
  }

  get stopped(): boolean {
    return this.#run.stopped
  }
  get failed(): boolean {
    return this.#run.failed
  }

  write(lines: Uint8Array, records: number): void | Promise<void> {
    this.#count += records
    this.#wrote(records)
    this.#chain.entry.write(lines)
    return this.#ready()
  }

  #ready(): Promise<void> | undefined {
    return 'to' in this.#end ? this.#end.ready() : undefined
  }

  async frame(frame: Frame): Promise<void> {
    this.#isBegun = true
    this.#give(0, frame)
    try {
      await this.#sinking
    } catch (error) {
      throw withStage(error, this.#chain.nodes.at(-1)!.index)
    }
    await this.#ready()
    // Signals and timers have their turn.
    await new Promise(setImmediate)
  }

  get count(): number {
    return this.#count
  }
  takeCount(): number {
    const count = this.#count
    this.#count = 0
    return count
  }
  /** Nobody is idle while the others work: they are one. Who is behind a pipe may have ended. */
  alive(): void {
    if ('to' in this.#end) this.#end.to.alive()
  }
  flush(): void {
    this.#chain.settle()
  }

  /** What the stages behind `failed` have to say of a stream that another stage has not brought to its end. */
  unfinished(failed: number): unknown[] {
    return this.#takers.flatMap((taker, at) => {
      const { index } = this.#chain.nodes[at]!
      if (index <= failed) return []
      try {
        if (!this.#isBegun) throw failedStart()
        taker.finish(0)
        return []
      } catch (error) {
        return [withStage(error, index)]
      }
    })
  }

  /** Where a stage's frames go. Records are handed over by the chain, so that none can be lost on the way: counts are those of the frame before. */
  #to(index: number): FrameOutput {
    if ('to' in this.#end && index === this.#chain.nodes.length) return this.#end.to
    return { frame: (frame) => this.#give(index, frame), takeCount: () => 0, alive: () => {} }
  }

  #give(index: number, frame: Frame): void {
    // What the stages before have handed on comes before the frame.
    this.#chain.settle()
    const taker = this.#takers[index]!
    const last = index === this.#takers.length - 1
    const done = this.#take(taker, frame, index)
    if (last) this.#sinking = done
  }

  #take(taker: FrameTaker, frame: Frame, index: number): void | number | Promise<void | number> {
    switch (frame.kind) {
      case 'start':
        return this.#start(taker, frame, index)
      case 'watermark':
        return taker.watermark(frame)
      case 'barrier':
        return this.#barrier(taker, frame, index)
      case 'end':
        return void taker.end(frame, frame.records)
    }
  }

  #start(taker: FrameTaker, frame: StartFrame, index: number): void | number | Promise<void | number> {
    if (frame.resolve !== undefined) return taker.resolve(frame)
    const position = taker.start(frame)
    if (typeof position === 'number') this.#chain.continueAt(index, position)
    return position
  }

  #barrier(taker: FrameTaker, frame: BarrierFrame, index: number): void | Promise<void> {
    return taker.barrier(frame, frame.records, this.#chain.positionOf(index))
  }
}

/**
 * Hands what comes out of a pipe to the stages behind it. The end that is missing is no commit, and has been told of where it got lost.
 * @param reader names the stage that reads, when others outside of this process have written: what they send may get lost on its way
 * @throws BeckError frames, when the beginning is missing; and from outside, when anything is
 */
export async function pumpFrames(input: ByteSource, into: SourceOutput, reader?: string): Promise<void> {
  const source = new FrameSource(input, () => into.alive())
  const block = Buffer.allocUnsafeSlow(BLOCK)
  const check = reader === undefined ? undefined : new FrameCheck(reader)
  for (let begun = false; ; begun = true) {
    const n = await readLines(source, block)
    if (n > 0) {
      if (!begun) throw cutOff()
      const lines = block.subarray(0, n)
      check?.see(lines)
      await into.write(lines, 0)
      continue
    }
    const frame = source.takeFrame()
    if (!frame) break
    check?.take(frame)
    await into.frame(frame)
  }
  check?.finish()
}

/** What its writer was killed in the middle of is no record: the end that is missing says so. */
async function readLines(source: FrameSource, block: Buffer): Promise<number> {
  try {
    return await source.read(block)
  } catch (error) {
    if (error instanceof TornRecord) return 0
    throw error
  }
}

/** Holds what came of a stream against its frames. */
class FrameCheck {
  readonly #reader: string
  #order: FrameOrder | undefined
  /** Since the last barrier. */
  #records = 0
  readonly #pings = new PingFilter()

  constructor(reader: string) {
    this.#reader = reader
  }

  see(lines: Uint8Array): void {
    for (const piece of this.#pings.without(lines)) this.#records += countLines(piece)
  }

  /** @throws BeckError frames */
  take(frame: Frame): void {
    if (frame.kind === 'start' && !this.#order) {
      if (frame.resolve === undefined) this.#order = new FrameOrder(frame, this.#reader)
      return
    }
    if (!this.#order) throw cutOff()
    this.#order.take(frame, this.#records)
    if (frame.kind !== 'watermark') this.#records = 0
  }

  /** @throws BeckError frames, unless `end` was the last to come */
  finish(): void {
    if (!this.#order) throw cutOff()
    this.#order.finish(this.#records)
  }
}

const BLOCK = 1 << 18
