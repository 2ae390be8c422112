// Runs pipelines in this process, as `beck run` does.
import { EventEmitter } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { expect } from 'vitest'
import { commands } from '../../commands/index.ts'
import type { Terminal } from '../../src/cli/terminal.ts'
import { BeckError } from '../../src/core/errors.ts'
import { Output } from '../../src/pipeline/descriptor.ts'
import type { Outcome } from '../../src/pipeline/settings.ts'
import { planInputs, runWorker, type Spawn } from '../../src/pipeline/parallel.ts'
import { openAll } from '../../src/pipeline/source.ts'
import { type ChainWork, composeWork } from '../../src/run/composite.ts'
import { canFuse, type FusedHost, runFused } from '../../src/run/fused.ts'
import { type CommandStage, type LogicalPlan, planPipeline } from '../../src/run/plan.ts'
import { type RewriteMade, rewritePlan, type Rewrites } from '../../src/run/rewrite.ts'
import type { StageStats } from '../../src/run/stats.ts'
import { parsePipeline } from '../../src/run/text.ts'

export interface Result {
  /** How far two streams have been read when one of them fails is a matter of time. */
  readonly isLoose?: boolean
  readonly output: string
  readonly exit: number
  readonly errors: readonly string[]
}
/** And what was said at the end, and which rewrites were made. */
export interface FusedResult extends Result {
  readonly counts: readonly string[]
  readonly made: readonly RewriteMade[]
  readonly stats: readonly StageStats[]
}

export const plan = (text: string): Promise<LogicalPlan> => {
  const source = { name: 'text', text }
  return planPipeline(source, parsePipeline(source), { registry: commands, env: { BECK_SCANNER: 'wasm' }, args: {} })
}
export const saying = (where: string, error: unknown): string =>
  `${where}: ${error instanceof BeckError ? `${error.code}: ${error.facts['problem']}` : String(error)}`

/** A thread in this one, as far as it is one. Where blocks are put together in order, it takes none. */
const spawn: Spawn = (task) => {
  const thread = new EventEmitter()
  const work = async (): Promise<void> => {
    const stage = await composeWork(structuredClone(task.chain) as ChainWork, commands)
    if (stage.parallel === 'ordered') return
    thread.emit('message', structuredClone(await runWorker(stage, structuredClone(task))))
  }
  work().catch((error: unknown) => thread.emit('error', error))
  return thread as Worker
}

/** @param file where its output goes meanwhile */
export async function runText(text: string, rewrites: Rewrites, file: string, threads = false): Promise<FusedResult> {
  const fd = openSync(file, 'w')
  const errors: string[] = []
  const counts: string[] = []
  const io = { write: () => true, say: () => {}, terminal: { stdout: false, stderr: false, columns: 80 } }
  // What a fused pipeline asks of a terminal.
  const terminal = {
    error: (where: string, error: unknown) => void errors.push(saying(where, error)),
    report: (where: string, { counts: own }: Outcome) => {
      for (const [what, records] of own) counts.push(`${where}: ${what}: ${records}`)
    },
    toolIo: () => io,
    news: () => {},
    output: undefined,
    board: () => undefined,
    clear: () => {},
  } as unknown as Terminal
  try {
    const { plan: rewritten, made } = await rewritePlan(await plan(text), rewrites)
    expect(canFuse(rewritten)).toBe(true)
    const stages = (rewritten.stages as CommandStage[]).map((stage) => ({
      ...stage,
      settings: { ...stage.settings, workers: threads ? 3 : 1 },
    }))
    let stats: readonly StageStats[] = []
    const host: FusedHost = {
      terminal,
      spawn,
      rewrites,
      planInputs: (files) => planInputs(files, 300, 0),
      // Not that of the tests.
      input: openAll([]),
      stats: (told) => void (stats = told),
    }
    const exit = await runFused(stages, host, new Output(fd, file))
    return { output: readFileSync(file, 'latin1'), exit, errors, counts, made, stats }
  } finally {
    closeSync(fd)
  }
}

/** Writes lines to files of a folder, one after the other: several files are several blocks. */
export function writeParts(folder: string, lines: readonly string[], parts: number): string[] {
  mkdirSync(folder, { recursive: true })
  return Array.from({ length: parts }, (_, part) => {
    const [from, to] = [part, part + 1].map((of) => Math.floor((lines.length * of) / parts))
    const file = join(folder, `${part}.ndjson`)
    const text = lines.slice(from, to).map((line) => `${line}\n`)
    writeFileSync(file, text.join(''))
    return file
  })
}
