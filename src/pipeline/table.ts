import { fstatSync } from 'node:fs'
import type { RecordBatch } from '../core/batch.ts'
import type { TableStage } from '../core/spec.ts'
import { type BadRecords, DeadLetters, stopAtBadRecords } from './bad-records.ts'
import { openScanner, stageContext } from './context.ts'
import type { Scanner } from '../ndjson/scanner.ts'
import { CountedOrigin } from './origin.ts'
import { type Process, readInput, readInputs, type ReaderSettings, unwelcome } from './reader.ts'
import { readerSettings, withBadRecords } from './run-stage.ts'
import type { Outcome, RunSettings } from './settings.ts'
import { outputOf, type StageIo } from './stage-io.ts'
import { type Content, withBatch } from './table-content.ts'

/**
 * Reads the table of a stage, whole. `rest` are the settings for the stage's input.
 * @throws BeckError
 */
export async function readTable(
  stage: TableStage,
  settings: RunSettings,
  io?: StageIo,
): Promise<{ table: unknown; outcome: Outcome; rest: RunSettings }> {
  let table: unknown
  const isWatched = io !== undefined || mayHaveFrames(settings)
  let content: Content = { bytes: 0, crc: 0 }
  let isPipe = false
  const output = outputOf(io)
  const letters: Uint8Array[] = []
  const run = async (bad: BadRecords, counts: Map<string, number>): Promise<void> => {
    const scanner = openScanner(stage.reads, settings)
    const reader = stage.open(stageContext(scanner, bad, counts, settings))
    const read: ReaderSettings = {
      ...readerSettings(settings, bad, output, false, undefined, io),
      opened(source) {
        isPipe = source.pauses
        return source
      },
      frames: () => {
        throw unwelcome(
          `the TABLE of beck ${settings.stage.name} is read whole, before anything else: to join two streams, add --within, or --as-of`,
        )
      },
    }
    const process = (batch: RecordBatch): void | 'done' => {
      if (isWatched) content = withBatch(content, batch)
      return reader.processBatch(batch)
    }
    await readTableInput(stage, scanner, process, read)
    table = reader.end()
  }
  if (!isWatched) {
    const outcome = await withBadRecords(settings, output, run)
    return { table, outcome, rest: { ...settings, keepDeadLetters: true } }
  }
  // What an earlier run has kept of the dead letters must not be touched before the frames have said so.
  const counts = new Map<string, number>()
  const keep = settings.deadLetter !== undefined
  const bad = keep ? new DeadLetters((bytes) => letters.push(new Uint8Array(bytes))) : stopAtBadRecords
  await run(bad, counts)
  return {
    table,
    outcome: { counts, deadLetters: bad.count },
    rest: { ...settings, table: isPipe ? ('pipe' as const) : content, tableLetters: Buffer.concat(letters) },
  }
}

/** Control frames come through pipes alone. */
const mayHaveFrames = ({ inputs }: RunSettings): boolean => inputs[0] === '-' && !fstatSync(0).isFile()

/** Reads a table, from a file or from a topic, and hands its records on. @param follow whether to go on with the topic @throws BeckError */
export async function readTableInput(
  { table, store }: Pick<TableStage, 'table' | 'store'>,
  scanner: Scanner,
  process: Process,
  settings: ReaderSettings,
  follow?: () => boolean,
): Promise<void> {
  if (!table.startsWith('topic:')) return readInputs(scanner, [table], process, settings)
  const { openTopic } = await import('./topic-source.ts')
  const source = openTopic(table.slice('topic:'.length), store, follow)
  try {
    settings.opened?.(source, 'plain', 0)
    await readInput(scanner, source, new CountedOrigin(source.name, 0), process, settings)
  } finally {
    source.close()
  }
}
