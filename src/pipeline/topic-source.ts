import { Follower } from '../log/follow.ts'
import { offsetAt } from '../log/positions.ts'
import { partitionName } from '../log/layout.ts'
import type { ReadPolicy } from '../log/reader.ts'
import { Replay } from '../log/replay.ts'
import { Store, storeFolder } from '../log/store.ts'
import { topicOf } from '../log/topics.ts'
import type { ByteSource } from './source.ts'

/** How often a followed topic asks whether it is still wanted. */
const ASK_MS = 100

/**
 * The records that a topic holds now, in order of append; with `follow` also what is appended later, for as long as that says so.
 * @throws BeckError store
 */
export function openTopic(topic: string, folder: string | undefined, follow?: () => boolean): ByteSource {
  const store = Store.open(storeFolder(folder), { say: () => {} })
  const { partitions } = topicOf(store, topic)
  const policy: ReadPolicy = { onCorrupt: 'fail', onLost: 'fail', say: () => {} }
  const names = partitions.map((_, partition) => partitionName(topic, partition))
  const replay = new Replay(store, {
    from: new Map(names.map((name) => [name, offsetAt(store, name, { kind: 'earliest' }, policy)])),
    until: follow ? undefined : new Map(names.map((name) => [name, store.state.partition(name)?.next ?? 0])),
    policy,
  })
  let rest: Uint8Array = new Uint8Array(0)
  const take = (into: Uint8Array): number => {
    while (rest.length === 0) {
      const step = replay.done ? undefined : replay.next()
      if (!step || !('lines' in step)) return 0
      rest = step.lines
    }
    const n = Math.min(rest.length, into.length)
    into.set(rest.subarray(0, n))
    rest = rest.subarray(n)
    return n
  }
  const follower = follow && new Follower(store)
  const wait = async (into: Uint8Array): Promise<number> => {
    for (let n = take(into); ; n = take(into)) {
      if (n > 0 || !follow?.()) return n
      await follower?.wait(ASK_MS)
    }
  }
  return {
    name: `topic:${topic}`,
    size: undefined,
    pauses: follow !== undefined,
    read: follow ? wait : take,
    consumed: () => 0,
    close() {
      follower?.stop()
      replay.close()
      store.close()
    },
  }
}
