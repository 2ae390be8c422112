import type { RecordBatch } from '../core/batch.ts'
import type { FieldPath } from '../core/field-path.ts'
import type { Collector, EndRound, LineReader, SharedEndOperator, StageContext } from '../core/operator.ts'
import { storedBytes } from './arena.ts'
import { drain } from './line-sorter.ts'
import { PartedLines, type PartedLinesState, PartStream } from './parted-lines.ts'
import { ShuffleKeys } from './shuffle-keys.ts'
import { Shuffler, type ShuffleOptions } from './shuffler.ts'

/** A part of this size is put in order within the processor's caches, and in memory that was used for the one before. */
const PART_BYTES = 16 << 20
const MOST_PARTS = 1 << 7
/** Each thread may have a file a part. */
const MOST_FILES = 1 << 9
/** Of the memory, for lines as they come; the rest is for putting them in order, and for what is read and written. */
const SHARE = 0.75

/** What a sample of the records tells. Plain data. */
export interface ShufflePlan {
  /** Sort keys between which the parts are: the first of each part but the first one. */
  readonly cuts: readonly Uint8Array[]
  /** All lines fit the memory. If not they had better not fill it: what is on disk is there twice as often. */
  readonly fits: boolean
}

/** Whether a shuffle of so many bytes is more than one thread can keep in its memory: up to there two of them are no faster. */
export const isWide = (bytes: number, memoryBytes: number): boolean => bytes > 0.7 * storedBytes(memoryBytes)

/** Finds cuts, by some of the records. */
export class ShuffleSample {
  readonly #keys: ShuffleKeys
  readonly #counts: number[] = []

  constructor(options: ShuffleOptions, context: Pick<StageContext, 'keyTable'>) {
    this.#keys = new ShuffleKeys(options, context)
  }

  processBatch(batch: RecordBatch): void {
    const ids = this.#keys.intern(batch)
    for (let row = 0; row < batch.count; row++) this.#counts[ids[row]!] = (this.#counts[ids[row]!] ?? 0) + 1
  }

  /** A plan for all records, of so many bytes: parts of much the same size, unless a single key is larger. */
  plan(bytes: number, { memoryBytes, workers }: Pick<StageContext, 'memoryBytes' | 'workers'>): ShufflePlan {
    const partBytes = Math.min(PART_BYTES, ((1 - SHARE) * memoryBytes) / workers / 2)
    const most = Math.min(MOST_PARTS, MOST_FILES / workers)
    const parts = Math.ceil(Math.max(2 * workers, Math.min(most, bytes / partBytes)))
    const keys = this.#keys
    const sorted = this.#counts
      .map((count, id) => ({ count, key: Buffer.from(keys.bytes.subarray(keys.start(id), keys.end(id))) }))
      .sort((a, b) => Buffer.compare(a.key, b.key))
    const share = sorted.reduce((sum, { count }) => sum + count, 0) / parts
    const cuts: Uint8Array[] = []
    let before = 0
    for (const { count, key } of sorted) {
      if (before >= (cuts.length + 1) * share) cuts.push(key)
      before += count
    }
    return { cuts, fits: bytes < SHARE * memoryBytes }
  }
}

interface Plan {
  readonly states: readonly PartedLinesState[]
}

/**
 * A shuffle by several threads: each sends its lines to parts, which are ranges of keys; then each part is put in order on its own
 * (`Shuffler`), by any thread.
 */
export class SharedShuffler implements SharedEndOperator<PartedLinesState> {
  readonly #options: ShuffleOptions & { readonly reads: readonly FieldPath[] }
  readonly #cuts: ShufflePlan['cuts']
  readonly #fits: boolean
  readonly #context: StageContext
  readonly #keys: ShuffleKeys
  /** The part of each key. */
  #partOf = new Uint16Array(1 << 10)
  #known = 0
  #targets = new Uint16Array(0)
  #lines: PartedLines | undefined
  readonly #states: PartedLinesState[] = []
  #plan: Plan | undefined
  #reader: LineReader | undefined
  #shuffler: Shuffler | undefined

  constructor(
    options: ShuffleOptions & { readonly reads: readonly FieldPath[] },
    { cuts, fits }: ShufflePlan,
    context: StageContext,
  ) {
    this.#options = options
    this.#cuts = cuts
    this.#fits = fits
    this.#context = context
    this.#keys = new ShuffleKeys(options, context)
  }

  processBatch(batch: RecordBatch): void {
    const { count } = batch
    if (count === 0) return
    if (this.#keys.forgetMany()) this.#known = 0
    const ids = this.#keys.intern(batch)
    this.#findParts()
    if (this.#targets.length < count) this.#targets = new Uint16Array(2 * count)
    const targets = this.#targets
    const partOf = this.#partOf
    for (let row = 0; row < count; row++) targets[row] = partOf[ids[row]!]!
    this.#parted().add(batch.partition(targets, this.#cuts.length + 1), batch.position(0))
  }

  #parted(): PartedLines {
    const { memoryBytes, workers } = this.#context
    const spill: StageContext['spill'] = (handle) => this.#context.spill(handle)
    const share = memoryBytes / workers
    const buffers = ((1 - SHARE) * share) / 2
    return (this.#lines ??= new PartedLines(spill, this.#cuts.length + 1, this.#fits ? SHARE * share : 0, buffers))
  }

  /** Of the keys that are new. */
  #findParts(): void {
    const keys = this.#keys
    const { size } = keys
    if (this.#partOf.length < size) {
      const before = this.#partOf
      this.#partOf = new Uint16Array(2 * size)
      this.#partOf.set(before)
    }
    for (; this.#known < size; this.#known++) {
      const key = keys.bytes.subarray(keys.start(this.#known), keys.end(this.#known))
      let [low, high] = [0, this.#cuts.length]
      while (low < high) {
        const middle = (low + high) >> 1
        if (Buffer.compare(this.#cuts[middle]!, key) <= 0) low = middle + 1
        else high = middle
      }
      this.#partOf[this.#known] = low
    }
  }

  exportState(): PartedLinesState {
    return this.#parted().export()
  }
  mergeState(state: PartedLinesState): void {
    this.#states.push(state)
  }

  nextRound(): EndRound | undefined {
    if (this.#plan) return undefined
    this.#plan = { states: [this.exportState(), ...this.#states] }
    return { tasks: this.#cuts.length + 1, writes: true, plan: this.#plan }
  }
  joinRound(round: EndRound): void {
    this.#plan = round.plan as Plan
  }
  leaveRound(): void {}
  mergeRound(): void {}

  endTask(part: number): (out: Collector) => void {
    const { reads } = this.#options
    const spill: StageContext['spill'] = (handle) => this.#context.spill(handle)
    const reader = (this.#reader ??= this.#context.lineReader!(reads))
    const shuffler = (this.#shuffler ??= new Shuffler(this.#options, {
      keyTable: (fields) => reader.keyTable(fields),
      memoryBytes: ((1 - SHARE) * this.#context.memoryBytes) / this.#context.workers,
      spill,
    }))
    const lines = new PartStream(this.#plan!.states, part, spill)
    reader.read(
      (into) => lines.fill(into),
      (batch) => shuffler.add(batch),
    )
    lines.close()
    return (out) => {
      drain(shuffler.sorted(), (piece) => out.emit(piece))
      shuffler.clear()
    }
  }

  onEnd(out: Collector): void {
    const round = this.nextRound()
    for (let task = 0; task < (round?.tasks ?? 0); task++) this.endTask(task)(out)
  }
}
