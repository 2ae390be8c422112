import { crc32 } from 'node:zlib'
import { BeckError } from '../core/errors.ts'
import { type Env, ensureFolder, errnoOf, readSmallFile, removeIfThere, writeAll } from './env.ts'
import type { Identity, Liveness } from './identity.ts'
import { layout } from './layout.ts'

/**
 * The store's lock, without flock: a file with the holder's identity, linked to `lock.<generation>`. Linking fails when the name
 * is taken, so one process wins each generation; generations only grow, which fences whoever wakes up after its lock was taken.
 *
 *     lock.41.free            the last holder let go      → anyone may link lock.42
 *     lock.41 (dead)          it died holding             → the same, and the store must be recovered
 *     lock.41 (alive)         wait
 *
 * The highest name is never removed, so that nobody can win an old generation twice.
 */
export class Lock {
  /** The generation held; 0 when not held. */
  generation = 0
  /** The generation that this process let go last. */
  private last = 0
  private readonly env: Env
  private readonly folder: string
  private identityFile: string | undefined
  /** Called once when waiting takes longer than 2 s. */
  private readonly onWait: (holder: Identity, waitedMs: number) => void

  constructor(env: Env, store: string, onWait: (holder: Identity, waitedMs: number) => void) {
    this.env = env
    this.folder = layout.lock(store)
    this.onWait = onWait
  }

  /**
   * Waits for the lock and takes it. `atLeast`: the generation must be higher. `fromDead`: the last holder died holding it. `again`: nobody
   * has held it since this process let it go.
   * @throws BeckError store, when the holder is in another pid namespace
   */
  acquire(atLeast: number): { fromDead: boolean; again: boolean } {
    const { env } = this
    if (this.generation > 0) return { fromDead: false, again: false }
    // Nobody came between, most of the time: then the next generation is free, and the check after linking says so.
    if (this.last >= atLeast && this.last > 0 && this.tryLink(this.last + 1)) return { fromDead: false, again: true }
    const started = env.now()
    let told = false
    for (let attempt = 0; ; attempt++) {
      const top = this.top()
      const holder = top && !top.free ? this.read(top.name) : undefined
      const liveness = holder ? this.judge(holder) : 'dead'
      if (holder !== 'gone' && liveness === 'dead') {
        if (this.tryLink(Math.max(top?.generation ?? 0, atLeast) + 1))
          return { fromDead: holder !== undefined, again: false }
      } else if (holder !== undefined && holder !== 'gone' && !told && env.now() - started > 2000) {
        told = true
        this.onWait(holder, env.now() - started)
      }
      // Spread those who wait: 0.2 ms first, some 5 ms later on.
      env.sleep(Math.min(0.2 * 1.3 ** attempt, 5) * (0.5 + Math.random()))
    }
  }

  /** Whether the last holder died holding the lock: then the store must be recovered. */
  isAbandoned(): boolean {
    const top = this.top()
    if (!top || top.free) return false
    const holder = this.read(top.name)
    return holder !== 'gone' && this.env.alive(holder) === 'dead'
  }

  /** Whether the lock is still ours: whoever takes a higher one removes it. */
  stillHeld(): boolean {
    const { env, folder, generation } = this
    const there = (name: string): boolean => env.kind(`${folder}/${name}`) !== undefined
    return (
      generation > 0 &&
      there(`lock.${generation}`) &&
      !there(`lock.${generation + 1}`) &&
      !there(`lock.${generation + 1}.free`)
    )
  }

  /** Lets go. If that fails the lock stays ours until the process ends or tries again: what was done under it stands all the same. */
  release(): void {
    if (this.generation === 0) return
    const name = `${this.folder}/lock.${this.generation}`
    try {
      this.env.rename(name, `${name}.free`)
      this.last = this.generation
      this.generation = 0
    } catch (error) {
      if (errnoOf(error) === undefined) throw error
    }
  }

  close(): void {
    if (this.identityFile) removeIfThere(this.env, this.identityFile)
    this.identityFile = undefined
  }

