import type { KeyLines, KeyParts, KeyTable, KeyTableState, LinePiece, RecordBatch } from '../core/batch.ts'
import { canonicalKey } from '../core/key.ts'
import { Pieces, SLACK, type Growing, type Heap } from './heap.ts'
import { hashOfKey, PARTITIONS } from './key-parts.ts'
import { WasmBatch } from './wasm-batch.ts'
import { WasmKeyLines } from './wasm-key-lines.ts'

/** Sizes and places as kernel/intern.ts draws them. */
const TABLE_BYTES = 64
const SLOT_BYTES = 16
const ENTRY_BYTES = 12
/** What the kernel uses beyond the top of the arena besides the texts. */
const SCRATCH_BYTES = 1024
const MASK = 1
const USED = 2
const IDS = 3
const TOP = 4
const TEXTS = 5
const POSITIONS = 6
const TEXT_BYTES = 32 / 8

const NEWLINE_BYTE = 0x0a
const LEAST_SLOTS = 1 << 12
const QUICK_SLOTS = 1 << 16
const LEAST_IDS = 1 << 10
const LEAST_ARENA_BYTES = 1 << 16
const MOST_ARENA_BYTES = 16 << 20
/** The part of the slots that may be used. */
const LOAD = 0.75

/** The fast key table. About 60 bytes a key and its text twice at most; in a large table a lookup costs a cache miss, or two for long keys. */
export class WasmKeyTable implements KeyTable, Growing {
  readonly heap: Heap
  private readonly pieces: Pieces
  private readonly fields: readonly number[]
  private readonly table: number
  /** Offsets of the fields' spans in a row. */
  private readonly spanOffsets: number
  private slots = 0
  private idRoom = 0
  private arenaEnd = 0
  private arenas: { address: number; size: number }[] = []
  private ids = 0
  private idsRoom = 0
  /** What is of no use without it, and is closed with it. */
  readonly companions: { close(): void }[] = []

  constructor(heap: Heap, fields: readonly number[]) {
    this.heap = heap
    this.pieces = new Pieces(heap, this)
    this.fields = fields
    this.table = this.pieces.allocateZeroed(TABLE_BYTES)
    this.spanOffsets = this.pieces.allocate(4 * fields.length)
    heap.u32.set(
      fields.map((field) => 8 + 8 * field),
      this.spanOffsets >>> 2,
    )
    this.ensure(0, 0)
    heap.register(this, this)
  }

  /** Its memory is somebody else's from now on. */
  close(): void {
    this.heap.giveUp(this)
    this.pieces.close()
    for (const one of this.companions) one.close()
  }

  private word(index: number): number {
    return this.heap.u32[(this.table >>> 2) + index] as number
  }
  private setWord(index: number, value: number): void {
    this.heap.u32[(this.table >>> 2) + index] = value
  }

  get size(): number {
    return this.word(IDS)
  }

  /** Makes room for a batch of so many rows and bytes in which every key is new. A safe point to grow the memory, or nothing to do. */
  ensure(rows: number, bytes: number): void {
    this.ensureSlots(rows)
    // Every field could hold the whole block.
    this.ensureArena(this.fields.length * (bytes + 5 * rows) + rows * ENTRY_BYTES + SCRATCH_BYTES)
    if (rows > this.idsRoom) {
      if (this.idsRoom) this.pieces.release(this.ids)
      this.idsRoom = Math.max(rows, LEAST_IDS)
      this.ids = this.pieces.allocate(4 * this.idsRoom)
    }
  }

  private ensureSlots(keys: number): void {
    // An unplain spelling takes a slot beside its canonical one.
    this.growSlots(this.word(USED) + 2 * keys)
    this.growIds(this.size + keys)
  }

  reserve(keys: number): void {
    this.growSlots(keys)
    this.growIds(keys)
  }

  /** So many ids are going to be used. */
  private growIds(ids: number): void {
    const { heap } = this
    if (ids > this.idRoom) {
      const old = this.idRoom
      let room = Math.max(old, LEAST_IDS)
      while (ids > room) room *= 2
      this.idRoom = room
      for (const [word, width] of [
        [TEXTS, 4],
        [POSITIONS, 8],
      ] as const) {
        const from = this.word(word)
        const address = this.pieces.allocate(width * room)
        heap.bytes.copyWithin(address, from, from + width * this.size)
        this.setWord(word, address)
        if (old) this.pieces.release(from)
      }
    }
  }

