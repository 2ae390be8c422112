import { deserialize, serialize } from 'node:v8'
import type { SpillFile, StageContext } from '../core/operator.ts'

/** A file takes no more chunks when it has this many bytes, so that the space of old ones is given back. */
const FILE_BYTES = 64 << 20

interface ChunkFile {
  readonly file: SpillFile
  /** Chunks in it that are still wanted. */
  wanted: number
}

/** Where something stands on disk. */
export interface Chunk {
  readonly in: ChunkFile
  readonly at: number
  readonly length: number
  /** How many still want it. */
  uses: number
}

/** Values on disk, as node:v8 has them, in a few files whose space comes back when nothing in them is wanted any more. */
export class Chunks {
  readonly #spill: StageContext['spill']
  #last: ChunkFile | undefined
  #count = 0

  constructor(spill: StageContext['spill']) {
    this.#spill = spill
  }

  /** Chunks that are still wanted. */
  get count(): number {
    return this.#count
  }

  /** @returns its place, wanted once. @throws BeckError spill-full, file */
  write(value: unknown): Chunk {
    const bytes = serialize(value)
    const into = (this.#last ??= { file: this.#spill(), wanted: 0 })
    const chunk = { in: into, at: into.file.size, length: bytes.length, uses: 1 }
    into.file.append(bytes)
    into.wanted++
    this.#count++
    if (into.file.size >= FILE_BYTES) this.#last = undefined
    return chunk
  }

  /** What was written. */
  read({ in: { file }, at, length }: Chunk): unknown {
    const bytes = Buffer.allocUnsafe(length)
    file.read(bytes, at)
    return deserialize(bytes)
  }

  keep(chunk: Chunk): void {
    chunk.uses++
  }

  /** Wanted once less. */
  release(chunk: Chunk): void {
    if (--chunk.uses > 0) return
    this.#count--
    if (--chunk.in.wanted > 0) return
    chunk.in.file.close()
    if (this.#last === chunk.in) this.#last = undefined
  }
}
