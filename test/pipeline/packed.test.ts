import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { openSource } from '../../src/pipeline/source.ts'
import { temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
const TEXT = '{"a":1}\n'.repeat(8)
/** What the zstd tool 1.5.4 makes of TEXT: one block, packed, and the checksum. */
const FRAME = Buffer.from('KLUv/SRAdQAAQHsiYSI6MX0KAQDdWbib6n3B', 'base64')
/** An empty frame, and one that is to be skipped. */
const EMPTY = Buffer.from('28b52ffd240001000099e9d851', 'hex')
const SKIPPED = Buffer.from('532a4d1803000000ffffff', 'hex')

/** What a file of these bytes holds; undefined when it is refused as damaged. */
async function unpack(name: string, bytes: Uint8Array): Promise<string | undefined> {
  const file = join(folder, name)
  writeFileSync(file, bytes)
  const source = openSource(file)
  const into = Buffer.alloc(100)
  const parts: Buffer[] = []
  try {
    for (let n = await source.read(into); n > 0; n = await source.read(into))
      parts.push(Buffer.from(into.subarray(0, n)))
    return Buffer.concat(parts).toString()
  } catch (error) {
    expect(error).toMatchObject({ code: 'file', message: expect.stringContaining('damaged') })
    return undefined
  } finally {
    source.close()
  }
}

test('one frame or many, empty and skipped ones among them', async () => {
  expect(await unpack('one.zst', FRAME)).toBe(TEXT)
  expect(await unpack('two.zst', Buffer.concat([FRAME, EMPTY, SKIPPED, FRAME]))).toBe(TEXT + TEXT)
  expect(await unpack('skip.zst', Buffer.concat([SKIPPED, FRAME, SKIPPED]))).toBe(TEXT)
  expect(await unpack('two.gz', Buffer.concat([gzipSync(TEXT), gzipSync(TEXT)]))).toBe(TEXT + TEXT)
  expect(await unpack('no.zst', Buffer.from(TEXT))).toBe(TEXT)
  expect(await unpack('none.zst', Buffer.alloc(0))).toBe('')
})

test.each([
  ['cut.zst', FRAME],
  ['cut.gz', gzipSync(TEXT)],
])('%s: an end inside is seen wherever it is', async (name, whole) => {
  for (let end = 4; end < whole.length; end++)
    expect(await unpack(name, whole.subarray(0, end)), `${end}`).toBeUndefined()
})

test('a changed bit is seen, or changes nothing', async () => {
  let seen = 0
  for (let bit = 4 * 8; bit < FRAME.length * 8; bit++) {
    const changed = Buffer.from(FRAME)
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
    const text = await unpack('changed.zst', changed)
    if (text === undefined) seen++
    else expect(text, `bit ${bit}`).toBe(TEXT)
  }
  expect(seen).toBeGreaterThan(FRAME.length * 6)
})