  /** So many slots are going to be used. */
  private growSlots(used: number): void {
    const { heap, table } = this
    if (used <= LOAD * this.slots) return
    const old = this.slots
    let slots = Math.max(old, LEAST_SLOTS)
    // Small tables grow quickly: moving everything time and again costs more than some room.
    while (used > LOAD * slots) slots *= slots < QUICK_SLOTS ? 4 : 2
    const address = this.pieces.allocateZeroed(slots * SLOT_BYTES)
    this.slots = slots
    if (old) {
      const oldAddress = this.word(0)
      heap.kernel.rehash(table, address, slots - 1)
      this.pieces.release(oldAddress)
    } else {
      this.setWord(0, address)
      this.setWord(MASK, slots - 1)
    }
  }

  private ensureArena(bytes: number): void {
    if (this.arenaEnd - this.word(TOP) >= bytes && this.arenaEnd) return
    const held = this.arenas.reduce((sum, { size }) => sum + size, 0)
    const wanted = Math.max(bytes, LEAST_ARENA_BYTES, Math.min(held, MOST_ARENA_BYTES))
    const size = 2 ** Math.ceil(Math.log2(wanted)) // what the heap would give anyway
    const address = this.pieces.allocate(size)
    this.arenas.push({ address, size })
    this.arenaEnd = address + size
    this.setWord(TOP, address)
  }

  intern(batch: RecordBatch): Uint32Array {
    const { count, stride, spans, bytes } = batch
    this.ensure(count, bytes.length)
    if (batch instanceof WasmBatch && batch.block.heap === this.heap) {
      const { address, origin, offset } = batch.block
      this.internSpans(address, batch.block.spans, stride * 4, count, this.spanOffsets, origin.base + offset, 0)
    } else {
      // Of another kind of scanner: bring it here first.
      const block = this.copy(bytes)
      const spansAt = this.copy(spans.subarray(0, count * stride))
      const base = count ? batch.position(0) - (spans[0] as number) : 0
      this.internSpans(block.address, spansAt.address, stride * 4, count, this.spanOffsets, base, 0)
      this.heap.release(block.address, block.size)
      this.heap.release(spansAt.address, spansAt.size)
    }
    return this.heap.u32.subarray(this.ids >>> 2, (this.ids >>> 2) + count)
  }

  append(batch: RecordBatch): Uint32Array {
    const { count, stride, spans, bytes } = batch
    this.ensure(count, bytes.length)
    const { heap, table, fields, size } = this
    if (batch instanceof WasmBatch && batch.block.heap === heap) {
      const { address, origin, offset, spans: spansAt } = batch.block
      const base = origin.base + offset
      heap.kernel.append(table, address, spansAt, stride * 4, count, this.spanOffsets, fields.length, base)
    } else {
      const block = this.copy(bytes)
      const spansAt = this.copy(spans.subarray(0, count * stride))
      const base = count ? batch.position(0) - (spans[0] as number) : 0
      const { address } = block
      heap.kernel.append(table, address, spansAt.address, stride * 4, count, this.spanOffsets, fields.length, base)
      heap.release(address, block.size)
      heap.release(spansAt.address, spansAt.size)
    }
    const ids = heap.u32.subarray(this.ids >>> 2, (this.ids >>> 2) + count)
    for (let row = 0; row < count; row++) ids[row] = size + row
    return ids
  }

  private copy(data: Uint8Array | Uint32Array | Float64Array): { address: number; size: number } {
    const size = data.byteLength
    const address = this.heap.allocate(size)
    this.heap.bytes.set(new Uint8Array(data.buffer, data.byteOffset, size), address)
    return { address, size }
  }

  private internSpans(
    block: number,
    spans: number,
    stride: number,
    count: number,
    fields: number,
    base: number,
    positions: number,
  ): void {
    const { heap, table, ids } = this
    const parts = this.fields.length
    for (let row = 0; ;) {
      row = heap.kernel.intern(table, block, spans, stride, row, count, fields, parts, base, positions, ids)
      if (row === count) return
      const rowSpans = spans + row * stride
      const length = heap.kernel.joined(this.word(TOP) + 8, block, rowSpans, fields, parts)
      const spelt = Buffer.from(heap.bytes.subarray(this.word(TOP) + 8, this.word(TOP) + 8 + length))
      const position = positions
        ? (heap.f64[(positions >>> 3) + row] as number)
        : base + (heap.u32[rowSpans >>> 2] as number)
      heap.u32[(ids >>> 2) + row] = this.internSpelling(spelt, position)
      row++
    }
  }

