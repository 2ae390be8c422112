import { Worker } from 'node:worker_threads'

/** What the thread reports, in shared memory: the one that asks may be in a loop that sees no messages. */
const DONE = 1
const FAILED = 2

/**
 * A large file that another thread writes and syncs, while this one goes on. It is new, has this name, and counts for nothing before somebody
 * has asked and heard that it is done. The bytes belong to it from now on.
 */
export class WrittenAside {
  readonly path: string
  readonly bytes: number
  readonly #cells = new Int32Array(new SharedArrayBuffer(8))

  constructor(path: string, parts: readonly Uint8Array[]) {
    this.path = path
    this.bytes = parts.reduce((sum, { length }) => sum + length, 0)
    const last = parts.at(-1)
    const worker = new Worker(WRITE, {
      eval: true,
      execArgv: [],
      workerData: { path, parts, cells: this.#cells },
      transferList: last && last.length === last.buffer.byteLength ? [last.buffer as ArrayBuffer] : [],
    })
    worker.on('error', () => Atomics.store(this.#cells, 0, FAILED))
    worker.unref()
  }

  /** Its CRC when it is on the disk. */
  state(): { readonly crc: number } | 'waits' | 'failed' {
    const state = Atomics.load(this.#cells, 0)
    if (state === DONE) return { crc: Atomics.load(this.#cells, 1) >>> 0 }
    return state === FAILED ? 'failed' : 'waits'
  }
}

const WRITE = `
const { workerData: { path, parts, cells } } = require('node:worker_threads')
const fs = require('node:fs')
const { crc32 } = require('node:zlib')
try {
  const fd = fs.openSync(path, 'wx', 0o600)
  let crc = 0
  for (const part of parts) {
    for (let at = 0; at < part.length;) at += fs.writeSync(fd, part, at, part.length - at)
    crc = crc32(part, crc)
  }
  fs.fdatasyncSync(fd)
  fs.closeSync(fd)
  Atomics.store(cells, 1, crc | 0)
  Atomics.store(cells, 0, ${DONE})
} catch {
  Atomics.store(cells, 0, ${FAILED})
}`
