import * as fc from 'fast-check'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { realEnv } from '../../src/log/env.ts'
import type { StateFile, StateHandle } from '../../src/pipeline/frames.ts'
import { filesOf, readStateAhead, removeSnapshots, type Snapshots, StageState } from '../../src/pipeline/snapshot.ts'
import { temporaryFolder } from '../shell.ts'

const placeIn = (store: string) => ({ env: realEnv, store, pipeline: 'p' })
const kinds: readonly Snapshots[] = [true, 'changes', 'appends']

/** Something with state: texts by number. Those that are as long as a page make files that are not small. */
class Shelf {
  texts = new Map<number, string>()
  changed = new Set<number>()
  put(key: number, text: string): void {
    this.texts.set(key, text)
    this.changed.add(key)
  }
  snapshot(whole: boolean): (readonly [number, string])[] {
    const entries = whole
      ? [...this.texts]
      : [...this.changed].map((key) => [key, this.texts.get(key) as string] as const)
    this.changed.clear()
    return entries
  }
  restore(states: Iterable<unknown>): void {
    for (const state of states) for (const [key, text] of state as [number, string][]) this.texts.set(key, text)
  }
}

test.each(kinds)('what comes back is what was there, over restarts and removals (%s)', (kind) => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ puts: fc.array(fc.nat(30)), pages: fc.nat(40), restart: fc.boolean(), commit: fc.boolean() }),
        {
          minLength: 1,
          maxLength: 40,
        },
      ),
      (steps) => {
        const place = placeIn(temporaryFolder())
        let shelf = new Shelf()
        let state = new StageState(place, '0-x', 'o', kind)
        let committed: StateHandle | null = null
        let expected = new Map<number, string>()
        let generation = 1
        let epoch = 0
        for (const { puts, pages, restart, commit } of steps) {
          for (const key of puts) shelf.put(key, `${epoch}-${key}`.padEnd(pages * 1024, 'x'))
          const handle = state.write({ generation, epoch: ++epoch }, (whole) => shelf.snapshot(whole || kind === true))
          if (commit) {
            removeSnapshots(place, { generation, epoch, handles: [handle] })
            committed = handle
            expected = new Map(shelf.texts)
          }
          if (!restart) continue
          epoch = committed ? Number(committed.file.split('-').at(-1)!.replace('.snap', '')) : 0
          generation++
          shelf = new Shelf()
          state = new StageState(place, '0-x', 'o', kind)
          if (committed) shelf.restore(state.read(committed))
          expect(shelf.texts).toEqual(expected)
        }
      },
    ),
    { numRuns: 25 },
  )
})

test('a checkpoint writes what changed, and a chain stays short', () => {
  const place = placeIn(temporaryFolder())
  const state = new StageState(place, '0-x', 'o', 'changes')
  const shelf = new Shelf()
  for (let key = 0; key < 1000; key++) shelf.put(key, 'x'.repeat(1000))
  const first = state.write({ generation: 1, epoch: 1 }, (whole) => shelf.snapshot(whole))
  let written = 0
  let most = 0
  for (let epoch = 2; epoch <= 300; epoch++) {
    for (let key = 0; key < 10; key++) shelf.put((epoch * 10 + key) % 1000, 'y'.repeat(1000))
    const handle = state.write({ generation: 1, epoch }, (whole) => shelf.snapshot(whole))
    removeSnapshots(place, { generation: 1, epoch, handles: [handle] })
    written += handle.bytes
    most = Math.max(most, filesOf(handle).length)
    for (const { file } of filesOf(handle)) expect(existsSync(join(place.store, 'state/p', file))).toBe(true)
  }
  expect(most).toBeGreaterThan(7)
  expect(most).toBeLessThan(20)
  // 300 checkpoints of 1 %: as they come, folded twice, and all of it three times over.
  expect(written).toBeLessThan(10 * first.bytes)
})