  /** The id of a key whose canonical text is not plain to see. */
  private internSpelling(spelt: Buffer, position: number): number {
    const { heap } = this
    const canonical = Buffer.from(spelt.toString().split('\n').map(canonicalKey).join('\n'))
    const size = spelt.length + 64 + canonical.length
    this.ensureArena(size + SCRATCH_BYTES)
    const address = heap.allocate(size)
    const canonicalAt = address + spelt.length + 64
    spelt.copy(heap.bytes, address)
    canonical.copy(heap.bytes, canonicalAt)
    const id = heap.kernel.internSpelling(this.table, address, spelt.length, canonicalAt, canonical.length, position)
    heap.release(address, size)
    return id >>> 0
  }

  clear(expected?: number): void {
    const fewer = slotsFor(expected ?? Infinity)
    if (fewer < this.slots) {
      this.pieces.release(this.word(0))
      this.slots = fewer
      this.setWord(0, this.pieces.allocateZeroed(fewer * SLOT_BYTES))
      this.setWord(MASK, fewer - 1)
    } else this.heap.bytes.fill(0, this.word(0), this.word(0) + this.slots * SLOT_BYTES)
    this.setWord(USED, 0)
    this.setWord(IDS, 0)
    this.heap.f64[(this.table >>> 3) + TEXT_BYTES] = 0
    // One piece is kept, so that a table which is cleared often takes no new ones.
    const [first, ...others] = this.arenas.sort((a, b) => b.size - a.size)
    for (const { address } of others) this.pieces.release(address)
    if (!first) return
    this.arenas = [first]
    this.setWord(TOP, first.address)
    this.arenaEnd = first.address + first.size
  }

  text(id: number, part: number): string {
    const { heap } = this
    const entry = heap.u32[(this.word(TEXTS) >>> 2) + id] as number
    const length = heap.u32[(entry >>> 2) + 1] as number
    const { bytes } = heap
    const last = entry + 8 + length
    // No part has a line end in it.
    let start = entry + 8
    for (; part > 0; part--) {
      while (bytes[start] !== NEWLINE_BYTE) start++
      start++
    }
    let end = last
    if (this.fields.length > 1) for (end = start; end < last && bytes[end] !== NEWLINE_BYTE;) end++
    return bytes.toString('latin1', start, end)
  }

  lines(template: readonly LinePiece[]): KeyLines {
    return new WasmKeyLines(this.heap, this.pieces, this, this.table, this.fields.length, template)
  }

  textBytes(id: number): number {
    const { heap } = this
    const entry = heap.u32[(this.word(TEXTS) >>> 2) + id] as number
    return heap.u32[(entry >>> 2) + 1] as number
  }

  copyText(id: number, part: number, into: Uint8Array, at: number): number {
    const { heap } = this
    const { bytes } = heap
    const entry = heap.u32[(this.word(TEXTS) >>> 2) + id] as number
    let from = entry + 8
    const end = from + (heap.u32[(entry >>> 2) + 1] as number)
    // Parts are joined by line ends, which no JSON text of a record holds.
    for (let skip = part; skip > 0; skip--) from = bytes.indexOf(0x0a, from) + 1
    for (; from < end && bytes[from] !== 0x0a; from++) into[at++] = bytes[from] as number
    return at
  }

  position(id: number): number {
    return this.heap.f64[(this.word(POSITIONS) >>> 3) + id] as number
  }

  positionsOf(ids: Uint32Array): Float64Array {
    const { f64 } = this.heap
    const first = this.word(POSITIONS) >>> 3
    const positions = new Float64Array(ids.length)
    for (let at = 0; at < ids.length; at++) positions[at] = f64[first + (ids[at] as number)] as number
    return positions
  }

  order(): Uint32Array {
    const { heap, size } = this
    const bytes = 4 * size + ORDER_BYTES
    const ids = heap.allocate(bytes)
    const scratch = heap.allocate(bytes)
    heap.kernel.order(this.table, ids, scratch + ORDER_BYTES, scratch)
    const result = heap.u32.slice(ids >>> 2, (ids >>> 2) + size)
    heap.release(ids, bytes)
    heap.release(scratch, bytes)
    return result
  }

