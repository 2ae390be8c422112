import type { RecordBatch } from '../core/batch.ts'
import type { Collector, LineReader, StageContext } from '../core/operator.ts'
import type { FieldPath } from '../core/field-path.ts'
import { createScanner } from '../ndjson/index.ts'
import type { Scanner, ScannerOptions, TextCounts, TextKind } from '../ndjson/scanner.ts'
import { openSideFile, type BadRecords } from './bad-records.ts'
import type { RunSettings } from './settings.ts'
import { SpillFolder } from './spill.ts'

/** The scanner of a stage that reads `reads`. */
export const openScanner = (
  reads: readonly FieldPath[],
  { strict, maxLineBytes, scanner }: RunSettings,
  more?: Pick<ScannerOptions, 'blockBytes' | 'stages'>,
): Scanner => createScanner({ reads, strict, maxLineBytes, ...more }, scanner)

/** The surroundings of an operator that runs in this thread. `trimmed`: bad records are kept without the white space around them. */
export function stageContext(
  scanner: Pick<Scanner, 'keyTable'>,
  bad: BadRecords,
  counts: Map<string, number>,
  settings: RunSettings,
  trimmed = false,
): StageContext {
  const { memoryBytes, workers, tmp, inputs } = settings
  let folder: SpillFolder | undefined
  return {
    reject: (batch, row, problem) => bad.reject(() => batch.locate(row), wholeLine(batch, row, trimmed), problem),
    keyTable: (fields) => scanner.keyTable(fields),
    now: Date.now,
    sideFile: (file) => openSideFile(file, inputs),
    count: (what, records) => counts.set(what, (counts.get(what) ?? 0) + records),
    memoryBytes,
    workers,
    lineReader: (reads) => readerOf(openScanner(reads, settings)),
    spill: (handle) => (folder ??= new SpillFolder(tmp)).create(handle),
  }
}

const readerOf = (scanner: Scanner): LineReader => ({
  keyTable: (fields) => scanner.keyTable(fields),
  read(fill, take) {
    scanner.begin({ file: '', base: 0, lineAt: () => 1 })
    for (let filled = -1; filled !== 0;) {
      filled = fill(scanner.room())
      const { batch, bad } = scanner.scan(filled, filled === 0)
      if (bad.length > 0) throw new Error('a line that was good is bad')
      if (batch.count > 0) take(batch)
    }
  },
})

/** The line of a row with the white space around the record, which its span leaves out. `trimmed`: without. */
function wholeLine({ bytes, spans, stride }: RecordBatch, row: number, trimmed: boolean): Uint8Array {
  if (trimmed) return bytes.subarray(spans[row * stride], spans[row * stride + 1])
  const start = bytes.lastIndexOf(10, (spans[row * stride] as number) - 1) + 1
  const end = bytes.indexOf(10, spans[row * stride + 1])
  return bytes.subarray((spans[row * stride] as number) === 0 ? 0 : start, end < 0 ? bytes.length : end)
}

/** Where the bytes of an operator's records go: `Output`, or a worker's turn to write. */
export interface ByteSink {
  /** Writes at once or takes a copy. */
  write(bytes: Uint8Array): void
  /** A latin1 ("binary") string: char codes are bytes. */
  writeBinary(text: string): void
  /** As `Scanner.readText`: what the text comes to goes there. */
  readText?(kind: TextKind, text: Uint8Array, member?: string): TextCounts | undefined
}

export const collectInto = (sink: ByteSink): Collector => ({
  forward: (batch, mask, from = 0, to = batch.count) => sink.write(batch.lines(mask, from, to)),
  emit: (lines) => sink.write(lines),
  emitText: (lines) => sink.writeBinary(lines),
  ...(sink.readText && { emitWords: (member, text) => sink.readText?.('word', text, member) !== undefined }),
})
