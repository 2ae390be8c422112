import { crc32 } from 'node:zlib'
import { BeckError } from '../core/errors.ts'
import { ensureFolder, type Env, errnoOf, named, readSmallFile, realEnv, removeIfThere, writeAll } from '../log/env.ts'
import { layout } from '../log/layout.ts'
import { translate } from '../log/store.ts'
import type { StateFile, StateHandle } from './frames.ts'
import { readAhead } from './read-ahead.ts'
import { decodeBlocks, encodeBlock } from './state-blocks.ts'
import { WrittenAside } from './written-aside.ts'

/**
 * Files of what stages keep: `state/<pipeline>/<stage>/<generation>-<epoch>.snap`, made exclusively, and synced with the folders that
 * lead to them before the barrier goes on. The barrier carries a handle with length and CRC; a file counts only through the handle in
 * a line of the journal.
 *
 *     "beck snapshot 4\n"  block block …       block: what the operator said, see state-blocks.ts
 *
 * A file is never changed. What a stage knows is a chain of them, which the handle lists: the first holds everything as of its epoch,
 * each later one what changed since the one before. A checkpoint writes what changed; when that adds up, everything is written anew: by
 * another thread where it is large, and until that is done the chain goes on as it was. Many small files in a row are put into one, block by
 * block, so that a chain has some 7 of each size.
 *
 *     epochs 1…9     [everything 1] [2] [3] [4] [5] [6] [7] [8]  + 9  →  [everything 1] [2 3 4 5 6 7 8 9]
 *     aside at 11    [everything 1] [2…9] [10] [11] [12]         + 13 →  [everything 11] [12] [13]
 */
const HEAD = Buffer.from('beck snapshot 4\n')
/** What is smaller than this is written whole each time; what is larger than that, aside. */
const SMALL_BYTES = 1 << 18
const ASIDE_BYTES = 4 << 20
/** So many files in a row that are no larger than the newest become one, unless that has more bytes than this. */
const FAN = 8
const MOST_FOLDED_BYTES = 64 << 20

/** Where a pipeline's state is. */
export interface StatePlace {
  readonly env: Env
  readonly store: string
  readonly pipeline: string
}

/** How an operator makes snapshots: see `OperatorStage`. */
export type Snapshots = true | 'changes' | 'appends'

/** The state of one stage over one run: what it has kept, and the next epochs. */
export class StageState {
  readonly #place: StatePlace
  readonly #stage: string
  readonly #options: string
  readonly #snapshots: Snapshots
  /** Files that stay as they are, apart from being put into one; and those after them. */
  #sealed: readonly StateFile[] = []
  #chain: readonly StateFile[] = []
  /** Everything as of a point of the chain, while another thread writes it. */
  #aside: { readonly file: WrittenAside; readonly place: number } | undefined
  #canAside: boolean
  /** This run has written nothing yet. Its first snapshot is not the time to begin something aside: the run may be over with it. */
  #isFirst = true
  /** The folders that lead to the files are on the disk: another process may have made them, and have no need of that. */
  #isLed = false

  /** @param stage the name of its folder @param options says which command line the state belongs to */
  constructor(place: StatePlace, stage: string, options: string, snapshots: Snapshots) {
    this.#place = place
    this.#stage = stage
    this.#options = options
    this.#snapshots = snapshots
    this.#canAside = place.env === realEnv
  }

