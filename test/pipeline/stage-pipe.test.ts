// Pipes between stages of one process: what is written is read, in its order, however it is cut; who is ahead waits, or fills a file.
import { tmpdir } from 'node:os'
import { crc32 } from 'node:zlib'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ReaderGone } from '../../src/pipeline/descriptor.ts'
import { StagePipe } from '../../src/pipeline/stage-pipe.ts'

/** All that comes, in reads of at most so many bytes. */
async function readAll({ source }: StagePipe, size: number): Promise<{ bytes: number; crc: number }> {
  const block = Buffer.alloc(size)
  for (let bytes = 0, crc = 0; ;) {
    await source.ready?.()
    const n = await source.read(block)
    if (n === 0) return { bytes, crc }
    bytes += n
    crc = crc32(block.subarray(0, n), crc)
  }
}

describe('a pipe between stages', () => {
  it('gives out what is written, whatever the sizes', async () => {
    const sizes = fc.array(fc.oneof(fc.nat(5), fc.nat(200_000)), { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 100_000 }), fc.boolean(), async (writes, size, waits) => {
        const pipe = new StagePipe('stdin', tmpdir())
        const reading = readAll(pipe, size)
        let crc = 0
        let bytes = 0
        for (const length of writes) {
          const piece = Buffer.from(Array.from({ length: Math.min(length, 7) }, (_, at) => (bytes + at) % 251))
          const text = Buffer.alloc(length, piece.length > 0 ? piece : 'x')
          pipe.write(text)
          crc = crc32(text, crc)
          bytes += length
          if (waits) await pipe.ready()
        }
        if (waits) await pipe.settled()
        pipe.close()
        expect(await reading).toEqual({ bytes, crc })
      }),
      { numRuns: 40 },
    )
  })

  it('asks who can wait to wait, and keeps what others write in a file', async () => {
    const pipe = new StagePipe('stdin', tmpdir())
    const piece = Buffer.alloc(300_001)
    let crc = 0
    for (let at = 0; at < 200; at++) {
      piece.fill(at)
      pipe.write(piece)
      crc = crc32(piece, crc)
    }
    let isRoom = false
    void pipe.ready()?.then(() => (isRoom = true))
    await new Promise(setImmediate)
    expect(isRoom).toBe(false)
    pipe.close()
    expect(await readAll(pipe, 1 << 20)).toEqual({ bytes: 200 * piece.length, crc })
    expect(isRoom).toBe(true)
    expect(pipe.ready()).toBe(undefined)
  })

  it('tells who writes that the reader has left, and lets go of who waits', async () => {
    const pipe = new StagePipe('stdin', tmpdir())
    pipe.write(Buffer.alloc(2 << 20))
    const waiting = [pipe.ready(), pipe.settled()]
    pipe.source.close()
    await Promise.all(waiting)
    expect(() => pipe.write(Buffer.from('x'))).toThrow(ReaderGone)
    expect(await pipe.writeBehind(Buffer.from('x'))).toBe(false)
  })
})