test('what is large is written anew by another thread, and the chain goes on meanwhile', async () => {
  const place = placeIn(temporaryFolder())
  const state = new StageState(place, '0-x', 'o', 'changes')
  const shelf = new Shelf()
  for (let key = 0; key < 6000; key++) shelf.put(key, `${key}`.padEnd(1000))
  const based: number[] = []
  let wholes = 0
  for (let epoch = 1; epoch <= 400 && based.length < 20; epoch++) {
    for (let key = 0; key < 500; key++) shelf.put((epoch * 500 + key) % 6000, `${epoch}-${key}`.padEnd(1000))
    const handle = state.write({ generation: 1, epoch }, (whole) => {
      if (whole) wholes++
      return shelf.snapshot(whole)
    })
    removeSnapshots(place, { generation: 1, epoch, handles: [handle] })
    const [first, ...later] = filesOf(handle) as readonly [StateFile, ...StateFile[]]
    if (!first.file.includes('-base')) continue
    based.push(later.length)
    const again = new Shelf()
    again.restore(new StageState(place, '0-x', 'o', 'changes').read(handle))
    expect(again.texts).toEqual(shelf.texts)
    await new Promise((passed) => setTimeout(passed, 1))
  }
  expect(based.length).toBe(20)
  expect(wholes).toBeGreaterThan(1)
  // What a dead run had begun is gone after the next commit.
  writeFileSync(join(place.store, 'state/p/0-x/1-77.part'), '')
  removeSnapshots(place, { generation: 2, epoch: 500, handles: [] })
  expect(readdirSync(join(place.store, 'state/p/0-x')).filter((name) => name.startsWith('1-77'))).toEqual([])
})

test('one flipped bit, anywhere in the chain, is found', () => {
  const place = placeIn(temporaryFolder())
  const state = new StageState(place, '0-x', 'o', 'appends')
  const handles = ['a', 'b', 'c'].map((text, at) => state.write({ generation: 1, epoch: at + 1 }, () => text))
  const last = handles.at(-1) as StateHandle
  const read = (): unknown[] => [...new StageState(place, '0-x', 'o', 'appends').read(last)]
  expect(read()).toEqual(['a', 'b', 'c'])
  for (const { file, bytes } of filesOf(last)) {
    const path = join(place.store, 'state/p', file)
    const good = readFileSync(path)
    for (let bit = 0; bit < 8 * bytes; bit++) {
      const bad = Buffer.from(good)
      bad[bit >> 3]! ^= 1 << (bit & 7)
      writeFileSync(path, bad)
      expect(read).toThrow('its CRC is wrong')
    }
    writeFileSync(path, good)
  }
})

test('what other threads have read ahead is checked as well, and what they could not read is read when it is its turn', async () => {
  const place = placeIn(temporaryFolder())
  const state = new StageState(place, '0-x', 'o', 'appends')
  const texts = ['a', 'b', 'c'].map((text) => text.repeat(3e6))
  const handles = texts.map((text, at) => state.write({ generation: 1, epoch: at + 1 }, () => text))
  const last = handles.at(-1) as StateHandle
  const read = (ahead: Map<string, Buffer> | undefined): unknown[] => [
    ...new StageState(place, '0-x', 'o', 'appends').read(last, ahead),
  ]
  const [first, second] = filesOf(last).map(({ file }) => file) as [string, string]
  const ahead = await readStateAhead(place, last)
  expect([...(ahead?.keys() ?? [])]).toEqual(expect.arrayContaining(filesOf(last).map(({ file }) => file)))
  expect(read(ahead)).toEqual(texts)
  expect(ahead?.size).toBe(0)
  const path = join(place.store, 'state/p', second)
  const good = readFileSync(path)
  const bad = Buffer.from(good)
  bad[1234]! ^= 4
  writeFileSync(path, bad)
  const damaged = await readStateAhead(place, last)
  writeFileSync(path, good)
  expect(() => read(damaged)).toThrow('its CRC is wrong')
  writeFileSync(path, good.subarray(1))
  const short = await readStateAhead(place, last)
  expect([short?.has(first), short?.has(second)]).toEqual([true, false])
  expect(() => read(short)).toThrow(`has ${good.length - 1} bytes in place of ${good.length}`)
  writeFileSync(path, good)
  expect(read(short)).toEqual(texts)
})

test('a file of another version is refused', () => {
  const place = placeIn(temporaryFolder())
  const handle = new StageState(place, '0-x', 'o', true).write({ generation: 1, epoch: 1 }, () => 'a')
  const path = join(place.store, 'state/p', handle.file)
  const old = Buffer.from(readFileSync(path).toString('latin1').replace('beck snapshot 4', 'beck snapshot 3'), 'latin1')
  writeFileSync(path, old)
  const read = (): unknown[] => [...new StageState(place, '0-x', 'o', true).read({ ...handle, crc: crc32(old) })]
  expect(read).toThrow('was written by another version of beck; nothing is committed')
})
