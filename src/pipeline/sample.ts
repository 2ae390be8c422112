import { closeSync, openSync } from 'node:fs'
import type { OperatorStage, SampledStage } from '../core/spec.ts'
import { unheard } from './bad-records.ts'
import { openScanner, stageContext } from './context.ts'
import { RangeOrigin } from './origin.ts'
import { bytesOf, type InputFile } from './parallel.ts'
import { readInput } from './reader.ts'
import type { RunSettings } from './settings.ts'
import { FileRange, lineStart } from './source.ts'

const PIECES = 64
const PIECE_BYTES = 1 << 15

/** Shows a stage some lines from all over its inputs. @returns what it has learnt */
export async function takeSample(
  stage: OperatorStage,
  sampled: SampledStage,
  inputs: readonly InputFile[],
  settings: RunSettings,
): Promise<unknown> {
  const scanner = openScanner(stage.reads, settings)
  const taker = sampled.open(stageContext(scanner, unheard, new Map(), settings))
  const bytes = bytesOf(inputs)
  for (const input of inputs) {
    const fd = openSync(input.file, 'r')
    try {
      const pieces = Math.ceil((PIECES * input.size) / bytes)
      for (let piece = 0; piece < pieces; piece++) {
        const start = lineStart(fd, Math.floor((piece * input.size) / pieces), input.size)
        const end = lineStart(fd, Math.min(start + PIECE_BYTES, input.size), input.size)
        const origin = new RangeOrigin(input.file, start, input.base)
        await readInput(scanner, new FileRange(fd, input, start, end), origin, (batch) => taker.processBatch(batch), {
          maxLineBytes: settings.maxLineBytes,
          bad: unheard,
        })
      }
    } finally {
      closeSync(fd)
    }
  }
  return taker.end(bytes)
}
