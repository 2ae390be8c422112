import { BeckError } from '../core/errors.ts'
import type { Collector, Operator } from '../core/operator.ts'
import type { OperatorStage, Sink } from '../core/spec.ts'
import type { FramedOutput } from './framed-output.ts'
import { OperatorFrames, refuseFileOutput, SinkFrames } from './framed-stage.ts'
import {
  type BarrierFrame,
  cutOff,
  type EndFrame,
  type Frame,
  type StartFrame,
  startOfTask,
  type TaskFrame,
  type WatermarkFrame,
} from './frames.ts'
import { type FrameTaker, unwelcome } from './reader.ts'
import type { RunSettings } from './settings.ts'
import { SideFiles } from './side-files.ts'

/**
 * A pipe that works partition by partition (`--per-partition`) is a row of epochs, each of one task: a partition with its own epochs,
 * state and watermark. Tasks come and go with the partitions that the pipe owns, and change only behind a barrier.
 *
 *     start  task(in/0 open) record record barrier(8)  task(in/1 open) record barrier(3)  task(in/0 switch) …  end
 */
abstract class Tasks implements FrameTaker {
  protected readonly settings: RunSettings
  readonly #tasks = new Map<string, { readonly taker: FrameTaker; position: number }>()
  #current: { readonly taker: FrameTaker; position: number } | undefined
  #start: StartFrame | undefined
  #ended = false

  constructor(settings: RunSettings) {
    this.settings = settings
  }

  /** The stream begins. */
  protected abstract begin(frame: StartFrame): void
  /** Who takes the frames of a task; the task's start comes next. */
  protected abstract open(frame: TaskFrame): FrameTaker
  /** What follows is of this task, which was opened before. */
  protected abstract goTo(frame: TaskFrame, start: StartFrame): void | Promise<void>
  protected abstract hand(frame: TaskFrame | EndFrame): void
  /** What has become of the epoch that an earlier run of the task has prepared. */
  protected ask?(start: StartFrame): void | Promise<void>

  resolve(): void {
    throw unwelcome('what an outside system has left undecided cannot be asked for partition by partition')
  }

