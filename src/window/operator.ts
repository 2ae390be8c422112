import type { KeyTableState, RecordBatch } from '../core/batch.ts'
import type { Collector, EventTime, FoldingOperator, Operator, ProcessingTime, StageContext } from '../core/operator.ts'
import type { RowChecks } from './checks.ts'
import type { Content, Engine, EngineState } from './engine.ts'
import type { Keys } from './keys.ts'
import type { FoldedWindows, WindowPart } from './parts.ts'

export interface WindowTimes {
  /** Times are the wall clock's. */
  readonly processing: boolean
  readonly delayMs: number
  /** After so long without input the watermark goes on with the wall clock. */
  readonly idleMs: number | undefined
  /** Changed results come this often. */
  readonly everyMs: number | undefined
}

export interface WindowParts {
  readonly checks: RowChecks
  readonly keys: Keys
  readonly content: Pick<Content, 'begin' | 'clear' | 'packSlots' | 'importSlots'>
  readonly engine: Engine
  /** For input that comes in parts. */
  readonly folded?: FoldedWindows
  /** Where late records go, by name; they are only counted without it. */
  readonly lateTo: string | undefined
}

/** All that a run knows between two batches, or what changed. */
interface WindowState {
  readonly keys: KeyTableState | undefined
  readonly engine: EngineState
  readonly content: unknown
  /** The watermark that the last record left. */
  readonly lastWatermark: EventTime
}

/** `beck window`: reads times and keys, lets the engine do the windows, keeps the clocks. */
export class WindowOperator implements FoldingOperator<WindowPart>, Operator<WindowState> {
  readonly #context: StageContext
  readonly #times: WindowTimes
  readonly #parts: WindowParts
  readonly #lateFile: { write(lines: Uint8Array): void } | undefined
  #late = new Uint8Array(0)
  /** When the last record came, and the watermark that it left. */
  #lastInput: ProcessingTime = Infinity
  #lastWatermark: EventTime = -Infinity
  #nextEmit: ProcessingTime = Infinity
  /** As of the last snapshot. */
  #slotsEnd = 0

  constructor(context: StageContext, times: WindowTimes, parts: WindowParts) {
    this.#context = context
    this.#times = times
    this.#parts = parts
    this.#lateFile = parts.lateTo === undefined ? undefined : context.sideFile(parts.lateTo)
  }

  processBatch(input: RecordBatch, out: Collector): void {
    const { checks, keys, content, engine } = this.#parts
    const now = this.#context.now()
    // The clock may be set back; windows are not.
    const time = this.#times.processing ? Math.max(now, engine.watermark) : now
    if (this.#times.processing) engine.advance(time, out)
    if (this.#times.everyMs !== undefined) this.#emitInTime(now, out)
    const { batch, times, slots, error } = checks.check(input, (batch, slots) => void content.begin(batch, slots), time)
    if (this.#late.length < batch.count) this.#late = new Uint8Array(batch.count)
    const rows = { times, keys: keys.intern(batch), slots, late: this.#late, lateCount: 0 }
    engine.process(batch, rows, out)
    if (rows.lateCount > 0) this.#keepLate(batch, rows.lateCount)
    this.#lastInput = now
    this.#lastWatermark = engine.watermark
    // Last: what was handed out of the batch is no longer needed, should the table move.
    engine.settle?.(out)
    const ids = keys.sweep((marks) => engine.markKeys(marks))
    if (ids) engine.renumberKeys(ids)
    if (error !== undefined) throw error
  }

  #keepLate(batch: RecordBatch, count: number): void {
    this.#lateFile?.write(batch.lines(this.#late, 0, batch.count))
    this.#context.count(this.#lateFile ? `late: kept in ${this.#parts.lateTo}` : 'late: dropped', count)
    this.#late.fill(0)
  }

  addPart(part: WindowPart, out: Collector): void {
    const late = this.#parts.folded?.add(part, out) ?? 0
    if (late > 0) this.#context.count('late: dropped', late)
  }

  onWatermark(watermark: EventTime, out: Collector): void {
    this.#advance(watermark, out)
  }

  get watermark(): EventTime {
    return this.#parts.engine.watermark
  }

  /** Between batches. */
  #advance(watermark: EventTime, out: Collector): void {
    this.#parts.engine.advance(watermark, out)
    this.#parts.engine.settle?.(out)
  }

  onTimer(now: ProcessingTime, out: Collector): void {
    const { processing, idleMs } = this.#times
    if (processing) this.#advance(now as number, out)
    if (idleMs !== undefined && now - this.#lastInput >= idleMs) {
      this.#advance(this.#lastWatermark + (now - this.#lastInput), out)
    }
    if (this.#times.everyMs !== undefined) this.#emitInTime(now, out)
  }

  #emitInTime(now: ProcessingTime, out: Collector): void {
    const every = this.#times.everyMs as number
    if (this.#nextEmit === Infinity) this.#nextEmit = now + every
    if (now < this.#nextEmit) return
    this.#nextEmit = now + every
    this.#parts.engine.emitChanged(out)
  }

  mustSnapshotWhole(): boolean {
    return this.#parts.keys.renumbered
  }

  snapshot(whole: boolean): WindowState {
    const { keys, content, engine } = this.#parts
    const state = engine.snapshot(whole)
    this.#slotsEnd = state.slotsEnd
    return {
      keys: keys.snapshot(whole),
      engine: state,
      content: content.packSlots(state.slots),
      lastWatermark: this.#lastWatermark,
    }
  }

  sizes(): readonly number[] {
    const { keys } = this.#parts
    return [keys.size, this.#slotsEnd]
  }

  makeRoom([ofKeys = 0, ofSlots = 0]: readonly number[]): void {
    const { keys, engine } = this.#parts
    keys.reserve(ofKeys)
    engine.makeRoom?.(ofSlots)
  }

  restore(states: Iterable<WindowState>): void {
    const { keys, content, engine } = this.#parts
    // Slots from here on hold nothing yet.
    let seen = 0
    for (const { keys: known, engine: state, content: held, lastWatermark } of states) {
      this.#lastWatermark = lastWatermark
      keys.restore(known)
      engine.restore(state)
      const { slots, slotsEnd } = state
      for (let at = 0; at < slots.length; at++) {
        const slot = slots[at] as number
        if (slot < seen) content.clear(slot)
      }
      seen = Math.max(seen, slotsEnd)
      content.importSlots(held, slots)
    }
    engine.restored()
    // While nobody ran, nobody was idle: what came meanwhile is yet to be read.
    if (this.#lastWatermark > -Infinity) this.#lastInput = this.#context.now()
  }

  onEnd(out: Collector): void {
    this.#advance(Infinity, out)
    this.#parts.folded?.advance(Infinity, out)
  }
}
