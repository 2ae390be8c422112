import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameSource, lookForFrames } from '../../src/pipeline/frame-source.ts'
import { escapeRecords, formatFrame, type Frame } from '../../src/pipeline/frames.ts'
import type { ByteSource } from '../../src/pipeline/source.ts'

/** A pipe that hands its bytes out in pieces of given sizes, now and later in turn; or (`blocks`) always now. */
function pipe(bytes: Buffer, sizes: readonly number[], blocks = false): ByteSource {
  let at = 0
  let turn = 0
  return {
    name: 'stdin',
    size: undefined,
    pauses: true,
    blocks,
    consumed: () => at,
    close() {},
    read(into) {
      const n = Math.min(sizes[turn++ % sizes.length] as number, into.length, bytes.length - at)
      bytes.copy(into, 0, at, at + n)
      at += n
      return blocks || turn % 2 === 0 ? n : Promise.resolve(n)
    },
  }
}

const frame = fc.oneof(
  fc.record({ kind: fc.constant('watermark' as const), time: fc.nat() }),
  fc.record({
    kind: fc.constant('end' as const),
    epoch: fc.nat(),
    records: fc.nat(),
    drained: fc.boolean(),
  }),
)
const line = fc.oneof(
  fc.json().map((text) => text.replace(/\n/g, ' ')),
  fc.constantFrom('["$beck",1,"end",{}]', '["$beck",', '["$beck",1,', `"${'x'.repeat(300)}"`, `"${'$'.repeat(50)}"`),
)
/** A record, a frame, or a blank line. */
const part = fc.oneof(line, frame, fc.constant(''))

test('records and frames come out as they went in, however the pipe cuts them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(part),
      fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 400 })), { minLength: 1 }),
      fc.integer({ min: 1, max: 50 }),
      fc.boolean(),
      async (parts, sizes, small, blocks) => {
        // Much room, and nobody to wait for: bytes go straight there.
        const room = blocks ? 4096 + small : small
        const expected: (string | Frame)[] = []
        for (const given of parts) {
          if (typeof given !== 'string') expected.push(given)
          else if (given !== '' && typeof expected.at(-1) === 'string')
            expected.push(`${expected.pop() as string}${given}\n`)
          else if (given !== '') expected.push(`${given}\n`)
        }
        const bytes = Buffer.concat(
          parts.map((given) =>
            typeof given === 'string' ? escapeRecords(Buffer.from(`${given}\n`)) : formatFrame(given),
          ),
        )
        let blanks = 0
        const source = new FrameSource(pipe(bytes, sizes, blocks), () => blanks++)
        const seen: (string | Frame)[] = []
        let records = ''
        for (;;) {
          const into = Buffer.alloc(room)
          const n = await source.read(into)
          // A blank line behind a record may come as it is: scanners skip it.
          records += into.toString('latin1', 0, n)
          if (n > 0) continue
          const text = Buffer.from(records, 'latin1').toString().replace(/\n\n+/g, '\n')
          if (text !== '') seen.push(text)
          records = ''
          const next = source.takeFrame()
          if (!next) break
          seen.push(next)
        }
        expect(seen).toEqual(expected)
        if (parts.length > 0 && parts.every((given) => given === '')) expect(blanks).toBeGreaterThan(0)
      },
    ),
    { numRuns: Number(process.env['BECK_FRAME_RUNS'] ?? 400) },
  )
})

test.each([false, true])('a torn frame is the end (%s)', async (blocks) => {
  const source = new FrameSource(pipe(Buffer.from('{"a":1}\n["$beck",1,"barr'), [100], blocks), () => {})
  const into = Buffer.alloc(5000)
  expect(into.toString('utf8', 0, await source.read(into))).toBe('{"a":1}\n')
  expect(await source.read(into)).toBe(0)
  expect(source.takeFrame()).toBeUndefined()
})

test.each([
  ['["$beck",1,"start",{"a":1}]\n', true],
  ['["$beck",1,"data",{"a":1}]\n', false],
  ['{"a":1}\n', false],
  ['["$beck",1,"star', false],
  ['', false],
])('%j has frames: %s', async (text, expected) => {
  for (const size of [1, 3, 100]) {
    const { framed, source } = await lookForFrames(pipe(Buffer.from(text), [size]))
    expect(framed).toBe(expected)
    let all = ''
    for (;;) {
      const into = Buffer.alloc(5)
      const n = await source.read(into)
      if (n === 0) break
      all += into.toString('utf8', 0, n)
    }
    expect(all).toBe(text)
  }
})
