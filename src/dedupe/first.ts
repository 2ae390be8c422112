import type { KeyTable, KeyTableState, RecordBatch } from '../core/batch.ts'
import { ByteBuffer } from '../core/byte-buffer.ts'
import type { Collector, Operator, StageContext } from '../core/operator.ts'
import { storedBytes } from '../sort/arena.ts'
import type { EntriesState } from '../sort/entries.ts'
import { ExternalSorter } from '../sort/external.ts'
import { drain } from '../sort/line-sorter.ts'
import { appendDouble } from '../sort/sort-key.ts'
import { appendInterned, ByPosition, groupsOf, KEY_BYTES } from './spilled.ts'

export interface DedupeOptions {
  /** Fields of the key, by their index. */
  readonly fields: readonly number[]
  readonly dupesTo: string | undefined
}

/** How an entry of the sorter begins: its key has left already, or the record's position and line follow. */
const SEEN = 1
const LINE = 0
/** Keys; or what has gone to disk. */
type FirstState = KeyTableState | { readonly added: readonly EntriesState[] }

/** Of the memory, for keys; the rest sorts what does not fit. */
const SHARE = 0.5

/**
 * `dedupe`: the first record of each key leaves at once. O(1) a record.
 *
 * When the keys fill the memory they go to disk, and so does, from then on, the first record of each key since the table was emptied
 * last. At the end all of that is sorted by key, which shows the records whose key is new, and those by position: the output is the
 * same, only its end comes later.
 */
export class DedupeFirst implements Operator {
  readonly #options: DedupeOptions
  readonly #context: StageContext
  readonly #keys: KeyTable
  readonly #dupes: { write(lines: Uint8Array): void } | undefined
  readonly #key = new ByteBuffer(256)
  readonly #payload = new ByteBuffer(256)
  readonly #memoryBytes: number
  #held = 0
  /** How many keys the last snapshot knows. */
  #kept = 0
  /** Snapshots are taken. */
  #logs = false
  #sorter: ExternalSorter | undefined
  #mask = new Uint8Array(0)

  constructor(options: DedupeOptions, context: StageContext) {
    this.#options = options
    this.#context = context
    this.#memoryBytes = storedBytes(context.memoryBytes)
    this.#keys = context.keyTable(options.fields)
    this.#dupes = options.dupesTo === undefined ? undefined : context.sideFile(options.dupesTo)
  }

  processBatch(batch: RecordBatch, out: Collector): void {
    const { count } = batch
    const known = this.#keys.size
    const ids = this.#keys.intern(batch)
    if (this.#mask.length < count) this.#mask = new Uint8Array(2 * count)
    const mask = this.#mask
    // New keys get the next ids, in order.
    let next = known
    for (let row = 0; row < count; row++) {
      const isNew = ids[row] === next
      mask[row] = isNew ? 1 : 0
      if (!isNew) continue
      next++
      this.#held += this.#costOf(batch, row)
    }
    if (this.#sorter) this.#keep(this.#sorter, batch, ids, mask)
    else {
      if (next > known) out.forward(batch, mask)
      if (this.#dupes && next - known < count) {
        for (let row = 0; row < count; row++) mask[row]! ^= 1
        this.#dupes.write(batch.lines(mask, 0, count))
      }
    }
    if (this.#held > SHARE * this.#memoryBytes) this.#spillKeys()
  }

  /** Keys that may be known on disk: decided at the end. With a file for duplicates all records are, so that it is in order too. */
  #keep(sorter: ExternalSorter, batch: RecordBatch, ids: Uint32Array, mask: Uint8Array): void {
    const { spans, stride, bytes, count } = batch
    for (let row = 0; row < count; row++) {
      if (mask[row] === 0 && !this.#dupes) continue
      const key = this.#key
      key.length = 0
      appendInterned(key, this.#keys, ids[row]!, this.#options.fields.length)
      const payload = this.#payload
      payload.length = 0
      payload.byte(LINE)
      appendDouble(payload, batch.position(row))
      payload.copy(bytes, spans[row * stride]!, spans[row * stride + 1]!)
      payload.byte(0x0a)
      sorter.insert(key.bytes, 0, key.length, payload.bytes, 0, payload.length)
    }
  }

  /** What a new key costs. */
  #costOf({ spans, stride }: RecordBatch, row: number): number {
    let bytes = KEY_BYTES
    for (const field of this.#options.fields) {
      bytes += spans[row * stride + 3 + 2 * field]! - spans[row * stride + 2 + 2 * field]!
    }
    return bytes
  }

  #spillKeys(): void {
    if (!this.#sorter) {
      const sorter = this.#toDisk()
      const seen = Uint8Array.of(SEEN)
      for (let id = 0; id < this.#keys.size; id++) {
        this.#key.length = 0
        appendInterned(this.#key, this.#keys, id, this.#options.fields.length)
        sorter.insert(this.#key.bytes, 0, this.#key.length, seen, 0, 1)
      }
    }
    this.#keys.clear()
    this.#held = 0
  }

  /** What does not fit the memory. */
  #toDisk(): ExternalSorter {
    if (this.#sorter) return this.#sorter
    const sorter = new ExternalSorter({
      memoryBytes: (1 - SHARE) * this.#memoryBytes,
      spill: () => this.#context.spill(),
      grouped: false,
    })
    if (this.#logs) sorter.added()
    return (this.#sorter = sorter)
  }

  /** Keys; and once they have gone to disk, what has been put there since. */
  snapshot(whole: boolean): FirstState {
    if (this.#sorter) return { added: this.#sorter.added() }
    const state = this.#keys.export(whole ? 0 : this.#kept)
    this.#kept = this.#keys.size
    return state
  }

  mustSnapshotWhole(): boolean | 'seal' {
    return this.#sorter !== undefined && 'seal'
  }

  sizes(): readonly number[] {
    return [this.#keys.size]
  }

  makeRoom([keys = 0]: readonly number[]): void {
    this.#keys.reserve(keys)
  }

  /** Keys that came after others had gone to disk are not known again: their next record goes there, too, and is left out in the end. */
  restore(states: Iterable<FirstState>): void {
    this.#logs = true
    for (const state of states) {
      if ('added' in state) this.#toDisk().restore(state.added)
      else {
        this.#keys.import(state)
        this.#held += state.positions.length * KEY_BYTES + state.bytes.length
      }
    }
    this.#kept = this.#keys.size
  }

  onEnd(out: Collector): void {
    if (!this.#sorter) return
    this.#keys.clear()
    const share = this.#memoryBytes / 4
    const [firsts, dupes] = [new ByPosition(this.#context, share), new ByPosition(this.#context, share)]
    const cursor = this.#sorter.sorted()
    for (const group of groupsOf(cursor)) {
      let known = false
      group(() => {
        const { bytes, start, end } = cursor
        if (bytes[start] === LINE) {
          const into = known ? dupes : firsts
          if (!known || this.#dupes) into.add(readDouble(bytes, start + 1), bytes, start + 9, end)
        }
        known = true
      })
    }
    drain(firsts.sorted(), (lines) => out.emit(lines))
    if (this.#dupes) drain(dupes.sorted(), (lines) => this.#dupes!.write(lines))
  }
}

/** A positive number as `appendDouble` wrote it. */
export function readDouble(bytes: Uint8Array, at: number): number {
  for (let p = 0; p < 8; p++) view.setUint8(p, bytes[at + p]! ^ (p === 0 ? 0x80 : 0))
  return view.getFloat64(0)
}
const view = new DataView(new ArrayBuffer(8))
