import type { SpillFile, SpillHandle } from '../core/operator.ts'
import { type Heap, SLACK } from '../ndjson/heap.ts'
import { storeHeap } from './arena.ts'
import { type Extent, PIECE_BYTES, type RunExtents, RunsMerge } from './runs-merge.ts'

/** Beyond so many runs they become one. */
const MOST_RUNS = 1 << 10
/** Lines are read and sorted in pieces of about this size, where the cuts say where such pieces end. */
const BUCKET_BYTES = 1 << 22
const LEAST_BUCKET_BYTES = 1 << 16
/** A bucket that came out so many times larger is merged, which takes no more memory however large it is. */
const MOST_BUCKETS_BYTES = 4
/** What the kernel needs to put positions in order. */
const ORDER_BYTES = 4 * 6 * 2048

interface Run {
  readonly positions: SpillFile
  readonly lines: SpillFile
  readonly places: RunPlaces
}
/** Where the buckets of a run begin in its files, and where the last one ends. */
interface RunPlaces {
  readonly positions: Float64Array
  readonly lines: Float64Array
}
/** Runs on their way to another thread. */
export interface RunsState {
  readonly positions: SpillHandle
  readonly lines: SpillHandle
  readonly places: readonly RunPlaces[]
}

/** Some of the lines of a run. @param write takes them in pieces of whole lines */
type WriteLines = (from: number, to: number, write: (lines: Uint8Array) => void) => void

/**
 * Lines that come in runs, each in the order of a number (a position of the input), and leave in the order of all: on disk in between. No two
 * lines have one number. Where `cuts` says between which numbers, the lines of each such *bucket* are put in order on their own, in any thread
 * that knows the runs.
 *
 *     run 0   ·  ·· | ·   ·  |    · ··      a bucket's lines of all runs are read, and sorted by their numbers;
 *     run 1    ··   |  · ··  | ··           one that is too large is merged
 *             cuts  ↑        ↑
 *
 * O(1) a line, O(log runs) in a bucket that is too large; memory: a part of `memoryBytes`.
 */
export class PositionRuns {
  readonly #spill: (handle?: SpillHandle) => SpillFile
  readonly #memoryBytes: number
  readonly cuts: Float64Array
  #positions: SpillFile | undefined
  #lines: SpillFile | undefined
  #runs: Run[] = []
  #gathered = Buffer.allocUnsafeSlow(PIECE_BYTES)

  /** @param memoryBytes of this thread */
  constructor(
    spill: (handle?: SpillHandle) => SpillFile,
    memoryBytes: number,
    cuts: Float64Array = new Float64Array(0),
  ) {
    this.#spill = spill
    this.#memoryBytes = memoryBytes
    this.cuts = cuts
  }

  /** Cuts for lines of so many bytes in all, whose positions lie as these do. */
  static cutsFor(positions: Float64Array, bytes: number, memoryBytes: number): Float64Array {
    const buckets = Math.min(Math.ceil(bytes / bucketBytes(memoryBytes)), positions.length)
    return Float64Array.from(
      { length: Math.max(0, buckets - 1) },
      (_, cut) => positions[Math.floor(((cut + 1) * positions.length) / buckets)]!,
    )
  }

  get buckets(): number {
    return this.cuts.length + 1
  }

