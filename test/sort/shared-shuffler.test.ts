import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import type { RecordBatch } from '../../src/core/batch.ts'
import type { FieldPath } from '../../src/core/field-path.ts'
import type { LineReader, StageContext } from '../../src/core/operator.ts'
import { createScanner, type ScannerName } from '../../src/ndjson/index.ts'
import { drain } from '../../src/sort/line-sorter.ts'
import { PartedLines, PartStream } from '../../src/sort/parted-lines.ts'
import { SharedShuffler, type ShufflePlan, ShuffleSample } from '../../src/sort/shared-shuffler.ts'
import { Shuffler } from '../../src/sort/shuffler.ts'
import { memorySpill } from './spill.ts'

const reads: readonly FieldPath[] = [['k'], ['n']]

/** A scanner of its own, kept from run to run: the fast one's memory is not given back. */
const readers = new Map<string, LineReader & { at(position: number): void }>()
function reader(name: string, which: ScannerName): LineReader & { at(position: number): void } {
  const known = readers.get(which + name)
  if (known) return known
  const scanner = createScanner({ reads, strict: false }, which)
  const table = scanner.keyTable([0])
  let base = 0
  const made = {
    keyTable() {
      table.clear()
      return table
    },
    at: (position: number) => void (base = position),
    read(fill: (into: Uint8Array) => number, take: (batch: RecordBatch) => void) {
      scanner.begin({ file: 'test', base, lineAt: () => 1 })
      for (let filled = -1; filled !== 0;) {
        filled = fill(scanner.room())
        const { batch, bad } = scanner.scan(filled, filled === 0)
        if (bad.length > 0) throw new Error('a bad test record')
        if (batch.count > 0) take(batch)
      }
    },
  }
  readers.set(which + name, made)
  return made
}

/** Gives out a text once. */
const once = (text: string) => {
  let rest = Buffer.from(text)
  return (into: Uint8Array): number => {
    const n = rest.copy(into)
    rest = rest.subarray(n)
    return n
  }
}

interface Case {
  readonly which: ScannerName
  /** Lines that are read together, and the thread that reads them. */
  readonly pieces: readonly (readonly [thread: number, lines: readonly string[]])[]
  readonly sampled: readonly number[]
  readonly partitions: number
  readonly sorted: boolean
  readonly memoryBytes: number
  readonly bytes: number
}

function shuffled({ which, pieces, sampled, partitions, sorted, memoryBytes, bytes }: Case) {
  const options = { partitions, keyFields: [0], sort: sorted ? [{ field: 1, descending: true }] : [] }
  const files = memorySpill()
  const contextOf = (name: string): StageContext => {
    const own = reader(name, which)
    return {
      keyTable: () => own.keyTable([0]),
      memoryBytes,
      workers: 2,
      spill: files.spill,
      lineReader: () => reader(`${name} again`, which),
    } as unknown as StageContext // nothing else is used
  }
  const texts = pieces.map(([, lines]) => lines.map((line) => `${line}\n`).join(''))
  let whole = ''
  const all = new Shuffler(options, { ...contextOf('all'), memoryBytes: 1 << 26 })
  reader('all', which).read(once(texts.join('')), (batch) => all.add(batch))
  drain(all.sorted(), (lines) => (whole += Buffer.from(lines).toString()))

  const sample = new ShuffleSample(options, contextOf('sample'))
  for (const piece of sampled) {
    reader('sample', which).read(once(texts[piece] ?? ''), (batch) => sample.processBatch(batch))
  }
  const plan: ShufflePlan = structuredClone(sample.plan(bytes, { memoryBytes, workers: 2 }))
  const open = (name: string) => new SharedShuffler({ ...options, reads }, plan, contextOf(name))
  const threads = [0, 1, 2].map((thread) => open(`thread ${thread}`))
  let position = 0
  for (const [piece, [thread]] of pieces.entries()) {
    reader(`thread ${thread}`, which).at(position)
    reader(`thread ${thread}`, which).read(once(texts[piece]!), (batch) => threads[thread]!.processBatch(batch))
    position += texts[piece]!.length
  }
  const [first, ...others] = threads as [SharedShuffler, ...SharedShuffler[]]
  for (const other of others) first.mergeState(structuredClone(other.exportState()))
  let text = ''
  const out = {
    emit: (lines: Uint8Array) => void (text += Buffer.from(lines).toString()),
    forward: () => {},
    emitText: () => {},
  }
  const round = first.nextRound()!
  const helper = open('helper')
  helper.joinRound(structuredClone(round))
  for (let task = 0; task < round.tasks; task++) (task % 2 ? helper : first).endTask(task)(out)
  expect(first.nextRound()).toBeUndefined()
  return { text, whole, parts: round.tasks, open: files.open, made: files.made }
}

