import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BeckError } from '../../src/core/errors.ts'
import {
  type BarrierFrame,
  escapeRecords,
  formatFrame,
  type Frame,
  FrameOrder,
  looksLikeFrame,
  parseFrame,
  type StartFrame,
  unescapeRecord,
} from '../../src/pipeline/frames.ts'

const handle = fc.option(fc.record({ file: fc.string(), bytes: fc.nat(), crc: fc.nat(), options: fc.string() }), {
  nil: null,
})
const frames: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({
    kind: fc.constant('start' as const),
    store: fc.string({ unit: 'binary' }),
    group: fc.string(),
    generation: fc.nat(),
    epoch: fc.nat(),
    level: fc.constantFrom('exactly-once' as const, 'at-least-once' as const),
    stages: fc.array(fc.string(), { minLength: 1 }),
    states: fc.nat(),
    handles: fc.array(handle),
  }),
  fc.record({
    kind: fc.constant('barrier' as const),
    epoch: fc.nat(),
    records: fc.nat(),
    offsets: fc.dictionary(fc.string(), fc.nat(), { noNullPrototype: true }),
    handles: fc.array(handle),
    drain: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('watermark' as const), time: fc.integer() }),
  fc.record({
    kind: fc.constant('end' as const),
    epoch: fc.nat(),
    records: fc.nat(),
    drained: fc.boolean(),
  }),
)

const start: StartFrame = {
  kind: 'start',
  store: '/s',
  group: 'g',
  generation: 3,
  epoch: 7,
  level: 'exactly-once',
  stages: ['consume', 'map'],
  states: 0,
  handles: [],
}
const barrier = (epoch: number, records: number): BarrierFrame => ({
  kind: 'barrier',
  epoch,
  records,
  offsets: { 't/0': 1 },
  handles: [],
  drain: false,
})
const end = (epoch: number, records: number): Frame => ({ kind: 'end', epoch, records, drained: false })

function failure(run: () => unknown): BeckError {
  try {
    run()
  } catch (error) {
    if (error instanceof BeckError) return error
    throw error
  }
  throw new Error('nothing was wrong')
}

describe('frames', () => {
  test('are one line that says the same when it is read', () => {
    fc.assert(
      fc.property(frames, (frame) => {
        const line = formatFrame(frame)
        expect(line.indexOf(10)).toBe(line.length - 1)
        expect(looksLikeFrame(line)).toBe(true)
        expect(parseFrame(line.subarray(0, -1))).toEqual(frame)
        // A filter of fields fails loudly on an array.
        expect(Array.isArray(JSON.parse(line.toString()))).toBe(true)
      }),
    )
  })

  test('records that look like frames go through as they are', () => {
    const piece = fc.constantFrom(
      '["$beck",1,',
      '"data",',
      '"start",{}]',
      ']',
      '{"a":1}',
      ' ',
      '["$beck",1,"data",1]',
      '["$beck",2,',
    )
    const line = fc.array(piece, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''))
        const escaped = Buffer.from(escapeRecords(bytes)).toString().split('\n').slice(0, -1)
        expect(escaped.length).toBe(lines.length)
        const back = escaped.map((text) => {
          const record = Buffer.from(text)
          if (!looksLikeFrame(record)) return text
          return Buffer.from(unescapeRecord(record) ?? 'not escaped').toString()
        })
        expect(back).toEqual(lines)
        // Whatever a user writes: between frames only frames and `data` lines begin like one.
        expect(
          escaped.filter((text) => looksLikeFrame(Buffer.from(text)) && !text.startsWith('["$beck",1,"data",')),
        ).toEqual([])
      }),
      { numRuns: 500 },
    )
  })

  test('nothing is copied where nothing needs it', () => {
    const lines = Buffer.from('{"a":1}\n["$beck",2]\n')
    expect(escapeRecords(lines)).toBe(lines)
  })

  test.each([
    ['["$beck",1,"start",{', 'it is cut off'],
    ['["$beck",1,"barrier"]', 'it has no kind'],
    [
      '["$beck",1,"barrier",{"epoch":-1,"records":0,"offsets":{},"handles":[],"drain":false}]',
      'the epoch of "barrier" cannot be -1',
    ],
    [
      '["$beck",1,"barrier",{"epoch":1,"records":0,"offsets":{"a":"b"},"handles":[],"drain":false}]',
      'the offsets of "barrier"',
    ],
    ['["$beck",1,"constructor",{}]', 'does not know'],
    ['["$beck",1,"task",{"partition":0}]', 'the partition of "task" cannot be 0'],
    ['["$beck",1,"tusk",{"partition":0}]', 'does not know'],
  ])('%s is refused', (line, problem) => {
    const error = failure(() => parseFrame(Buffer.from(line)))
    expect(error.exit).toBe(4)
    expect(error.message).toContain(problem)
  })
})

describe('the order of frames', () => {
  test('numbers without gaps, counts that fit, one end', () => {
    const order = new FrameOrder(start, 'append')
    order.take(barrier(8, 2), 2)
    order.take({ kind: 'watermark', time: 5 }, 1)
    order.take(barrier(9, 0), 0)
    expect(failure(() => order.finish()).message).toContain('without its "end", after barrier 9')
    order.take(end(9, 0), 0)
    order.finish()
    expect(failure(() => order.take(barrier(10, 0), 0)).message).toContain('follows the end')
    expect(failure(() => order.finish(2)).message).toContain('2 records follow the end')
  })

  const cases: [string, Frame, number, string][] = [
    ['a gap', barrier(9, 0), 0, 'between map and append barrier 8 is missing (barrier 9 came)'],
    ['a repeat', barrier(7, 0), 0, 'barrier 8 is missing (barrier 7 came)'],
    ['an early end', end(8, 0), 0, 'barrier 8 is missing (end 8 came)'],
    ['lost records', barrier(8, 5), 3, '2 of 5 records before barrier 8 are missing'],
    ['records that nobody sent', barrier(8, 5), 6, '1 records too many'],
    ['records behind the last barrier', end(7, 0), 1, '1 records too many'],
    ['a second start', start, 0, 'two runs write into one pipe'],
    ['a foreign start', { ...start, group: 'h' }, 0, 'two pipelines came, of "g" and of "h"'],
  ]
  test.each(cases)('%s is exit 4', (_, frame, records, problem) => {
    const error = failure(() => new FrameOrder(start, 'append').take(frame, records))
    expect(error.exit).toBe(4)
    expect(error.message).toContain(problem)
    expect(error.message).toContain('is not committed')
    expect(error.hint).toContain('again')
  })
})
