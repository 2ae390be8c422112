import { BeckError } from '../core/errors.ts'
import { ensureFolder, readSmallFile, removeIfThere, writeAll } from './env.ts'
import { refuseWhileLive } from './groups.ts'
import type { Identity } from './identity.ts'
import { layout } from './layout.ts'
import type { Offset, PartitionName } from './state.ts'
import { type Store, translate } from './store.ts'
import type { Transaction } from './transaction.ts'

/**
 * Pipelines that deliver exactly once. One has its group's name and one run at a time: whoever starts it moves the generation on, and
 * commits of earlier generations are refused. What a run has done is one line of the journal per epoch: output, offsets, state.
 */
export interface PipelineState {
  /** Which life of the pipeline: a reset begins another. By it outside systems know the epochs of this one. */
  readonly id: string
  /** Moved on by each run. */
  readonly generation: number
  /** The last committed epoch. */
  readonly epoch: number
  /** The process that reads the input of the current run. */
  readonly owner: Identity
  /** The owner's process group, where that can be told. */
  readonly group?: number
  /** Without a sign of life for so long, others may take over. */
  readonly sessionMs?: number
  /** When the epoch was committed. Milliseconds since the Unix epoch. */
  readonly at: number
  /** The commands of the pipe. */
  readonly stages: readonly string[]
  /** State of the stages that keep some, as of `epoch`; null where there is none. */
  readonly handles: readonly unknown[]
  /** Where `epoch` went, when that is outside the store. */
  readonly sink?: OutsideSink
  /** The epoch after it, of which an outside system alone knows whether it is committed. */
  readonly prepared?: PreparedEpoch
}

/** A sink outside the store, as the journal has it. */
export interface OutsideSink {
  /** Without passwords. */
  readonly name: string
  /** The file that holds the epoch's records; a commit that was cut off may not have given it its name. */
  readonly part?: PartFile
}
export interface PartFile {
  readonly folder: string
  readonly temporary: string
  readonly name: string
  readonly bytes: number
  readonly crc: number
}
export interface PreparedEpoch {
  readonly epoch: number
  readonly offsets: Readonly<Record<PartitionName, Offset>>
  readonly stages: readonly string[]
  readonly handles: readonly unknown[]
  readonly sink: OutsideSink
}

/** Under `--per-partition` each partition is a pipeline of its own, named after the group and the partition. */
export const taskName = (group: string, partition: PartitionName): string => `${group}@${partition.replace('/', '-')}`
/** The group of a pipeline, of a task too: its offsets are there. */
export const groupOf = (name: string): string => name.split('@', 1)[0] as string
/** The partition in the name of a task. */
export const partitionOf = (name: string): string | undefined => name.split('@', 2)[1]
/** All pipelines of a group: its own, and its tasks. */
export const pipelinesOf = (store: Store, group: string): string[] =>
  [...store.state.handles.keys()].filter((name) => groupOf(name) === group)

/** A pipeline as the journal has it. */
export const pipelineOf = (store: Store, name: string): PipelineState | undefined =>
  // Written by this file alone.
  store.state.handles.get(name) as PipelineState | undefined

/** Whether a run of the pipeline may still be at work: its process is not proven dead, and has not been silent for too long. */
export function isRunning(store: Store, name: string): boolean {
  const pipeline = pipelineOf(store, name)
  if (!pipeline || store.env.alive(pipeline.owner) === 'dead') return false
  if (pipeline.sessionMs === undefined) return true
  const beat = translate(store.folder, () => readSmallFile(store.env, beatFile(store, name, pipeline.generation)))
  return !(store.env.now() - Number(beat?.toString('latin1') || pipeline.at) > pipeline.sessionMs)
}

/** Whether the process that began a run is there, however silent. */
export const ownerIsAlive = (store: Store, { owner }: PipelineState): boolean => store.env.alive(owner) !== 'dead'

const beatFile = (store: Store, name: string, generation: number): string =>
  `${layout.state(store.folder, name)}/beat.${generation}`

/** A sign of life of a run with a session timeout. */
export function beat(store: Store, name: string, generation: number): void {
  const { env, folder } = store
  translate(folder, () => {
    const path = beatFile(store, name, generation)
    if (env.kind(path) === undefined) replaceFile(store, name, 'beat.', path, '')
    const fd = env.open(path, 'write')
    try {
      writeAll(env, fd, Buffer.from(String(env.now())), 0)
    } finally {
      env.close(fd)
    }
  })
}

/** A small file in a pipeline's folder, in the place of others whose names begin alike. Not synced: it speaks of living processes. */
export function replaceFile({ env, folder }: Store, name: string, prefix: string, path: string, text: string): void {
  ensureFolder(env, layout.states(folder))
  ensureFolder(env, layout.state(folder, name))
  for (const file of env.list(layout.state(folder, name))) {
    if (file.startsWith(prefix)) removeIfThere(env, `${layout.state(folder, name)}/${file}`)
  }
  const fd = env.open(path, 'create')
  try {
    writeAll(env, fd, Buffer.from(text), 0)
  } finally {
    env.close(fd)
  }
}

