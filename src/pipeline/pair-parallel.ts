import type { PairStage } from '../core/spec.ts'
import { stopAtBadRecords } from './bad-records.ts'
import { collectInto, openScanner, stageContext } from './context.ts'
import { Output } from './descriptor.ts'
import { listen, packed, revive, type Spawn, type WorkerResult, type WorkerTask } from './parallel.ts'
import { readInputs } from './reader.ts'
import { readerSettings, withBadRecords, type Progress } from './run-stage.ts'
import type { Outcome } from './settings.ts'
import { readTableInput } from './table.ts'
import { outputOf, type StageIo } from './stage-io.ts'
import { Turns } from './turns.ts'

/**
 * Runs an operator of two inputs on two threads: another one reads the left input, this one the table. Output and the first error are as
 * with one thread, which reads the table first. @throws BeckError, ReaderGone
 */
export async function runPairParallel(
  stage: PairStage,
  task: Omit<WorkerTask, 'turns'>,
  spawn: Spawn,
  progress?: Progress,
  io?: StageIo,
): Promise<Outcome> {
  const { settings } = task
  const output = outputOf(io)
  const out = collectInto(output)
  return withBadRecords(settings, output, async (bad, counts) => {
    const [left, right] = stage.reads.map((reads) => openScanner(reads, settings)) as [Scanner, Scanner]
    const operator = stage.open(stageContext(left, bad, counts, settings), stageContext(right, bad, counts, settings))
    const turns = new Turns()
    const other = listen(spawn({ ...task, turns: turns.shared }), turns)
    const read = readerSettings(settings, bad, output, false, progress, io)
    await readTableInput(stage, right, (batch) => operator.processBatch(batch, out, 1), read)
    operator.onEndOf?.(1, out)
    const { state, failure } = await other
    if (failure) throw revive(failure)
    operator.takeSide?.(0, state)
    operator.onEndOf?.(0, out)
    operator.onEnd?.(out)
  })
}

/** A worker thread's share: the left input. */
export async function workOnLeft(stage: PairStage, { settings, inputs }: WorkerTask): Promise<WorkerResult> {
  const scanner = openScanner(stage.reads[0], settings)
  const side = stage.openLeft?.(stageContext(scanner, stopAtBadRecords, new Map(), settings))
  if (!side) throw new Error('a stage whose inputs are for one thread')
  const result = { counts: [], deadLetters: 0 }
  try {
    const files = inputs.map(({ file }) => file)
    const read = readerSettings(settings, stopAtBadRecords, new Output(), false, undefined)
    await readInputs(scanner, files, (batch) => side.processBatch(batch), read)
    return { ...result, state: side.handOver() }
  } catch (error) {
    return { ...result, failure: packed(error) }
  }
}

type Scanner = ReturnType<typeof openScanner>
