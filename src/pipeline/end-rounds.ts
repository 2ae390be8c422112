import type { EndRound, SharedEndOperator } from '../core/operator.ts'
import type { OperatorStage } from '../core/spec.ts'
import { stopAtBadRecords } from './bad-records.ts'
import { collectInto, openScanner, stageContext } from './context.ts'
import { Output } from './descriptor.ts'
import { type Failure, listen, packed, revive, type Spawn, type WorkerResult, type WorkerTask } from './parallel.ts'
import { Turns } from './turns.ts'

/** What all threads know is merged in `operator`: the rounds that are left to do (see SharedEndOperator). @throws BeckError, ReaderGone */
export async function runRounds(operator: SharedEndOperator, work: WorkerTask, spawn: Spawn): Promise<void> {
  for (let round = operator.nextRound(); round; round = operator.nextRound()) {
    const turns = new Turns()
    const task: WorkerTask = { ...work, turns: turns.shared, round }
    const helpers = Math.min(work.settings.workers, round.tasks) - 1
    const others = Array.from({ length: Math.max(0, helpers) }, () => listen(spawn(task), turns))
    const failure = await workAt(operator, round, turns)
    const results = await Promise.all(others)
    const failed = failure ?? results.find((result) => result.failure)?.failure
    if (failed) throw revive(failed)
    if (round.writes && !turns.isAt(round.tasks)) throw new Error('threads were stopped before all was put together')
    for (const { state } of results) operator.mergeRound(state)
  }
}

/** A worker thread's share of one. */
export async function joinRound(
  stage: OperatorStage,
  { settings, turns }: WorkerTask,
  round: EndRound,
): Promise<WorkerResult> {
  const context = stageContext(openScanner(stage.reads, settings), stopAtBadRecords, new Map(), settings)
  const operator = stage.open(context) as SharedEndOperator
  operator.joinRound(round)
  const failure = await workAt(operator, round, new Turns(turns))
  return { counts: [], deadLetters: 0, ...(failure ? { failure } : { state: operator.leaveRound() }) }
}

async function workAt(
  operator: SharedEndOperator,
  { tasks, writes }: EndRound,
  turns: Turns,
): Promise<Failure | undefined> {
  const output = new Output()
  const out = collectInto(output)
  let task = turns.take()
  try {
    for (; task < tasks && !turns.stopped; task = turns.take()) {
      const write = operator.endTask(task)
      if (!writes) continue
      if (!(await turns.reach(task))) return undefined
      write?.(out)
      output.flush()
      turns.pass(task)
    }
  } catch (error) {
    // What comes before it in the output is written first.
    if (writes && !(await turns.reach(task))) return undefined
    turns.stop()
    return packed(error)
  }
  return undefined
}