  /** Adds a run: `writeLines` writes a line for each of the ascending `positions`, in their order. */
  add(positions: Float64Array, writeLines: WriteLines): void {
    if (positions.length === 0) return
    if (this.#runs.length >= MOST_RUNS) this.#mergeAll()
    let from = 0
    this.#addRun((bucket, write) => {
      let to = positions.length
      if (bucket < this.cuts.length) {
        const cut = this.cuts[bucket]!
        for (to = from; to < positions.length && positions[to]! < cut;) to++
      }
      const some = positions.subarray(from, to)
      if (to > from) writeLines(from, to, write)
      from = to
      return some
    })
  }

  /** Adds a run bucket by bucket: `writeBucket` writes the lines and says their positions. */
  #addRun(writeBucket: (bucket: number, write: (lines: Uint8Array) => void) => Float64Array): void {
    const positions = (this.#positions ??= this.#spill())
    const lines = (this.#lines ??= this.#spill())
    const gathered = this.#gathered
    let used = 0
    const flush = (): void => {
      lines.append(gathered.subarray(0, used))
      used = 0
    }
    const write = (bytes: Uint8Array): void => {
      if (used + bytes.length > gathered.length) flush()
      if (bytes.length > gathered.length) lines.append(bytes)
      else {
        gathered.set(bytes, used)
        used += bytes.length
      }
    }
    const places = { positions: new Float64Array(this.buckets + 1), lines: new Float64Array(this.buckets + 1) }
    let held: Float64Array[] = []
    let heldFrom = positions.size
    let at = heldFrom
    const flushPositions = (): void => {
      positions.append(Buffer.concat(held.map(bytesOf)))
      held = []
      heldFrom = at
    }
    for (let bucket = 0; bucket < this.buckets; bucket++) {
      places.positions[bucket] = at
      places.lines[bucket] = lines.size + used
      const some = writeBucket(bucket, write)
      at += some.byteLength
      held.push(some)
      if (at - heldFrom > PIECE_BYTES) flushPositions()
    }
    flush()
    flushPositions()
    places.positions[this.buckets] = at
    places.lines[this.buckets] = lines.size
    this.#runs.push({ positions, lines, places })
  }

  #mergeAll(): void {
    const [runs, files] = [this.#runs, [this.#positions, this.#lines]]
    this.#runs = []
    this.#positions = this.#lines = undefined
    this.#addRun((bucket, write) => {
      const extents = runs.map((run) => extentsOf(run, bucket))
      const positions = new Float64Array(extents.reduce((sum, { positions }) => sum + sizeOf(positions), 0) / 8)
      let at = 0
      for (const { positions: extent } of extents) {
        extent.file.read(bytesOf(positions.subarray(at, (at += sizeOf(extent) / 8))), extent.start)
      }
      this.#read(runs, bucket)(write)
      return positions.sort()
    })
    for (const file of files) file?.close()
  }

  /** The runs of this thread, for another one. */
  export(): RunsState[] {
    if (!this.#positions || !this.#lines) return []
    const { handle: positions } = this.#positions
    return [{ positions, lines: this.#lines.handle, places: this.#runs.map(({ places }) => places) }]
  }
  /** Takes up what another thread has exported, with the same cuts. */
  import(state: RunsState): void {
    const [positions, lines] = [this.#spill(state.positions), this.#spill(state.lines)]
    for (const places of state.places) this.#runs.push({ positions, lines, places })
  }

  /** All lines in order, in pieces that are valid until `emit` returns. Call it once. */
  drain(emit: (lines: Uint8Array) => void): void {
    for (let bucket = 0; bucket < this.buckets; bucket++) this.readBucket(bucket)(emit)
    this.close()
  }
  /** Those of a bucket; what the result hands on is in memory already, if it is not too much. Call that once, before the next bucket. */
  readBucket(bucket: number): (emit: (lines: Uint8Array) => void) => void {
    return this.#read(this.#runs, bucket)
  }
  /** Gives the space of all files back, also of imported ones: one thread does that. */
  close(): void {
    const files = new Set(this.#runs.flatMap(({ positions, lines }) => [positions, lines]))
    for (const file of files) file.close()
    this.#runs = []
    this.#positions = this.#lines = undefined
  }

  #read(runs: readonly Run[], bucket: number): (emit: (lines: Uint8Array) => void) => void {
    const extents = runs.map((run) => extentsOf(run, bucket)).filter(({ lines }) => sizeOf(lines) > 0)
    const bytes = extents.reduce((sum, { lines }) => sum + sizeOf(lines), 0)
    if (bytes === 0) return () => {}
    if (bytes <= MOST_BUCKETS_BYTES * bucketBytes(this.#memoryBytes)) return readSorted(extents, bytes)
    return (emit) => new RunsMerge(extents, this.#memoryBytes).drain(emit)
  }
}

const bucketBytes = (memoryBytes: number): number =>
  Math.max(LEAST_BUCKET_BYTES, Math.min(BUCKET_BYTES, memoryBytes / 16))

const extentsOf = ({ positions, lines, places }: Run, bucket: number): RunExtents => ({
  positions: { file: positions, start: places.positions[bucket]!, end: places.positions[bucket + 1]! },
  lines: { file: lines, start: places.lines[bucket]!, end: places.lines[bucket + 1]! },
})
const sizeOf = ({ start, end }: Extent): number => end - start
const bytesOf = ({ buffer, byteOffset, byteLength }: Float64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

/** Reads all of the lines and sorts them by their positions; the result hands them on. */
function readSorted(extents: readonly RunExtents[], bytes: number): (emit: (lines: Uint8Array) => void) => void {
  const heap = storeHeap()
  const count = extents.reduce((sum, { positions }) => sum + sizeOf(positions), 0) / 8
  const pieces: [address: number, size: number][] = []
  const allocate = (size: number): number => {
    const address = heap.allocate(size)
    pieces.push([address, size])
    return address
  }
  const positions = allocate(8 * count)
  const lines = allocate(bytes + SLACK)
  const list = allocate(8 * count)
  const ids = allocate(4 * count)
  const scratch = allocate(4 * count + ORDER_BYTES)
  const out = allocate(PIECE_BYTES + SLACK)
  let [positionsAt, linesAt] = [positions, lines]
  for (const extent of extents) {
    positionsAt += readInto(heap, positionsAt, extent.positions)
    linesAt += readInto(heap, linesAt, extent.lines)
  }
  heap.kernel.listLines(lines, lines + bytes, list)
  heap.kernel.orderOf(positions, count, ids, scratch + ORDER_BYTES, scratch)
  return (emit) => {
    for (let from = 0; from < count;) {
      from = heap.kernel.gatherOrdered(list, ids, from, count, out, out + PIECE_BYTES)
      const length = heap.kernel.copiedBytes()
      if (length > 0) emit(heap.bytes.subarray(out, out + length))
      else {
        // Longer than a piece: as it stands.
        const at = (list >>> 2) + 2 * heap.u32[(ids >>> 2) + from++]!
        emit(heap.bytes.subarray(heap.u32[at]!, heap.u32[at]! + heap.u32[at + 1]!))
      }
    }
    for (const [address, size] of pieces) heap.release(address, size)
  }
}

function readInto({ bytes }: Heap, at: number, { file, start, end }: Extent): number {
  return file.read(bytes.subarray(at, at + end - start), start)
}
