import { NONE } from '../aggregate/aggregate.ts'
import { ChangedSlots } from '../aggregate/changed-slots.ts'
import type { RecordBatch } from '../core/batch.ts'
import type { Collector, EventTime } from '../core/operator.ts'
import type { Engine, EngineState, Policy, Rows } from './engine.ts'
import { FedWindows, type FedParts } from './fed-windows.ts'
import { Slots, SlotsByKey } from './ids.ts'
import { OpenPanes, type Pane, type PaneState } from './open-panes.ts'
import { firstWindow, lastWindow, type Panes } from './panes.ts'
import type { Standing } from './results.ts'
import type { SpilledWindows } from './spilled.ts'

interface AlignedParts extends FedParts {
  /** Where slots come from, when others use some too. */
  readonly slots?: Slots
  /** False: the keys of a window may come in any order. */
  readonly ordered?: boolean
  /** For what does not fit the memory. Only where results come once. */
  readonly spilled?: SpilledWindows | undefined
}

/** What a snapshot holds: of panes and of what stands, the entries that came or changed since the last one. */
interface AlignedState {
  /** All open panes. */
  readonly panes: readonly PaneState[]
  readonly nextWindow: number
  readonly nextDue: number
  /** All windows that something stands of. */
  readonly standing: ReadonlyMap<number, ReadonlyMap<number, Standing[]>>
  readonly changed: ReadonlyMap<number, Set<number>>
}

/** What has happened since the last snapshot. */
class AlignedChanges {
  readonly slots = new ChangedSlots()
  /** By window: keys of which something else stands now. */
  readonly standing = new Map<number, Set<number>>()

  markStanding(window: number, key: number): void {
    const keys = this.standing.get(window)
    if (keys) keys.add(key)
    else this.standing.set(window, new Set([key]))
  }
}

/**
 * Tumbling and hopping windows. Rows get the slot of (pane, key); the aggregates are fed a batch at a time, and only where a row has to
 * be seen by a result (or not seen) in the middle of a batch, the rows before it are fed first. With `drop` a tumbling window never needs
 * that: what comes after its close is late for it, so closing may wait for the end of the batch.
 */
export class AlignedWindows extends FedWindows implements Engine {
  readonly #panes: Panes
  readonly #slots: Slots
  readonly #ordered: boolean
  readonly #spilled: SpilledWindows | undefined
  /** Freed when no window can need them. */
  readonly #open = new OpenPanes()
  /** Windows before this one have fired. */
  #nextWindow = -Infinity
  /** The watermark at which the next window fires. */
  #nextDue = Infinity
  /** What was emitted, per window and key, and what changed since. Empty unless there can be more than one result. */
  readonly #standing = new Map<number, Map<number, Standing[]>>()
  readonly #changed = new Map<number, Set<number>>()
  /** Nobody keeps them where no snapshots are made. */
  #changes: AlignedChanges | undefined

  constructor(panes: Panes, policy: Policy, delayMs: number, parts: AlignedParts) {
    super(policy, delayMs, parts)
    const { content, slots, ordered = true, spilled } = parts
    this.#panes = panes
    this.#slots = slots ?? new Slots((slots) => content.reserve(slots))
    this.#ordered = ordered
    this.#spilled = spilled
  }

