import * as fc from 'fast-check'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, renameSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { BeckError } from '../../src/core/errors.ts'
import { compactTopic } from '../../src/log/compaction.ts'
import { decodeGaps, encodeGaps } from '../../src/log/gaps.ts'
import { checkName, partitionName } from '../../src/log/layout.ts'
import { GroupMember } from '../../src/log/groups.ts'
import { linesOf, MergedReader } from '../../src/log/merge.ts'
import { offsetAt, parsePosition } from '../../src/log/positions.ts'
import { PartitionReader } from '../../src/log/reader.ts'
import { retentionStarts } from '../../src/log/retention.ts'
import { Store } from '../../src/log/store.ts'
import { createTopic, deleteTopic } from '../../src/log/topics.ts'
import type { TopicConfig } from '../../src/log/state.ts'
import { Disk } from '../crash/simulated-disk.ts'

const folder = mkdtempSync(join(tmpdir(), 'beck-store-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const policy = { onCorrupt: 'fail', onLost: 'fail', say: () => {} } as const

function make(config: TopicConfig): Store {
  const store = Store.open('/store', { env: new Disk().process(), create: true })
  store.transact(true, (transaction) => createTopic(store, transaction, 't', config))
  return store
}

function append(store: Store, spread: readonly number[], texts: readonly string[], times?: readonly number[]): void {
  store.transact(false, (transaction) => {
    for (const p of new Set(spread)) {
      const ranks = spread.flatMap((target, i) => (target === p ? [i] : []))
      const own = times && ranks.map((i) => times[i] as number)
      transaction.append(partitionName('t', p), {
        lines: [Buffer.from(ranks.map((i) => `${texts[i]}\n`).join(''))],
        count: ranks.length,
        ...(ranks.length < spread.length && { ranks: Uint32Array.from(ranks) }),
        ...(own && { times: [Math.min(...own), Math.max(...own)] as const }),
      })
    }
  })
}

function readAll(store: Store, from: ReadonlyMap<string, number>): string[] {
  const reader = new MergedReader(store, from, policy)
  const out: string[] = []
  for (let commit; (commit = reader.next(undefined));)
    out.push(...Buffer.from(linesOf(commit)).toString().split('\n').slice(0, -1))
  reader.close()
  return out
}
const everything = (store: Store): Map<string, number> =>
  new Map((store.state.topics.get('t')?.partitions ?? []).map(({ start }, p) => [partitionName('t', p), start]))

test('gaps come back', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(70_000), { maxLength: 40 }), fc.nat(1000), (gaps, first) => {
      let last = first
      const values = gaps.map((gap) => (last += gap + 1))
      const bytes = encodeGaps(values, 0, values.length, first)
      const back = new Float64Array(values.length)
      expect(decodeGaps(bytes, 0, first, back)).toBe(bytes.length)
      expect([...back]).toEqual(values)
    }),
  )
})

test('all partitions come back in the order of append, whatever the commits and segments; some of them in theirs', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.nat(3), { minLength: 1, maxLength: 9 }), { maxLength: 12 }),
      fc.integer({ min: 10, max: 90 }),
      fc.nat(20),
      (commits, segmentBytes, skip) => {
        const store = make({ partitions: 4, segmentBytes })
        const written: [text: string, partition: number, offset: number][] = []
        const next = [0, 0, 0, 0]
        for (const spread of commits) {
          const texts = spread.map((p, i) => `${written.length + i}p${p}`)
          append(store, spread, texts)
          for (const [i, p] of spread.entries()) written.push([texts[i] as string, p, (next[p] as number)++])
        }
        expect(readAll(store, everything(store))).toEqual(written.map(([text]) => text))
        // Two of the partitions, from some offset on.
        const from = new Map([
          ['t/1', Math.min(skip, next[1] as number)],
          ['t/3', 0],
        ])
        const some = written.filter(([, p, offset]) => p === 3 || (p === 1 && offset >= skip))
        expect(readAll(store, from)).toEqual(some.map(([text]) => text))
      },
    ),
    { numRuns: 60 },
  )
})

