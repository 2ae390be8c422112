import { describe, expect, test } from 'vitest'
import { BeckError } from '../../src/core/errors.ts'
import { PartitionReader } from '../../src/log/reader.ts'
import { rehome } from '../../src/log/rehome.ts'
import { Store } from '../../src/log/store.ts'
import { createTopic } from '../../src/log/topics.ts'
import { verifyTopic } from '../../src/log/verify.ts'
import { Disk } from '../crash/simulated-disk.ts'

const SEGMENT = '/store/topics/t/0/00000000000000000000.ndjson'

/** Three batches of one record each. */
function three(): { disk: Disk; store: Store } {
  const disk = new Disk()
  const store = Store.open('/store', { env: disk.process(), create: true })
  store.transact(true, (transaction) => createTopic(store, transaction, 't', { partitions: 1 }))
  for (const text of ['"one"\n', '"two"\n', '"three"\n']) {
    store.transact(true, (transaction) => transaction.append('t/0', { lines: [Buffer.from(text)], count: 1 }))
  }
  return { disk, store }
}
const flip = (disk: Disk, path: string, at: number): void => {
  const content = disk.files().get(path)?.content as Buffer
  content[at] = (content[at] as number) ^ 1
}
function read(store: Store, onCorrupt: 'fail' | 'skip', run: boolean): { text: string; said: string[] } {
  const said: string[] = []
  const reader = new PartitionReader(store, 't/0', 0, {
    onCorrupt,
    onLost: 'fail',
    say: (line) => void said.push(line),
  })
  let text = ''
  if (run) for (let piece; (piece = reader.takeRun(9));) text += piece.bytes.toString()
  else for (let part; (part = reader.peek(9));) text += reader.take(part)?.toString() ?? ''
  return { text, said }
}

describe.each([
  ['in runs', true],
  ['batch by batch', false],
])('damaged records, read %s', (_, run) => {
  test.each([
    [1, '"two"\n"three"\n', 'bytes 0 to 6 are damaged (offsets 0 to 0)'],
    [7, '"one"\n"three"\n', 'bytes 6 to 12 are damaged (offsets 1 to 1)'],
    [14, '"one"\n"two"\n', 'bytes 12 to 20 are damaged (offsets 2 to 2)'],
  ])('at byte %i', (at, rest, problem) => {
    const { disk, store } = three()
    flip(disk, SEGMENT, at)
    expect(() => read(store, 'fail', run)).toThrow(`${SEGMENT}: ${problem}`)
    expect(read(store, 'skip', run)).toEqual({ text: rest, said: [`skipped: ${SEGMENT}: ${problem}`] })
  })
})

test('verify finds damaged records, and says where', () => {
  const { disk, store } = three()
  flip(disk, SEGMENT, 7)
  const [verified] = verifyTopic(store, 't')
  expect(verified).toMatchObject({
    records: 2,
    findings: [{ file: SEGMENT, problem: 'records are damaged', bytes: [6, 12], offsets: [1, 2] }],
  })
})

test('damaged records are not copied as if they were good', () => {
  const { disk, store } = three()
  const segment = store.state.partition('t/0')?.segments[0]
  if (!segment) throw new Error('no segment')
  flip(disk, SEGMENT, 7)
  expect(rehome(store.env, '/store', 't/0', segment)).toBeUndefined()
  flip(disk, SEGMENT, 7)
  expect(rehome(store.env, '/store', 't/0', segment)).toMatchObject({ length: 20, end: 3 })
})

describe('the journal', () => {
  const JOURNAL = '/store/journal/00000000000000000001.ndjson'
  test.each<[string, (lines: string[]) => string[]]>([
    ['a line twice', (lines) => [...lines.slice(0, 3), lines[2] as string, ...lines.slice(3)]],
    ['a line left out', (lines) => lines.filter((_, i) => i !== 2)],
    ['the last line twice', (lines) => [...lines, lines.at(-1) as string]],
    [
      'two lines the other way round',
      (lines) => [...lines.slice(0, 2), lines[3] as string, lines[2] as string, ...lines.slice(4)],
    ],
  ])('%s is told', (_, change) => {
    const { disk } = three()
    const file = disk.files().get(JOURNAL)
    if (!file) throw new Error('no journal')
    file.content = Buffer.from(
      change(file.content.toString().split('\n').slice(0, -1))
        .map((line) => `${line}\n`)
        .join(''),
    )
    const open = (): Store => Store.open('/store', { env: disk.process() })
    expect(open).toThrow(BeckError)
    expect(open).toThrow(`${JOURNAL}: damaged at bytes`)
  })

  test('damage before good lines is told after a power cut, too; a bad last line may be one that the disk never got', () => {
    const damaged = (from: number) => {
      const { disk } = three()
      const { content } = disk.files().get(JOURNAL)!
      let line = content.length
      for (let n = 0; n < from; n++) line = content.lastIndexOf(10, line - 2) + 1
      disk.cutPower('everything', Math.random)
      flip(disk, JOURNAL, line + 9)
      return disk
    }
    const disk = damaged(3)
    const before = disk.files().get(JOURNAL)!.content.toString()
    expect(() => Store.open('/store', { env: disk.process() })).toThrow(`${JOURNAL}: damaged at bytes`)
    expect(disk.files().get(JOURNAL)!.content.toString()).toBe(before)
    expect(Store.open('/store', { env: damaged(1).process() }).state.partition('t/0')?.next).toBe(2)
  })

  test('a torn line is put aside by the next writer, and no reader minds it', () => {
    const { disk, store } = three()
    const file = disk.files().get(JOURNAL)
    if (!file) throw new Error('no journal')
    file.content = Buffer.concat([file.content, Buffer.from('{"n":6,"gen":9,"at"')])
    const reader = Store.open('/store', { env: disk.process() })
    expect(reader.state.partition('t/0')?.next).toBe(3)
    store.transact(true, (transaction) => transaction.append('t/0', { lines: [Buffer.from('"four"\n')], count: 1 }))
    reader.refresh()
    expect(reader.state.partition('t/0')?.next).toBe(4)
    expect(disk.files().get(`${JOURNAL}.torn`)?.content.toString()).toBe('{"n":6,"gen":9,"at"')
  })
})