  /**
   * What was committed, oldest first. One file is in memory at a time, and those that are there already, which are taken out.
   * @throws BeckError frames, when a file is not what was committed
   */
  *read(handle: StateHandle, ahead?: Map<string, Buffer>): Generator<unknown> {
    const files = filesOf(handle)
    this.#sealed = files.slice(0, handle.sealed ?? 0)
    this.#chain = files.slice(this.#sealed.length)
    for (const file of files) {
      const bytes = checkFile(this.#place, file, ahead?.get(file.file) ?? bytesOfFile(this.#place, file))
      ahead?.delete(file.file)
      yield* decodeBlocks(bytes.subarray(HEAD.length))
    }
  }

  /**
   * Keeps the state of an epoch.
   * @param take gives everything, or what changed since it was last asked
   * @param must changes would not do; or this takes the place of all that was not sealed, and is sealed
   * @throws BeckError disk-full, store, frames
   */
  write(
    at: { readonly generation: number; readonly epoch: number },
    take: (whole: boolean) => unknown,
    must: boolean | 'seal' = false,
  ): StateHandle {
    const name = `${this.#stage}/${at.generation}-${at.epoch}`
    if (must === 'seal') return this.#seal(name, encodeBlock(take(true)))
    this.#takeAside(name)
    const whole = must || this.#isWholeDue()
    if (whole) this.#aside = undefined
    const state = encodeBlock(take(whole))
    // The first stays alone; and files before and after what is written aside stay apart.
    const floor = this.#aside?.place ?? (this.#snapshots === 'appends' ? 0 : 1)
    const kept = whole ? 0 : keepFrom(this.#chain, floor, bytesOf(state))
    const folded = whole ? [] : this.#blocks(this.#chain.slice(kept))
    const file = this.#writeFile(name, [HEAD, ...folded, ...state])
    this.#chain = [...this.#chain.slice(0, kept), file]
    if (this.#isAsideDue()) {
      // In one piece, of its own: the state goes on.
      const everything = Buffer.concat([HEAD, ...encodeBlock(take(true))])
      const path = `${layout.state(this.#place.store, this.#place.pipeline)}/${name}.part`
      const written = new WrittenAside(path, everything)
      this.#aside = { file: written, place: this.#chain.length }
    }
    this.#isFirst = false
    return this.#handle([...this.#sealed, ...this.#chain])
  }

  #seal(name: string, state: readonly Uint8Array[]): StateHandle {
    this.#aside = undefined
    const kept = keepFrom(this.#sealed, 0, bytesOf(state))
    const folded = this.#blocks(this.#sealed.slice(kept))
    const file = this.#writeFile(name, [HEAD, ...folded, ...state])
    this.#sealed = [...this.#sealed.slice(0, kept), file]
    this.#chain = []
    return this.#handle(this.#sealed)
  }

  #handle(files: readonly StateFile[]): StateHandle {
    const chain = files.slice(0, -1)
    const sealed = this.#sealed.length
    return {
      ...(files.at(-1) as StateFile),
      options: this.#options,
      ...(chain.length > 0 && { chain }),
      ...(sealed > 0 && { sealed }),
    }
  }

  #writeFile(name: string, parts: readonly Uint8Array[]): StateFile {
    const file = writeFile(this.#place, this.#stage, `${name}.snap`, parts, this.#isLed)
    this.#isLed = true
    return file
  }

  #blocks(files: readonly StateFile[]): Buffer[] {
    return files.map((file) => checkFile(this.#place, file, bytesOfFile(this.#place, file)).subarray(HEAD.length))
  }

  #isWholeDue(): boolean {
    if (this.#snapshots === 'appends') return false
    const [first, ...changes] = this.#chain
    if (this.#snapshots === true || !first || first.bytes < SMALL_BYTES) return true
    // Short runs never see the end of what is written aside.
    const most = !this.#isLarge(first) ? 1 : this.#isFirst ? 2 : 4
    return total(changes) >= most * first.bytes
  }

  #isLarge({ bytes }: StateFile): boolean {
    return this.#canAside && bytes >= ASIDE_BYTES
  }

  #isAsideDue(): boolean {
    const [first, ...changes] = this.#chain
    if (this.#snapshots !== 'changes' || this.#isFirst || this.#aside || !first || !this.#isLarge(first)) return false
    return total(changes) >= first.bytes
  }

  /** What another thread has written takes the place of the files that it stands for. The caller syncs the folder. */
  #takeAside(name: string): void {
    if (!this.#aside) return
    const { file, place } = this.#aside
    const state = file.state()
    if (state === 'waits') return
    this.#aside = undefined
    const { env, store, pipeline } = this.#place
    if (state === 'failed') {
      // Next time it is written here, where an error can be told.
      this.#canAside = false
      removeIfThere(env, file.path)
      return
    }
    const own = `${name}-base.snap`
    translate(store, () => env.rename(file.path, `${layout.state(store, pipeline)}/${own}`))
    this.#chain = [{ file: own, bytes: file.bytes, crc: state.crc }, ...this.#chain.slice(place)]
  }
}

/** How many files of a chain stay as they are: the ones after them go into the next. */
function keepFrom(chain: readonly StateFile[], floor: number, bytes: number): number {
  let from = chain.length
  for (let sum = bytes; ;) {
    let first = from
    while (first > floor && (chain[first - 1] as StateFile).bytes <= 2 * sum) first--
    const more = total(chain.slice(first, from))
    if (from - first < FAN - 1 || sum + more > MOST_FOLDED_BYTES) return from
    sum += more
    from = first
  }
}

const bytesOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { length }) => sum + length, 0)
const total = (files: readonly StateFile[]): number => files.reduce((sum, { bytes }) => sum + bytes, 0)
const fileOf = ({ file, bytes, crc }: StateFile): StateFile => ({ file, bytes, crc })

