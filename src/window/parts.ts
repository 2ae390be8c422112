import { NONE } from '../aggregate/aggregate.ts'
import type { SetState } from '../aggregate/set.ts'
import type { KeyTableState, RecordBatch } from '../core/batch.ts'
import type { Collector, EventTime, Part, PartOperator, StageContext } from '../core/operator.ts'
import { AlignedWindows } from './aligned.ts'
import type { RowChecks } from './checks.ts'
import type { AggregateContent, Policy, Rows } from './engine.ts'
import { Slots, SlotsByKey } from './ids.ts'
import type { Keys } from './keys.ts'
import { firstWindow, lastWindow, type Panes } from './panes.ts'
import type { Results } from './results.ts'
import type { SpilledWindows } from './spilled.ts'

/**
 * What a block of the input comes to, judged as if nothing came before it. That loses nothing: with `drop`, a record that its own block's
 * watermark W' lets into a window is late after all exactly when the watermark W before the block has passed that window's end, since it is
 * judged against max(W, W'). So a window's share of a block is late as a whole, or not at all.
 */
export interface WindowPart extends Part {
  /** By entry: the window's bounds, and the key's id in `keys`. */
  readonly starts: Float64Array
  readonly ends: Float64Array
  readonly keyIds: Uint32Array
  /** The entries' aggregates, in order. */
  readonly state: SetState
  /** All keys of the block, also of records that were late or bad: a key is printed as first spelt. */
  readonly keys: KeyTableState | undefined
  /** Records that are late by the block alone; and the others by the end of their last window. */
  readonly late: number
  readonly lastEnds: ReadonlyMap<EventTime, number>
  readonly watermark: EventTime
}

/** Makes parts: runs the windows over a block alone, and takes their results as states. */
export class WindowParts implements PartOperator<WindowPart> {
  readonly #checks: RowChecks
  readonly #content: AggregateContent
  readonly #keys: Keys
  readonly #context: StageContext
  readonly #panes: Panes
  readonly #slots: Slots
  readonly #engine: AlignedWindows
  #starts: number[] = []
  #ends: number[] = []
  #keyIds: number[] = []
  #kept: number[] = []
  #late = 0
  #lateRows = new Uint8Array(0)
  #lastEnds = new Map<EventTime, number>()

