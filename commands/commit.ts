import { fdatasyncSync, fstatSync } from 'node:fs'
import { BeckError, fileError } from '../src/core/errors.ts'
import type { CommandSpec, PipelineStart, Sink, SinkContext, SinkStage } from '../src/core/spec.ts'
import { Store } from '../src/log/store.ts'
import { Output, ReaderGone } from '../src/pipeline/descriptor.ts'
import { EpochCommitter, unanswered } from '../src/pipeline/epoch-committer.ts'
import { expectFrames } from '../src/pipeline/swallowed-frames.ts'

export const commit: CommandSpec = {
  name: 'commit',
  summary: 'Pass records on and commit what has been passed on, at least once',
  description:
    'The end of consume --at-least-once before anything that cannot commit: files, jq, other programs. Records leave as they came, without ' +
    'control frames; after those of an epoch are written (and synced, into a file) its offsets and the state of the stages are ' +
    'committed. Killed at any moment and run again, nothing is lost, and what had not been committed comes again: behind it, ' +
    'beck dedupe --by ID or an upsert by key makes it exactly once. What is in a pipe counts as written: its reader must not fail.',
  files: false,
  options: [],
  common: ['input'],
  cost: { time: 'O(bytes)', memory: 'O(1)' },
  errors: ['bad-record', 'usage', 'file', 'store', 'fenced', 'frames'],
  examples: [
    {
      says: 'New records to a program of yours',
      command:
        'beck append visits fixtures/flights.ndjson && beck consume visits -g far --at-least-once | ' +
        "beck filter 'r.distance > 2000' | beck commit | jq -r .origin | sort -u",
    },
    {
      says: 'A file that is appended to, and read without what came twice',
      command:
        'beck append visits fixtures/flights.ndjson && beck consume visits -g copy --at-least-once | beck commit >> copy.ndjson && beck dedupe --by date,origin copy.ndjson | wc -l',
    },
  ],
  create: (): SinkStage => ({
    role: 'sink',
    reads: [],
    passes: true,
    open: (context) => new CommitSink(context),
  }),
}

class CommitSink implements Sink {
  readonly epochs = {
    joined: true,
    tasks: true,
    resolve: (pipeline: PipelineStart): void => {
      this.open(pipeline)
      throw unanswered(this.committer!.state(), 'commit')
    },
    start: (pipeline: PipelineStart): void => {
      if (pipeline.level === 'exactly-once') {
        throw new BeckError('usage', {
          problem:
            'beck commit passes records on to what cannot commit with it, so they may come twice; this pipe asks for exactly once',
          hint: 'say consume --at-least-once; or end the pipe with append or into, which commit',
        })
      }
      this.open(pipeline)
    },
    commit: (epoch: Parameters<EpochCommitter['commit']>[1]): void => {
      const { store, committer } = this
      if (!store || !committer) throw new Error('a commit before the start')
      this.settle()
      store.transact(true, (transaction) => committer.commit(transaction, epoch))
    },
  }
  private readonly context: SinkContext
  private readonly output = new Output()
  private readonly isFile = fstatSync(1).isFile()
  private store: Store | undefined
  private committer: EpochCommitter | undefined
  private readonly known = new Map<string, EpochCommitter>()
  private readonly refuseWithoutFrames = expectFrames('commit', true)

  constructor(context: SinkContext) {
    this.context = context
  }

  private open(pipeline: PipelineStart): void {
    this.store ??= Store.open(pipeline.store, { say: this.context.say })
    const run = `${pipeline.group} ${pipeline.generation}`
    this.committer = this.known.get(run) ?? new EpochCommitter(this.store, pipeline)
    this.known.set(run, this.committer)
  }

  processBatch(batch: Parameters<Sink['processBatch']>[0]): void {
    if (!this.committer) this.refuseWithoutFrames()
    this.passOn(() => this.output.write(batch.lines(undefined, 0, batch.count)))
  }

  /** All that was passed on is with its reader. @throws BeckError frames, when that has gone */
  private settle(): void {
    this.passOn(() => {
      this.output.flush()
      if (this.isFile) fdatasyncSync(1)
    })
  }

  /** Whenever it shows that the reader has gone, nothing of the epoch is committed. @throws BeckError frames, file */
  private passOn(write: () => void): void {
    try {
      write()
    } catch (error) {
      if (!(error instanceof ReaderGone)) throw error instanceof BeckError ? error : fileError(error, 'standard output')
      throw new BeckError('frames', {
        problem: 'the reader of the output has gone; what it may not have had is not committed',
        hint: 'run the same command line again: it goes on after the last committed epoch',
      })
    }
  }

  onIdle(): void {
    this.passOn(() => this.output.flush())
  }
  onTimer(): void {}
  onEnd(): void {
    if (!this.committer) this.refuseWithoutFrames()
    this.passOn(() => this.output.flush())
  }
  close(): void {
    this.store?.close()
  }
}
