import type { ByteSink } from './context.ts'
import { Output } from './descriptor.ts'
import { type ByteSource, openSource } from './source.ts'

/** Where a stage writes: standard output, or another stage of its process. */
export interface StageOutput extends ByteSink {
  flush(): void
  /** A large piece, which must hold, with nothing else written, until it resolves: to false when the reader has gone. */
  writeBehind(bytes: Uint8Array): Promise<boolean>
  /** Nothing more comes. */
  close(): void
}

/** The surroundings of a stage that reads by itself, but shares its process with others. */
export interface StageIo {
  /** What its inputs are, by their names on its command line: `-` is standard input. Others are files. */
  readonly inputs: ReadonlyMap<string, ByteSource>
  readonly output: StageOutput
  /** Awaited before it reads more: those behind are not so far yet. */
  ready(): Promise<void> | undefined
}

/** Where a stage writes that may be a process of its own. */
export const outputOf = (io: StageIo | undefined): StageOutput => io?.output ?? new Output()

/** As `openSource`. */
export const openInput = (io: StageIo | undefined, file: string, timers = false): ByteSource =>
  io?.inputs.get(file) ?? openSource(file, timers)
