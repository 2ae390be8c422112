import { type Groups, SpilledGroups } from '../aggregate/spilled-groups.ts'
import type { SetState } from '../aggregate/set.ts'
import type { KeyTableState } from '../core/batch.ts'
import { upTo } from '../core/columns.ts'
import type { Collector, EventTime, StageContext } from '../core/operator.ts'
import { ExternalSorter } from '../sort/external.ts'
import { drain } from '../sort/line-sorter.ts'
import { type Chunk, Chunks } from './chunks.ts'
import type { AggregateContent } from './engine.ts'
import type { Slots } from './ids.ts'
import type { Keys } from './keys.ts'
import type { Results } from './results.ts'

/** Keys of one chunk at most, so that reading one takes little memory. */
const CHUNK_KEYS = 1 << 13
/** A guess at what a key of a window costs beside the key itself and its aggregates. */
const ENTRY_BYTES = 64

/** What windows that spill need of each other. */
export interface SpillParts {
  readonly content: AggregateContent
  /** Of all who use the content. */
  readonly slots: Slots
  /** The keys of what is open. */
  readonly keys: Keys
  /** Other keys, for what is put together; and what emits those. Asked for once there is something. */
  readonly open: () => { readonly keys: Keys; readonly results: Results }
}

interface Due {
  readonly start: EventTime
  readonly end: EventTime
  readonly chunks: readonly Chunk[]
}

/**
 * Windows that do not fit the memory, for results that come once. When keys and states pass half of `--memory`, those of all panes go to
 * disk, and what comes later begins anew; a window's results are put together when it is over. If they do not fit then, they are parted
 * by the hash of their keys, and their lines sorted (docs/decisions/0306).
 */
export class SpilledWindows {
  readonly #context: Pick<StageContext, 'memoryBytes' | 'spill'>
  readonly #parts: SpillParts
  readonly #chunks: Chunks
  /** By the pane's number, or whatever tells panes apart. */
  readonly #panes = new Map<number, Chunk[]>()
  readonly #due: Due[] = []
  readonly #mostBytes: number
  /** For what is put together: made when it is first needed. */
  #gather: Gather | undefined

  constructor(context: Pick<StageContext, 'memoryBytes' | 'spill'>, parts: SpillParts) {
    this.#context = context
    this.#parts = parts
    this.#chunks = new Chunks((handle) => context.spill(handle))
    this.#mostBytes = context.memoryBytes / 2
  }

  /** Whether more is held than may be. Cheap: asked once a batch. */
  get isFull(): boolean {
    const { content, keys, slots } = this.#parts
    return keys.bytes + content.bytes(slots.used) + ENTRY_BYTES * slots.used > this.#mostBytes
  }

  /** Whether anything is on disk. */
  get active(): boolean {
    return this.#chunks.count > 0
  }

  /** Whether closed windows wait for `settle`. */
  get waits(): boolean {
    return this.#due.length > 0
  }

  has(pane: number): boolean {
    return this.#panes.has(pane)
  }

  /** Writes a pane's share of the memory, whose slots are then free. Moves nothing in memory: a batch may be worked on. */
  write(pane: number, keys: Uint32Array, slots: Uint32Array): void {
    const { content } = this.#parts
    for (let from = 0; from < keys.length; from += CHUNK_KEYS) {
      const to = from + CHUNK_KEYS
      const groups: Groups = {
        keys: this.#parts.keys.pick(keys.subarray(from, to)),
        set: content.exportSlots(slots.slice(from, to)),
      }
      const known = this.#panes.get(pane)
      const chunk = this.#chunks.write(groups)
      if (known) known.push(chunk)
      else this.#panes.set(pane, [chunk])
    }
    for (const slot of slots) {
      content.clear(slot)
      this.#parts.slots.giveBack(slot)
    }
  }

