import { partitionName } from './layout.ts'
import type { Offset, Partition, PartitionName, Topic } from './state.ts'
import type { Store } from './store.ts'

/** New log starts of a topic's partitions by its limits; empty when nothing is due. Reads nothing. */
export function retentionStarts(name: string, { config, partitions }: Topic, now: number): Map<PartitionName, Offset> {
  const starts = new Map<PartitionName, Offset>()
  const left = partitions.map(({ segments }) => [...segments])
  const drop = (p: number): void => {
    const segment = left[p]?.shift()
    if (segment) starts.set(partitionName(name, p), segment.end)
  }
  if (config.retainMs !== undefined) {
    // The newest segment too, as Kafka does: what is past the limit goes, even if nothing new comes.
    const limit = now - config.retainMs
    for (const [p, segments] of left.entries()) while (segments[0] && segments[0].maxTime < limit) drop(p)
  }
  if (config.retainBytes !== undefined) {
    let total = left.flat().reduce((sum, { length }) => sum + length, 0)
    for (;;) {
      // The front segment with the oldest newest record, never a partition's last one.
      let oldest = -1
      for (const [p, segments] of left.entries()) {
        if (segments.length < 2) continue
        const best = left[oldest]?.[0]
        if (!best || (segments[0]?.maxTime ?? 0) < best.maxTime) oldest = p
      }
      const first = left[oldest]?.[0]
      if (!first || total - first.length < config.retainBytes) break
      total -= first.length
      drop(oldest)
    }
  }
  return starts
}

/** Drops what a topic's limits say. Costs nothing when nothing is due. */
export function applyRetention(store: Store, name: string): void {
  const topic = store.state.topics.get(name)
  if (!topic || retentionStarts(name, topic, store.env.now()).size === 0) return
  store.transact(true, (transaction) => {
    const current = store.state.topics.get(name)
    if (!current) return
    for (const [partition, start] of retentionStarts(name, current, transaction.at)) transaction.start(partition, start)
  })
}

/** Bytes of committed records that are still there. */
export const bytesOf = (partition: Partition): number => partition.segments.reduce((sum, { length }) => sum + length, 0)