/**
 * Starts a run: moves the generation on, so that nothing of an earlier run can commit any more, and says where the pipeline stands.
 * `begin` is where partitions without a committed offset begin; it is committed, so that it holds for later runs too.
 * @returns the state of the running pipeline instead, when there is one
 * @throws BeckError store, when the group has members of the other kind
 */
export function startRun(
  store: Store,
  name: string,
  begin: ReadonlyMap<PartitionName, Offset>,
  { group, sessionMs }: { readonly group: number | undefined; readonly sessionMs?: number | undefined },
): { readonly started: boolean; readonly pipeline: PipelineState } {
  return store.transact(true, (transaction) => {
    const before = pipelineOf(store, name)
    if (before && isRunning(store, name)) return { started: false, pipeline: before }
    refuseTasks(store, name)
    refuseWhileLive(store, name, 'start the pipeline again; or give it a --group of its own')
    const known = store.state.group(name).offsets
    const missing = [...begin].filter(([partition]) => !known.has(partition))
    if (missing.length > 0) transaction.offsets(name, Object.fromEntries(missing))
    const pipeline = nextRun(store, transaction, before, { group, sessionMs })
    transaction.handles(name, pipeline)
    // Before the line says that there is a timeout.
    if (sessionMs !== undefined) beat(store, name, pipeline.generation)
    return { started: true, pipeline }
  })
}

function nextRun(
  store: Store,
  transaction: Transaction,
  before: PipelineState | undefined,
  { group, sessionMs }: { readonly group: number | undefined; readonly sessionMs?: number | undefined },
): PipelineState {
  const {
    id = crypto.randomUUID(),
    epoch = 0,
    at = transaction.at,
    stages = [],
    handles = [],
    sink,
    prepared,
  } = before ?? {}
  return {
    id,
    epoch,
    at,
    stages,
    handles,
    generation: (before?.generation ?? 0) + 1,
    owner: store.env.identity,
    ...(group !== undefined && { group }),
    ...(sessionMs !== undefined && { sessionMs }),
    ...(sink && { sink }),
    ...(prepared && { prepared }),
  }
}

/**
 * Starts a task: whoever has worked on the partition before commits nothing of it any more. That it is ours to work on, the group says.
 * @param begin where it begins when the group has no offset
 */
export function startTask(
  store: Store,
  group: string,
  partition: PartitionName,
  begin: Offset,
  processGroup: number | undefined,
): PipelineState {
  const name = taskName(group, partition)
  return store.transact(true, (transaction) => {
    if (!store.state.group(group).offsets.has(partition)) transaction.offsets(group, { [partition]: begin })
    const pipeline = nextRun(store, transaction, pipelineOf(store, name), { group: processGroup })
    transaction.handles(name, pipeline)
    return pipeline
  })
}

/** Whether something goes with its offsets: what stages hold, or an epoch of which an outside system knows more. */
export const keepsState = (pipeline: PipelineState | undefined): boolean =>
  pipeline !== undefined && (pipeline.handles.some((handle) => handle !== null) || pipeline.prepared !== undefined)

/** @throws BeckError store, when partitions of the group keep state of their own */
function refuseTasks(store: Store, group: string): void {
  const task = pipelinesOf(store, group).find((name) => name !== group && keepsState(pipelineOf(store, name)))
  if (task === undefined) return
  throw new BeckError('store', {
    problem: `the group "${group}" has worked partition by partition, and "${task}" keeps state of its partition`,
    hint: `add --per-partition; or forget the state: beck pipeline reset ${group} --execute`,
  })
}

/** @throws BeckError store, while a pipeline reads for the group */
export function refuseWhileRunning(store: Store, group: string): void {
  const name = pipelinesOf(store, group).find((name) => isRunning(store, name))
  const pipeline = name === undefined ? undefined : pipelineOf(store, name)
  if (!pipeline) return
  throw new BeckError('store', {
    problem: `the group "${group}" is read by a pipeline that delivers exactly once (process ${pipeline.owner.pid})`,
    hint: 'give this reader a --group of its own',
  })
}

/** Offsets and state go together: others cannot move the ones alone. @throws BeckError store, while a pipeline runs or keeps state */
export function refuseWithPipeline(store: Store, group: string, what: string): void {
  for (const name of pipelinesOf(store, group)) refuseWithState(store, name, what)
}

/** The same for one pipeline, or one task. */
export function refuseWithState(store: Store, name: string, what: string): void {
  const pipeline = pipelineOf(store, name)
  if (!pipeline) return
  if (isRunning(store, name)) {
    throw new BeckError('store', {
      problem: `the group "${name}" is read by a pipeline that delivers exactly once (process ${pipeline.owner.pid})`,
      hint: `stop it, then ${what}`,
    })
  }
  if (!keepsState(pipeline)) return
  throw new BeckError('store', {
    problem: `the pipeline "${name}" keeps state (as open windows) that goes with these offsets: with others, records would count twice or not at all`,
    hint: `forget the state first: beck pipeline reset ${name} --execute; then ${what}`,
  })
}

