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

  constructor(path: string, content: Uint8Array) {
    this.path = path
    this.bytes = content.length
    const worker = new Worker(WRITE, {
      eval: true,
      execArgv: [],
      workerData: { path, content, cells: this.#cells },
      transferList: content.length === content.buffer.byteLength ? [content.buffer as ArrayBuffer] : [],
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
const { workerData: { path, content, cells } } = require('node:worker_threads')
const fs = require('node:fs')
const { crc32 } = require('node:zlib')
try {
  const fd = fs.openSync(path, 'wx', 0o600)
  for (let at = 0; at < content.length;) at += fs.writeSync(fd, content, at, content.length - at)
  fs.fdatasyncSync(fd)
  fs.closeSync(fd)
  Atomics.store(cells, 1, crc32(content) | 0)
  Atomics.store(cells, 0, ${DONE})
} catch {
  Atomics.store(cells, 0, ${FAILED})
}`
