import { BeckError } from '../core/errors.ts'
import { FreeList } from './free-list.ts'
import type { Kernel } from './kernel-functions.ts'
import wasm from './kernel/kernel.wasm'

const PAGE_BYTES = 1 << 16
const GIB = 1 << 30
/**
 * Enough for the usual stage. The system backs a page only once it is used, but V8 counts all of it as garbage in the making, and collects
 * at once when that is 64 MiB.
 */
const FIRST_BYTES = 48 << 20
/** So large that it hardly has to grow: the other thread may be late to see that it has. */
const VISIBLE_BYTES = 128 << 20
/** For columns and output beyond a scanner's own frame. */
const RESERVE_BYTES = 8 << 20
/** Of a field and row: a span; a column of each kind. */
const SPAN_BYTES = 8
const COLUMN_BYTES = 32
/** Pieces are powers of two; smaller ones than this are not worth keeping apart. */
const LEAST_BITS = 12
/** The kernel reads and writes up to this far beyond what it is asked to (64 bytes a step). */
export const SLACK = 128

/** What `fold` works in. */
const FOLD_BYTES = 1324 * 16

/** Something that grows while batches are worked on, and wants room for it before. */
export interface Growing {
  /** A batch of so many rows and bytes is coming. */
  ensure(rows: number, bytes: number): void
}

/**
 * The kernel and its memory: one of each per thread, shared by all scanners and key tables, so that any of them can work on the
 * bytes of any other.
 *
 * Growing the memory detaches every view that was handed out, so it happens only at safe points: when a scanner or a table is made, in
 * `room`, and at the end of a scan, before there is a batch (`prepare`). What a batch may need while it is worked on is free then.
 */
export class Heap {
  readonly kernel: Kernel
  private readonly memory: WebAssembly.Memory
  private top: number
  private growing: { readonly growing: WeakRef<Growing>; readonly owner: WeakRef<object> }[] = []
  /** What stages beyond the first may ask for. */
  private bytesARow = 0
  private readonly free = new FreeList()

  /** Where `fold` works. */
  readonly foldRoom: number

  bytes!: Buffer
  u32!: Uint32Array
  f64!: Float64Array
  u64!: BigUint64Array

  /** @param visible memory that other threads see, too */
  constructor(visible?: WebAssembly.Memory) {
    this.memory = visible ?? largeMemory()
    const module = visible ? new WebAssembly.Module(forSharedMemory(wasm)) : (compiled ??= new WebAssembly.Module(wasm))
    const instance = new WebAssembly.Instance(module, { env: { memory: this.memory } })
    this.kernel = instance.exports as unknown as Kernel // what index.ts of the kernel exports
    this.top = (this.kernel.heapBase() + 0xfff) & ~0xfff
    this.view()
    this.foldRoom = this.allocate(FOLD_BYTES) // now: later on, growing would take the bytes away that are to be folded
  }

  private view(): void {
    const { buffer } = this.memory
    this.bytes = Buffer.from(buffer)
    this.u32 = new Uint32Array(buffer)
    this.f64 = new Float64Array(buffer)
    this.u64 = new BigUint64Array(buffer)
  }

  /** A piece of at least `size` bytes, at a multiple of 4096. Its content is whatever was there. May grow the memory. */
  allocate(size: number): number {
    const whole = wholeSize(size)
    const free = this.free.take(whole)
    if (free !== undefined) return free
    const piece = this.top
    this.top += whole
    if (this.top > this.bytes.length) this.grow()
    return piece
  }

  /**
   * The same, all zero. Fresh memory is written to as well: of a page that is read first the system shows one that all share, and must take it away again
   * in every thread when it is written to, which takes ten times as long as the fault of a page that is written to at once.
   */
  allocateZeroed(size: number): number {
    const address = this.allocate(size)
    this.bytes.fill(0, address, address + size)
    return address
  }

  /** Gives back what `allocate(size)` gave. */
  release(address: number, size: number): void {
    this.free.add(address, address + wholeSize(size))
    this.top = this.free.lower(this.top)
  }

  /** Batches are worked on by so many stages, each of which may ask for a view of its own and for columns of all fields. */
  share(stages: number, fields: number): void {
    this.bytesARow = Math.max(this.bytesARow, (stages - 1) * (SPAN_BYTES + fields * (SPAN_BYTES + COLUMN_BYTES)))
  }

  /** Asks `growing` to make room before each batch, for as long as it lives and `owner` is not given up. */
  register(growing: Growing, owner: object): void {
    this.growing.push({ growing: new WeakRef(growing), owner: new WeakRef(owner) })
  }

  /** What the owner has registered is asked no more: it may use memory that is somebody else's now. */
  giveUp(owner: object): void {
    this.growing = this.growing.filter((one) => one.owner.deref() !== owner)
  }

