import type { Registry } from '../src/cli/registry.ts'

/** Every command, listed statically: a single-file executable needs that. One is loaded when it runs. */
export const commands: Registry = {
  append: async () => (await import('./append.ts')).append,
  commit: async () => (await import('./commit.ts')).commit,
  consume: async () => (await import('./consume.ts')).consume,
  dedupe: async () => (await import('./dedupe.ts')).dedupe,
  explain: async () => (await import('./explain.ts')).explain,
  filter: async () => (await import('./filter.ts')).filter,
  from: async () => (await import('./from.ts')).from,
  group: async () => (await import('./group.ts')).group,
  into: async () => (await import('./into.ts')).into,
  join: async () => (await import('./join.ts')).join,
  map: async () => (await import('./map.ts')).map,
  pipeline: async () => (await import('./pipeline.ts')).pipeline,
  reduce: async () => (await import('./reduce.ts')).reduce,
  replay: async () => (await import('./replay.ts')).replay,
  run: async () => (await import('./run.ts')).run,
  shuffle: async () => (await import('./shuffle.ts')).shuffle,
  sort: async () => (await import('./sort.ts')).sort,
  to: async () => (await import('./to.ts')).to,
  topic: async () => (await import('./topic.ts')).topic,
  via: async () => (await import('./via.ts')).via,
  window: async () => (await import('./window.ts')).window,
}
