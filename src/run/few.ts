import { closeSync, openSync, readSync } from 'node:fs'
import type { Collector } from '../core/operator.ts'
import { samePath } from '../core/field-path.ts'
import { unheard } from '../pipeline/bad-records.ts'
import { openScanner, stageContext } from '../pipeline/context.ts'
import { chosen } from '../pipeline/meter.ts'
import type { InputFile } from '../pipeline/parallel.ts'
import { groupStages } from './chain.ts'
import type { ChainStage } from './group.ts'

/** How much of the input is looked at: some hundred records, in less time than they are worth. */
const SAMPLE_BYTES = 1 << 15
/** Few are fewer than one in so many: then finding further fields in all records costs more than scanning those few again. */
const FEW = 8

/**
 * Whether a filter lets so few records through that the stage behind it is better off with a scan of its own. That is guessed from the beginning of the
 * input, and changes no result.
 */
export function letsFew(stages: readonly ChainStage[], inputs: readonly InputFile[]): boolean {
  const [filter, next] = stages
  const [input] = inputs
  if (!filter?.stage.sifts || filter.stage.passesBad || !next || !input) return false
  if (groupStages(stages)[0]?.[1] !== next) return false
  const { reads } = filter.stage
  if (next.stage.reads.every((path) => reads.some((other) => samePath(other, path)))) return false
  const scanner = openScanner(reads, filter.settings)
  try {
    scanner.begin({ file: input.file, base: 0, lineAt: () => 1 })
    const filled = readStart(input.file, scanner.room().subarray(0, SAMPLE_BYTES))
    const { batch } = scanner.scan(filled, false)
    let passed = 0
    const out: Collector = {
      forward(batch, mask, from = 0, to = batch.count) {
        passed += chosen(batch, mask, from, to)
      },
      emit() {},
      emitText() {},
    }
    filter.stage.open(stageContext(scanner, unheard, new Map(), filter.settings)).processBatch(batch, out, 0)
    return passed * FEW < batch.count
  } finally {
    scanner.close()
  }
}

function readStart(file: string, into: Uint8Array): number {
  const fd = openSync(file, 'r')
  try {
    return readSync(fd, into)
  } finally {
    closeSync(fd)
  }
}
