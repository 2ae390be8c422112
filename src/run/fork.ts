import { BeckError } from '../core/errors.ts'
import type { ProcessingTime } from '../core/operator.ts'
import { ReaderGone } from '../pipeline/descriptor.ts'
import type { StagePipe } from '../pipeline/stage-pipe.ts'
import type { Chain, LineSink } from './chain.ts'
import { stageOf } from './group.ts'

/** Tells of the error of a stage. */
type Tell = (error: unknown) => void

/** Where the records of a flow go. */
export interface FlowEnd {
  readonly out: LineSink
  readonly fork: Fork | undefined
  readonly pipe: StagePipe | undefined
}

/** One of several that get the same records. */
export class Flow {
  readonly #chain: Chain | undefined
  readonly #out: LineSink
  readonly #fork: Fork | undefined
  readonly #pipe: StagePipe | undefined
  readonly #tell: Tell
  /** The stage that has failed: what is behind it goes on to its end. */
  #failed = -1
  #isClosed: boolean

  /**
   * @param chain none: what comes in goes out
   * @param out where the chain's records go; `fork` or `pipe`, if that is one
   * @param closed its first stages could not be opened: those behind them have no input
   */
  constructor(
    chain: Chain | undefined,
    { out, fork, pipe, closed, tell }: FlowEnd & { readonly closed: boolean; readonly tell: Tell },
  ) {
    this.#chain = chain
    this.#out = out
    this.#fork = fork
    this.#pipe = pipe
    this.#tell = tell
    this.#isClosed = closed
  }

  /** Nothing that comes in is of interest. */
  get isClosed(): boolean {
    return this.#isClosed || this.#fork?.isClosed === true || this.#pipe?.isLeft === true
  }

  /** Some of its stages want to know the time. */
  get isTimed(): boolean {
    return this.#chain?.nodes.some(({ stage }) => stage.stage.timers) === true || this.#fork?.isTimed === true
  }

  /** Hands something on, unless a stage has failed. @throws ReaderGone */
  give(hand: (sink: LineSink) => void): void {
    this.#attempt(() => hand(this.#chain?.entry ?? this.#out))
  }

  settle(): void {
    this.#attempt(() => (this.#chain ?? this.#out).settle())
  }

  tick(now: ProcessingTime): void {
    this.#attempt(() => {
      for (const { stage, operator, out } of this.#chain?.nodes ?? []) {
        if (stage.stage.timers) operator.onTimer?.(now, out)
      }
      this.#chain?.settle()
    })
    this.#fork?.tick(now)
  }

  /** The input has ended. @throws ReaderGone */
  end(): void {
    try {
      for (const error of this.#chain?.end(this.#failed) ?? []) this.#tell(error)
    } catch (error) {
      if (!this.#hasLeft(error)) throw error
    }
    if (this.#fork) this.#fork.end()
    else this.#out.settle()
    this.#pipe?.close()
  }

  /** Who has left a pipe has no use for more; the others have. */
  #hasLeft(error: unknown): boolean {
    return error instanceof ReaderGone && this.#pipe?.isLeft === true
  }

  #attempt(work: () => void): void {
    if (this.isClosed) return
    try {
      work()
    } catch (error) {
      if (this.#hasLeft(error)) return
      if (error instanceof ReaderGone) throw error
      this.#isClosed = true
      this.#failed = (error instanceof BeckError ? stageOf(error) : undefined) ?? Infinity
      this.#tell(error)
    }
  }
}

/** Where a pipeline forks: all records go to each. One that fails does not keep the others from going on. */
export class Fork implements LineSink {
  readonly #flows: readonly Flow[]
  readonly #first: boolean

  /** @param first what comes to it comes from nowhere else: where nobody takes it any more, reading ends */
  constructor(flows: readonly Flow[], first: boolean) {
    this.#flows = flows
    this.#first = first
  }

  get isClosed(): boolean {
    return this.#flows.every(({ isClosed }) => isClosed)
  }

  get isTimed(): boolean {
    return this.#flows.some(({ isTimed }) => isTimed)
  }

  write(bytes: Uint8Array): void {
    this.#all((flow) => flow.give((sink) => sink.write(bytes)))
    this.#check()
  }

  writeBinary(text: string): void {
    this.#all((flow) => flow.give((sink) => sink.writeBinary(text)))
    this.#check()
  }

  settle(): void {
    this.#all((flow) => flow.settle())
  }

  tick(now: ProcessingTime): void {
    for (const flow of this.#flows) flow.tick(now)
  }

  /** The input has ended. */
  end(): void {
    this.#all((flow) => flow.end())
  }

  /** Each has its turn, also when the reader of another has gone. @throws ReaderGone */
  #all(work: (flow: Flow) => void): void {
    let gone: unknown
    for (const flow of this.#flows) {
      try {
        work(flow)
      } catch (error) {
        gone ??= error
      }
    }
    if (gone !== undefined) throw gone
  }

  /** @throws ReaderGone when nobody takes records any more */
  #check(): void {
    if (this.#first && this.isClosed) throw new ReaderGone()
  }
}
