import { type Env, errnoOf, removeIfThere } from './env.ts'
import { layout, padded } from './layout.ts'
import type { PartitionName } from './state.ts'

/** How many segments are kept open at once, two descriptors each, if the system lets us have so many. */
const OPEN = 1000

/** A segment open for writing. */
export interface OpenSegment {
  readonly name: PartitionName
  readonly stem: string
  readonly records: number
  readonly index: number
}

/** The segments that this process writes to, kept open; the one not used for longest is closed when there are too many. */
export class SegmentFiles {
  private readonly open = new Map<string, OpenSegment>()
  private readonly env: Env
  private readonly store: string

  constructor(env: Env, store: string) {
    this.env = env
    this.store = store
  }

  private openFile(path: string, mode: 'write' | 'create'): number {
    try {
      return this.env.open(path, mode)
    } catch (error) {
      if (errnoOf(error) !== 'EMFILE') throw error
      this.close()
      return this.env.open(path, mode)
    }
  }

  /** An existing segment. */
  get(name: PartitionName, stem: string): OpenSegment {
    const key = `${name}/${stem}`
    let segment = this.open.get(key)
    if (segment) {
      this.open.delete(key)
      this.open.set(key, segment)
      return segment
    }
    const records = this.openFile(layout.records(this.store, name, stem), 'write')
    try {
      segment = { name, stem, records, index: this.openFile(layout.index(this.store, name, stem), 'write') }
    } catch (error) {
      this.env.close(records)
      throw error
    }
    return this.keep(segment)
  }

  /** A new segment that begins at `base`. A name that a crash has left behind is not used again. */
  create(name: PartitionName, base: number): OpenSegment {
    for (let attempt = 0; ; attempt++) {
      const stem = attempt === 0 ? padded(base) : `${padded(base)}-${attempt}`
      const path = layout.records(this.store, name, stem)
      let records: number
      try {
        records = this.openFile(path, 'create')
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw error
        continue
      }
      try {
        return this.keep({ name, stem, records, index: this.openFile(layout.index(this.store, name, stem), 'create') })
      } catch (error) {
        this.env.close(records)
        if (errnoOf(error) !== undefined) removeIfThere(this.env, path)
        if (errnoOf(error) !== 'EEXIST') throw error
      }
    }
  }

  private keep(segment: OpenSegment): OpenSegment {
    this.open.set(`${segment.name}/${segment.stem}`, segment)
    if (this.open.size > OPEN) for (const { name, stem } of this.open.values()) return (this.drop(name, stem), segment)
    return segment
  }

  drop(name: PartitionName, stem: string): void {
    const segment = this.open.get(`${name}/${stem}`)
    if (!segment) return
    this.open.delete(`${name}/${stem}`)
    this.env.close(segment.records)
    this.env.close(segment.index)
  }

  /** Closes what is open of a topic. */
  dropTopic(topic: string): void {
    for (const { name, stem } of this.open.values()) if (name.startsWith(`${topic}/`)) this.drop(name, stem)
  }

  close(): void {
    for (const { name, stem } of this.open.values()) this.drop(name, stem)
  }
}
