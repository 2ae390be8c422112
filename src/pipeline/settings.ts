import type { Content } from './table-content.ts'

/** What the common options of a command line come to, for every stage of a process. Plain data: it goes to workers as it is. */
export interface RunSettings {
  readonly stage: StageIdentity
  readonly scanner: 'reference' | 'wasm'
  readonly strict: boolean
  readonly maxLineBytes: number
  readonly deadLetter: string | undefined
  /** What the command reads, `-` for standard input: no output may be one of these. */
  readonly inputs: readonly string[]
  /** The dead letters hold some of this run already: those of its table. */
  readonly keepDeadLetters?: boolean
  /** Bad records of its table, to be written before its own, where that depends on control frames. */
  readonly tableLetters?: Uint8Array
  /** What the stage's table holds, where its input may have control frames; `pipe`: it came through one, perhaps not all of it. */
  readonly table?: Content | 'pipe'
  /** With control frames: the table may be another one than it was. */
  readonly newTable: boolean
  readonly workers: number
  readonly memoryBytes: number
  readonly tmp: string
}

/** Which command runs, and with what: two runs with the same `options` can go on with each other's state. */
export interface StageIdentity {
  readonly name: string
  readonly options: string
}

/** What a run has to tell people at its end. */
export interface Outcome {
  /** What operators counted: "late: dropped" → 3. */
  readonly counts: Map<string, number>
  readonly deadLetters: number
}

/** Two parts of a run as one. */
export function addOutcomes(a: Outcome, b: Outcome): Outcome {
  const counts = new Map(a.counts)
  addCounts(counts, b.counts)
  return { counts, deadLetters: a.deadLetters + b.deadLetters }
}

export function addCounts(into: Map<string, number>, more: Iterable<readonly [string, number]>): void {
  for (const [what, records] of more) into.set(what, (into.get(what) ?? 0) + records)
}