  /** A window is over: `settle` emits what is known of its panes now. */
  close(start: EventTime, end: EventTime, panes: readonly number[]): void {
    const chunks = panes.flatMap((pane) => this.#panes.get(pane) ?? [])
    for (const chunk of chunks) this.#chunks.keep(chunk)
    this.#due.push({ start, end, chunks })
  }

  /** No window needs the pane any more. */
  forget(pane: number): void {
    for (const chunk of this.#panes.get(pane) ?? []) this.#chunks.release(chunk)
    this.#panes.delete(pane)
  }

  /** Between batches: emits the windows that were closed, in that order. */
  settle(out: Collector): void {
    if (this.#due.length === 0) return
    this.#gather ??= new Gather(this.#context, this.#parts)
    for (const { start, end, chunks } of this.#due.splice(0)) {
      this.#gather.emit(start, end, this.#read(chunks), out)
      for (const chunk of chunks) this.#chunks.release(chunk)
    }
  }

  *#read(chunks: readonly Chunk[]): Generator<Groups> {
    for (const chunk of chunks) yield this.#chunks.read(chunk) as Groups
  }

  /** Everything back into memory, between batches; `take` gets it pane by pane. */
  *takeBack(): Generator<{ readonly pane: number; readonly keys: KeyTableState; readonly set: SetState }> {
    for (const [pane, chunks] of this.#panes) {
      for (const { keys, set } of this.#read(chunks)) yield { pane, keys, set }
      this.forget(pane)
    }
  }
}

/** Puts the groups of one window together and emits them in the order of their keys. */
class Gather {
  readonly #context: Pick<StageContext, 'memoryBytes' | 'spill'>
  readonly #content: AggregateContent
  readonly #slots: Slots
  readonly #keys: Keys
  readonly #results: Results
  /** By the id of the key. */
  #slotOf: number[] = []
  /** What others hold of the content. */
  #before = 0

  constructor(context: Pick<StageContext, 'memoryBytes' | 'spill'>, { content, slots, open }: SpillParts) {
    this.#context = context
    this.#content = content
    this.#slots = slots
    const { keys, results } = open()
    this.#keys = keys
    this.#results = results
  }

  emit(start: EventTime, end: EventTime, groups: Iterable<Groups>, out: Collector): void {
    this.#before = this.#contentBytes
    const parted = this.#take(groups, () => new SpilledGroups((handle) => this.#context.spill(handle)))
    if (!parted) {
      this.#results.open(out)
      this.#emitAll((id, slot) => void this.#results.emit(start, end, id, slot))
      return
    }
    // The lines of each partition are a sorted run.
    const sorter = new ExternalSorter({
      memoryBytes: this.#context.memoryBytes / 4,
      spill: () => this.#context.spill(),
      grouped: false,
    })
    const emitRun = (): void => {
      const run = sorter.beginRun()
      let key: Uint8Array
      const emit = (bytes: Uint8Array): void =>
        run.write({ key, keyStart: 0, keyEnd: key.length, bytes, start: 0, end: bytes.length })
      this.#results.open({ ...nowhere, emit })
      this.#emitAll((id, slot) => {
        key = Buffer.from(this.#keys.sortKey(id), 'latin1')
        this.#results.emit(start, end, id, slot)
        this.#results.flush()
      })
      sorter.endRun(run)
    }
    this.#drain(parted, emitRun)
    drain(sorter.sorted(), (lines) => out.emit(lines))
  }

  /** Goes through partitions, those that are too large again by further bits. */
  #drain(parted: SpilledGroups, emitRun: () => void): void {
    for (const partition of parted.partitions()) {
      const deeper = this.#take(partition, () => parted.deeper())
      if (deeper) this.#drain(deeper, emitRun)
      else emitRun()
    }
  }

  /** Takes groups into memory; or parts them all, when they do not fit and there is a way to. */
  #take(groups: Iterable<Groups>, part: () => SpilledGroups | undefined): SpilledGroups | undefined {
    let parted: SpilledGroups | undefined
    for (const { keys, set } of groups) {
      this.#absorb(keys, set)
      // One group alone cannot be parted, however large it is.
      if (!this.#isFull || (!parted && this.#slotOf.length === 1)) continue
      parted ??= part()
      if (parted) this.#spill(parted)
    }
    if (parted) this.#spill(parted)
    return parted
  }

  #absorb(keys: KeyTableState, set: SetState): void {
    const ids = this.#keys.takeIn(keys)
    // Ids are dense: new ones come one after the other.
    const slots = ids.map((id) => (this.#slotOf[id] ??= this.#slots.take()))
    this.#content.importSlots(set, slots)
  }

  get #isFull(): boolean {
    return this.#keys.bytes + this.#contentBytes - this.#before > this.#context.memoryBytes / 4
  }

  get #contentBytes(): number {
    const { used } = this.#slots
    return this.#content.bytes(used) + ENTRY_BYTES * used
  }

  #spill(to: SpilledGroups): void {
    const slots = Uint32Array.from(this.#slotOf)
    const keys = this.#keys.pick(upTo(slots.length))
    to.write(keys, this.#keys.parts, (ids) => this.#content.exportSlots(ids.map((id) => slots[id] as number)))
    this.#clear()
  }

  /** Emits all groups in the order of their keys, and forgets them. */
  #emitAll(emit: (id: number, slot: number) => void): void {
    for (const id of this.#keys.sorted(Array.from(this.#slotOf.keys()))) emit(id, this.#slotOf[id] as number)
    this.#results.flush()
    this.#clear()
  }

  #clear(): void {
    for (const slot of this.#slotOf) {
      this.#content.clear(slot)
      this.#slots.giveBack(slot)
    }
    this.#slotOf = []
    this.#keys.clear()
  }
}

const nowhere: Collector = { forward() {}, emit() {}, emitText() {} }