  parted(shift: number): KeyParts[] {
    const { heap, table, size } = this
    const parts = this.fields.length
    const pieces = Array.from({ length: PARTITIONS }, (): KeyParts[] => [])
    const textEnds = new Uint32Array(PARTITIONS)
    for (let from = 0, to: number; from < size; from = to) {
      to = Math.min(size, from + EXPORT_KEYS)
      while (to - from > 1 && heap.kernel.textBytes(table, from, to) > MOST_TEXT_BYTES) to = from + ((to - from) >> 1)
      this.partPiece(from, to, shift, textEnds, pieces)
    }
    return pieces.map((some) => {
      const [only] = some
      if (only && some.length === 1) return only
      return joinedParts(some, parts)
    })
  }

  /** Some of the keys. `textEnds` says where the texts of each partition have come to. */
  private partPiece(from: number, to: number, shift: number, textEnds: Uint32Array, pieces: KeyParts[][]): void {
    const { heap, table } = this
    const { kernel } = heap
    const parts = this.fields.length
    const rows = to - from
    const perKey = 4 * parts + 8 + 4
    const textBytes = kernel.textBytes(table, from, to)
    const size = PARTITION_BYTES * PARTITIONS + rows + perKey * rows + textBytes + PARTITIONS * 2 * SLACK
    const area = heap.allocate(size)
    const chosen = area + PARTITION_BYTES * PARTITIONS
    const words = heap.u32.subarray(area >>> 2, chosen >>> 2)
    words.fill(0)
    if (kernel.chooseParts(table, from, to, parts, shift, PARTITIONS - 1, chosen, area) > 0) {
      const numbers = heap.bytes.subarray(chosen, chosen + rows)
      for (let row = numbers.indexOf(ODD); row >= 0; row = numbers.indexOf(ODD, row + 1)) {
        const texts = this.fields.map((_, part) => Buffer.from(this.text(from + row, part), 'latin1'))
        let end = 0
        const key = { bytes: Buffer.concat(texts), ends: Uint32Array.from(texts, (text) => (end += text.length)) }
        const partition = (hashOfKey(key, 0, parts, 0) >>> shift) & (PARTITIONS - 1)
        numbers[row] = partition
        words[partition * PARTITION_WORDS]! += 1
        words[partition * PARTITION_WORDS + 1]! += end
      }
    }
    let next = (chosen + rows + 7) & ~7
    const places = Array.from(pieces, (_, partition) => {
      const at = partition * PARTITION_WORDS
      const count = words[at] as number
      const bytes = words[at + 1] as number
      const positions = next
      const ids = positions + 8 * count
      const ends = ids + 4 * count
      const texts = ends + 4 * parts * count
      next = (texts + bytes + SLACK + 7) & ~7
      words.set([texts, ends, positions, ids, textEnds[partition] as number], at + 2)
      textEnds[partition]! += bytes
      return { count, bytes, texts, ends, positions, ids }
    })
    kernel.scatterKeys(table, from, to, parts, chosen, area)
    for (const [partition, { count, bytes, texts, ends, positions, ids }] of places.entries()) {
      if (count === 0) continue
      pieces[partition]!.push({
        keys: {
          bytes: new Uint8Array(heap.bytes.subarray(texts, texts + bytes)),
          ends: heap.u32.slice(ends >>> 2, (ends >>> 2) + parts * count),
          positions: heap.f64.slice(positions >>> 3, (positions >>> 3) + count),
        },
        ids: heap.u32.slice(ids >>> 2, (ids >>> 2) + count),
      })
    }
    heap.release(area, size)
  }

  export(start = 0): KeyTableState {
    const { heap, size } = this
    const parts = this.fields.length
    const bytes = new Uint8Array(this.textsFrom(start) - (size - start) * (parts - 1))
    const ends = new Uint32Array((size - start) * parts)
    const positionsAt = this.word(POSITIONS) >>> 3
    let at = 0
    for (let from = start, to: number; from < size; from = to) {
      to = Math.min(size, from + EXPORT_KEYS)
      const longest = heap.kernel.textBytes(this.table, from, to) + SLACK
      const endsBytes = 4 * (to - from) * parts
      const out = heap.allocate(longest)
      const endsAt = heap.allocate(endsBytes)
      const written = heap.kernel.exportKeys(this.table, from, to, parts, out, endsAt, at)
      bytes.set(heap.bytes.subarray(out, out + written), at)
      ends.set(heap.u32.subarray(endsAt >>> 2, (endsAt + endsBytes) >>> 2), (from - start) * parts)
      heap.release(out, longest)
      heap.release(endsAt, endsBytes)
      at += written
    }
    return { bytes, ends, positions: heap.f64.slice(positionsAt + start, positionsAt + size) }
  }