const key = fc.constantFrom(
  '1',
  '1.0',
  '2',
  '"a"',
  '"b"',
  '"\\u0061"',
  'null',
  '[1,{"a":2}]',
  '"a longer key than others"',
)
const line = fc.oneof(
  fc.tuple(key, fc.integer({ min: 0, max: 3 })).map(([k, n]) => `{"k":${k},"n":${n}}`),
  fc.constantFrom('{}', '{"n":1}', `{"k":"b","n":"${'long '.repeat(60)}"}`),
)

it('is what one thread makes of it, whatever the cuts and the memory', () => {
  fc.assert(
    fc.property(
      fc.record({
        which: fc.constantFrom('wasm', 'reference'),
        pieces: fc.array(fc.tuple(fc.nat(2), fc.array(line, { maxLength: 12 })), { maxLength: 12 }),
        sampled: fc.array(fc.nat(11), { maxLength: 4 }),
        partitions: fc.constantFrom(1, 3),
        sorted: fc.boolean(),
        memoryBytes: fc.constantFrom(1000, 1 << 24),
        bytes: fc.constantFrom(0, 1 << 28),
      }),
      (one) => {
        const { text, whole, open } = shuffled(one as Case)
        expect(text).toBe(whole)
        expect(open).toBe(0)
      },
    ),
    { numRuns: 150 },
  )
})

it('parts are ranges of keys of one size, and one for a key that is larger', () => {
  const lines = Array.from({ length: 9000 }, (_, i) => `{"k":${i % 3 ? '"giant"' : `"k${i % 50}"`},"n":${i}}`)
  const pieces = Array.from({ length: 9 }, (_, i): [number, string[]] => [i % 3, lines.slice(1000 * i, 1000 * (i + 1))])
  const all = pieces.map((_, i) => i)
  const one = { which: 'wasm', pieces, sampled: all, partitions: 1, sorted: false, bytes: 160 << 20 } as const
  const inMemory = shuffled({ ...one, memoryBytes: 1 << 30 })
  expect(inMemory.text).toBe(inMemory.whole)
  expect(inMemory.parts).toBeGreaterThan(4)
  expect(inMemory.parts).toBeLessThanOrEqual(10)
  expect(inMemory.made).toBe(0)
  const onDisk = shuffled({ ...one, memoryBytes: 100_000 })
  expect(onDisk.text).toBe(onDisk.whole)
  expect(onDisk.made).toBeGreaterThan(onDisk.parts)
  expect(onDisk.open).toBe(0)
})

it('lines of several chunks, and lines that came to disk later, are read as they came', () => {
  const files = memorySpill()
  const parted = new PartedLines(files.spill, 2, 2_500_000, 10_000)
  const expected = ['', '']
  for (let batch = 0; batch < 60; batch++) {
    const texts = [`${batch} ${'x'.repeat(batch * 2000)}\n`, batch % 3 ? `${batch}\n` : '']
    const bytes = Buffer.from(`..${texts[0]}...${texts[1]}`)
    const starts = Uint32Array.of(2, 5 + texts[0]!.length)
    parted.add({ bytes, starts, ends: Uint32Array.from(starts, (start, part) => start + texts[part]!.length) }, batch)
    for (const [part, text] of texts.entries()) expected[part] += text
  }
  const state = structuredClone(parted.export())
  expect(state.parts[0]!.chunks.length).toBe(3)
  expect(state.parts[0]!.file!.size).toBeGreaterThan(500_000)
  for (const [part, text] of expected.entries()) {
    const stream = new PartStream([state], part, files.spill)
    const into = Buffer.alloc(100_000)
    let got = ''
    for (let n; (n = stream.fill(into)) > 0;) got += into.toString('latin1', 0, n)
    expect(got).toBe(text)
    stream.close()
  }
  expect(files.open).toBe(0)
})
