/**
 * Which member of a group reads which partitions: Kafka's assignors, to the letter.
 * Source: org.apache.kafka.clients.consumer.{RangeAssignor, RoundRobinAssignor}, internals.AbstractStickyAssignor.
 */
export type Strategy = 'range' | 'roundrobin' | 'sticky'
export const strategies: readonly Strategy[] = ['range', 'roundrobin', 'sticky']

export interface Subscriber {
  readonly id: string
  readonly topics: readonly string[]
}
export type TopicPartition = readonly [topic: string, partition: number]
/** Member → its partitions, in the assignor's order. Every member is there. */
export type Assignment = Map<string, TopicPartition[]>

/**
 * @param partitions topic → number of partitions
 * @param previous what members had (only `sticky` looks at it)
 */
export function assign(
  strategy: Strategy,
  members: readonly Subscriber[],
  partitions: ReadonlyMap<string, number>,
  previous: Assignment = new Map(),
): Assignment {
  const sorted = [...members].sort((a, b) => compare(a.id, b.id))
  const result: Assignment = new Map(sorted.map(({ id }) => [id, []]))
  const topics = [...partitions.keys()].filter((topic) => sorted.some((m) => m.topics.includes(topic))).sort(compare)
  if (sorted.length === 0) return result
  if (strategy === 'range') range(sorted, topics, partitions, result)
  else {
    const all = topics.flatMap((topic) =>
      Array.from({ length: partitions.get(topic) ?? 0 }, (_, p): TopicPartition => [topic, p]),
    )
    if (strategy === 'roundrobin') roundRobin(sorted, all, result)
    else if (sorted.every((m) => sameTopics(m.topics, (sorted[0] as Subscriber).topics)))
      stickyEqual(sorted, all, result, previous)
    else stickyGeneral(sorted, all, result, previous)
  }
  return result
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
const sameTopics = (a: readonly string[], b: readonly string[]): boolean =>
  new Set(a).size === new Set(b).size && a.every((topic) => b.includes(topic))
const nameOf = ([topic, partition]: TopicPartition): string => `${topic}/${partition}`

/** Per topic: consecutive partitions, the first members get one more. */
function range(
  members: readonly Subscriber[],
  topics: readonly string[],
  partitions: ReadonlyMap<string, number>,
  result: Assignment,
): void {
  for (const topic of topics) {
    const subscribers = members.filter((m) => m.topics.includes(topic))
    const count = partitions.get(topic) ?? 0
    const each = Math.floor(count / subscribers.length)
    const extra = count % subscribers.length
    for (const [i, { id }] of subscribers.entries()) {
      const from = each * i + Math.min(i, extra)
      for (let p = from; p < from + each + (i < extra ? 1 : 0); p++) result.get(id)?.push([topic, p])
    }
  }
}

/** All partitions in turn to the next member that reads their topic. */
function roundRobin(members: readonly Subscriber[], all: readonly TopicPartition[], result: Assignment): void {
  let next = 0
  for (const partition of all) {
    while (!(members[next % members.length] as Subscriber).topics.includes(partition[0])) next++
    result.get((members[next++ % members.length] as Subscriber).id)?.push(partition)
  }
}

/** All members read the same topics: each keeps what it had up to its share; the rest goes round to those below theirs. */
function stickyEqual(
  members: readonly Subscriber[],
  all: readonly TopicPartition[],
  result: Assignment,
  previous: Assignment,
): void {
  const least = Math.floor(all.length / members.length)
  const most = Math.ceil(all.length / members.length)
  const mayHaveMore = all.length % members.length
  let haveMore = 0
  const free = new Map(all.map((partition) => [nameOf(partition), partition]))
  let below: string[] = []
  let exactly: string[] = []
  for (const { id } of members) {
    const owned = (previous.get(id) ?? []).filter((partition) => free.has(nameOf(partition)))
    let keep: number
    if (owned.length < least) {
      keep = owned.length
      below.push(id)
    } else if (owned.length >= most && haveMore < mayHaveMore) {
      keep = most
      haveMore++
    } else {
      keep = least
      exactly.push(id)
    }
    for (const partition of owned.slice(0, keep)) {
      free.delete(nameOf(partition))
      result.get(id)?.push(partition)
    }
  }
  for (let at = 0; free.size > 0;) {
    const [name, partition] = free.entries().next().value as [string, TopicPartition]
    free.delete(name)
    if (below.length === 0) {
      result.get(exactly.shift() as string)?.push(partition)
      continue
    }
    const id = below[at % below.length] as string
    at = at % below.length
    const own = result.get(id) as TopicPartition[]
    own.push(partition)
    if (own.length >= least) {
      below = below.filter((other) => other !== id)
      exactly = [...exactly, id]
    } else at++
  }
}

/** Members read different topics: everybody keeps what it may, the rest goes to the least loaded, then moves until even. */
function stickyGeneral(
  members: readonly Subscriber[],
  all: readonly TopicPartition[],
  result: Assignment,
  previous: Assignment,
): void {
  const subscribers = ([topic]: TopicPartition): Subscriber[] => members.filter((m) => m.topics.includes(topic))
  const free = new Map(all.map((partition) => [nameOf(partition), partition]))
  for (const { id, topics } of members) {
    for (const partition of previous.get(id) ?? []) {
      if (free.has(nameOf(partition)) && topics.includes(partition[0])) {
        free.delete(nameOf(partition))
        result.get(id)?.push(partition)
      }
    }
  }
  const load = (id: string): number => result.get(id)?.length ?? 0
  const lightest = (candidates: readonly Subscriber[]): string =>
    candidates.reduce((best, { id }) => (load(id) < load(best) ? id : best), (candidates[0] as Subscriber).id)
  // Those with the fewest possible readers first.
  const rest = [...free.values()].sort((a, b) => subscribers(a).length - subscribers(b).length)
  for (const partition of rest) result.get(lightest(subscribers(partition)))?.push(partition)
  for (let moved = true; moved;) {
    moved = false
    for (const { id } of members) {
      for (const partition of result.get(id) ?? []) {
        const target = lightest(subscribers(partition))
        if (load(id) - load(target) < 2) continue
        result.set(
          id,
          (result.get(id) ?? []).filter((other) => other !== partition),
        )
        result.get(target)?.push(partition)
        moved = true
        break
      }
    }
  }
}