  constructor(
    context: StageContext,
    panes: Panes,
    policy: Policy,
    delayMs: number,
    { checks, content, keys }: { readonly checks: RowChecks; readonly content: AggregateContent; readonly keys: Keys },
  ) {
    this.#context = context
    this.#checks = checks
    this.#content = content
    this.#keys = keys
    this.#panes = panes
    this.#slots = new Slots((slots) => content.reserve(slots))
    const results: Results = {
      emit: (start, end, key, slot) => {
        const kept = this.#slots.take()
        content.merge(kept, slot)
        this.#kept.push(kept)
        this.#starts.push(start)
        this.#ends.push(end)
        this.#keyIds.push(key)
        return undefined
      },
      open() {},
      flush() {},
    }
    this.#engine = new AlignedWindows(panes, policy, delayMs, {
      content,
      keys,
      results,
      slots: this.#slots,
      ordered: false,
    })
  }

  processBatch(input: RecordBatch): void {
    const begin = (batch: RecordBatch, slots: Uint32Array): void => void this.#content.begin(batch, slots)
    const { batch, times, slots, error } = this.#checks.check(input, begin, this.#context.now() as number)
    if (this.#lateRows.length < batch.count) this.#lateRows = new Uint8Array(batch.count + (batch.count >> 1))
    const rows = { times, keys: this.#keys.intern(batch), slots, late: this.#lateRows, lateCount: 0 }
    this.#engine.process(batch, rows, nowhere)
    this.#late += rows.lateCount
    this.#countByLastEnd(batch.count, rows)
    if (rows.lateCount > 0) this.#lateRows.fill(0)
    if (error !== undefined) throw error
  }

  #countByLastEnd(count: number, { times, slots }: Rows): void {
    const late = this.#lateRows
    let from = Infinity
    let to = -Infinity
    let end = NaN
    let rows = 0
    for (let row = 0; row < count; row++) {
      if (slots[row] === NONE || late[row] === 1) continue
      const time = times[row] as number
      if (!(time >= from && time < to)) {
        this.#countRows(end, rows)
        rows = 0
        const pane = this.#panes.paneOf(time)
        from = this.#panes.startOf(pane)
        to = this.#panes.startOf(pane + 1)
        const last = lastWindow(this.#panes, pane)
        end = firstWindow(this.#panes, pane) <= last ? this.#panes.startOf(last + this.#panes.size) : NaN
      }
      rows++
    }
    this.#countRows(end, rows)
  }

  /** Rows between windows (NaN) are in none. */
  #countRows(end: EventTime, rows: number): void {
    if (rows > 0 && !Number.isNaN(end)) this.#lastEnds.set(end, (this.#lastEnds.get(end) ?? 0) + rows)
  }

  takePart(): WindowPart {
    const { watermark } = this.#engine
    this.#engine.advance(Infinity, nowhere)
    const kept = this.#kept
    const part = {
      entries: kept.length,
      starts: Float64Array.from(this.#starts),
      ends: Float64Array.from(this.#ends),
      keyIds: Uint32Array.from(this.#keyIds),
      state: this.#content.exportSlots(Uint32Array.from(kept)),
      keys: this.#keys.takeAll(),
      late: this.#late,
      lastEnds: this.#lastEnds,
      watermark,
    }
    for (const slot of kept) {
      this.#content.clear(slot)
      this.#slots.giveBack(slot)
    }
    this.#starts = []
    this.#ends = []
    this.#keyIds = []
    this.#kept = []
    this.#late = 0
    this.#lastEnds = new Map()
    this.#engine.restart()
    return part
  }
}

const nowhere: Collector = { forward() {}, emit() {}, emitText() {} }

interface OpenWindow {
  readonly start: EventTime
  readonly end: EventTime
  slots: SlotsByKey
}

/** Folds parts in the order of the input, and emits what closes. */
export class FoldedWindows {
  readonly #latenessMs: number
  readonly #content: AggregateContent
  readonly #keys: Keys
  readonly #results: Results
  readonly #slots: Slots
  readonly #spilled: SpilledWindows | undefined
  readonly #open = new Map<EventTime, OpenWindow>()
  #watermark: EventTime = -Infinity

  constructor(
    { latenessMs }: Policy,
    {
      content,
      keys,
      results,
      slots,
      spilled,
    }: {
      readonly content: AggregateContent
      readonly keys: Keys
      readonly results: Results
      readonly slots: Slots
      readonly spilled?: SpilledWindows | undefined
    },
  ) {
    this.#latenessMs = latenessMs
    this.#content = content
    this.#keys = keys
    this.#results = results
    this.#slots = slots
    this.#spilled = spilled
  }

  /** @returns how many records were late */
  add(part: WindowPart, out: Collector): number {
    const { starts, ends, keyIds } = part
    const ids = part.keys ? this.#keys.takeIn(part.keys) : [0]
    const unwanted = this.#slots.take()
    const mapping = Uint32Array.from(keyIds, (key, entry) => {
      const end = ends[entry] as number
      if (this.#isOver(end)) return unwanted
      return this.#slotOf(starts[entry] as number, end, ids[key] as number)
    })
    this.#content.importSlots(part.state, mapping)
    this.#release(unwanted)
    let { late } = part
    for (const [end, rows] of part.lastEnds) if (this.#isOver(end)) late += rows
    this.advance(part.watermark, out)
    const fresh = this.#keys.sweep((marks) => {
      for (const { slots } of this.#open.values()) slots.markKeys(marks)
    })
    if (fresh) for (const { slots } of this.#open.values()) slots.renumber(fresh)
    if (this.#spilled?.isFull) {
      for (const window of this.#open.values()) this.#spill(this.#spilled, window)
      this.#keys.clear()
    }
    return late
  }

  #spill(spilled: SpilledWindows, window: OpenWindow): void {
    spilled.write(window.end, window.slots.keys, window.slots.slots)
    window.slots = new SlotsByKey()
  }

  advance(watermark: EventTime, out: Collector): void {
    if (watermark > this.#watermark) this.#watermark = watermark
    this.#results.open(out)
    const due = [...this.#open.values()].filter(({ end }) => this.#isOver(end))
    for (const window of due.sort((a, b) => a.end - b.end)) {
      const { start, end, slots } = window
      this.#open.delete(end)
      if (this.#spilled?.has(end)) {
        this.#results.flush()
        this.#spill(this.#spilled, window)
        this.#spilled.close(start, end, [end])
        this.#spilled.forget(end)
        this.#spilled.settle(out)
        continue
      }
      for (const key of this.#keys.sorted(slots.keys)) this.#results.emit(start, end, key, slots.get(key))
      for (const slot of slots.slots) this.#release(slot)
    }
    this.#results.flush()
  }

  #isOver(end: EventTime): boolean {
    return end + this.#latenessMs <= this.#watermark
  }

  #slotOf(start: EventTime, end: EventTime, key: number): number {
    let window = this.#open.get(end)
    if (!window) this.#open.set(end, (window = { start, end, slots: new SlotsByKey() }))
    const known = window.slots.get(key)
    if (known >= 0) return known
    const slot = this.#slots.take()
    window.slots.set(key, slot)
    return slot
  }

  #release(slot: number): void {
    this.#content.clear(slot)
    this.#slots.giveBack(slot)
  }
}
