import { deserialize, serialize } from 'node:v8'
import { crc32 } from 'node:zlib'
import { BeckError } from '../core/errors.ts'
import { ensureFolder, type Env, errnoOf, readSmallFile, removeIfThere, writeAll } from '../log/env.ts'
import { layout } from '../log/layout.ts'
import { translate } from '../log/store.ts'
import type { StateHandle } from './frames.ts'

/**
 * Files of what stages keep: `state/<pipeline>/<stage>/<generation>-<epoch>.snap`, made exclusively, and synced with the folders that
 * lead to them before the barrier goes on. The barrier carries a handle with length and CRC; a file counts only through the handle in
 * a line of the journal.
 *
 *     "beck snapshot 1\n"  what the operator said, by V8's serializer
 */
const HEAD = Buffer.from('beck snapshot 1\n')

/** Where a pipeline's state is. */
export interface StatePlace {
  readonly env: Env
  readonly store: string
  readonly pipeline: string
}

/** Keeps a stage's state of an epoch. @throws BeckError disk-full, store, frames */
export function writeSnapshot(
  { env, store, pipeline }: StatePlace,
  stage: string,
  at: { readonly generation: number; readonly epoch: number },
  options: string,
  state: unknown,
): StateHandle {
  const bytes = Buffer.concat([HEAD, serialize(state)])
  const file = `${stage}/${at.generation}-${at.epoch}.snap`
  const folder = layout.state(store, pipeline)
  return translate(store, () => {
    let parent = store
    for (const path of [layout.states(store), folder, `${folder}/${stage}`]) {
      if (ensureFolder(env, path)) env.syncFolder(parent)
      parent = path
    }
    const fd = create(env, `${folder}/${file}`)
    try {
      writeAll(env, fd, bytes, 0)
      env.sync(fd)
    } finally {
      env.close(fd)
    }
    env.syncFolder(parent)
    return { file, bytes: bytes.length, crc: crc32(bytes), options }
  })
}

function create(env: Env, path: string): number {
  try {
    return env.open(path, 'create')
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
    throw new BeckError('frames', {
      problem: `${path} is there already: another stage writes the state of this one`,
      hint: 'stop all runs of this pipeline, then start it once',
    })
  }
}

/** What a stage has kept. @throws BeckError frames, when the file is not what was committed */
export function readSnapshot({ env, store, pipeline }: StatePlace, handle: StateHandle): unknown {
  const path = `${layout.state(store, pipeline)}/${handle.file}`
  const bytes = translate(store, () => readSmallFile(env, path))
  const damage = !bytes
    ? 'is not there'
    : bytes.length !== handle.bytes
      ? `has ${bytes.length} bytes in place of ${handle.bytes}`
      : crc32(bytes) !== handle.crc
        ? 'is damaged: its CRC is wrong'
        : !HEAD.equals(bytes.subarray(0, HEAD.length))
          ? 'was written by another version of beck'
          : undefined
  if (!bytes || damage !== undefined) {
    throw new BeckError('frames', {
      problem: `the committed state ${path} ${damage}; nothing is committed`,
      hint: `restore the file from a backup; or begin anew without it: beck pipeline reset ${pipeline} --execute, and beck group reset ${pipeline} --to earliest --execute to read everything again`,
    })
  }
  return deserialize(bytes.subarray(HEAD.length))
}

/** After a commit, under the store's lock: removes snapshots that no committed line reaches and no run can still commit. */
export function removeSnapshots(
  { env, store, pipeline }: StatePlace,
  committed: { readonly generation: number; readonly epoch: number; readonly handles: readonly unknown[] },
): void {
  const folder = layout.state(store, pipeline)
  const kept = new Set((committed.handles as readonly (StateHandle | null)[]).map((handle) => handle?.file))
  for (const stage of env.list(folder)) {
    if (env.kind(`${folder}/${stage}`) !== 'folder') continue
    for (const name of env.list(`${folder}/${stage}`)) {
      const [, generation, epoch] = /^(\d+)-(\d+)\.snap$/.exec(name)?.map(Number) ?? []
      if (generation === undefined || epoch === undefined || kept.has(`${stage}/${name}`)) continue
      const over =
        generation < committed.generation || (generation === committed.generation && epoch <= committed.epoch)
      if (over) removeIfThere(env, `${folder}/${stage}/${name}`)
    }
  }
}
