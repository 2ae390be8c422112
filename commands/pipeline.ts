import { type Action, chooseAction } from '../src/cli/actions.ts'
import { BeckError } from '../src/core/errors.ts'
import type { Arguments, CommandSpec, ToolIo, ToolStage } from '../src/core/spec.ts'
import { suggest } from '../src/core/suggest.ts'
import { formatTime } from '../src/core/time.ts'
import { checkName } from '../src/log/layout.ts'
import {
  groupOf,
  isRunning,
  keepsState,
  pipelineOf,
  pipelinesOf,
  type PipelineState,
  resetPipeline,
  taskName,
} from '../src/log/pipelines.ts'
import { Store, storeFolder } from '../src/log/store.ts'
import type { StateHandle } from '../src/pipeline/frames.ts'
import { filesOf, removeSnapshots } from '../src/pipeline/snapshot.ts'

type Run = (store: Store, name: string, io: ToolIo, execute: boolean) => void

const actions: Readonly<Record<string, Action<Run>>> = {
  list: { run: list, words: 0 },
  describe: { run: describe, words: 1 },
  reset: { run: reset, words: 1, options: ['execute'] },
}

export const pipeline: CommandSpec = {
  name: 'pipeline',
  summary: 'Show the pipelines that deliver exactly once, forget their state',
  description:
    'ACTION is list, describe or reset. A pipeline has the name of its group; it is made by beck consume --exactly-once. reset forgets what ' +
    'its stages keep (open windows, keys seen), and shows what would go; with --execute it does it. The offsets of the group stay where ' +
    'they are: beck group reset moves them.',
  program: [
    { name: 'ACTION', description: Object.keys(actions).join(', '), choices: Object.keys(actions) },
    { name: 'NAME', description: 'the pipeline', optional: true },
  ],
  files: false,
  options: [{ flag: 'execute', description: 'reset: do it' }],
  common: ['store'],
  cost: { time: 'O(pipelines)', memory: 'O(pipelines)' },
  errors: ['usage', 'store'],
  examples: [
    {
      says: 'A pipeline, and what its window keeps for the next run',
      command:
        'beck append visits fixtures/flights.ndjson && beck consume visits -g hours --exactly-once | ' +
        'beck window count --tumbling 1h --time date --delay 120d | beck append hours && beck pipeline list',
    },
  ],
  place: 'first',
  create: (args) => ({ role: 'tool', run: (io) => run(args, io) }) satisfies ToolStage,
}

async function run(args: Arguments, io: ToolIo): Promise<void> {
  const { program, options } = args
  const [word = '', name] = program
  const action = chooseAction('pipeline', actions, args, pipeline.options)
  if (action !== list && name === undefined) {
    throw new BeckError('usage', { problem: 'which pipeline?', hint: `write beck pipeline ${word} NAME` })
  }
  const store = Store.open(storeFolder(options['store'] as string | undefined), { say: io.say })
  try {
    action(store, name ?? '', io, options['execute'] === true)
  } finally {
    store.close()
  }
}

const line = (io: ToolIo, value: unknown): void => void io.write(`${JSON.stringify(value)}\n`)

function known(store: Store, name: string): PipelineState {
  checkName('group', groupOf(name))
  const state = pipelineOf(store, name)
  if (state) return state
  const suggestion = suggest(name, [...store.state.handles.keys()])
  throw new BeckError('store', {
    problem: `there is no pipeline "${name}"`,
    hint: suggestion
      ? `did you mean "${suggestion}"?`
      : 'beck pipeline list shows them; beck consume --exactly-once makes one',
  })
}

const bytesOf = (handle: StateHandle | null): number => filesOf(handle).reduce((sum, { bytes }) => sum + bytes, 0)
/** Bytes of its committed state. */
const stateBytes = ({ handles }: PipelineState): number =>
  (handles as readonly (StateHandle | null)[]).reduce((sum, handle) => sum + bytesOf(handle), 0)

/** What is committed of the topics it reads; of a task: of its own partition. */
function offsetsOf(store: Store, name: string) {
  const group = groupOf(name)
  const all = [...store.state.group(group).offsets]
  return name === group ? all : all.filter(([partition]) => taskName(group, partition) === name)
}

/** Records of the topics it reads that are not committed. */
function lag(store: Store, name: string): number {
  let records = 0
  for (const [partition, offset] of offsetsOf(store, name)) {
    records += (store.state.partition(partition)?.next ?? offset) - offset
  }
  return records
}

function summary(store: Store, name: string, state: PipelineState): Record<string, unknown> {
  return {
    pipeline: name,
    running: isRunning(store, name),
    generation: state.generation,
    epoch: state.epoch,
    committed: formatTime(state.at),
    ageMs: Math.max(0, store.env.now() - state.at),
    stateBytes: stateBytes(state),
    lag: lag(store, name),
  }
}

function list(store: Store, _: string, io: ToolIo): void {
  for (const name of [...store.state.handles.keys()].sort()) {
    const state = known(store, name)
    if (!isOver(store, name, state)) line(io, summary(store, name, state))
  }
}

/** What is left in the journal of a task that never had a record; or of the other way, by partition or not, in which the group has worked before. */
function isOver(store: Store, name: string, state: PipelineState): boolean {
  if (keepsState(state) || isRunning(store, name)) return false
  const group = groupOf(name)
  if (name !== group && state.epoch === 0) return true
  return pipelinesOf(store, group).some(
    (other) => (other === group) !== (name === group) && (pipelineOf(store, other)?.at ?? 0) > state.at,
  )
}

function describe(store: Store, name: string, io: ToolIo): void {
  for (const one of named(store, name)) describeOne(store, one, io)
}

function describeOne(store: Store, name: string, io: ToolIo): void {
  const state = known(store, name)
  line(io, {
    ...summary(store, name, state),
    process: isRunning(store, name) ? state.owner.pid : null,
    stages: state.stages,
    ...(state.sink && { sink: state.sink.name }),
    ...(state.prepared && { prepared: { epoch: state.prepared.epoch, sink: state.prepared.sink.name } }),
    state: (state.handles as readonly (StateHandle | null)[]).map(
      (handle) => handle && { file: handle.file, files: filesOf(handle).length, bytes: bytesOf(handle) },
    ),
    offsets: Object.fromEntries(offsetsOf(store, name)),
  })
}

/** Of a group that works partition by partition, all of it. */
function named(store: Store, name: string): readonly string[] {
  const all = pipelinesOf(store, name)
  return all.length > 0 ? all : [name]
}

function reset(store: Store, name: string, io: ToolIo, execute: boolean): void {
  const names = named(store, name)
  for (const one of names) {
    const state = known(store, one)
    line(io, { pipeline: one, epoch: state.epoch, stateBytes: stateBytes(state), executed: execute })
  }
  if (!execute) {
    io.say('nothing is changed yet: add --execute to forget this state')
    return
  }
  store.transact(true, (transaction) => {
    for (const pipeline of names) {
      const { generation } = resetPipeline(store, transaction, pipeline)
      const place = { env: store.env, store: store.folder, pipeline }
      transaction.afterCommit(() => removeSnapshots(place, { generation, epoch: 0, handles: [] }))
    }
  })
}
