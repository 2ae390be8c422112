import type { PairStage } from '../core/spec.ts'
import { collectInto, openScanner, stageContext } from './context.ts'
import { Output } from './descriptor.ts'
import { readInputs, type ReaderSettings } from './reader.ts'
import { readerSettings, withBadRecords, type Progress } from './run-stage.ts'
import type { Outcome, RunSettings } from './settings.ts'
import { readTableInput } from './table.ts'

/** Runs an operator of two inputs in this thread. @throws BeckError, ReaderGone */
export async function runPair(
  stage: PairStage,
  files: readonly string[],
  settings: RunSettings,
  progress?: Progress,
): Promise<Outcome> {
  const output = new Output()
  const out = collectInto(output)
  return withBadRecords(settings, output, async (bad, counts) => {
    const [left, right] = stage.reads.map((reads) => {
      const scanner = openScanner(reads, settings)
      return { scanner, context: stageContext(scanner, bad, counts, settings) }
    }) as [Side, Side]
    const operator = stage.open(left.context, right.context)
    const together = stage.reading === 'together'
    const read = readerSettings(settings, bad, output, together, progress)
    const readSide = async (port: 0 | 1, turns: Partial<ReaderSettings>): Promise<void> => {
      const { scanner } = port === 0 ? left : right
      const process = (batch: Parameters<typeof operator.processBatch>[0]) => operator.processBatch(batch, out, port)
      if (port === 0) await readInputs(scanner, files, process, { ...read, ...turns })
      else await readTableInput(stage, scanner, process, { ...read, ...turns })
      operator.onEndOf?.(port, out)
    }
    if (together) {
      const turns = new SideBySide(() => operator.next?.())
      await Promise.all(
        ([0, 1] as const).map((port) =>
          readSide(port, { turn: () => turns.wait(port), afterBlock: () => turns.done(port) }).finally(() =>
            turns.end(port),
          ),
        ),
      )
    } else {
      await readSide(1, {})
      await readSide(0, {})
    }
    operator.onEnd?.(out)
  })
}

interface Side {
  readonly scanner: ReturnType<typeof openScanner>
  readonly context: ReturnType<typeof stageContext>
}

/**
 * Two readers in one thread. A side whose time is ahead lets the other go first, unless that one is waiting for data or has ended:
 * so state stays small, and a side that is silent never holds the other up.
 */
class SideBySide {
  readonly #next: () => 0 | 1 | undefined
  readonly #reading = [false, false]
  readonly #ended = [false, false]
  #wake: (() => void) | undefined
  constructor(next: () => 0 | 1 | undefined) {
    this.#next = next
  }
  async wait(port: 0 | 1): Promise<void> {
    const other = 1 - port
    // Lets the other side's finished read be seen before it counts as waiting.
    await new Promise(setImmediate)
    while (!this.#ended[other] && !this.#reading[other] && this.#next() === other) {
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    this.#reading[port] = true
    this.#signal()
  }
  done(port: 0 | 1): void {
    this.#reading[port] = false
    this.#signal()
  }
  end(port: 0 | 1): void {
    this.#ended[port] = true
    this.#signal()
  }
  #signal(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }
}
