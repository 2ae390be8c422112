import type { KeptInput } from '../core/operator.ts'
import type { PairStage } from '../core/spec.ts'
import { stopAtBadRecords } from './bad-records.ts'
import { collectInto, openScanner, stageContext } from './context.ts'
import { Output } from './descriptor.ts'
import { listen, packed, revive, type Spawn, type WorkerResult, type WorkerTask } from './parallel.ts'
import { readInputs } from './reader.ts'
import { readerSettings, withBadRecords, type Progress } from './run-stage.ts'
import type { Outcome } from './settings.ts'
import { readTableInput } from './table.ts'
import type { ByteSource } from './source.ts'
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
    const inputs = new InputsAgain()
    const context = { ...stageContext(right, bad, counts, settings), input: inputs.current }
    const operator = stage.open(stageContext(left, bad, counts, settings), context)
    const turns = new Turns()
    const other = listen(spawn({ ...task, turns: turns.shared }), turns)
    const read = { ...readerSettings(settings, bad, output, false, progress, io), opened: inputs.opened }
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
  const again = new InputsAgain()
  const context = { ...stageContext(scanner, stopAtBadRecords, new Map(), settings), input: again.current }
  const side = stage.openLeft?.(context)
  if (!side) throw new Error('a stage whose inputs are for one thread')
  const result = { counts: [], deadLetters: 0 }
  try {
    const files = inputs.map(({ file }) => file)
    const output = new Output()
    const read = {
      ...readerSettings(settings, stopAtBadRecords, output, false, undefined),
      opened: again.opened,
    }
    await readInputs(scanner, files, (batch) => side.processBatch(batch), read)
    return { ...result, state: side.handOver() }
  } catch (error) {
    return { ...result, failure: packed(error) }
  }
}

/** The input at hand, for who wants to read lines of it again: it stays open until the process ends, which is when this is done. */
class InputsAgain {
  #source: ByteSource | undefined
  #base = 0
  #kept: KeptInput | undefined

  readonly opened = (source: ByteSource, _kind: unknown, base: number): ByteSource => {
    this.#source = source
    this.#base = base
    this.#kept = undefined
    return source
  }
  readonly current = (): KeptInput | undefined => {
    const source = this.#source
    if (!source?.keep) return undefined
    return (this.#kept ??= { name: source.name, fd: source.keep(), base: this.#base })
  }
}

type Scanner = ReturnType<typeof openScanner>
