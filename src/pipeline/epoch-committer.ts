import { BeckError } from '../core/errors.ts'
import type { Epoch, PipelineStart } from '../core/spec.ts'
import { announceSink } from '../log/sinks.ts'
import type { Store } from '../log/store.ts'
import {
  checkRun,
  commitEpoch,
  decideEpoch,
  type EpochCommit,
  type OutsideSink,
  type PipelineState,
  prepareEpoch,
} from '../log/pipelines.ts'
import type { Transaction } from '../log/transaction.ts'
import { finishPart } from './part-files.ts'
import { removeSnapshots } from './snapshot.ts'

/**
 * The side of the journal at the end of an exactly-once pipe, whatever its sink: one line commits an epoch's offsets and state, and what the
 * sink adds to it. A sink whose output is in a database surrounds that one's commit with two lines, `prepare` and `decide`.
 */
export class EpochCommitter {
  private readonly store: Store
  private readonly run: PipelineStart

  /** Says that this process commits for the run. @throws BeckError fenced, when a later one has begun */
  constructor(store: Store, run: PipelineStart) {
    this.store = store
    this.run = run
    store.refresh()
    for (const { group: name, generation } of [run, ...(run.others ?? [])]) {
      const { sink } = checkRun(store, { name, generation })
      announceSink(store, name, generation, run.ticks)
      if (sink?.part) finishPart(store.env, sink.part)
    }
  }

  /** The (first) pipeline as the journal has it. @throws BeckError fenced */
  state(): PipelineState {
    return checkRun(this.store, { name: this.run.group, generation: this.run.generation })
  }

  /** Adds an epoch to a transaction; false when it was committed before. @throws BeckError fenced, frames */
  commit(transaction: Transaction, epoch: Epoch, sink?: OutsideSink): boolean {
    const { others = [] } = this.run
    const rest = others.map(({ group: name, generation, stages }) => {
      const other = epoch.others?.find((other) => other.group === name)
      if (!other)
        throw new BeckError('frames', { problem: `barrier ${epoch.epoch} says nothing of the group "${name}"` })
      return { ...other, name, generation, stages }
    })
    const first = this.first(epoch)
    for (const source of [first, ...rest]) this.cleanAfter(transaction, source)
    return commitEpoch(this.store, transaction, { ...first, others: rest, sink })
  }

  /** Before an outside system commits: false when the epoch was committed before. @throws BeckError fenced */
  prepare(epoch: Epoch, sink: OutsideSink): boolean {
    return this.store.transact(true, (transaction) =>
      prepareEpoch(this.store, transaction, { ...this.first(epoch), sink }),
    )
  }

  /** After that: the prepared epoch is committed, or is not and never will be. @throws BeckError fenced */
  decide(committed: boolean): void {
    const { group: name, generation } = this.run
    this.store.transact(true, (transaction) => {
      const { prepared } = this.state()
      if (prepared && committed) this.cleanAfter(transaction, { name, generation, ...prepared })
      decideEpoch(this.store, transaction, { name, generation }, committed)
    })
  }

  private first({ epoch, sourceEpoch = epoch, offsets, handles }: Epoch): EpochCommit {
    const { group: name, generation, stages } = this.run
    return { name, generation, stages, epoch: sourceEpoch, offsets, handles }
  }

  private cleanAfter(
    transaction: Transaction,
    { name, generation, epoch, handles }: Pick<EpochCommit, 'name' | 'generation' | 'epoch' | 'handles'>,
  ): void {
    if (handles.length === 0) return
    const place = { env: this.store.env, store: this.store.folder, pipeline: name }
    transaction.afterCommit(() => removeSnapshots(place, { generation, epoch, handles }))
  }
}

/** An epoch is prepared, and this sink is not the one that knows what has become of it. */
export const unanswered = ({ prepared }: PipelineState, own: string): BeckError =>
  new BeckError('usage', {
    problem: `an earlier run of this pipeline ended while ${prepared?.sink.name} committed epoch ${prepared?.epoch}; only that can say whether it did, and this one ends in ${own}`,
    hint: `run the earlier command line once more, down to ${prepared?.sink.name}; or forget the pipeline's state: beck pipeline reset`,
  })
