import { BeckError } from '../core/errors.ts'
import type { PartitionName } from './state.ts'

/** Where everything lies in a store's folder. The only place that knows names of files. */
export const layout = {
  lock: (store: string) => `${store}/lock`,
  journal: (store: string) => `${store}/journal`,
  topics: (store: string) => `${store}/topics`,
  groups: (store: string) => `${store}/groups`,
  states: (store: string) => `${store}/state`,
  state: (store: string, pipeline: string) => `${store}/state/${pipeline}`,
  topic: (store: string, topic: string) => `${store}/topics/${topic}`,
  partition: (store: string, name: PartitionName) => `${store}/topics/${name}`,
  records: (store: string, name: PartitionName, stem: string) => `${store}/topics/${name}/${stem}.ndjson`,
  index: (store: string, name: PartitionName, stem: string) => `${store}/topics/${name}/${stem}.idx`,
} as const

/** Twenty digits, so that names sort as numbers do. */
export const padded = (n: number): string => String(n).padStart(20, '0')

export const partitionName = (topic: string, partition: number): PartitionName => `${topic}/${partition}`

/** `clicks/3` → ["clicks", 3]. */
export function splitPartitionName(name: PartitionName): [topic: string, partition: number] {
  const at = name.lastIndexOf('/')
  return [name.slice(0, at), Number(name.slice(at + 1))]
}

/** Topics, groups, members and producers are all named alike. @throws BeckError usage */
export function checkName(what: 'topic' | 'group' | 'member' | 'producer', name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/.test(name)) return name
  const better = name
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 200)
  throw new BeckError('usage', {
    problem: `"${name.length > 60 ? `${name.slice(0, 60)}…` : name}" cannot be the name of a ${what}`,
    hint: `names begin with a letter or digit and go on with letters, digits, ".", "_", "-", at most 200${better ? `: try ${better}` : ''}`,
  })
}
