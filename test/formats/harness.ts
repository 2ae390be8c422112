import type { Problem, StageContext } from '../../src/core/operator.ts'
import type { Arguments, CommandSpec, DecoderStage, EncoderStage } from '../../src/core/spec.ts'
import { from } from '../../commands/from.ts'
import { to } from '../../commands/to.ts'
import { createScanner } from '../../src/ndjson/index.ts'

type Options = Arguments['options']

const create = (spec: CommandSpec, program: string[], options: Options) =>
  spec.create({ program, options, files: [], args: {} })

export interface Rejected {
  readonly line: number
  readonly text: string
  readonly problem: Problem
}
export interface Decoded {
  readonly output: string
  readonly rejected: readonly Rejected[]
  /** What the decoder gave up with. */
  readonly failed?: string
}

/** Decodes files, each in its chunks, with the options of the format and `max-line` in bytes. As a driver does, hands over every chunk in the same memory, which is overwritten right after. */
export async function decode(program: string[], options: Options, ...files: Uint8Array[][]): Promise<Decoded> {
  const { 'max-line': maxLine = '16000000', ...own } = options
  const stage = (await create(from, program, own)) as DecoderStage
  let output = ''
  const rejected: Rejected[] = []
  let open = false
  const decoder = stage.open({
    reject: (line, bytes, problem) =>
      void rejected.push({ line, text: Buffer.from(bytes).toString('latin1'), problem }),
    rejectPart: (line, part, problem, last) => {
      const before = rejected.at(-1)
      if (open && before)
        rejected[rejected.length - 1] = { ...before, text: before.text + Buffer.from(part).toString('latin1') }
      else rejected.push({ line, text: Buffer.from(part).toString('latin1'), problem })
      open = !last
    },
    maxLineBytes: Number(maxLine),
    fail: (line, { problem }) => {
      throw new Error(`${line}: ${problem}`)
    },
  })
  const emit = (lines: Uint8Array | string): void => {
    const text = typeof lines === 'string' ? lines : Buffer.from(lines).toString('utf8')
    if (!text.endsWith('\n')) throw new Error(`emitted a part of a line: ${text}`)
    output += text
  }
  const memory = Buffer.alloc(Math.max(1, ...files.flat().map((chunk) => chunk.length)))
  try {
    for (const chunks of files) {
      for (const chunk of chunks) {
        memory.set(chunk)
        decoder.push(memory.subarray(0, chunk.length), emit)
        memory.fill('#')
      }
      decoder.endFile(emit)
    }
  } catch (error) {
    return { output, rejected, failed: (error as Error).message }
  }
  return { output, rejected }
}

/** Encodes NDJSON, in blocks of that many bytes; bad records throw. */
export const encode = async (
  program: string[],
  options: Options,
  ndjson: string | Uint8Array,
  blockBytes = Infinity,
): Promise<Buffer> => Buffer.concat((await encodeBatches(program, options, ndjson, blockBytes)).flat())

/** What is written for each block, and at the end. */
export async function encodeBatches(
  program: string[],
  options: Options,
  ndjson: string | Uint8Array,
  blockBytes: number,
  terminal?: { columns: number; color: boolean },
): Promise<Buffer[][]> {
  const stage = (await create(to, program, options)) as EncoderStage
  const scanner = createScanner({ reads: stage.reads, strict: false }, 'reference')
  const unused = (): never => {
    throw new Error('not for encoders')
  }
  const context: StageContext = {
    reject: (_batch, row, { problem }) => {
      throw new Error(`row ${row}: ${problem}`)
    },
    keyTable: (fields) => scanner.keyTable(fields),
    now: () => 0,
    count: () => {},
    sideFile: unused,
    spill: unused,
    memoryBytes: 1e9,
    workers: 1,
  }
  const encoder = stage.open(terminal ? { ...context, terminal } : context)
  const batches: Buffer[][] = []
  const write = (text: Uint8Array | string): void => void batches.at(-1)?.push(Buffer.from(text as string))
  scanner.begin({ file: 'test', base: 0, lineAt: () => 1 })
  const bytes = Buffer.from(ndjson as string)
  for (let at = 0; ;) {
    const room = scanner.room()
    const filled = bytes.copy(room, 0, at, Math.min(bytes.length, at + blockBytes))
    at += filled
    const { batch, bad } = scanner.scan(filled, filled === 0)
    if (bad[0]) throw new Error(bad[0].problem)
    batches.push([])
    encoder.processBatch(batch, write)
    if (filled === 0) break
  }
  encoder.onEnd?.(write)
  return batches
}

export const ndjson = (values: readonly unknown[]): string =>
  values.map((value) => `${JSON.stringify(value)}\n`).join('')

export const parsed = (output: string): unknown[] =>
  output
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as unknown)
