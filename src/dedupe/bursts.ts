import type { KeyTable, KeyTableState, RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { Collector, EventTime, Operator, StageContext } from '../core/operator.ts'
import { countProblem } from './count-member.ts'
import type { EventTimes } from '../join/broadcast.ts'
import { Heap } from '../core/heap.ts'
import type { Growing } from '../ndjson/heap.ts'
import { WasmKeyTable } from '../ndjson/wasm-keys.ts'
import { appendCount } from './held.ts'

export interface BurstOptions {
  readonly fields: readonly number[]
  readonly keep: 'first' | 'last'
  readonly countField: number | undefined
  readonly dupesTo: string | undefined
  readonly withinMs: number
  readonly delayMs: number
  readonly times: EventTimes
}

/** Records of one key within the time of the burst's first one. */
interface Burst {
  id: number
  readonly start: EventTime
  readonly arrival: number
  /** The record that is kept, where it leaves at the end of the burst only, and its time. */
  line: Uint8Array | undefined
  time: EventTime
  count: number
}

/** What has changed since the last snapshot, or all that is there. Which bursts are over is told by the newest time. */
interface BurstsState {
  readonly whole: boolean
  readonly keys: KeyTableState
  readonly newest: EventTime
  readonly arrivals: number
  /** Bursts of this number and later ones have begun since some were ended last, perhaps long after the end that they have. */
  readonly closed: number
  /** Per burst: key, start, arrival, time, count, length of its line (-1: none). */
  readonly numbers: Float64Array
  readonly lines: Uint8Array
}
const NUMBERS = 6
type Six = readonly [number, number, number, number, number, number]

/** Keys without a burst are forgotten when there are so many more than those with one. */
const MOST_IDLE = 1 << 16

/**
 * `dedupe --within D`: a burst begins with a record of a key and takes in those of the key up to D from it; the next one after that begins
 * a new burst, so a key that never pauses is seen again and again. Bursts are forgotten when the watermark is past their end; a record
 * before the watermark may have belonged to one of those: it is kept, since nothing is to be lost, and counted.
 * O(1) a record; memory: the keys of the last D and delay.
 */
export class DedupeBursts implements Operator, Growing {
  readonly #options: BurstOptions
  readonly #context: StageContext
  readonly #keys: KeyTable
  readonly #dupes: { write(lines: Uint8Array): void } | undefined
  /** Open bursts by key id: nearly always one. */
  #bursts = new Map<number, Burst[]>()
  readonly #ends = new Heap<Burst>((a, b) => a.start < b.start || (a.start === b.start && a.arrival < b.arrival))
  readonly #line = new ByteBuffer(256)
  /** `ensure` is called. */
  readonly #safePoint: boolean
  #newest: EventTime = -Infinity
  #arrivals = 0
  /** Bursts below this number have been looked at when some were ended last. */
  #closed = 0
  /** Since the last snapshot; nobody keeps them where none are made. */
  #changed: Set<Burst> | undefined
  /** How many keys the last snapshot knows. */
  #keptKeys = 0
  #mustWhole = false

  constructor(options: BurstOptions, context: StageContext) {
    this.#options = options
    this.#context = context
    this.#keys = context.keyTable(options.fields)
    this.#safePoint = this.#keys instanceof WasmKeyTable
    if (this.#keys instanceof WasmKeyTable) this.#keys.heap.register(this, this.#keys)
    this.#dupes = options.dupesTo === undefined ? undefined : context.sideFile(options.dupesTo)
  }

  processBatch(batch: RecordBatch, out: Collector): void {
    const { keep, countField, times, withinMs } = this.#options
    const { bytes, spans, stride, count } = batch
    if (!this.#safePoint) this.#forgetKeys()
    const ids = this.#keys.intern(batch)
    const values = times.read(batch)
    const held = keep === 'last' || countField !== undefined
    let late = 0
    for (let row = 0; row < count; row++) {
      const at = row * stride
      const time = values[row]!
      if (Number.isNaN(time)) {
        this.#context.reject(batch, row, times.problem(batch, row))
        continue
      }
      const problem = countField === undefined ? undefined : countProblem(batch, row, countField)
      if (problem) {
        this.#context.reject(batch, row, problem)
        continue
      }
      if (time > this.#newest) {
        this.#newest = time
        this.#close(time - this.#options.delayMs, out)
      }
      const id = ids[row]!
      const open = this.#bursts.get(id)
      const burst = open?.find(({ start }) => Math.abs(time - start) <= withinMs)
      if (!burst) {
        if (time < this.#newest - this.#options.delayMs) late++
        const line = held ? new Uint8Array(bytes.subarray(spans[at], spans[at + 1])) : undefined
        const fresh: Burst = { id, start: time, arrival: this.#arrivals++, line, time, count: 1 }
        this.#open(fresh)
        this.#changed?.add(fresh)
        if (!held) out.forward(batch, undefined, row, row + 1)
        continue
      }
      burst.count++
      if (held) this.#changed?.add(burst)
      // Of records of one time the one that came last is the last.
      if (keep === 'last' && time >= burst.time) {
        this.#dupes?.write(this.#withEnd(burst.line!))
        burst.line = new Uint8Array(bytes.subarray(spans[at], spans[at + 1]))
        burst.time = time
      } else this.#dupes?.write(batch.lines(undefined, row, row + 1))
    }
    if (late > 0) this.#context.count('late, so perhaps duplicates: kept', late)
  }

  /** Called before each batch by the kernel's memory, which may grow then only. */
  ensure(rows: number, bytes: number): void {
    this.#forgetKeys()
    ;(this.#keys as WasmKeyTable).ensure(rows, bytes)
  }

  onEnd(out: Collector): void {
    this.#close(Infinity, out)
  }

  /** Ends the bursts that no record at or after the watermark can belong to. */
  #close(watermark: EventTime, out: Collector): void {
    for (
      let burst = this.#ends.top;
      burst && burst.start + this.#options.withinMs < watermark;
      burst = this.#ends.top
    ) {
      this.#ends.pop()
      this.#changed?.delete(burst)
      const open = this.#bursts.get(burst.id)!
      if (open.length === 1) this.#bursts.delete(burst.id)
      else open.splice(open.indexOf(burst), 1)
      if (burst.line) out.emit(this.#withEnd(burst.line, burst.count))
    }
    this.#closed = this.#arrivals
  }

  /** Whether a burst was ended when the newest time came. */
  #isClosed({ start, arrival }: Burst): boolean {
    return arrival < this.#closed && start + this.#options.withinMs < this.#newest - this.#options.delayMs
  }

  #open(burst: Burst): void {
    const open = this.#bursts.get(burst.id)
    if (open) open.push(burst)
    else this.#bursts.set(burst.id, [burst])
    this.#ends.push(burst)
  }

  snapshot(whole: boolean): BurstsState {
    const changed = whole || this.#mustWhole ? undefined : this.#changed
    const bursts = [...(changed ?? [...this.#bursts.values()].flat())]
    const numbers = bursts.flatMap(({ id, start, arrival, time, count, line }) => {
      const length = line?.length ?? -1
      return [id, start, arrival, time, count, length]
    })
    const keys = this.#keys.export(changed ? this.#keptKeys : 0)
    this.#watchChanges()
    return {
      whole: !changed,
      keys,
      newest: this.#newest,
      arrivals: this.#arrivals,
      closed: this.#closed,
      numbers: Float64Array.from(numbers),
      lines: Buffer.concat(bursts.map(({ line }) => line ?? new Uint8Array(0))),
    }
  }

  /** Keys were forgotten, so that others have other ids. */
  mustSnapshotWhole(): boolean {
    return this.#mustWhole
  }

  #watchChanges(): void {
    this.#changed = new Set()
    this.#keptKeys = this.#keys.size
    this.#mustWhole = false
  }

  /** Ids are those of before, since the table was empty. */
  restore(states: Iterable<BurstsState>): void {
    const all = new Map<number, Burst>()
    let closed = 0
    for (const state of states) {
      const { numbers, lines } = state
      if (state.whole) {
        all.clear()
        this.#keys.clear()
      }
      this.#keys.import(state.keys)
      this.#newest = state.newest
      this.#arrivals = state.arrivals
      closed = state.closed
      for (let at = 0, end = 0; at < numbers.length; at += NUMBERS) {
        const [id, start, arrival, time, count, length] = numbers.subarray(at, at + NUMBERS) as unknown as Six
        const begin = end
        end += Math.max(length, 0)
        const line = length < 0 ? undefined : new Uint8Array(lines.subarray(begin, end))
        all.set(arrival, { id, start, arrival, time, count, line })
      }
    }
    this.#closed = closed
    for (const burst of all.values()) if (!this.#isClosed(burst)) this.#open(burst)
    this.#watchChanges()
  }

  #withEnd(line: Uint8Array, count?: number): Uint8Array {
    const into = this.#line
    into.length = 0
    into.append(line)
    if (count !== undefined && this.#options.countField !== undefined) appendCount(into, count)
    into.byte(0x0a)
    return into.view()
  }

  /** Gives the keys that still have bursts new ids, and forgets the others. */
  #forgetKeys(): void {
    if (this.#keys.size <= 2 * this.#bursts.size + MOST_IDLE) return
    const { bytes, ends, positions } = this.#keys.export()
    const parts = this.#options.fields.length
    const ids = [...this.#bursts.keys()]
    const pieces = ids.map((id) => bytes.slice(id === 0 ? 0 : ends[id * parts - 1], ends[(id + 1) * parts - 1]))
    const keptEnds = new Uint32Array(ids.length * parts)
    let at = 0
    ids.forEach((id, index) => {
      const start = id === 0 ? 0 : ends[id * parts - 1]!
      for (let part = 0; part < parts; part++) keptEnds[index * parts + part] = at + ends[id * parts + part]! - start
      at = keptEnds[(index + 1) * parts - 1]!
    })
    this.#keys.clear()
    const fresh = this.#keys.import({
      bytes: Buffer.concat(pieces),
      ends: keptEnds,
      positions: Float64Array.from(ids, (id) => positions[id]!),
    })
    const bursts = new Map<number, Burst[]>()
    ids.forEach((id, index) => {
      const moved = this.#bursts.get(id)!
      for (const burst of moved) burst.id = fresh[index]!
      bursts.set(fresh[index]!, moved)
    })
    this.#bursts = bursts
    this.#mustWhole = true
  }
}
