import { closeSync, openSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createScanner } from '../../src/ndjson/index.ts'
import { DeadLetters, stopAtBadRecords } from '../../src/pipeline/bad-records.ts'
import { CountedOrigin, RangeOrigin } from '../../src/pipeline/origin.ts'
import { readInput } from '../../src/pipeline/reader.ts'
import { type ByteSource, FileRange, lineStart, openSource } from '../../src/pipeline/source.ts'
import { temporaryFolder } from '../shell.ts'

/** A source that hands out given pieces, as a pipe does. */
function pieces(...parts: string[]): ByteSource {
  const queue = parts.map((part) => Buffer.from(part)).filter((part) => part.length > 0)
  return {
    name: 'stdin',
    size: undefined,
    pauses: true,
    consumed: () => 0,
    close() {},
    read(into) {
      const next = queue.shift()
      if (!next) return 0
      const n = Math.min(into.length, next.length)
      into.set(next.subarray(0, n))
      if (n < next.length) queue.unshift(next.subarray(n))
      return n
    },
  }
}

async function read(source: ByteSource, letters?: Buffer[], maxLineBytes = 1000) {
  const lines: string[] = []
  const positions: number[] = []
  const bad = letters ? new DeadLetters((bytes) => letters.push(Buffer.from(bytes))) : stopAtBadRecords
  const scanner = createScanner({ reads: [], strict: true }, 'reference')
  let error: unknown
  try {
    await readInput(
      scanner,
      source,
      new CountedOrigin('stdin', 0),
      (batch) => {
        lines.push(Buffer.from(batch.lines(undefined, 0, batch.count)).toString())
        for (let row = 0; row < batch.count; row++) positions.push(batch.position(row))
      },
      { maxLineBytes, bad },
    )
  } catch (thrown) {
    error = thrown
  }
  return {
    positions,
    output: lines.join(''),
    error: error as { facts: Record<string, unknown> } | undefined,
    kept: bad.count,
  }
}

describe('readInput', () => {
  it('hands on everything before the first bad line, then names its line and column', async () => {
    const { output, error } = await read(pieces('{"a":1}\n\n{"b":2}\n{"a":', '\n{"a":3}\n'))
    expect(output).toBe('{"a":1}\n{"b":2}\n')
    expect(error?.facts['place']).toBe('stdin:4:6')
  })

  it('keeps bad lines byte for byte and goes on', async () => {
    const letters: Buffer[] = []
    const { output, error, kept } = await read(pieces('{"a":1}\n{"a"\u0000:}\r\nnot json\n{"a":3}'), letters)
    expect(error).toBeUndefined()
    expect(output).toBe('{"a":1}\n{"a":3}\n')
    expect(kept).toBe(2)
    expect(Buffer.concat(letters).toString()).toMatch(/^\{"a"\u0000:\}\r?\nnot json\n$/)
  })

  it('streams a line beyond the limit to the dead letters, wherever the input is cut', async () => {
    const long = 'x'.repeat(5000)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 5030 }), { maxLength: 8 }), async (cuts) => {
        const text = `{"a":1}\n${long}\n{"a":3}\n`
        const at = [0, ...cuts.sort((a, b) => a - b), text.length]
        const letters: Buffer[] = []
        const parts = at.slice(1).map((end, index) => text.slice(at[index], end))
        const { output, kept, positions } = await read(pieces(...parts), letters)
        // In one piece the scanner sees a whole (bad) line; cut, the reader streams it. Both are kept alike.
        expect(output).toBe('{"a":1}\n{"a":3}\n')
        expect(Buffer.concat(letters).toString()).toBe(`${long}\n`)
        expect(kept).toBe(1)
        expect(positions).toEqual([0, text.indexOf('{"a":3}')])
      }),
    )
  })

  it('refuses a whole line beyond the limit like one that comes in pieces, with both scanners', () => {
    const text = Buffer.from(`{"a":1}\n{"a":"${'x'.repeat(500)}"}\nbad\n{"a":3}\n`)
    for (const which of ['reference', 'wasm'] as const) {
      const scanner = createScanner({ reads: [['a']], strict: false, maxLineBytes: 100 }, which)
      scanner.begin(new CountedOrigin('stdin', 0))
      scanner.room().set(text)
      const { batch, bad } = scanner.scan(text.length, true)
      expect(batch.count).toBe(2)
      expect(bad.map(({ problem, row }) => [row, problem.slice(0, 30)])).toEqual([
        [1, 'the line is longer than 100 by'],
        [1, 'expected a value, found "bad"'],
      ])
    }
  })

  it('refuses a line beyond the limit without dead letters, with its number', async () => {
    const { output, error } = await read(pieces('{"a":1}\n', `"${'x'.repeat(3000)}`, 'xxx"\n'))
    expect(output).toBe('{"a":1}\n')
    expect(error?.facts['place']).toBe('stdin:2:1')
    expect(error?.facts['hint']).toContain('--max-line')
  })
})

