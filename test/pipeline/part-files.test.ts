import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { realEnv } from '../../src/log/env.ts'
import { finishPart, numberedPart } from '../../src/pipeline/part-files.ts'
import { temporaryFolder } from '../shell.ts'

/** A part that is committed and lacks its name. */
function committed(text: string) {
  const folder = temporaryFolder()
  const bytes = Buffer.from(text)
  const part = { folder, temporary: '.beck-x.tmp', name: numberedPart(7), bytes: bytes.length, crc: crc32(bytes) }
  const [from, to] = [join(folder, part.temporary), join(folder, part.name)]
  writeFileSync(from, bytes)
  return { part, bytes, from, to }
}

test('a committed part gets its name, once', () => {
  const { part, from, to } = committed('{"a":1}\n')
  finishPart(realEnv, part)
  finishPart(realEnv, part)
  expect(existsSync(from)).toBe(false)
  expect(to).toMatch(/part-0000000007\.ndjson$/)
  expect(readFileSync(to, 'utf8')).toBe('{"a":1}\n')
})

test('one flipped bit, or a byte less, is found', () => {
  const { part, bytes, from, to } = committed('{"a":1}\n')
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const bad = Buffer.from(bytes)
    bad[bit >> 3]! ^= 1 << (bit & 7)
    writeFileSync(from, bad)
    expect(() => finishPart(realEnv, part)).toThrow('it is damaged')
  }
  writeFileSync(from, bytes.subarray(1))
  expect(() => finishPart(realEnv, part)).toThrow('it is damaged')
  expect(existsSync(to)).toBe(false)
})

test('another file of that name stays', () => {
  const { part, from, to } = committed('{"a":1}\n')
  writeFileSync(to, 'mine')
  expect(() => finishPart(realEnv, part)).toThrow('has a file part-0000000007.ndjson already')
  expect(readFileSync(to, 'utf8')).toBe('mine')
  expect(existsSync(from)).toBe(true)
})