  process(batch: RecordBatch, rows: Rows, out: Collector): void {
    const { times, keys, slots } = rows
    const { count } = batch
    const { latenessMs, emit } = this.policy
    const delayMs = this.delayMs
    this.results.open(out)
    const assigned = this.slotsFor(batch)
    let watermark = this.watermark
    // The pane of the row before: most rows share it.
    let [from, to] = [Infinity, -Infinity]
    let index = NaN
    let pane: Pane | undefined
    let inGap = false
    let lateAt = Infinity
    let lookAt = Infinity
    let fed = 0
    for (let row = 0; row < count; row++) {
      if (slots[row] === NONE) continue
      const time = times[row] as number
      if (!(time >= from && time < to)) {
        index = this.#panes.paneOf(time)
        from = this.#panes.startOf(index)
        to = this.#panes.startOf(index + 1)
        pane = undefined
        const last = lastWindow(this.#panes, index)
        const first = firstWindow(this.#panes, index)
        inGap = first > last
        lateAt = inGap ? Infinity : this.#endOf(last) + latenessMs
        lookAt = this.#lookAt(first, last)
      }
      if (watermark >= lateAt) {
        rows.late[row] = 1
        rows.lateCount++
        continue
      }
      const key = keys[row] as number
      // A key that nobody wants has come for its time.
      if (!inGap && key !== NONE) {
        const look = watermark >= lookAt
        if (look) {
          if (watermark >= this.#nextDue) {
            this.#feed(batch, fed, row)
            fed = row
            this.fire(watermark)
          } else if (watermark !== -Infinity) {
            // Nothing to emit, but windows that are over must not wait for their first record any more.
            this.#nextWindow = this.#firstOpen(watermark)
          }
        }
        pane ??= this.#paneAt(index)
        let slot = pane.slots.get(key)
        if (slot < 0) {
          slot = this.#slots.take()
          pane.slots.set(key, slot)
        }
        assigned[row] = slot
        if (look) {
          if (this.remember) {
            if (emit !== 'every' || this.#speaksAt(index) <= watermark) {
              this.#feed(batch, fed, row + 1)
              fed = row + 1
            }
            this.#touch(index, key, watermark, emit)
          } else lookAt = this.#lookAt(firstWindow(this.#panes, index), lastWindow(this.#panes, index))
        }
      }
      if (time - delayMs > watermark) watermark = time - delayMs
    }
    this.#feed(batch, fed, count)
    this.advance(watermark, out)
  }

  /** After everything was closed: begins again, with nothing seen. */
  restart(): void {
    this.watermark = -Infinity
    this.#nextWindow = -Infinity
    this.#nextDue = Infinity
  }

  emitChanged(out: Collector): void {
    this.results.open(out)
    const windows = [...this.#changed].sort(([a], [b]) => a - b)
    this.#changed.clear()
    for (const [window, keys] of windows) {
      for (const key of this.keys.sorted([...keys])) this.#emitKey(window, key)
    }
    this.results.flush()
  }

  settle(out: Collector): void {
    this.content.settle?.(this.#slots, () => this.#open.slots())
    const spilled = this.#spilled
    if (!spilled) return
    spilled.settle(out)
    if (!spilled.isFull) return
    for (const pane of this.#open) this.#spill(spilled, pane)
    this.keys.clear()
  }

  #spill(spilled: SpilledWindows, pane: Pane): void {
    spilled.write(pane.index, pane.slots.keys, pane.slots.slots)
    pane.slots = new SlotsByKey()
  }

  /** Between batches: everything is in memory again. */
  #takeBack(spilled: SpilledWindows): void {
    for (const { pane: index, keys, set } of spilled.takeBack()) {
      const pane = this.#paneAt(index)
      const slots = this.keys.takeIn(keys).map((key) => {
        let slot = pane.slots.get(key)
        if (slot < 0) pane.slots.set(key, (slot = this.#slots.take()))
        return slot
      })
      this.content.importSlots(set, slots)
    }
  }

  markKeys(marks: Uint8Array): void {
    this.#open.markKeys(marks)
    for (const keys of this.#standing.values()) for (const key of keys.keys()) marks[key] = 1
  }

  renumberKeys(ids: Uint32Array): void {
    this.#open.renumberKeys(ids)
    for (const [window, keys] of this.#standing) {
      this.#standing.set(window, new Map([...keys].map(([key, standing]) => [ids[key] as number, standing])))
    }
    for (const [window, keys] of this.#changed) {
      this.#changed.set(window, new Set([...keys].map((key) => ids[key] as number)))
    }
  }

  snapshot(whole: boolean): EngineState {
    // What is taken back has other slots and keys: all of it is new.
    const spilled = this.#spilled?.active ? this.#spilled : undefined
    if (spilled) this.#takeBack(spilled)
    const before = whole || spilled ? undefined : this.#changes
    const panes = this.#open.snapshot(before === undefined)
    const standing = before
      ? new Map([...this.#standing].map(([window, keys]) => [window, changedOf(keys, before.standing.get(window))]))
      : this.#standing
    const own: AlignedState = {
      panes,
      nextWindow: this.#nextWindow,
      nextDue: this.#nextDue,
      standing,
      changed: this.#changed,
    }
    const slots = before ? before.slots.take() : concatenated(panes.map(({ slots }) => slots))
    this.#watchChanges()
    return { watermark: this.watermark, slots, slotsEnd: this.#slots.size, own }
  }

  #watchChanges(): void {
    this.#changes = new AlignedChanges()
    this.#open.watch()
  }

  restore({ watermark, slotsEnd, own }: EngineState): void {
    const { panes, nextWindow, nextDue, standing, changed } = own as AlignedState
    this.watermark = watermark
    this.#nextWindow = nextWindow
    this.#nextDue = nextDue
    this.#slots.makeRoom(slotsEnd)
    for (const pane of this.#open.restore(panes)) for (const slot of pane.slots.slots) this.content.clear(slot)
    for (const window of this.#standing.keys()) if (!standing.has(window)) this.#standing.delete(window)
    for (const [window, keys] of standing) {
      this.#standing.set(window, new Map([...(this.#standing.get(window) ?? []), ...keys]))
    }
    this.#changed.clear()
    for (const [window, keys] of changed) this.#changed.set(window, keys)
  }

  makeRoom(slots: number): void {
    this.#slots.makeRoom(slots)
  }

  restored(): void {
    const used = new Uint8Array(this.#slots.capacity)
    for (const { slots } of this.#open) {
      const own = slots.slots
      for (let at = 0; at < own.length; at++) used[own[at] as number] = 1
    }
    this.#slots.restore(used)
    this.#watchChanges()
  }

  #endOf(window: number): EventTime {
    return this.#panes.startOf(window + this.#panes.size)
  }

  /**
   * The watermark from which on a row of a pane has to be looked at: when some of the pane's windows are due (so that they must fire
   * without it), or when the row itself makes a result. Infinity where neither can be.
   */
  #lookAt(first: number, last: number): number {
    if (this.policy.emit !== 'final') return -Infinity
    if (this.remember) return this.#endOf(first) + this.grace
    const waiting = Math.max(first, this.#nextWindow)
    return waiting < last ? this.#endOf(waiting) + this.grace : Infinity
  }

  #feed(batch: RecordBatch, from: number, to: number): void {
    this.feedRows(batch, from, to, this.#changes?.slots, this.#slots.size)
  }

  #paneAt(index: number): Pane {
    const known = this.#open.find(index)
    if (known) return known
    const pane = this.#open.add(index)
    const first = Math.max(firstWindow(this.#panes, index), this.#nextWindow)
    if (first <= lastWindow(this.#panes, index)) {
      this.#nextDue = Math.min(this.#nextDue, this.#endOf(first) + this.grace)
    }
    return pane
  }

  /** Fires all windows that are due, in order, and frees what none can need any more. */
  protected fire(watermark: EventTime): void {
    if (watermark < this.#nextDue) return
    const { advance } = this.#panes
    let next = this.#nextWindow
    this.#nextDue = Infinity
    search: for (const { index } of this.#open) {
      const last = lastWindow(this.#panes, index)
      for (let window = Math.max(firstWindow(this.#panes, index), next); window <= last; window += advance) {
        const due = this.#endOf(window) + this.grace
        if (due > watermark) {
          this.#nextDue = due
          break search
        }
        this.#emitWindow(window)
        next = window + advance
      }
    }
    this.#nextWindow = watermark === Infinity ? next : this.#firstOpen(watermark)
    const gone = (window: number): boolean => this.#endOf(window) + this.policy.latenessMs <= watermark
    let freed = 0
    for (const pane of this.#open) {
      if (!gone(lastWindow(this.#panes, pane.index))) break
      freed++
      for (const slot of pane.slots.slots) this.#release(slot)
      this.#spilled?.forget(pane.index)
    }
    this.#open.removeFirst(freed)
    for (const window of this.#standing.keys()) if (gone(window)) this.#standing.delete(window)
  }

  /** The first window that is not due at a watermark. */
  #firstOpen(watermark: EventTime): number {
    return firstWindow(this.#panes, this.#panes.paneOf(watermark - this.grace))
  }

  /** The watermark from which on a row of a pane makes a result at once, by `--late update` or `correct`. */
  #speaksAt(index: number): EventTime {
    return this.policy.late === 'drop' ? Infinity : this.#endOf(firstWindow(this.#panes, index))
  }

  #release(slot: number): void {
    this.content.clear(slot)
    this.#slots.giveBack(slot)
  }

  /** The open ones of a window. */
  #panesOf(window: number): Pane[] {
    return this.#open.between(window, window + this.#panes.size)
  }

  /** A window's results: all of its keys in order, those left out that were emitted and have not changed since. */
  #emitWindow(window: number): void {
    const own = this.#panesOf(window)
    // What is on disk cannot be put together while a batch is worked on; and results keep their order.
    if (this.#spilled && (this.#spilled.waits || own.some(({ index }) => this.#spilled?.has(index)))) {
      for (const pane of own) this.#spill(this.#spilled, pane)
      this.#spilled.close(
        this.#panes.startOf(window),
        this.#endOf(window),
        own.map(({ index }) => index),
      )
      return
    }
    const changed = this.#changed.get(window)
    const standing = this.#standing.get(window)
    const keys = own.length === 1 ? (own[0] as Pane).slots.keys : new Set(own.flatMap((pane) => [...pane.slots.keys]))
    const due = standing ? [...keys].filter((key) => !standing.has(key) || changed?.has(key)) : keys
    for (const key of this.#ordered ? this.keys.sorted(due) : due) this.#emitKey(window, key, own)
    this.#changed.delete(window)
  }

  #emitKey(window: number, key: number, panes?: readonly Pane[]): void {
    const own = panes ?? this.#panesOf(window)
    let slot = -1
    let merged = false
    for (const pane of own) {
      const part = pane.slots.get(key)
      if (part < 0) continue
      if (slot < 0) slot = part
      else {
        if (!merged) {
          const sum = this.#slots.take()
          this.content.merge(sum, slot)
          slot = sum
          merged = true
        }
        this.content.merge(slot, part)
      }
    }
    const keys = this.#standing.get(window)
    const standing = this.results.emit(this.#panes.startOf(window), this.#endOf(window), key, slot, keys?.get(key))
    if (merged) this.#release(slot)
    if (!standing) return
    this.#changes?.markStanding(window, key)
    if (keys) keys.set(key, standing)
    else this.#standing.set(window, new Map([[key, standing]]))
  }

  /** A row of `key` has come into a pane: emits, or marks as changed, the results of which it is part and which are not late. */
  #touch(index: number, key: number, watermark: EventTime, emit: Policy['emit']): void {
    const last = lastWindow(this.#panes, index)
    for (let window = firstWindow(this.#panes, index); window <= last; window += this.#panes.advance) {
      const end = this.#endOf(window)
      if (end + this.policy.latenessMs <= watermark) continue
      if (emit === 'changes' || (this.policy.late !== 'drop' && end <= watermark)) this.#emitKey(window, key)
      else if (emit === 'every') {
        const changed = this.#changed.get(window)
        if (changed) changed.add(key)
        else this.#changed.set(window, new Set([key]))
      }
    }
  }
}

/** The entries of some keys. */
const changedOf = <T>(entries: ReadonlyMap<number, T>, keys: ReadonlySet<number> = new Set()): Map<number, T> =>
  new Map([...keys].flatMap((key) => (entries.has(key) ? [[key, entries.get(key) as T]] : [])))

function concatenated(parts: readonly Uint32Array[]): Uint32Array {
  // What stands twice in a snapshot is written once.
  if (parts.length === 1) return parts[0] as Uint32Array
  const all = new Uint32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