  private judge(holder: Identity | 'gone'): Liveness {
    if (holder === 'gone') return 'alive' // it was let go between listing and reading: look again
    const liveness = this.env.alive(holder)
    if (liveness !== 'unknown') return liveness
    throw new BeckError('store', {
      problem: `the store is locked by process ${holder.pid} of another container (${holder.namespace})`,
      hint: `run beck in one container per store; if that one is gone for good, remove ${this.folder}/lock.*`,
    })
  }

  /** The highest generation; a holder counts before a mark of the same generation that it is free. */
  private top(): { name: string; generation: number; free: boolean } | undefined {
    let top: { name: string; generation: number; free: boolean } | undefined
    for (const name of this.env.list(this.folder)) {
      const generation = generationOf(name)
      const free = name.endsWith('.free')
      if (generation === 0) continue
      if (!top || generation > top.generation || (generation === top.generation && !free))
        top = { name, generation, free }
    }
    return top
  }

  private read(name: string): Identity | 'gone' {
    const bytes = readSmallFile(this.env, `${this.folder}/${name}`)
    if (!bytes) return 'gone'
    const identity = parseIdentity(bytes)
    if (identity) return identity
    throw new BeckError('store', {
      problem: `${this.folder}/${name} is damaged: it does not say who holds the lock`,
      hint: 'if no other beck uses this store, remove the file',
    })
  }

  private tryLink(generation: number): boolean {
    const { env, folder } = this
    const name = `lock.${generation}`
    try {
      env.link(this.ownFile(), `${folder}/${name}`)
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false
      if (errnoOf(error) !== 'ENOENT') throw error
      this.identityFile = undefined // swept away by somebody's recovery of an earlier life: write it again
      return false
    }
    // Somebody may have won and let go of this generation, or a higher one, since the list was read.
    const others = env.list(folder).filter((other) => other !== name && generationOf(other) > 0)
    if (others.some((other) => generationOf(other) >= generation)) {
      removeIfThere(env, `${folder}/${name}`)
      return false
    }
    this.generation = generation
    try {
      for (const other of others) removeIfThere(env, `${folder}/${other}`)
    } catch (error) {
      if (errnoOf(error) === undefined) throw error // else the next one sweeps
    }
    return true
  }

  /** This process's identity in a file, synced once, so that even after a power cut a lock says whose it is. */
  private ownFile(): string {
    if (this.identityFile) return this.identityFile
    const { env, folder } = this
    ensureFolder(env, folder)
    this.removeDead()
    const path = `${folder}/id.${env.identity.pid}.${Math.random().toString(36).slice(2, 10)}`
    const fd = env.open(path, 'create')
    try {
      writeAll(env, fd, formatIdentity(env.identity), 0)
      env.sync(fd)
    } finally {
      env.close(fd)
    }
    return (this.identityFile = path)
  }

  private removeDead(): void {
    for (const name of this.env.list(this.folder)) {
      if (!name.startsWith('id.')) continue
      const bytes = readSmallFile(this.env, `${this.folder}/${name}`)
      const identity = bytes && parseIdentity(bytes)
      if (identity && this.env.alive(identity) === 'dead') removeIfThere(this.env, `${this.folder}/${name}`)
    }
  }
}

/** 41 for `lock.41` and `lock.41.free`; 0 for anything else. */
const generationOf = (name: string): number => Number(/^lock\.(\d+)(?:\.free)?$/.exec(name)?.[1] ?? 0)

function formatIdentity(identity: Identity): Buffer {
  const text = JSON.stringify(identity)
  return Buffer.from(`${text}\t${crc32(text).toString(16)}\n`)
}

function parseIdentity(bytes: Buffer): Identity | undefined {
  const [text, crc] = bytes.toString('utf8').split('\t') as [string, string | undefined]
  return crc === `${crc32(text).toString(16)}\n` ? (JSON.parse(text) as Identity) : undefined
}