/** What belongs to one epoch beside its output. */
export interface EpochCommit {
  readonly name: string
  readonly generation: number
  readonly epoch: number
  readonly offsets: Readonly<Record<PartitionName, Offset>>
  readonly stages: readonly string[]
  readonly handles: readonly unknown[]
  /** Further sources of a joined pipe. Each of all of them has moved on by one epoch or not at all, and one at least has. */
  readonly others?: readonly Omit<EpochCommit, 'others'>[]
  /** Where its output is, when that is outside the store. */
  readonly sink?: OutsideSink | undefined
}

/**
 * Adds an epoch to a transaction. False when it was committed before: then nothing more may be added.
 * @throws BeckError fenced, when a later run has begun or an epoch is missing
 */
export function commitEpoch(store: Store, transaction: Transaction, commit: EpochCommit): boolean {
  const sources = [commit, ...(commit.others ?? [])]
  const before = sources.map((source) => checkRun(store, source))
  if (sources.every(({ epoch }, index) => (before[index] as PipelineState).epoch >= epoch)) return false
  for (const [index, source] of sources.entries()) {
    const known = before[index] as PipelineState
    if (known.epoch !== source.epoch || sources.length === 1) checkFollows(known, source)
    addEpoch(transaction, source.name, known, { ...source, sink: commit.sink })
  }
  return true
}

/**
 * Notes that an epoch is about to be committed by an outside system, which from then on alone knows whether it is. False when it was
 * committed before. @throws BeckError fenced
 */
export function prepareEpoch(
  store: Store,
  transaction: Transaction,
  commit: Omit<EpochCommit, 'others'> & { readonly sink: OutsideSink },
): boolean {
  const before = checkRun(store, commit)
  if (before.epoch >= commit.epoch) return false
  checkFollows(before, commit)
  const { epoch, offsets, stages, handles, sink } = commit
  const prepared: PreparedEpoch = { epoch, offsets, stages, handles, sink }
  transaction.handles(commit.name, { ...before, prepared } satisfies PipelineState)
  return true
}

/** Says what has become of the prepared epoch. Nothing to do where none is. @throws BeckError fenced, when a later run has begun */
export function decideEpoch(
  store: Store,
  transaction: Transaction,
  run: { readonly name: string; readonly generation: number },
  committed: boolean,
): void {
  const { prepared, ...before } = checkRun(store, run)
  if (!prepared) return
  if (committed) addEpoch(transaction, run.name, before, prepared)
  else transaction.handles(run.name, before)
}

/** @throws BeckError fenced */
function checkFollows({ epoch, prepared }: PipelineState, commit: Pick<EpochCommit, 'name' | 'epoch'>): void {
  if (epoch === commit.epoch - 1 && !prepared) return
  throw new BeckError('fenced', {
    problem: `epoch ${commit.epoch} of pipeline "${commit.name}" cannot follow epoch ${epoch}, the last one committed`,
    hint: 'run the command line again',
  })
}

function addEpoch(
  transaction: Transaction,
  name: string,
  state: PipelineState,
  { epoch, offsets, stages, handles, sink }: Omit<EpochCommit, 'name' | 'generation' | 'others'>,
): void {
  const { sink: _, ...before } = state
  transaction.offsets(groupOf(name), offsets)
  const after: PipelineState = { ...before, epoch, at: transaction.at, stages, handles, ...(sink && { sink }) }
  transaction.handles(name, after)
}

/** @throws BeckError fenced, when a later run has begun */
export function checkRun(
  store: Store,
  { name, generation }: { readonly name: string; readonly generation: number },
): PipelineState {
  const pipeline = pipelineOf(store, name)
  if (pipeline?.generation === generation) return pipeline
  throw new BeckError('fenced', {
    problem: `a later run of pipeline "${name}" has taken over (generation ${pipeline?.generation ?? 'none'}, this one is ${generation}); this one commits nothing more`,
    hint: 'nothing is lost: the later run goes on from the last committed epoch',
  })
}

/** Forgets what a pipeline's stages keep; its group's offsets stay. @throws BeckError store, while it runs */
export function resetPipeline(store: Store, transaction: Transaction, name: string): PipelineState {
  const before = pipelineOf(store, name)
  if (!before) throw new BeckError('store', { problem: `there is no pipeline "${name}"` })
  if (isRunning(store, name)) {
    throw new BeckError('store', {
      problem: `the pipeline "${name}" is running (process ${before.owner.pid})`,
      hint: 'stop it first',
    })
  }
  const { sink: _, prepared: __, ...kept } = before
  const generation = before.generation + 1
  const after: PipelineState = { ...kept, id: crypto.randomUUID(), generation, epoch: 0, stages: [], handles: [] }
  transaction.handles(name, after)
  return after
}
