import { ChangedSlots } from '../aggregate/changed-slots.ts'
import type { KeyTable, KeyTableState, RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import { upTo } from '../core/columns.ts'
import type { Collector, Operator, StageContext } from '../core/operator.ts'
import { countProblem } from './count-member.ts'
import { Arena, storedBytes } from '../sort/arena.ts'
import type { EntriesState } from '../sort/entries.ts'
import { ExternalSorter } from '../sort/external.ts'
import { drain } from '../sort/line-sorter.ts'
import { appendDouble } from '../sort/sort-key.ts'
import { readDouble } from './first.ts'
import { appendInterned, ByPosition, groupsOf, KEY_BYTES } from './spilled.ts'

export interface HeldOptions {
  readonly fields: readonly number[]
  readonly keep: 'first' | 'last'
  /** The field `count`, where `--count` will add it. */
  readonly countField: number | undefined
  readonly dupesTo: string | undefined
}

/** What is kept of a key, as an entry: how often it came, where the kept record stands, and its line. */
const COUNT = 0
const POSITION = 8
const LINE = 16
/** What is kept of some keys: counts, positions and lines, in the order of the keys. */
interface HeldState {
  readonly keys: KeyTableState
  /** Their ids; a key that has no record yet is left out. */
  readonly ids: Uint32Array
  readonly counts: Float64Array
  readonly positions: Float64Array
  readonly lengths: Uint32Array
  readonly lines: Uint8Array
}

/** What has gone to disk since the last snapshot, and all that was in memory then. */
interface SpilledState {
  readonly added: readonly EntriesState[]
}

/** Replaced lines are cleared away when they are this much, and more than half. */
const LEAST_GARBAGE = 16 << 20

/**
 * `dedupe --keep last` and `--count`: what is kept of a key is known at the end only. Records leave in the order in which they came.
 * O(1) a record; beyond the memory what is held goes to disk, and is put together at the end.
 */
export class DedupeHeld implements Operator {
  readonly #options: HeldOptions
  readonly #context: StageContext
  readonly #keys: KeyTable
  readonly #dupes: { write(lines: Uint8Array): void } | undefined
  readonly #key = new ByteBuffer(256)
  readonly #entry = new ByteBuffer(256)
  /** A third: for what is held, for sorting it by key, and for putting it in order. */
  readonly #share: number
  #lines = new Arena()
  #liveBytes = 0
  #keyBytes = 0
  /** By id. */
  #counts: number[] = []
  #positions: number[] = []
  #places: number[] = []
  #lengths: number[] = []
  #sorter: ExternalSorter | undefined
  /** Keys with another count or record since the last snapshot; undefined where none are made. */
  #changed: ChangedSlots | undefined
  /** How many keys that knows. */
  #keptKeys = 0
  /** What was in memory went to disk since the last one. */
  #hasSpilled = false

  constructor(options: HeldOptions, context: StageContext) {
    this.#options = options
    this.#context = context
    this.#share = storedBytes(context.memoryBytes) / 3
    this.#keys = context.keyTable(options.fields)
    this.#dupes = options.dupesTo === undefined ? undefined : context.sideFile(options.dupesTo)
  }

  processBatch(batch: RecordBatch): void {
    const { bytes, spans, stride, count } = batch
    const { fields, keep, countField } = this.#options
    const ids = this.#keys.intern(batch)
    for (let row = 0; row < count; row++) {
      const at = row * stride
      const start = spans[at]!
      const end = spans[at + 1]!
      const problem = countField === undefined ? undefined : countProblem(batch, row, countField)
      if (problem) {
        this.#context.reject(batch, row, problem)
        continue
      }
      const id = ids[row]!
      const known = this.#counts[id] !== undefined
      this.#counts[id] = (this.#counts[id] ?? 0) + 1
      this.#changed?.markOne(id)
      if (!known) {
        this.#keyBytes += KEY_BYTES + 64
        for (const field of fields) this.#keyBytes += spans[at + 3 + 2 * field]! - spans[at + 2 + 2 * field]!
      } else if (keep === 'first') {
        this.#dupes?.write(batch.lines(undefined, row, row + 1))
        continue
      } else {
        this.#writeDupe(id)
        this.#liveBytes -= this.#lengths[id]!
      }
      this.#places[id] = this.#lines.place(bytes, start, end)
      this.#lengths[id] = end - start
      this.#positions[id] = batch.position(row)
      this.#liveBytes += end - start
    }
    if (this.#lines.bytes > 2 * this.#liveBytes + LEAST_GARBAGE) this.#collect()
    if (this.#keyBytes + this.#lines.bytes > this.#share) this.#spillAll()
  }

  /** What is in memory, or of that what has changed; or, once that has gone to disk, what has been put there since. */
  snapshot(whole: boolean): HeldState | SpilledState {
    if (this.#sorter && this.#hasSpilled) {
      this.#spillAll()
      this.#hasSpilled = false
      return { added: this.#sorter.added() }
    }
    const changed = this.#changed?.take()
    const ids = changed && !whole ? changed : upTo(this.#counts.length).filter((id) => this.#counts[id] !== undefined)
    const lines = new ByteBuffer(1 << 12)
    for (const id of ids) this.#copyLine(lines, id)
    const keys = this.#keys.export(whole ? 0 : this.#keptKeys)
    this.#keptKeys = this.#keys.size
    return {
      keys,
      ids,
      counts: Float64Array.from(ids, (id) => this.#counts[id]!),
      positions: Float64Array.from(ids, (id) => this.#positions[id]!),
      lengths: Uint32Array.from(ids, (id) => this.#lengths[id]!),
      lines: lines.view(),
    }
  }

  mustSnapshotWhole(): boolean | 'seal' {
    return this.#hasSpilled && 'seal'
  }

  restore(states: Iterable<HeldState | SpilledState>): void {
    this.#changed = new ChangedSlots()
    for (const state of states) {
      if ('added' in state) this.#toDisk().restore(state.added)
      else this.#takeUp(state)
    }
    this.#keptKeys = this.#keys.size
  }

  /** Ids are those of before, since the table was empty. */
  #takeUp({ keys, ids, counts, positions, lengths, lines }: HeldState): void {
    this.#keys.import(keys)
    this.#keyBytes += keys.bytes.length
    let at = 0
    for (const [index, id] of ids.entries()) {
      const length = lengths[index]!
      if (this.#counts[id] === undefined) this.#keyBytes += KEY_BYTES + 64
      else this.#liveBytes -= this.#lengths[id]!
      this.#counts[id] = counts[index]!
      this.#positions[id] = positions[index]!
      this.#lengths[id] = length
      this.#places[id] = this.#lines.place(lines, at, at + length)
      at += length
    }
    this.#liveBytes += at
  }

  #writeDupe(id: number): void {
    if (!this.#dupes) return
    const entry = this.#entry
    entry.length = 0
    this.#copyLine(entry, id)
    entry.byte(0x0a)
    this.#dupes.write(entry.view())
  }

  #copyLine(into: ByteBuffer, id: number): void {
    const place = this.#places[id]!
    into.copy(this.#lines.memory, place, place + this.#lengths[id]!)
  }

  /** Puts the lines that are still wanted together. */
  #collect(): void {
    const lines = new Arena()
    for (let id = 0; id < this.#places.length; id++) {
      const place = this.#places[id]
      if (place === undefined) continue
      this.#places[id] = lines.place(this.#lines.memory, place, place + this.#lengths[id]!)
    }
    this.#lines.free()
    this.#lines = lines
  }

  #toDisk(): ExternalSorter {
    if (this.#sorter) return this.#sorter
    const sorter = new ExternalSorter({
      memoryBytes: this.#share,
      spill: () => this.#context.spill(),
      grouped: false,
    })
    if (this.#changed) sorter.added()
    return (this.#sorter = sorter)
  }

  #spillAll(): void {
    const sorter = this.#toDisk()
    this.#hasSpilled = true
    for (let id = 0; id < this.#counts.length; id++) {
      if (this.#counts[id] === undefined) continue
      this.#key.length = 0
      appendInterned(this.#key, this.#keys, id, this.#options.fields.length)
      const entry = this.#entry
      entry.length = 0
      appendDouble(entry, this.#counts[id]!)
      appendDouble(entry, this.#positions[id]!)
      this.#copyLine(entry, id)
      sorter.insert(this.#key.bytes, 0, this.#key.length, entry.bytes, 0, entry.length)
    }
    this.#keys.clear()
    this.#changed?.take()
    this.#keptKeys = 0
    this.#lines.clear()
    this.#counts = []
    this.#positions = []
    this.#places = []
    this.#lengths = []
    this.#liveBytes = this.#keyBytes = 0
  }

  onEnd(out: Collector): void {
    const kept = new ByPosition(this.#context, this.#share)
    const line = new ByteBuffer(256)
    const add = (count: number, position: number): void => {
      if (this.#options.countField !== undefined) appendCount(line, count)
      line.byte(0x0a)
      kept.add(position, line.bytes, 0, line.length)
    }
    if (this.#sorter) {
      this.#spillAll()
      const cursor = this.#sorter.sorted()
      for (const group of groupsOf(cursor)) {
        let [count, position] = [0, 0]
        line.length = 0
        group(() => {
          const { bytes, start, end } = cursor
          const isFirst = count === 0
          count += readDouble(bytes, start + COUNT)
          const takes = isFirst || this.#options.keep === 'last'
          if (!isFirst && this.#dupes) this.#writeOther(takes ? line.view() : bytes.subarray(start + LINE, end))
          if (!takes) return
          position = readDouble(bytes, start + POSITION)
          line.length = 0
          line.copy(bytes, start + LINE, end)
        })
        add(count, position)
      }
    } else {
      for (let id = 0; id < this.#counts.length; id++) {
        if (this.#counts[id] === undefined) continue
        line.length = 0
        this.#copyLine(line, id)
        add(this.#counts[id]!, this.#positions[id]!)
      }
    }
    drain(kept.sorted(), (lines) => out.emit(lines))
  }

  #writeOther(line: Uint8Array): void {
    this.#dupes!.write(line)
    this.#dupes!.write(NEWLINE)
  }
}

const NEWLINE = Uint8Array.of(0x0a)

/** `{"id":1}` → `{"id":1,"count":3}` */
export function appendCount(line: ByteBuffer, count: number): void {
  do line.length--
  while (line.bytes[line.length - 1]! <= 0x20)
  line.append(Buffer.from(`${line.bytes[line.length - 1] === 0x7b ? '' : ','}"count":${count}}`))
}
