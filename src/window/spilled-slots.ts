import type { StageContext } from '../core/operator.ts'
import { type Chunk, Chunks } from './chunks.ts'

/** Slots of one chunk: those that are written together are mostly read together, and reading one costs all of them. */
const CHUNK_SLOTS = 16
/** Chunks that were read last. */
const REMEMBERED = 8

interface Place {
  readonly chunk: Chunk
  readonly index: number
  readonly order: number
}
/** A state that holds a slot's share of the content at `index`. */
export interface Share {
  readonly state: unknown
  readonly index: number
  readonly count: number
  readonly order: number
}

/** What slots hold on disk. They stay in use: what comes later is held in memory beside it, and both are put together when asked for. */
export class SpilledSlots {
  readonly #chunks: Chunks
  readonly #places = new Map<number, Place[]>()
  readonly #recent = new Map<Chunk, { state: unknown; count: number }>()

  constructor(context: Pick<StageContext, 'spill'>) {
    this.#chunks = new Chunks((handle) => context.spill(handle))
  }

  get size(): number {
    return this.#places.size
  }
  has(slot: number): boolean {
    return this.#places.has(slot)
  }

  /** Writes what slots hold; the caller clears them. Shares are read in their order, if they have one. */
  write(
    slots: readonly number[],
    exportSlots: (slots: Uint32Array) => unknown,
    orderOf = (_slot: number): number => 0,
  ) {
    for (let from = 0; from < slots.length; from += CHUNK_SLOTS) {
      const own = Uint32Array.from(slots.slice(from, from + CHUNK_SLOTS))
      const chunk = this.#chunks.write({ state: exportSlots(own), count: own.length })
      own.forEach((slot, index) => {
        if (index > 0) this.#chunks.keep(chunk)
        this.#add(slot, { chunk, index, order: orderOf(slot) })
      })
    }
  }

  #add(slot: number, place: Place): void {
    const known = this.#places.get(slot)
    if (known) known.push(place)
    else this.#places.set(slot, [place])
  }

  *read(slot: number): Generator<Share> {
    const places = [...(this.#places.get(slot) ?? [])].sort((a, b) => a.order - b.order)
    for (const { chunk, index, order } of places) {
      let known = this.#recent.get(chunk)
      if (!known) {
        known = this.#chunks.read(chunk) as { state: unknown; count: number }
        if (this.#recent.size >= REMEMBERED) this.#recent.delete(this.#recent.keys().next().value as Chunk)
        this.#recent.set(chunk, known)
      }
      yield { ...known, index, order }
    }
  }

  /** `into` has from now on what `from` has, too. */
  share(into: number, from: number): void {
    for (const place of this.#places.get(from) ?? []) {
      this.#chunks.keep(place.chunk)
      this.#add(into, place)
    }
  }

  forget(slot: number): void {
    const places = this.#places.get(slot)
    if (!places) return
    this.#places.delete(slot)
    for (const { chunk } of places) {
      this.#chunks.release(chunk)
      if (chunk.uses === 0) this.#recent.delete(chunk)
    }
  }
}