  /** Bytes of the texts of the ids from `start` on. */
  private textsFrom(start: number): number {
    const { heap, size } = this
    if (start === 0) return heap.f64[(this.table >>> 3) + TEXT_BYTES] as number
    const texts = this.word(TEXTS) >>> 2
    let sum = 0
    for (let id = start; id < size; id++) sum += heap.u32[((heap.u32[texts + id] as number) >>> 2) + 1] as number
    return sum
  }

  import({ bytes, ends, positions }: KeyTableState): Uint32Array {
    const { heap } = this
    const parts = this.fields.length
    const count = positions.length
    const ids = new Uint32Array(count)
    // Growing piece by piece would move the slots time and again; but many of the keys may be known.
    this.growSlots(Math.max(this.word(USED), count))
    // In pieces: all of them could be new, and room for them is made before each piece.
    for (let from = 0, to: number; from < count; from = to) {
      to = Math.min(count, from + IMPORT_KEYS)
      const start = from ? (ends[from * parts - 1] as number) : 0
      const end = ends[to * parts - 1] as number
      const rows = to - from
      this.ensure(rows, end - start)
      const block = this.copy(bytes.subarray(start, end))
      const endsAt = this.copy(ends.subarray(from * parts, to * parts))
      const spansSize = 8 * rows * parts
      const spansAt = { address: heap.allocate(spansSize), size: spansSize }
      heap.kernel.spansOfEnds(endsAt.address, rows * parts, start, spansAt.address)
      const positionsAt = this.copy(positions.subarray(from, to))
      const fields = this.copy(Uint32Array.from(this.fields, (_, part) => 8 * part))
      this.internSpans(block.address, spansAt.address, 8 * parts, rows, fields.address, 0, positionsAt.address)
      ids.set(heap.u32.subarray(this.ids >>> 2, (this.ids >>> 2) + rows), from)
      for (const { address, size } of [block, endsAt, spansAt, positionsAt, fields]) heap.release(address, size)
    }
    return ids
  }
}

/** Slots that so many keys do not fill. */
const slotsFor = (keys: number): number => Math.max(LEAST_SLOTS, 2 ** Math.ceil(Math.log2(keys / LOAD)))

/** What the kernel needs to put ids in order. */
const ORDER_BYTES = 4 * 6 * 2048
/** Keys that are exported in one piece; and imported: room is made as if all of them were new. */
const EXPORT_KEYS = 1 << 16
const IMPORT_KEYS = 1 << 12
/** As kernel/key-parts.ts draws a partition. */
const PARTITION_WORDS = 7
const PARTITION_BYTES = 4 * PARTITION_WORDS
/** The partition of a key that is left to JavaScript. */
const ODD = 0xff
/** So much text of keys that are parted in one piece: there may be a batch, and room for so much beside it. */
const MOST_TEXT_BYTES = 1 << 20

/** Pieces of a partition as one. */
const joinedParts = (some: readonly KeyParts[], parts: number): KeyParts => ({
  keys: {
    bytes: Buffer.concat(some.map(({ keys }) => keys.bytes)),
    ends: joined(
      new Uint32Array(parts * countOf(some)),
      some.map(({ keys }) => keys.ends),
    ),
    positions: joined(
      new Float64Array(countOf(some)),
      some.map(({ keys }) => keys.positions),
    ),
  },
  ids: joined(
    new Uint32Array(countOf(some)),
    some.map(({ ids }) => ids),
  ),
})
const countOf = (parts: readonly KeyParts[]): number => parts.reduce((sum, { ids }) => sum + ids.length, 0)

function joined<Column extends Uint32Array | Float64Array>(into: Column, columns: readonly Column[]): Column {
  let at = 0
  for (const column of columns) {
    into.set(column, at)
    at += column.length
  }
  return into
}
