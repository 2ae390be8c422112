import type { TableStage } from '../core/spec.ts'
import { openScanner, stageContext } from './context.ts'
import { Output } from './descriptor.ts'
import type { Scanner } from '../ndjson/scanner.ts'
import { CountedOrigin } from './origin.ts'
import { type Process, readInput, readInputs, type ReaderSettings } from './reader.ts'
import { readerSettings, withBadRecords } from './run-stage.ts'
import type { Outcome, RunSettings } from './settings.ts'

/**
 * Reads the table of a stage, whole. `rest` are the settings for the stage's input.
 * @throws BeckError
 */
export async function readTable(
  stage: TableStage,
  settings: RunSettings,
): Promise<{ table: unknown; outcome: Outcome; rest: RunSettings }> {
  let table: unknown
  const output = new Output()
  const outcome = await withBadRecords(settings, output, async (bad, counts) => {
    const scanner = openScanner(stage.reads, settings)
    const reader = stage.open(stageContext(scanner, bad, counts, settings))
    const read = readerSettings(settings, bad, output, false, undefined)
    await readTableInput(stage, scanner, (batch) => reader.processBatch(batch), read)
    table = reader.end()
  })
  return { table, outcome, rest: { ...settings, keepDeadLetters: true } }
}

/** Reads a table, from a file or from a topic, and hands its records on. @throws BeckError */
export async function readTableInput(
  { table, store }: Pick<TableStage, 'table' | 'store'>,
  scanner: Scanner,
  process: Process,
  settings: ReaderSettings,
): Promise<void> {
  if (!table.startsWith('topic:')) return readInputs(scanner, [table], process, settings)
  const { openTopic } = await import('./topic-source.ts')
  const source = openTopic(table.slice('topic:'.length), store)
  try {
    settings.opened?.(source, false)
    await readInput(scanner, source, new CountedOrigin(source.name, 0), process, settings)
  } finally {
    source.close()
  }
}