  start(frame: StartFrame): number {
    if (this.#start) throw this.#wrong('a second "start" came: two runs write into one pipe')
    if (this.settings.deadLetter !== undefined) throw besides()
    this.begin(frame)
    this.#start = frame
    return 0
  }

  /** @param position bytes of input so far @returns what the task has seen */
  async task(frame: TaskFrame, records: number, position: number): Promise<number> {
    if (!this.#start) throw cutOff()
    if (records > 0 || this.#ended) throw this.#wrong(`${records} records came before a change of tasks`)
    if (this.#current) this.#current.position = position
    this.#current = undefined
    if (frame.action === 'resolve') {
      await this.ask?.(startOfTask(this.#start, frame))
      this.hand(frame)
      return position
    }
    const known = this.#tasks.get(frame.partition)
    if (frame.action === 'open') {
      if (known) throw this.#wrong(`task ${frame.partition} is open already`)
      const task = { taker: this.open(frame), position: 0 }
      task.position = await task.taker.start(startOfTask(this.#start, frame))
      this.#tasks.set(frame.partition, task)
      this.#current = task
      return task.position
    }
    if (!known) throw this.#wrong(`task ${frame.partition} is not open`)
    if (frame.action === 'close') this.#tasks.delete(frame.partition)
    else {
      this.#current = known
      await this.goTo(frame, startOfTask(this.#start, frame))
    }
    this.hand(frame)
    return this.#current?.position ?? position
  }

  watermark(frame: WatermarkFrame): void {
    this.#taker().watermark(frame)
  }
  barrier(frame: BarrierFrame, records: number, position: number): void | Promise<void> {
    return this.#taker().barrier(frame, records, position)
  }

  end(frame: EndFrame, records: number): 'leave' | 'stay' {
    if (!this.#start) throw cutOff()
    if (records > 0) throw this.#wrong(`${records} records came behind the last barrier`)
    this.#ended = true
    this.hand(frame)
    return this.leaves ? 'leave' : 'stay'
  }
  /** Nothing more is of interest behind the end. */
  protected readonly leaves: boolean = false

  alive(): void {}

  finish(records: number): void {
    if (!this.#start) throw cutOff()
    if (!this.#ended || records > 0) throw this.#wrong('the stream ended without its "end"')
  }

  #taker(): FrameTaker {
    if (!this.#current) throw this.#wrong('a barrier came, and no task is open')
    return this.#current.taker
  }

  #wrong(problem: string): BeckError {
    return new BeckError('frames', {
      problem: `between ${this.#start?.stages.at(-1) ?? 'consume'} and ${this.settings.stage.name} ${problem}; what came after the last barriers is not committed`,
    })
  }
}

/** A file goes on where one commit left it, and here each partition has its own. */
const besides = (): BeckError =>
  unwelcome(
    'a file beside the output (--dead-letter, --late-to, --dupes-to) cannot be shared by its partitions (consume --per-partition)',
    'leave --per-partition out: then one pipeline of the group works, and others stand by; or leave the file out, and what would go there',
  )

/** What a stage without keys says is about all records. */
const together = (name: string): BeckError =>
  new BeckError('bad-option', {
    option: '--per-partition',
    problem: `beck ${name} is about all records together, and each partition would have an answer of its own`,
    hint: `leave --per-partition out: then one pipeline of the group works, and others stand by; or end this pipe with append, and go on from its topic: beck replay TOPIC | beck ${name} …`,
  })

/** An operator in such a pipe: one for each task. */
export class OperatorTasks extends Tasks {
  readonly #stage: OperatorStage
  readonly #open: () => Operator
  readonly #use: (operator: Operator) => void
  readonly #out: Collector
  readonly #output: FramedOutput
  readonly #sides: SideFiles
  readonly #operators = new Map<string, Operator>()

  /** @param use hands on the operator that gets the records from now on */
  constructor(
    stage: OperatorStage,
    settings: RunSettings,
    { out, output }: { readonly out: Collector; readonly output: FramedOutput },
    {
      open,
      use,
      sides,
    }: { readonly open: () => Operator; readonly use: (operator: Operator) => void; readonly sides: SideFiles },
  ) {
    super(settings)
    this.#stage = stage
    this.#open = open
    this.#use = use
    this.#sides = sides
    this.#out = out
    this.#output = output
  }

  protected begin(frame: StartFrame): void {
    const { name } = this.settings.stage
    refuseFileOutput(name)
    if (!this.#sides.isEmpty) throw besides()
    const { parallel, keys } = this.#stage
    if (parallel !== 'stateless' && !keys) throw together(name)
    for (const fields of parallel === 'stateless' ? [] : (frame.tasks ?? [])) {
      if (fields.length > 0 && fields.every((field) => keys?.includes(field))) continue
      throw new BeckError('bad-option', {
        option: '--per-partition',
        problem: `beck ${name} puts together what is in several partitions${fields.length > 0 ? `: records of one key are in one by ${fields.join(',')}, which is not among its --by` : ', which were not made by a key'}`,
        hint: `${fields.length > 0 ? `add ${fields.join(',')} to its --by; or ` : ''}leave --per-partition out: then one pipeline of the group works, and others stand by`,
      })
    }
    this.#output.frame({ ...frame, stages: [...frame.stages, name] })
  }

  protected open(task: TaskFrame): FrameTaker {
    const operator = this.#open()
    this.#operators.set(task.partition, operator)
    this.#use(operator)
    const output = this.#output
    return new OperatorFrames(operator, this.#stage, this.settings, {
      out: this.#out,
      sides: new SideFiles([]),
      output: {
        // The task's own start goes on as the task.
        frame: (frame: Frame) => output.frame(frame.kind === 'start' ? { ...task, states: frame.states } : frame),
        takeCount: () => output.takeCount(),
        alive: () => output.alive(),
      },
    })
  }

  protected goTo({ partition }: TaskFrame): void {
    this.#use(this.#operators.get(partition) as Operator)
  }

  protected hand(frame: TaskFrame | EndFrame): void {
    if (frame.kind === 'task' && frame.action === 'close') this.#operators.delete(frame.partition)
    this.#output.frame(frame.kind === 'end' ? { ...frame, records: this.#output.takeCount() } : frame)
  }

  override alive(): void {
    this.#output.alive()
  }
}

/** The end of such a pipe: epochs of several tasks, each committed by itself. */
export class SinkTasks extends Tasks {
  readonly #sink: Sink
  #worked = false
  protected override readonly leaves = true

  constructor(sink: Sink, settings: RunSettings) {
    super(settings)
    this.#sink = sink
  }

  protected begin(): void {
    const { name } = this.settings.stage
    if (!this.#sink.epochs?.tasks) throw unwelcome(`beck ${name} cannot commit partition by partition; append can`)
  }
  protected override ask(start: StartFrame): void | Promise<void> {
    return this.#sink.epochs?.resolve({ ...start, stages: [...start.stages, this.settings.stage.name] })
  }
  /** All partitions were somebody else's until the end: there was nothing to do. */
  get idle(): boolean {
    return !this.#worked
  }
  protected open(): FrameTaker {
    this.#worked = true
    return new SinkFrames(this.#sink, this.settings)
  }
  protected goTo(_: TaskFrame, start: StartFrame): void | Promise<void> {
    return this.#sink.epochs?.start({ ...start, stages: [...start.stages, this.settings.stage.name] })
  }
  protected hand(): void {}
}
