import { ByteBuffer } from '../core/byte-buffer.ts'
import { BeckError } from '../core/errors.ts'
import { type FieldPath, samePath } from '../core/field-path.ts'
import type { Scanned, Scanner, TextCounts, TextKind } from '../ndjson/scanner.ts'
import { createScanner } from '../ndjson/index.ts'
import { type ByteSink, collectInto } from '../pipeline/context.ts'
import { CountedOrigin, type InputOrigin } from '../pipeline/origin.ts'
import { type ChainStage, planFields, stageOf, type Surroundings, ViewGroup, withStage } from './group.ts'

/** Output that the next group of a chain has not scanned yet goes there in pieces of about this size. */
const PIECE_BYTES = 1 << 18

/** Somebody who takes lines and can be asked to work off what is left. */
export interface LineSink extends ByteSink {
  /** Works off everything that is whole. */
  settle(): void
}

/**
 * The operators of a pipeline in one process. Neighbours that see the same lines are a group, with one scanner; what a group emits anew is scanned once
 * more by the next one.
 *
 *     [ filter · reduce ] ──lines──▶ [ sort ] ──lines──▶ out
 *       one scan, views                one scan
 */
export class Chain {
  /** Where lines go in; without a scanner of the driver's. */
  readonly entry: LineSink
  readonly #groups: ViewGroup[] = []
  /** A port a group; none for the first when the driver has a scanner. */
  readonly #ports: (Port | undefined)[] = []
  readonly #out: LineSink

  /** @param scanner the driver's, whose blocks come to `process`; without one, lines go to `entry` */
  constructor(
    stages: readonly ChainStage[],
    scanner: Pick<Scanner, 'keyTable'> | undefined,
    around: Surroundings,
    out: LineSink,
    rewrites: ChainRewrites = { fuse: true, projection: true },
  ) {
    const groups = groupStages(stages, rewrites)
    this.#out = out
    let sink = out
    for (let at = groups.length - 1; at >= 0; at--) {
      if (at === 0 && scanner) {
        this.#groups.unshift(new ViewGroup(groups[0]!, scanner, around, collectInto(sink), groups.length === 1))
        this.#ports.unshift(undefined)
        break
      }
      const port = new Port(groups[at]!, around, sink)
      this.#groups.unshift(port.group)
      this.#ports.unshift(port)
      sink = port
    }
    this.entry = sink
  }

  get nodes(): ViewGroup['nodes'] {
    return this.#groups.flatMap(({ nodes }) => nodes)
  }

  /** What the scanner of the first group made of a block. @throws BeckError of a stage; ReaderGone */
  process(scanned: Scanned, origin: InputOrigin): void {
    this.#groups[0]!.process(scanned, origin)
  }

