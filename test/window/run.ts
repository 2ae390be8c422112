import { window } from '../../commands/window.ts'
import type { Operator, StageContext } from '../../src/core/operator.ts'
import type { OperatorStage } from '../../src/core/spec.ts'
import { createScanner, type ScannerName } from '../../src/ndjson/index.ts'
import { memorySpill } from '../sort/spill.ts'

/** What comes to the operator, in order: a record (an object, or a line as text), a watermark from upstream, the clock, the end. */
export type Step = object | string | { readonly watermark: number } | { readonly clock: number }

export interface Ran {
  /** What was emitted, line by line. */
  readonly lines: string[]
  /** How many of them after each step. */
  readonly after: number[]
  readonly late: number
  readonly lateTo: string
  readonly rejected: string[]
  /** Spill files that were made, and those still open at the end. */
  readonly spillFiles: number
  readonly openSpillFiles: number
}

/**
 * Runs the real operator of `beck window` in this process: the real command, scanner and aggregates.
 * @param flags the options as a shell would give them: `--time t --tumbling 1m`
 */
export async function runWindow(
  program: string,
  flags: string,
  steps: readonly Step[],
  {
    batchRows = Infinity,
    end = true,
    deadLetters = false,
    clock = 0,
    memoryBytes = 1 << 30,
    scanner: which = 'reference' as ScannerName,
    onLine = (_line: string): void => {},
  } = {},
): Promise<Ran> {
  const stage = await windowStage(program, flags)
  const scanner = createScanner({ reads: stage.reads, strict: false }, which)
  const spills = memorySpill()
  let now = clock
  const ran = {
    lines: [] as string[],
    after: [] as number[],
    late: 0,
    lateTo: '',
    rejected: [] as string[],
    spillFiles: 0,
    openSpillFiles: 0,
  }
  const context: StageContext = {
    reject(batch, row, { problem }) {
      if (!deadLetters) throw new Error(problem)
      ran.rejected.push(
        Buffer.from(batch.lines(undefined, row, row + 1))
          .toString()
          .trim(),
      )
    },
    keyTable: (fields) => scanner.keyTable(fields),
    now: () => now,
    sideFile: () => ({ write: (lines) => void (ran.lateTo += Buffer.from(lines).toString()) }),
    count: (_what, records) => void (ran.late += records),
    memoryBytes,
    workers: 1,
    spill: spills.spill,
  }
  const operator: Operator = stage.open(context)
  const out = {
    forward: () => {
      throw new Error('windows do not forward')
    },
    emit(lines: Uint8Array) {
      for (const line of Buffer.from(lines).toString().split('\n').slice(0, -1)) {
        onLine(line)
        ran.lines.push(line)
      }
    },
    emitText: () => {
      throw new Error('windows emit bytes')
    },
  }
  scanner.begin({ file: 'test', base: 0, lineAt: () => 1 })
  let held: string[] = []
  const feed = (): void => {
    if (held.length === 0) return
    const room = scanner.room()
    const bytes = Buffer.from(held.map((line) => `${line}\n`).join(''))
    room.set(bytes)
    held = []
    const { batch, bad } = scanner.scan(bytes.length, false)
    if (bad.length > 0) throw new Error(`bad test record: ${bad[0]?.problem}`)
    operator.processBatch(batch, out, 0)
  }
  for (const step of steps) {
    if (typeof step === 'object' && 'watermark' in step) {
      feed()
      operator.onWatermark?.(step.watermark as number, out)
    } else if (typeof step === 'object' && 'clock' in step) {
      feed()
      now = step.clock as number
      operator.onTimer?.(now, out)
    } else {
      held.push(typeof step === 'string' ? step : JSON.stringify(step))
      if (held.length >= batchRows) feed()
    }
    ran.after.push(ran.lines.length)
  }
  feed()
  if (end) operator.onEnd?.(out)
  ran.spillFiles = spills.made
  ran.openSpillFiles = spills.open
  return ran
}

/** What the command makes of a command line. */
export const windowStage = async (program: string, flags: string): Promise<OperatorStage> =>
  (await window.create({ program: [program], files: [], options: parseFlags(flags), args: {} })) as OperatorStage

/** `--time t --tumbling 1m --processing-time` as options; a word in quotes may hold blanks. */
function parseFlags(flags: string): Record<string, string | boolean> {
  const options: Record<string, string | boolean> = {}
  for (const [, flag, quoted, plain] of flags.matchAll(/--([a-z-]+)(?:\s+(?:"([^"]*)"|(?!--)(\S+)))?/g)) {
    options[flag as string] = quoted ?? plain ?? true
  }
  return options
}
