import { BeckError } from '../core/errors.ts'
import { suggest } from '../core/suggest.ts'
import { type Env, ensureFolder, removeIfThere, writeFileDurably } from './env.ts'
import { checkName, layout, partitionName } from './layout.ts'
import type { Topic, TopicConfig } from './state.ts'
import type { Store } from './store.ts'
import type { Transaction } from './transaction.ts'

export const MAX_PARTITIONS = 10_000

/** The topic. @throws BeckError store, when there is none */
export function topicOf(store: Store, name: string): Topic {
  checkName('topic', name)
  const topic = store.state.topics.get(name)
  if (topic) return topic
  const suggestion = suggest(name, [...store.state.topics.keys()])
  throw new BeckError('store', {
    problem: `there is no topic "${name}" in ${store.folder}`,
    hint: suggestion
      ? `did you mean "${suggestion}"?`
      : `beck topic list shows the topics; beck append ${name} makes this one`,
  })
}

/**
 * Makes a topic: its folders first (always synced, so that a commit never names a folder that a power cut takes), then the journal's
 * line. What an earlier attempt left in the folder is put aside.
 */
export function createTopic(store: Store, transaction: Transaction, name: string, config: TopicConfig): void {
  checkName('topic', name)
  checkPartitions(config.partitions)
  const { env, folder } = store
  const path = layout.topic(folder, name)
  if (hasRecords(env, path)) {
    env.rename(path, `${layout.topics(folder)}/.aside-${name}-${store.state.n}-${env.now()}`)
  }
  ensureFolder(env, path)
  makePartitions(store, name, 0, config.partitions)
  writeConfig(store, name, config)
  env.syncFolder(layout.topics(folder))
  transaction.topic(name, config)
}

function checkPartitions(partitions: number): void {
  if (Number.isInteger(partitions) && partitions >= 1 && partitions <= MAX_PARTITIONS) return
  throw new BeckError('bad-option', {
    option: '--partitions',
    problem: `a topic has 1 to ${MAX_PARTITIONS} partitions`,
    hint: 'write --partitions 4',
  })
}

/** Changes settings; partitions can only become more. */
export function alterTopic(store: Store, transaction: Transaction, name: string, config: TopicConfig): void {
  const { config: old } = topicOf(store, name)
  checkPartitions(config.partitions)
  if (config.partitions < old.partitions) {
    throw new BeckError('bad-option', {
      option: '--partitions',
      problem: `"${name}" has ${old.partitions} partitions; they cannot become fewer`,
      hint: `copy it: beck replay ${name} | beck append ${name}-2 --partitions ${config.partitions}`,
    })
  }
  makePartitions(store, name, old.partitions, config.partitions)
  writeConfig(store, name, config)
  transaction.topic(name, config)
}

function makePartitions({ env, folder }: Store, name: string, from: number, to: number): void {
  for (let p = from; p < to; p++) ensureFolder(env, layout.partition(folder, partitionName(name, p)))
}

/** `topic.json` is a copy for people: the journal is what counts. */
function writeConfig({ env, folder }: Store, name: string, config: TopicConfig): void {
  writeFileDurably(env, layout.topic(folder, name), 'topic.json', `${JSON.stringify(config)}\n`)
}

const hasRecords = (env: Env, path: string): boolean =>
  env.list(path).some((part) => env.kind(`${path}/${part}`) === 'folder' && env.list(`${path}/${part}`).length > 0)

/**
 * Deletes a topic: its folder is renamed out of the way (synced), then the journal's line makes it so, then the files go. A crash
 * between the first two is undone by recovery (`finishDeletions`).
 */
export function deleteTopic(store: Store, transaction: Transaction, name: string): void {
  topicOf(store, name)
  const { env, folder } = store
  const path = layout.topic(folder, name)
  const away = `${layout.topics(folder)}/.deleted-${name}`
  removeTree(env, away)
  transaction.onFailure(() => {
    if (env.kind(away) && !env.kind(path)) env.rename(away, path)
  })
  env.rename(path, away)
  env.syncFolder(layout.topics(folder))
  transaction.topic(name, null)
  transaction.afterCommit(() => removeTree(env, away))
  store.forget(name)
}

