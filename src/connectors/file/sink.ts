import { closeSync, fdatasyncSync, linkSync, openSync, readdirSync, realpathSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { RecordBatch } from '../../core/batch.ts'
import { atFile, BeckError } from '../../core/errors.ts'
import { makeFolders } from '../../core/folders.ts'
import type { Epoch, EpochSink, PipelineStart, Sink, SinkContext } from '../../core/spec.ts'
import { realEnv, removeIfThere } from '../../log/env.ts'
import { type OutsideSink, type PartFile, partitionOf } from '../../log/pipelines.ts'
import { Store } from '../../log/store.ts'
import { EpochCommitter, unanswered } from '../../pipeline/epoch-committer.ts'
import { expectFrames } from '../../pipeline/swallowed-frames.ts'
import { finishPart, nameTaken, numberedPart, removeUnfinished } from '../../pipeline/part-files.ts'

/** Pieces of output up to this size are gathered. */
const BLOCK = 1 << 18

/**
 * A folder of part files, each complete when it has its name. Without frames a run makes one part. In an exactly-once pipe an epoch with
 * records makes one, and the journal is the truth about it:
 *
 *     .beck-ID-GENERATION-EPOCH.tmp, synced → the journal's line with its name, length and CRC → rename
 *
 * What dies before the line leaves a file that the next run removes; what dies after it, one that the next run renames.
 */
export class FileSink implements Sink {
  readonly epochs: EpochSink
  private readonly folder: string
  private readonly context: SinkContext
  private part: OpenPart | undefined
  private records = 0
  private readonly refuseWithoutFrames: () => void
  /** Whose records these are; of a pipe that works partition by partition, all that have been. */
  private pipe: Pipe | undefined
  private readonly pipes = new Map<string, Pipe>()

  /** @param insists there must be frames @throws BeckError file */
  constructor(folder: string, insists: boolean, context: SinkContext) {
    this.context = context
    this.refuseWithoutFrames = expectFrames('into', insists)
    const kind = realEnv.kind(folder)
    if (kind !== undefined && kind !== 'folder') {
      const stem = /[^/]+?(?=\.|$)/.exec(basename(folder))?.[0] ?? 'out'
      throw new BeckError('file', {
        file: folder,
        problem: 'is a file, and file: writes part files into a folder',
        hint: `name a folder: beck into file:${stem}; one file, without exactly-once: … > ${folder}`,
      })
    }
    this.folder = atFile(folder, () => {
      makeFolders(folder)
      return realpathSync(folder)
    })
    removeUnfinished(realEnv, this.folder, (name) => isOfDead(name))
    this.epochs = {
      joined: true,
      tasks: true,
      resolve: (pipeline) => {
        const { committer, store, folder } = openPipe(pipeline, this.folder)
        const error = unanswered(committer.state(), `file:${folder}`)
        store.close()
        throw error
      },
      start: (pipeline) => this.start(pipeline),
      commit: (epoch) => this.commit(epoch),
    }
  }

  private start(pipeline: PipelineStart): void {
    const run = `${pipeline.group} ${pipeline.generation}`
    const known = this.pipes.get(run)
    if (known) {
      this.pipe = known
      return
    }
    const pipe = openPipe(pipeline, this.folder)
    this.pipe = pipe
    this.pipes.set(run, pipe)
    const own = `.beck-${pipe.committer.state().id}-`
    removeUnfinished(realEnv, pipe.folder, (name) => name.startsWith(own))
  }

  processBatch(batch: RecordBatch): void {
    if (batch.count === 0) return
    this.records += batch.count
    this.part ??= this.create()
    this.part.write(batch.lines(undefined, 0, batch.count))
  }

  private create(): OpenPart {
    const { pipe } = this
    if (!pipe) {
      this.refuseWithoutFrames()
      return new OpenPart(this.folder, `.beck-${process.pid}-${Date.now()}.tmp`)
    }
    const { generation, epoch, folder } = pipe
    return new OpenPart(folder, `.beck-${pipe.committer.state().id}-${generation}-${epoch + 1}.tmp`)
  }

  private commit(epoch: Epoch): void {
    const { pipe } = this
    if (!pipe) throw new Error('a commit before the start')
    const { folder } = pipe
    const part = this.finish(numberedPart(epoch.epoch))
    if (part && realEnv.kind(`${folder}/${part.name}`) !== undefined) {
      removeIfThere(realEnv, `${folder}/${part.temporary}`)
      throw nameTaken(folder, part.name)
    }
    const sink: OutsideSink = { name: `file:${folder}`, ...(part && { part }) }
    try {
      pipe.store.transact(true, (transaction) => pipe.committer.commit(transaction, epoch, sink))
    } catch (error) {
      // After anything else the line may be there all the same: the next run knows.
      if (part && error instanceof BeckError && error.code === 'fenced')
        removeIfThere(realEnv, `${folder}/${part.temporary}`)
      throw error
    }
    pipe.epoch = epoch.epoch
    if (part) finishPart(realEnv, part)
  }

  /** Everything of the part at hand is on the disk, but for its name. Undefined when there were no records. */
  private finish(name: string): PartFile | undefined {
    const { part, pipe } = this
    this.part = undefined
    if (!part) return undefined
    const { temporary, bytes, crc } = part.finish()
    const folder = pipe?.folder ?? this.folder
    realEnv.syncFolder(folder)
    return { folder, temporary, name, bytes, crc }
  }

  onIdle(): void {}
  onTimer(): void {}

  /** Without frames: the next number that is free. */
  onEnd(): void {
    const { folder, context } = this
    if (!this.pipe) this.refuseWithoutFrames()
    const part = this.pipe ? undefined : this.finish('')
    if (part) {
      atFile(folder, () => {
        const taken = readdirSync(folder).map((name) => Number(/^part-(\d+)\.ndjson$/.exec(name)?.[1] ?? 0))
        for (let number = Math.max(0, ...taken) + 1; ; number++) {
          try {
            linkSync(join(folder, part.temporary), join(folder, numberedPart(number)))
            break
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
          }
        }
        realEnv.unlink(join(folder, part.temporary))
        realEnv.syncFolder(folder)
      })
    }
    if (context.terminal.stderr) context.count(`written to ${folder}:`, this.records)
  }

  close(): void {
    this.part?.abandon()
    for (const { store } of this.pipes.values()) store.close()
  }
}

/** A file of a run without frames whose process is gone. */
function isOfDead(name: string): boolean {
  const pid = /^\.beck-(\d+)-\d+\.tmp$/.exec(name)?.[1]
  if (pid === undefined) return false
  try {
    return !process.kill(Number(pid), 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

interface Pipe {
  readonly store: Store
  readonly committer: EpochCommitter
  readonly generation: number
  readonly folder: string
  /** The last one committed. */
  epoch: number
}

/** Each partition of a pipe that works partition by partition has a folder of its own in that of the sink. */
function openPipe(pipeline: PipelineStart, parent: string): Pipe {
  const { generation, epoch } = pipeline
  const store = Store.open(pipeline.store)
  const partition = partitionOf(pipeline.group)
  const folder = partition === undefined ? parent : join(parent, partition)
  if (partition !== undefined) atFile(folder, () => makeFolders(folder))
  return { store, committer: new EpochCommitter(store, pipeline), generation, folder, epoch }
}

/** A part that is being written. */
class OpenPart {
  private readonly path: string
  private readonly temporary: string
  private readonly fd: number
  private readonly buffer = Buffer.allocUnsafeSlow(BLOCK)
  private used = 0
  private bytes = 0
  private crc = 0

  constructor(folder: string, temporary: string) {
    this.temporary = temporary
    this.path = join(folder, temporary)
    this.fd = atFile(this.path, () => openSync(this.path, 'wx'))
  }

  write(lines: Uint8Array): void {
    if (lines.length > BLOCK - this.used) this.flush()
    if (lines.length > BLOCK) return this.out(lines)
    this.buffer.set(lines, this.used)
    this.used += lines.length
  }

  private flush(): void {
    this.out(this.buffer.subarray(0, this.used))
    this.used = 0
  }

  private out(bytes: Uint8Array): void {
    this.crc = crc32(bytes, this.crc)
    this.bytes += bytes.length
    atFile(this.path, () => {
      for (let at = 0; at < bytes.length;) at += writeSync(this.fd, bytes, at, bytes.length - at)
    })
  }

  finish(): { readonly temporary: string; readonly bytes: number; readonly crc: number } {
    this.flush()
    atFile(this.path, () => {
      fdatasyncSync(this.fd)
      closeSync(this.fd)
    })
    return { temporary: this.temporary, bytes: this.bytes, crc: this.crc }
  }

  abandon(): void {
    closeSync(this.fd)
    removeIfThere(realEnv, this.path)
  }
}