describe('a file that is read ahead', () => {
  const folder = temporaryFolder()
  const file = join(folder, 'long.ndjson')
  /** Some blocks; lines of up to 100,000 bytes and bad ones among them, the last without its end. */
  const lines = Array.from({ length: 6000 }, (_, i) => {
    if (i % 300 === 299) return `{"i":${i},"long":"${'x'.repeat(16 * i)}"}`
    return i % 210 === 0 ? `{"i":${i},` : `{"i":${i},"text":"${'t'.repeat(i % 900)}"}`
  })
  writeFileSync(file, lines.join('\n'))

  async function run(ahead: boolean, most = Infinity, maxLineBytes = 40_000) {
    const seen: string[] = []
    const letters: Buffer[] = []
    const scanner = createScanner({ reads: [['i']], strict: false, maxLineBytes })
    const source = openSource(file)
    const process = (batch: import('../../src/core/batch.ts').RecordBatch): 'done' | void => {
      for (let row = 0; row < batch.count && seen.length < most; row++) {
        const line = Buffer.from(batch.lines(undefined, row, row + 1)).toString()
        seen.push(`${batch.position(row)} ${seen.length % 500 === 0 && batch.locate(row).line} ${line}`)
      }
      if (seen.length === most) return 'done'
    }
    const bad = new DeadLetters((bytes) => letters.push(Buffer.from(bytes)))
    try {
      const done = await readInput(scanner, source, new CountedOrigin(file, 0), process, { maxLineBytes, bad, ahead })
      return { seen, letters: Buffer.concat(letters).toString(), done, kept: bad.count }
    } finally {
      source.close()
      scanner.close()
    }
  }

  it('gives the same records at the same places, and the same bad lines', async () => {
    const plain = await run(false)
    expect(plain.kept).toBeGreaterThan(30)
    expect(plain.seen.length + plain.kept).toBe(lines.length)
    expect(await run(true)).toEqual(plain)
  })

  it('ends where the stage is done', async () => {
    const { seen, done } = await run(true, 4000)
    expect(done).toBe('done')
    expect(seen).toEqual((await run(false)).seen.slice(0, 4000))
  })

  it('is read on another thread', async () => {
    let read = 0
    const opened = openSource(file)
    const readAhead = (into: Uint8Array): Promise<number> => opened.readAhead!(into).finally(() => read++)
    const scanner = createScanner({ reads: [], strict: false })
    const settings = { maxLineBytes: 1e6, bad: new DeadLetters(() => {}), ahead: true }
    await readInput(scanner, { ...opened, readAhead }, new CountedOrigin(file, 0), () => {}, settings)
    opened.close()
    expect(read).toBeGreaterThan(2)
  })
})

describe('ranges of a file', () => {
  const folder = temporaryFolder()
  it('give every line to exactly one range, whatever the cuts, with the line numbers of the file', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('{"a":1}', '', '{"a":"xyz"}', '[]', 'bad'), { maxLength: 12 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 40 }),
        async (lines, ended, step) => {
          const file = join(folder, 'lines.ndjson')
          writeFileSync(file, lines.join('\n') + (ended ? '\n' : ''))
          const { size } = statSync(file)
          const fd = openSync(file, 'r')
          const places: string[] = []
          const output: string[] = []
          const bad = {
            stops: false,
            count: 0,
            reject: (place: () => { line: number }) => void places.push(`${place().line}`),
            keepPiece() {},
            inOrder: <Result>(block: () => Result) => block(),
          }
          for (let at = 0; at < size; at += step) {
            const start = lineStart(fd, at, size)
            const range = new FileRange(fd, { file, size }, start, lineStart(fd, Math.min(at + step, size), size))
            const process = (batch: import('../../src/core/batch.ts').RecordBatch): void => {
              for (let row = 0; row < batch.count; row++) {
                const { line } = batch.locate(row)
                output.push(
                  `${line}:${Buffer.from(batch.lines(undefined, row, row + 1))
                    .toString()
                    .trim()}`,
                )
              }
            }
            const scanner = createScanner({ reads: [], strict: true }, 'reference')
            await readInput(scanner, range, new RangeOrigin(file, start, 0), process, { maxLineBytes: 1000, bad })
          }
          closeSync(fd)
          const numbered = lines.map((line, index) => ({ line, number: index + 1 }))
          expect(output).toEqual(
            numbered.filter(({ line }) => line !== '' && line !== 'bad').map((l) => `${l.number}:${l.line}`),
          )
          expect(places).toEqual(numbered.filter(({ line }) => line === 'bad').map((l) => `${l.number}`))
        },
      ),
    )
  })
})