  /** Works off everything that stages have handed on: before waiting for input. */
  settle(): void {
    for (const port of this.#ports) port?.settle()
    this.#out.settle()
  }

  /** A stage has failed: works off what those behind it have got. */
  settleBehind(error: unknown): void {
    const failed = error instanceof BeckError ? stageOf(error) : undefined
    if (failed === undefined) return
    for (const [at, port] of this.#ports.entries()) if (this.#groups[at]!.nodes[0]!.index > failed) port?.settle()
    this.#out.settle()
  }

  /** Bytes of its input that a stage has seen. */
  positionOf(node: number): number {
    return this.#portOf(node)?.position ?? 0
  }
  /** A stage has state of an earlier run: positions of the records that it is given go on from there at least. */
  continueAt(node: number, position: number): void {
    const port = this.#portOf(node)
    if (port && position > port.position) port.beginAt(position)
  }
  #portOf(node: number): Port | undefined {
    let count = 0
    return this.#ports.find((_, at) => (count += this.#groups[at]!.nodes.length) > node)
  }

  /** Nothing comes any more, and nothing is asked for. The driver's scanner is the driver's to close. */
  close(): void {
    for (const port of this.#ports) port?.close()
    for (const node of this.nodes) node.close()
  }

  /** Where the positions of records go on, in all groups: those of different ranges of the input must not mix. */
  beginAt(position: number): void {
    for (const port of this.#ports) port?.beginAt(position)
  }

  /**
   * The input has ended, for the stages from `from` on (default: all): each gives out what it holds to the next. The errors of stages are
   * gathered, since in a shell those behind a stage that fails go on to their end.
   * @throws ReaderGone
   */
  end(from = -1): BeckError[] {
    const errors: BeckError[] = []
    let reached = from
    const attempt = (step: () => void): void => {
      try {
        step()
      } catch (error) {
        const failed = error instanceof BeckError ? stageOf(error) : undefined
        if (failed === undefined) throw error
        errors.push(error as BeckError)
        reached = Math.max(reached, failed)
      }
    }
    for (const [at, group] of this.#groups.entries()) {
      const port = this.#ports[at]
      // What is on the way into a group that has not failed.
      if (port && group.nodes[0]!.index > reached) attempt(() => port.finish())
      for (const { index, operator, out } of group.nodes) {
        if (index <= reached) continue
        attempt(() => {
          try {
            operator.onEnd?.(out)
          } catch (error) {
            throw withStage(error, index)
          }
        })
      }
    }
    this.#out.settle()
    return errors
  }
}

/** The fields that a group's scanner extracts. */
export const fieldsOf = (stages: readonly ChainStage[]): readonly FieldPath[] =>
  planFields(stages.map(({ stage }) => stage.reads)).reads

/** How many views of a batch the stages of a group work with. */
export const viewsOf = (stages: readonly ChainStage[]): number =>
  stages.reduce((sum, { stage }) => sum + (stage.views ?? 1), 0)

/** Which rewrites of a chain are made. */
export interface ChainRewrites {
  /** Neighbours that see the same lines share a scan; without it each stage has its own. */
  readonly fuse: boolean
  /** What follows a map that only hands fields on reads them from the map's input. */
  readonly projection: boolean
}

/** Runs of stages that can share a scan: the ones before the last only select, and all agree about what a bad line is. */
export function groupStages(
  stages: readonly ChainStage[],
  rewrites: ChainRewrites = { fuse: true, projection: true },
): ChainStage[][] {
  const groups: ChainStage[][] = []
  for (const stage of rewrites.projection ? throughMaps(stages) : stages) {
    const group = groups.at(-1)
    const before = group?.at(-1)
    if (group && before && rewrites.fuse && before.stage.selects && !before.few && agree(before, stage))
      group.push(stage)
    else groups.push([stage])
  }
  return groups
}

/** A stage that the planner put before the next one refuses in its name what that one would have refused. */
export function withAhead(stages: readonly ChainStage[], isAhead: (at: number) => boolean): ChainStage[] {
  return stages.map((stage, at) => {
    const behind = stages[at + 1]
    if (!behind || !isAhead(at)) return stage
    return { ...stage, aheadOf: { index: behind.index, settings: behind.settings, reads: behind.stage.reads } }
  })
}

/**
 * Filters that the planner put first see which lines are bad for the stages between them and where they stood: what a join reads is known when it has
 * read its table. Others stay as they are.
 */
export function withSiftedFields(stages: readonly ChainStage[]): ChainStage[] {
  return stages.map((filter, at) => {
    if (!filter.stage.passesBad) return filter
    const passed: ChainStage[] = []
    for (const other of stages.slice(at + 1)) {
      if (other.stage.sifts && !other.stage.passesBad) break
      passed.push(other)
      // What is behind it sees other records.
      if (other.stage.apart && other.stage.parallel === 'merge') break
    }
    const passes = passed.map(({ index, settings, stage: { reads } }) => ({ index, settings, reads }))
    return { ...filter, passes, stage: { ...filter.stage, reads: fieldsOf([filter, ...passed]) } }
  })
}

/** Leaves out maps whose records nobody looks at but for their fields. */
function throughMaps(stages: readonly ChainStage[]): ChainStage[] {
  const kept: ChainStage[] = []
  for (const stage of stages) {
    const map = kept.at(-1)
    const reads = map && readsThrough(map, stage)
    if (reads) kept[kept.length - 1] = { ...stage, stage: { ...stage.stage, reads }, through: map.index }
    else kept.push(stage)
  }
  return kept
}

/**
 * The fields of a stage, as fields of the records before the map in front of it; undefined where that is not the same. The map's other fields come
 * behind them: a line that is bad for the map stays so.
 */
function readsThrough(map: ChainStage, stage: ChainStage): readonly FieldPath[] | undefined {
  const { renames } = map.stage
  if (!renames || map.through !== undefined || !stage.stage.fieldsOnly || !agree(map, stage)) return undefined
  if (map.settings.deadLetter !== undefined || stage.settings.deadLetter !== undefined) return undefined
  const reads: FieldPath[] = []
  for (const [name, ...rest] of stage.stage.reads) {
    const from = renames.get(String(name))
    const path: FieldPath | undefined = from && [...from, ...rest]
    if (!path || reads.some((other) => samePath(other, path))) return undefined
    reads.push(path)
  }
  return planFields([reads, map.stage.reads]).reads
}

const agree = ({ settings: a }: ChainStage, { settings: b }: ChainStage): boolean =>
  a.strict === b.strict && a.maxLineBytes === b.maxLineBytes && a.scanner === b.scanner

/** Where a group that is not the first gets its lines: a scanner that is fed by hand. */
class Port implements LineSink {
  readonly group: ViewGroup
  readonly #scanner: Scanner
  readonly #buffer = new ByteBuffer(PIECE_BYTES + (PIECE_BYTES >> 2))
  #origin: CountedOrigin

  constructor(stages: readonly ChainStage[], around: Surroundings, out: ByteSink) {
    const [first] = stages as [ChainStage]
    const { strict, maxLineBytes, scanner } = first.settings
    const reads = fieldsOf(stages)
    this.#scanner = createScanner({ reads, strict, maxLineBytes, apart: true, stages: viewsOf(stages) }, scanner)
    this.group = new ViewGroup(stages, this.#scanner, around, collectInto(out))
    this.#origin = new CountedOrigin(first.from ?? 'stdin', 0)
    this.#scanner.begin(this.#origin)
  }

  write(bytes: Uint8Array): void {
    this.#buffer.append(bytes)
    if (this.#buffer.length >= PIECE_BYTES) this.settle()
  }

  writeBinary(text: string): void {
    const buffer = this.#buffer
    buffer.reserve(text.length)
    Buffer.from(buffer.bytes.buffer).write(text, buffer.length, 'latin1')
    buffer.length += text.length
    if (buffer.length >= PIECE_BYTES) this.settle()
  }

  readText(kind: TextKind, text: Uint8Array, member?: string): TextCounts | undefined {
    this.settle()
    const origin = this.#origin
    const take = (scanned: Scanned, bytes: number): void => {
      origin.received += bytes
      this.group.process(scanned, origin)
      origin.advance(scanned.lines)
    }
    return this.#scanner.readText?.(kind, text, take, member)
  }

  close(): void {
    this.#scanner.close()
  }

  get position(): number {
    return this.#origin.base + this.#origin.received
  }

  beginAt(position: number): void {
    this.settle()
    this.#origin = new CountedOrigin(this.#origin.file, position, this.#origin.lines)
    this.#scanner.begin(this.#origin)
  }

  settle(): void {
    const { length } = this.#buffer
    if (length === 0) return
    const bytes = this.#buffer.view()
    for (let at = 0; at < length;) {
      const room = this.#scanner.room()
      const size = Math.min(room.length, length - at)
      room.set(bytes.subarray(at, at + size))
      at += size
      this.#scan(size, false)
    }
    this.#buffer.length = 0
  }

  /** No more comes: a last line without line end counts. */
  finish(): void {
    this.settle()
    this.#scanner.room()
    this.#scan(0, true)
  }

  #scan(size: number, last: boolean): void {
    const origin = this.#origin
    origin.received += size
    const scanned = this.#scanner.scan(size, last)
    this.group.process(scanned, origin)
    origin.advance(scanned.lines)
  }
}
