import type { TableStage } from '../core/spec.ts'
import { openScanner, stageContext } from './context.ts'
import { Output } from './descriptor.ts'
import { readInputs } from './reader.ts'
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
    await readInputs(scanner, tableFiles(stage.table), (batch) => reader.processBatch(batch), read)
    table = reader.end()
  })
  return { table, outcome, rest: { ...settings, keepDeadLetters: true } }
}

/** The files of a table. */
export function tableFiles(table: string): string[] {
  return [table]
}