/** Under the lock: a deleted topic's folder goes; one whose deletion was not committed comes back. */
export function finishDeletions(env: Env, folder: string, topics: ReadonlyMap<string, Topic>): void {
  for (const entry of env.list(layout.topics(folder))) {
    const name = /^\.deleted-(.+)$/.exec(entry)?.[1]
    if (name === undefined) continue
    const away = `${layout.topics(folder)}/${entry}`
    const path = layout.topic(folder, name)
    if (topics.has(name) && !env.kind(path)) env.rename(away, path)
    else removeTree(env, away)
  }
}

function removeTree(env: Env, path: string): void {
  const kind = env.kind(path)
  if (kind === undefined) return
  if (kind !== 'folder') return removeIfThere(env, path)
  for (const name of env.list(path)) removeTree(env, `${path}/${name}`)
  env.removeFolder(path)
}

/**
 * The settings of a topic that is about to be written to: made when it is not there; a key or time field that it has none of yet is
 * remembered. @throws BeckError bad-option, when something else was asked for than the topic has
 */
export function prepareTopic(store: Store, name: string, given: Given, sync: boolean): TopicConfig {
  const settled = store.state.topics.get(name)?.config
  if (settled && checkGiven(name, settled, given) === settled) return settled
  return store.transact(sync, (transaction) => {
    const current = store.state.topics.get(name)?.config
    if (current) {
      const changed = checkGiven(name, current, given)
      if (changed !== current) alterTopic(store, transaction, name, changed)
      return changed
    }
    const made = newTopic(given)
    createTopic(store, transaction, name, made)
    return made
  })
}

/** The settings that `prepareTopic` will come to, with nothing changed yet. @param store undefined: there is none yet */
export function plannedTopic(store: Store | undefined, name: string, given: Given): TopicConfig {
  const settled = store?.state.topics.get(name)?.config
  if (settled) return checkGiven(name, settled, given)
  checkPartitions(given.partitions ?? 1)
  return newTopic(given)
}

/** What a command line says about a topic that is written to. */
interface Given {
  readonly partitions?: number | undefined
  readonly key?: string | undefined
  readonly time?: string | undefined
}

const newTopic = ({ partitions = 1, key, time }: Given): TopicConfig => ({
  partitions,
  ...(key !== undefined && { key }),
  ...(time !== undefined && { time }),
})

function checkGiven(name: string, config: TopicConfig, given: Given): TopicConfig {
  const { partitions, key, time } = given
  const differs = (option: string, what: string, now: unknown, hint: string): never => {
    throw new BeckError('bad-option', { option, problem: `the topic "${name}" has ${what} ${String(now)}`, hint })
  }
  if (partitions !== undefined) checkPartitions(partitions)
  if (partitions !== undefined && partitions !== config.partitions) {
    const fewer = partitions < config.partitions
    differs(
      '--partitions',
      'a number of partitions of',
      config.partitions,
      `leave --partitions out${fewer ? ': they cannot become fewer' : `, or change the topic: beck topic alter ${name} --partitions ${partitions}`}`,
    )
  }
  if (key !== undefined && config.key !== undefined && key !== config.key) {
    differs('--by', 'the key', config.key, `leave --by out, or change the topic: beck topic alter ${name} --by ${key}`)
  }
  if (time !== undefined && config.time !== undefined && time !== config.time) {
    differs(
      '--time',
      'the time field',
      config.time,
      `leave --time out, or change the topic: beck topic alter ${name} --time ${time}`,
    )
  }
  if ((key === undefined || config.key !== undefined) && (time === undefined || config.time !== undefined))
    return config
  return { ...config, ...(key !== undefined && { key }), ...(time !== undefined && { time }) }
}
