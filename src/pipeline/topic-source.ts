import { offsetAt } from '../log/positions.ts'
import { partitionName } from '../log/layout.ts'
import type { ReadPolicy } from '../log/reader.ts'
import { Replay } from '../log/replay.ts'
import { Store, storeFolder } from '../log/store.ts'
import { topicOf } from '../log/topics.ts'
import type { ByteSource } from './source.ts'

/** The records that a topic holds now, in order of append. @throws BeckError store */
export function openTopic(topic: string, folder: string | undefined): ByteSource {
  const store = Store.open(storeFolder(folder), { say: () => {} })
  const { partitions } = topicOf(store, topic)
  const policy: ReadPolicy = { onCorrupt: 'fail', onLost: 'fail', say: () => {} }
  const names = partitions.map((_, partition) => partitionName(topic, partition))
  const replay = new Replay(store, {
    from: new Map(names.map((name) => [name, offsetAt(store, name, { kind: 'earliest' }, policy)])),
    until: new Map(names.map((name) => [name, store.state.partition(name)?.next ?? 0])),
    policy,
  })
  let rest: Uint8Array = new Uint8Array(0)
  return {
    name: `topic:${topic}`,
    size: undefined,
    pauses: false,
    read(into) {
      while (rest.length === 0) {
        const step = replay.done ? undefined : replay.next()
        if (!step || !('lines' in step)) return 0
        rest = step.lines
      }
      const n = Math.min(rest.length, into.length)
      into.set(rest.subarray(0, n))
      rest = rest.subarray(n)
      return n
    },
    consumed: () => 0,
    close() {
      replay.close()
      store.close()
    },
  }
}
