import type { Store } from './store.ts'
import { type BatchPart, PartitionReader, type ReadPolicy } from './reader.ts'
import type { Offset, PartitionName } from './state.ts'

/** Records of one commit, of all partitions that are read. */
export interface Commit {
  readonly parts: readonly LoadedPart[]
  /** How many records. */
  readonly count: number
}
export interface LoadedPart extends BatchPart {
  /** The lines of the part. */
  readonly bytes: Buffer
}

/**
 * Reads several partitions in exactly the order in which their records were appended: by commit, and within a commit by the rank
 * that the index keeps.
 */
export class MergedReader {
  readonly readers: PartitionReader[]
  private readonly store: Store

  constructor(store: Store, from: ReadonlyMap<PartitionName, Offset>, policy: ReadPolicy) {
    this.store = store
    this.readers = [...from].map(([name, offset]) => new PartitionReader(store, name, offset, policy))
  }

  close(): void {
    for (const reader of this.readers) reader.close()
  }

  /**
   * The next commit with records before the ends (`until`; else the committed end); undefined when all were read. Batches of which
   * `skip` says so are passed without being read.
   */
  next(until: ReadonlyMap<PartitionName, Offset> | undefined, skip?: (part: BatchPart) => boolean): Commit | undefined {
    let first = Infinity
    let candidates: { reader: PartitionReader; part: BatchPart }[] = []
    for (const reader of this.readers) {
      const end = until ? until.get(reader.name) : this.store.state.partition(reader.name)?.next
      let part = reader.peek(end ?? 0)
      for (; part && skip?.(part) === true; part = reader.peek(end ?? 0)) reader.passOver(part)
      if (!part || part.batch.commit > first) continue
      if (part.batch.commit < first) candidates = []
      first = part.batch.commit
      candidates.push({ reader, part })
    }
    if (candidates.length === 0) return undefined
    const parts: LoadedPart[] = []
    let count = 0
    for (const { reader, part } of candidates) {
      const bytes = reader.take(part)
      if (!bytes) continue
      parts.push({ ...part, bytes })
      count += part.to - part.from
    }
    return { parts, count }
  }
}

/** Calls `visit` for each record of a commit in order of append; `start` and `end` bound its line in `part.bytes`, without "\n". */
export function forEachRecord(
  { parts }: Commit,
  visit: (part: LoadedPart, index: number, start: number, end: number) => void | 'done',
): void {
  const cursors = parts.map((part) => ({ part, index: part.from, at: 0 }))
  const rank = ({ part, index }: (typeof cursors)[number]): number => part.batch.ranks?.[index] ?? index
  const live = cursors.filter(({ part }) => part.from < part.to)
  while (live.length > 0) {
    let least = live[0] as (typeof cursors)[number]
    if (live.length > 1) for (const cursor of live) if (rank(cursor) < rank(least)) least = cursor
    const end = least.part.bytes.indexOf(10, least.at)
    if (visit(least.part, least.index, least.at, end) === 'done') return
    least.at = end + 1
    if (++least.index === least.part.to) live.splice(live.indexOf(least), 1)
  }
}

/** The lines of a commit in order of append. A view or a copy: valid until the next commit is read. */
export function linesOf(commit: Commit): Uint8Array {
  const { parts } = commit
  if (parts.length <= 1) return parts[0]?.bytes ?? new Uint8Array(0)
  // Which part each record is of, by counting through the ranks once; then runs of one part are copied at once.
  const size = parts.reduce((sum, part) => sum + part.bytes.length, 0)
  const owner = new Uint16Array(commit.count)
  const order: { rank: number; part: number }[] = []
  let dense = true
  for (const [p, { batch, from, to }] of parts.entries()) {
    for (let i = from; i < to; i++) {
      const rank = batch.ranks?.[i] ?? i
      if (rank >= commit.count) dense = false
      else owner[rank] = p
    }
  }
  if (!dense) {
    for (const [p, { batch, from, to }] of parts.entries()) {
      for (let i = from; i < to; i++) order.push({ rank: batch.ranks?.[i] ?? i, part: p })
    }
    order.sort((a, b) => a.rank - b.rank)
    for (const [i, { part }] of order.entries()) owner[i] = part
  }
  const out = Buffer.allocUnsafe(size)
  const at = parts.map(() => 0)
  let wrote = 0
  for (let i = 0; i < owner.length;) {
    const p = owner[i] as number
    const { bytes } = parts[p] as LoadedPart
    const start = at[p] as number
    let end = start
    do end = bytes.indexOf(10, end) + 1
    while (++i < owner.length && owner[i] === p)
    bytes.copy(out, wrote, start, end)
    wrote += end - start
    at[p] = end
  }
  return out
}