  /**
   * Whether bytes stay where they are when the memory grows, though views of them are detached: then another thread can read into it meanwhile. V8 has reserved
   * all the addresses that the kernel can name, unless Node was started without that protection.
   */
  readonly growsInPlace = !/disable.wasm.trap.handler/.test(`${process.execArgv.join()} ${process.env['NODE_OPTIONS']}`)

  /** Bytes up to the highest that somebody has. */
  get usedBytes(): number {
    return this.top
  }

  /** Makes room for what a batch of so many rows and bytes may ask for. May grow the memory. */
  prepare(rows: number, bytes: number): void {
    let gone = false
    for (const one of this.growing) {
      const growing = one.growing.deref()
      growing?.ensure(rows, bytes)
      gone ||= !growing
    }
    if (gone) this.growing = this.growing.filter((one) => one.growing.deref())
    const columns = RESERVE_BYTES + 4 * bytes + rows * this.bytesARow
    if (this.top + columns > this.bytes.length) this.grow(columns)
  }

  private grow(beyond = 0): void {
    const missing = this.top + beyond - this.bytes.length
    const wanted = Math.min(Math.max(missing, this.bytes.length / 2), 4 * GIB - this.bytes.length)
    try {
      this.memory.grow(Math.ceil(Math.max(this.top - this.bytes.length, wanted) / PAGE_BYTES))
    } catch (error) {
      throw new BeckError('too-many-keys', {}, { cause: error })
    }
    this.view()
  }
}

/** What one scanner or key table has of the heap. It goes back when it is closed, or when the owner is garbage. */
export class Pieces {
  private readonly heap: Heap
  private readonly sizes = new Map<number, number>()

  constructor(heap: Heap, owner: object) {
    this.heap = heap
    abandoned.register(owner, { heap, sizes: this.sizes })
  }

  /** As `Heap.allocate`. */
  allocate(size: number): number {
    const address = this.heap.allocate(size)
    this.sizes.set(address, size)
    return address
  }

  /** As `Heap.allocateZeroed`. */
  allocateZeroed(size: number): number {
    const address = this.heap.allocateZeroed(size)
    this.sizes.set(address, size)
    return address
  }

  release(address: number): void {
    this.heap.release(address, this.sizes.get(address) as number)
    this.sizes.delete(address)
  }

  /** Gives all of it back. The owner is not used any more. */
  close(): void {
    for (const [address, size] of this.sizes) this.heap.release(address, size)
    this.sizes.clear()
  }
}

const abandoned = new FinalizationRegistry<{ heap: Heap; sizes: Map<number, number> }>(({ heap, sizes }) => {
  for (const [address, size] of sizes) heap.release(address, size)
})

const wholeSize = (size: number): number => 2 ** Math.max(LEAST_BITS, 32 - Math.clz32(size - 1))

/** With as much address space as the system lets us reserve, so that growing moves nothing. */
function largeMemory(): WebAssembly.Memory {
  for (let maximum = 4 * GIB; ; maximum /= 4) {
    try {
      return new WebAssembly.Memory({ initial: FIRST_BYTES / PAGE_BYTES, maximum: maximum / PAGE_BYTES })
    } catch (error) {
      if (maximum < 2 * FIRST_BYTES) throw error
    }
  }
}

let compiled: WebAssembly.Module | undefined
/** Memory for a heap that this thread and another one see. Undefined where the system does not let us reserve it. */
export function visibleMemory(): WebAssembly.Memory | undefined {
  try {
    const limits = { initial: VISIBLE_BYTES / PAGE_BYTES, maximum: GIB / PAGE_BYTES, shared: true }
    return new WebAssembly.Memory(limits)
  } catch {
    return undefined
  }
}

/** The same code, importing memory that is shared: one bit of the import's limits. */
function forSharedMemory(code: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = Buffer.from(code)
  const limits = copy.indexOf('\u0006memory\u0002\u0001', 0, 'latin1') + 8
  if (limits < 8) throw new Error('the kernel does not import its memory as expected')
  copy[limits] = 3
  return copy
}

/** This thread's heap will be memory that another thread sees. Comes before anything else that uses the heap. */
export function useVisibleMemory(memory: WebAssembly.Memory): void {
  if (shared) throw new Error('this thread has a heap already')
  shared = new Heap(memory)
}

let shared: Heap | undefined
/** The thread's heap, made when first needed. */
export const heap = (): Heap => (shared ??= new Heap())

/** The thread's heap, if `bytes` are in it. */
export const heapOf = (bytes: Uint8Array): Heap | undefined =>
  shared?.bytes.buffer === bytes.buffer ? shared : undefined

/** Heaps of scanners that had one of their own, and are closed. */
const idle: Heap[] = []
export const heapApart = (): Heap => idle.pop() ?? new Heap()
export function leaveHeap(heap: Heap): void {
  // What has grown stays as large for as long as it is kept.
  if (idle.length < MOST_IDLE && heap.bytes.length <= MOST_IDLE_BYTES) idle.push(heap)
}
const MOST_IDLE = 8
const MOST_IDLE_BYTES = 128 << 20