test('a partition alone is read in runs, also from the middle of a batch', () => {
  const store = make({ partitions: 1, segmentBytes: 60 })
  const texts = Array.from({ length: 50 }, (_, i) => `"record ${i}"`)
  for (let i = 0; i < 50; i += 5) append(store, [0, 0, 0, 0, 0], texts.slice(i, i + 5))
  for (const [from, until] of [
    [0, 50],
    [3, 50],
    [7, 22],
    [49, 50],
    [50, 50],
  ] as const) {
    const reader = new PartitionReader(store, 't/0', from, policy)
    let read = ''
    for (let run; (run = reader.takeRun(until));) read += run.bytes.toString()
    expect(read.split('\n').slice(0, -1)).toEqual(texts.slice(from, until))
    reader.close()
  }
})

describe('offsets by time', () => {
  test('the first record at or after a time, per record, late ones or not', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(50), { minLength: 1, maxLength: 40 }),
        fc.nat(55),
        fc.integer({ min: 1, max: 7 }),
        (times, time, batch) => {
          const store = make({ partitions: 1, segmentBytes: 100, time: 'ts' })
          for (let i = 0; i < times.length; i += batch) {
            const some = times.slice(i, i + batch).map((t) => 1_700_000_000_000 + t)
            append(
              store,
              some.map(() => 0),
              some.map((ts) => JSON.stringify({ ts })),
              some,
            )
          }
          const found = times.findIndex((t) => t >= time)
          const offset = offsetAt(store, 't/0', { kind: 'time', time: 1_700_000_000_000 + time }, policy)
          expect(offset).toBe(found < 0 ? times.length : found)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('positions', () => {
    expect(parsePosition('12', '--from', 0)).toEqual({ kind: 'offset', offset: 12 })
    expect(parsePosition('-3', '--from', 0)).toEqual({ kind: 'last', records: 3 })
    expect(parsePosition('now-1h', '--from', 7_200_000)).toEqual({ kind: 'time', time: 3_600_000 })
    expect(() => parsePosition('yesterdayish', '--from', 0)).toThrow('neither an offset nor a time')
  })
})

describe('retention', () => {
  const topic = (config: Partial<TopicConfig>, lengths: readonly number[]): Parameters<typeof retentionStarts>[1] => ({
    config: { partitions: 1, ...config },
    made: 1,
    partitions: [
      {
        start: 0,
        next: lengths.length * 10,
        closed: false,
        segments: lengths.map((length, i) => ({
          stem: `${i}`,
          base: i * 10,
          end: i * 10 + 10,
          length,
          slots: 1,
          maxTime: i * 1000,
        })),
      },
    ],
  })
  test('by age: segments whose newest record is older, from the front', () => {
    expect([...retentionStarts('t', topic({ retainMs: 1500 }, [5, 5, 5]), 3000)]).toEqual([['t/0', 20]])
    expect([...retentionStarts('t', topic({ retainMs: 5000 }, [5, 5, 5]), 3000)]).toEqual([])
    expect([...retentionStarts('t', topic({ retainMs: 10 }, [5, 5, 5]), 99_000)]).toEqual([['t/0', 30]])
  })
  test('by size: down to the limit without going under it', () => {
    expect([...retentionStarts('t', topic({ retainBytes: 10 }, [5, 5, 5, 5]), 0)]).toEqual([['t/0', 20]])
    expect([...retentionStarts('t', topic({ retainBytes: 11 }, [5, 5, 5, 5]), 0)]).toEqual([['t/0', 10]])
    expect([...retentionStarts('t', topic({ retainBytes: 0 }, [5, 5]), 0)]).toEqual([['t/0', 10]])
  })
})

describe('compaction', () => {
  const plan = { keys: [['k']], reads: [], tombstoneMs: 1e15, policy, scanner: 'reference' } as const
  const record = (k: unknown, v?: unknown): string => JSON.stringify({ k, v })

  test('the latest of each key in closed segments; offsets, order and the open segment stay', () => {
    const store = make({ partitions: 1, segmentBytes: 40 })
    for (const [k, v] of [
      ['a', 1],
      ['b', 1],
      ['a', 2],
      ['c', 1],
      ['b', 2],
      ['a', 3],
      ['d', 1],
    ] as const)
      append(store, [0], [record(k, v)])
    append(store, [0, 0], [record('c', 9), record('c', 10)])
    const open = store.state.partition('t/0')?.segments.at(-1)?.base as number
    const all = readAll(store, everything(store))
    compactTopic(store, 't', plan)
    const left = readAll(store, everything(store))
    const kept = all.slice(0, open).filter((text, i) => {
      const { k } = JSON.parse(text) as { k: string }
      return all.slice(0, open).findLastIndex((other) => (JSON.parse(other) as { k: string }).k === k) === i
    })
    expect(left).toEqual([...kept, ...all.slice(open)])
    expect(left.length).toBeLessThan(all.length)
    // Reading in a gap starts at the next offset.
    const reader = new PartitionReader(store, 't/0', 0, policy)
    expect(reader.take(reader.peek(99)!)?.toString()).toBe(`${kept[0]}\n`)
    expect(offsetAt(store, 't/0', { kind: 'latest' }, policy)).toBe(9)
  })

  test('tombstones go after their time; keys are equal as JSON values', () => {
    const store = make({ partitions: 1, segmentBytes: 30 })
    for (const text of [
      record(1, 1),
      '{"k":1.0}',
      record('1', 5),
      '{"k":null,"v":1}',
      '{"k":null,"v":2}',
      record('x', 1),
      record('y', 1),
    ]) {
      append(store, [0], [text])
    }
    compactTopic(store, 't', plan)
    expect(readAll(store, everything(store)).slice(0, 2)).toEqual(['{"k":1.0}', record('1', 5)])
    compactTopic(store, 't', { ...plan, tombstoneMs: -1e15 })
    const left = readAll(store, everything(store))
    expect(left).not.toContain('{"k":1.0}')
    expect(left).toEqual(expect.arrayContaining([record('1', 5), '{"k":null,"v":1}', '{"k":null,"v":2}']))
  })
})

test('a deleted topic does not come back as files, even if the power is cut at once', () => {
  const disk = new Disk()
  const store = Store.open('/store', { env: disk.process(), create: true })
  store.transact(true, (transaction) => createTopic(store, transaction, 't', { partitions: 1 }))
  append(store, [0], ['1'])
  store.transact(true, (transaction) => deleteTopic(store, transaction, 't'))
  disk.cutPower('nothing', Math.random)
  const env = disk.process()
  Store.open('/store', { env }).close()
  expect(env.list('/store/topics')).toEqual([])
})

describe('a topic that is deleted while it is read', () => {
  const begin = (rollBytes?: number) => {
    const disk = new Disk()
    const open = (): Store =>
      Store.open('/store', { env: disk.process(), create: true, ...(rollBytes && { rollBytes }) })
    const store = open()
    store.transact(true, (transaction) => createTopic(store, transaction, 't', { partitions: 1 }))
    append(store, [0, 0, 0], ['1', '2', '3'])
    const reading = open()
    const reader = new PartitionReader(reading, 't/0', 0, policy)
    expect(reader.take(reader.peek(2)!)?.toString()).toBe('1\n2\n')
    const replace = (): void => {
      store.transact(true, (transaction) => deleteTopic(store, transaction, 't'))
      store.transact(true, (transaction) => createTopic(store, transaction, 't', { partitions: 1 }))
      append(store, [0, 0, 0, 0, 0], ['6', '7', '8', '9', '10'])
      append(store, [0], ['11'])
    }
    return { store, reading, reader, replace }
  }

  test.each([undefined, 1])('another one of its name is not read on in, the journal rolled or not', (rollBytes) => {
    const { reading, reader, replace } = begin(rollBytes)
    replace()
    reading.refresh()
    expect(() => reader.peek(99)).toThrow('the topic "t" was deleted while it was read')
    reader.close()
  })

  test('is told, too, when there is none of its name', () => {
    const { store, reading, reader } = begin()
    store.transact(true, (transaction) => deleteTopic(store, transaction, 't'))
    reading.refresh()
    expect(() => reader.peek(99)).toThrow('the topic "t" was deleted while it was read')
    reader.close()
  })

  test('no group gets an offset in another one of its name', () => {
    const { store, reading, reader, replace } = begin()
    const member = GroupMember.join(reading, 'g', { topics: ['t'] })
    replace()
    const commit = (): void => member.commit(new Map([['t/0', 2]]), () => reader.check())
    expect(commit).toThrow('the topic "t" was deleted while it was read')
    store.transact(true, (transaction) => deleteTopic(store, transaction, 't'))
    store.transact(true, (transaction) => transaction.offsets('g', { 't/0': 2 }))
    replaceBy(store)
    expect(store.state.group('g').offsets.size).toBe(0)
    reader.close()
  })
  const replaceBy = (store: Store): void =>
    store.transact(true, (transaction) => createTopic(store, transaction, 't', { partitions: 1 }))
})

test('a store that cannot be written to is read, and nothing in it is changed, after a restart of the machine, too', () => {
  const disk = new Disk()
  const store = Store.open('/store', { env: disk.process(), create: true })
  store.transact(true, (transaction) => createTopic(store, transaction, 't', { partitions: 1 }))
  append(store, [0, 0], ['1', '2'])
  for (const reboot of [false, true]) {
    if (reboot) disk.cutPower('everything', () => 0)
    const env = disk.process()
    const { open } = env
    const refuse = (): never => {
      throw Object.assign(new Error('EROFS'), { code: 'EROFS' })
    }
    Object.assign(env, {
      open: (path: string, mode: 'read' | 'write' | 'create') =>
        mode === 'read' ? open.call(env, path, mode) : refuse(),
      ...Object.fromEntries(
        ['makeFolder', 'removeFolder', 'rename', 'link', 'unlink', 'truncate', 'write'].map((name) => [name, refuse]),
      ),
    })
    const before = [...disk.files()].map(([path, { content }]) => [path, content.toString()])
    const opened = Store.open('/store', { env })
    expect(readAll(opened, everything(opened))).toEqual(['1', '2'])
    expect(() => append(opened, [0], ['3'])).toThrow('is on a read-only file system')
    expect([...disk.files()].map(([path, { content }]) => [path, content.toString()])).toEqual(before)
  }
})

describe('what is refused', () => {
  const problem = (work: () => unknown): string => {
    try {
      work()
    } catch (error) {
      if (error instanceof BeckError) return `${error.exit} ${error.message}`
      throw error
    }
    return 'nothing'
  }
  const real = (name: string): string => {
    const path = join(folder, name)
    const store = Store.open(path, { create: true })
    store.transact(true, (transaction) => createTopic(store, transaction, 't', { partitions: 1 }))
    store.transact(true, (transaction) => transaction.append('t/0', { lines: [Buffer.from('1\n')], count: 1 }))
    store.close()
    return path
  }

  test.each(['..', '../x', 'a/b', '', '.hidden', 'a b', 'x'.repeat(201), '-x'])('the name %j', (name) => {
    expect(problem(() => checkName('topic', name))).toMatch(/^2 .*cannot be the name/)
  })

  test.each([
    ['a newer version', '{"format":"beck store","version":2,"crc":"x"}\n', /^3 .*newer beck/],
    ['another format', '{"format":"something else"}\n', /^3 .*not a beck store/],
    ['no JSON', 'hello', /^3 .*damaged/],
    ['a wrong checksum', '{"format":"beck store","version":1,"crc":"00000000"}\n', /^3 .*damaged/],
  ])('a store of %s', (name, mark, message) => {
    const path = real(name.replaceAll(' ', '-'))
    writeFileSync(join(path, 'store.json'), mark)
    expect(problem(() => Store.open(path))).toMatch(message)
    expect(problem(() => Store.open(path, { create: true }))).toMatch(message)
  })

  test('a store whose journal is gone', () => {
    const path = real('gone')
    renameSync(join(path, 'journal'), join(path, 'away'))
    expect(problem(() => Store.open(path, { create: true }))).toMatch(/^3 .*journal is missing/)
  })

  test('a symbolic link in the place of a segment', () => {
    const path = real('link')
    const segment = join(path, 'topics/t/0/00000000000000000000.ndjson')
    renameSync(segment, join(folder, 'elsewhere'))
    symlinkSync(join(folder, 'elsewhere'), segment)
    const store = Store.open(path)
    expect(
      problem(() =>
        store.transact(true, (transaction) => transaction.append('t/0', { lines: [Buffer.from('2\n')], count: 1 })),
      ),
    ).toMatch(/^3 .*symbolic link/)
    expect(problem(() => readAll(store, everything(store)))).toMatch(/^3 .*symbolic link/)
    store.close()
  })

  test('a folder that is a file', () => {
    const path = join(folder, 'file')
    writeFileSync(path, '')
    expect(problem(() => Store.open(path, { create: true }))).toMatch(/^3 /)
    mkdirSync(join(folder, 'empty'))
    expect(problem(() => Store.open(join(folder, 'empty')))).toMatch(/^3 there is no store/)
  })
})
