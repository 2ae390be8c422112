import { spawn } from 'node:child_process'
import split2 from 'split2'
import type { PartitionStage } from '../core/spec.ts'
import { BeckError } from '../core/errors.ts'
import { escapeControls } from '../core/excerpt.ts'
import { openScanner, stageContext } from './context.ts'
import { OutputFolder, partName } from './output-folder.ts'
import { readInputs, type ReaderSettings } from './reader.ts'
import { readerSettings, withBadRecords, type Progress } from './run-stage.ts'
import type { Outcome, RunSettings } from './settings.ts'
import { SpillFolder } from './spill.ts'
import { outputOf, type StageIo } from './stage-io.ts'

type Spill = ReturnType<SpillFolder['create']>

/** Runs a stage whose output comes in partitions. `say` shows people what processes write to stderr. @throws BeckError, ReaderGone */
export async function runPartitions(
  stage: PartitionStage,
  files: readonly string[],
  settings: RunSettings,
  say: (line: string) => void,
  progress?: Progress,
  io?: StageIo,
): Promise<Outcome> {
  const output = outputOf(io)
  return withBadRecords(settings, output, async (bad, counts) => {
    // Before any reading, so that a folder in the way is said at once.
    const folder = stage.folder === undefined ? undefined : new OutputFolder(stage.folder)
    try {
      const scanner = openScanner(stage.reads, settings)
      const partitioner = stage.open(stageContext(scanner, bad, counts, settings))
      const read: ReaderSettings = {
        ...readerSettings(settings, bad, output, false, progress, io),
        noFrames: [
          `what beck ${settings.stage.name} writes with --out or --exec could not be committed with it`,
          'end the pipe with append, and read the topic: … | beck append good; beck replay good | beck shuffle --by KEY --partitions 8 --out DIR',
        ],
      }
      await readInputs(scanner, files, (batch) => partitioner.processBatch(batch), read)
      if (stage.exec !== undefined) {
        const inputs = spillPartitions(stage.partitions, settings.tmp, (write) => partitioner.onEnd(write))
        await runProcesses(stage.exec, inputs, settings, say, (partition, result) => {
          const file = folder?.create(partName(partition))
          copyOut(result, (bytes) => (file ?? output).write(bytes))
          file?.finish()
        })
      } else if (folder) writePartitions(folder, stage.partitions, (write) => partitioner.onEnd(write))
      folder?.succeed()
    } catch (error) {
      folder?.abandon()
      throw error
    }
  })
}

type Drain = (write: (partition: number, lines: Uint8Array) => void) => void

/** One file after the other; partitions without records have an empty one. */
function writePartitions(folder: OutputFolder, partitions: number, drain: Drain): void {
  let current = 0
  let file = folder.create(partName(0))
  const goTo = (partition: number): void => {
    for (; current < partition; current++) {
      file.finish()
      if (current + 1 < partitions) file = folder.create(partName(current + 1))
    }
  }
  drain((partition, lines) => {
    goTo(partition)
    file.write(lines)
  })
  goTo(partitions)
}

function spillPartitions(partitions: number, tmp: string, drain: Drain): Spill[] {
  const folder = new SpillFolder(tmp)
  const files = Array.from({ length: partitions }, () => folder.create())
  drain((partition, lines) => files[partition]!.append(lines))
  return files
}

function copyOut(file: Spill, write: (bytes: Uint8Array) => void): void {
  const piece = new Uint8Array(1 << 18)
  for (let at = 0; ;) {
    const n = file.read(piece, at)
    if (n === 0) return
    write(piece.subarray(0, n))
    at += n
  }
}

/**
 * Runs one process a partition, as many at once as there are workers. Each reads its partition from a file, so none of them waits for
 * beck; `take` gets the results in the order of partitions.
 */
async function runProcesses(
  command: string,
  inputs: readonly Spill[],
  { workers, tmp }: RunSettings,
  say: (line: string) => void,
  take: (partition: number, result: Spill) => void,
): Promise<void> {
  const folder = new SpillFolder(tmp)
  const results: (Spill | undefined)[] = []
  let next = 0
  let taken = 0
  const running = new Set<ReturnType<typeof spawn>>()
  const work = async (): Promise<void> => {
    while (next < inputs.length) {
      const partition = next++
      const result = folder.create()
      const input = inputs[partition]!
      await new Promise<void>((resolve, reject) => {
        const child = spawn('sh', ['-c', command], {
          stdio: [input.handle.fd, result.handle.fd, 'pipe'],
          env: { ...process.env, BECK_PARTITION: String(partition), BECK_PARTITIONS: String(inputs.length) },
        })
        running.add(child)
        // Several run at once: each line says whose it is.
        child.stderr
          ?.pipe(split2())
          .on('data', (line: string) => say(`partition ${partition}: ${escapeControls(line)}`))
        child.once('error', reject)
        child.once('close', (code, signal) => {
          running.delete(child)
          if (code === 0) resolve()
          else reject(failed(command, partition, code, signal))
        })
      })
      input.close()
      results[partition] = result
      for (let ready = results[taken]; ready; ready = results[taken]) {
        take(taken, ready)
        ready.close()
        results[taken++] = undefined
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(workers, inputs.length) }, work))
  } finally {
    for (const child of running) child.kill()
  }
}

function failed(command: string, partition: number, code: number | null, signal: string | null): BeckError {
  const problem = `partition ${partition} ended with ${signal ? `signal ${signal}` : `exit ${code}`}`
  return new BeckError('process', {
    command,
    problem,
    hint: `try it on one partition alone: beck shuffle … --out parts, then ${command} < parts/${partName(partition)}`,
  })
}