/** All files of a handle. */
export const filesOf = (handle: StateHandle | null): readonly StateFile[] =>
  handle ? [...(handle.chain ?? []), fileOf(handle)] : []

function writeFile(
  { env, store, pipeline }: StatePlace,
  stage: string,
  file: string,
  parts: readonly Uint8Array[],
  isLed: boolean,
): StateFile {
  const folder = layout.state(store, pipeline)
  return translate(store, () => {
    let parent = store
    for (const path of [layout.states(store), folder, `${folder}/${stage}`]) {
      if (ensureFolder(env, path) || !isLed) env.syncFolder(parent)
      parent = path
    }
    const path = `${folder}/${file}`
    const fd = create(env, path)
    let bytes = 0
    let crc = 0
    try {
      named(path, () => {
        for (const part of parts) {
          writeAll(env, fd, part, bytes)
          bytes += part.length
          crc = crc32(part, crc)
        }
        env.sync(fd)
      })
    } finally {
      env.close(fd)
    }
    env.syncFolder(parent)
    return { file, bytes, crc }
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

const pathOf = ({ store, pipeline }: StatePlace, { file }: StateFile): string =>
  `${layout.state(store, pipeline)}/${file}`

const bytesOfFile = (place: StatePlace, file: StateFile): Buffer | undefined =>
  translate(place.store, () => readSmallFile(place.env, pathOf(place, file)))

/** The files of a handle by name, as other threads read them; undefined where it is as quick to read them when they are wanted. */
export function readStateAhead(place: StatePlace, handle: StateHandle): Promise<Map<string, Buffer>> | undefined {
  return readAhead(filesOf(handle).map((file) => ({ name: file.file, path: pathOf(place, file), bytes: file.bytes })))
}

/** @throws BeckError frames, when they are not what was committed */
function checkFile(place: StatePlace, file: StateFile, bytes: Buffer | undefined): Buffer {
  const { pipeline } = place
  const { bytes: length, crc } = file
  const path = pathOf(place, file)
  const damage = !bytes
    ? 'is not there'
    : bytes.length !== length
      ? `has ${bytes.length} bytes in place of ${length}`
      : crc32(bytes) !== crc
        ? 'is damaged: its CRC is wrong'
        : !HEAD.equals(bytes.subarray(0, HEAD.length))
          ? 'was written by another version of beck'
          : undefined
  if (bytes && damage === undefined) return bytes
  throw new BeckError('frames', {
    problem: `the committed state ${path} ${damage}; nothing is committed`,
    hint: `restore the file from a backup; or begin anew without it: beck pipeline reset ${pipeline} --execute, and beck group reset ${pipeline} --to earliest --execute to read everything again`,
  })
}

/** After a commit, under the store's lock: removes snapshots that no committed line reaches and no run can still commit. */
export function removeSnapshots(
  { env, store, pipeline }: StatePlace,
  committed: { readonly generation: number; readonly epoch: number; readonly handles: readonly unknown[] },
): void {
  const folder = layout.state(store, pipeline)
  const handles = committed.handles as readonly (StateHandle | null)[]
  const kept = new Set(handles.flatMap(filesOf).map(({ file }) => file))
  // Behind a join, epochs have other numbers than before it: what a stage has written last says which are over.
  const newest = new Map(handles.flatMap((handle) => (handle ? [newestOf(handle, committed.generation)] : [])))
  for (const stage of env.list(folder)) {
    if (env.kind(`${folder}/${stage}`) !== 'folder') continue
    const last = newest.get(stage) ?? committed.epoch
    for (const name of env.list(`${folder}/${stage}`)) {
      const [, own, of, kind] = /^(\d+)-(\d+)(?:-base)?\.(snap|part)$/.exec(name) ?? []
      if (kind === undefined || kept.has(`${stage}/${name}`)) continue
      const [generation, epoch] = [Number(own), Number(of)]
      // A part may still be written by its run.
      if (kind === 'part' && generation >= committed.generation) continue
      const over = generation < committed.generation || (generation === committed.generation && epoch <= last)
      if (over) removeIfThere(env, `${folder}/${stage}/${name}`)
    }
  }
}

/** The stage of a snapshot, and its epoch; -1 when an earlier run has written it, so that nothing of this one is over. */
function newestOf({ file }: StateHandle, generation: number): readonly [stage: string, epoch: number] {
  const [, stage = '', by, epoch] = /^(.*)\/(\d+)-(\d+)\.snap$/.exec(file) ?? []
  return [stage, Number(by) === generation ? Number(epoch) : -1]
}
