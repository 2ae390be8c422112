// Words and lines of a text become rows without anybody scanning them: the same rows as by way of their lines.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Scanner, TextKind } from '../../src/ndjson/scanner.ts'
import { decode } from '../formats/harness.ts'
import { shell, temporaryFolder } from '../shell.ts'
import { openScanner, rowTexts, scanAll } from './scan.ts'

const runs = Math.min(Number(process.env['BECK_FUZZ_RUNS'] ?? 300), 5000)
const BASE = 1000

/** What the fast way makes of a text. */
function readText(scanner: Scanner, kind: TextKind, text: Uint8Array) {
  scanner.begin({ file: 'text', base: BASE, lineAt: () => 1 })
  const rows: (string | undefined)[][] = []
  const positions: number[] = []
  let bytes = ''
  const counts = scanner.readText?.(kind, text, ({ batch, bad, lines }, length) => {
    expect({ bad, lines, length }).toEqual({ bad: [], lines: batch.count, length: batch.bytes.length })
    rows.push(...rowTexts(batch))
    for (let row = 0; row < batch.count; row++) positions.push(batch.position(row))
    bytes += Buffer.from(batch.lines(undefined, 0, batch.count)).toString()
    if (batch.ascii) expect(batch.bytes.every((byte) => byte < 0x80)).toBe(true)
  })
  return { counts, rows, positions, bytes }
}

/** The same, by way of records that are scanned. */
async function readRecords(fields: string, kind: TextKind, text: Uint8Array) {
  const { output } = await decode([`${kind}s`], {}, [text])
  const { rows, positions } = scanAll(openScanner(fields, { base: BASE }), output)
  const lineEnds = text.filter((byte) => byte === 10).length
  return { counts: { records: rows.length, lineEnds }, rows, positions, bytes: output }
}

const piece = fc.oneof(
  { weight: 6, arbitrary: fc.string({ maxLength: 12 }) },
  {
    weight: 6,
    arbitrary: fc.constantFrom(' ', '\n', '\t', '\r\n', '\r', '\v', '\f', '  ', '\n\n', '\u00a0', '\u0085'),
  },
  { weight: 2, arbitrary: fc.string({ unit: 'grapheme', maxLength: 9 }) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 0, max: 0x1f }).map((code) => String.fromCharCode(code)),
  },
  { weight: 2, arbitrary: fc.constantFrom('"', '\\', '\u007f', 'é', '😀') },
  { weight: 1, arbitrary: fc.integer({ min: 50, max: 700 }).map((length) => 'x'.repeat(length)) },
)
const texts = fc.array(piece, { maxLength: 60 }).map((pieces) => Buffer.from(pieces.join('')))

test('a line of control characters is longer as records than any other', async () => {
  const { output } = await decode(['words'], {}, [Buffer.from('\u0001 '.repeat(100_000))])
  expect(output).toBe('{"word":"\\u0001"}\n'.repeat(100_000))
})

describe.each(['word', 'line'] as const)('a text by the %s', { timeout: 120_000 }, (kind) => {
  const fields = ['', 'word', 'line', 'word line a', 'a word.x line[0] word']
  const scanners = fields.map((list) => openScanner(list, { which: 'wasm' }))

  test('has the rows, spans and positions of its records', async () => {
    await fc.assert(
      fc.asyncProperty(texts, fc.nat(fields.length - 1), async (text, which) => {
        expect(readText(scanners[which]!, kind, text)).toEqual(await readRecords(fields[which]!, kind, text))
      }),
      { numRuns: runs },
    )
  })

  test('may be long, and have many records', async () => {
    const words = Array.from({ length: 30_000 }, (_, i) => (i % 97 === 0 ? 'é"' : 'w'.repeat(i % 23)))
    const text = Buffer.from(words.map((word, i) => word + (i % 3 === 0 ? '\n' : ' ')).join(''))
    for (const [which, list] of fields.entries())
      expect(readText(scanners[which]!, kind, text)).toEqual(await readRecords(list, kind, text))
  })

  test('is left to the readable way where records may be too long', () => {
    const scanner = openScanner(kind, { which: 'wasm' })
    expect(readText(scanner, kind, Buffer.alloc((1 << 20) + 1, 'x '))).toMatchObject({ counts: undefined, rows: [] })
  })

  test('gives the same output and errors with both scanners', async () => {
    const folder = temporaryFolder()
    const line = 'two "words" and\\or é \u0001\n'
    const text = Buffer.from(`${line.repeat(20_000)}not UTF-8: \xff\n${line}`, 'latin1')
    const bad = text.indexOf(0xff)
    const good = Buffer.from(line.repeat(20_000))
    writeFileSync(join(folder, 'text'), Buffer.concat([good, text.subarray(bad - 11)]))
    for (const command of [
      `from ${kind}s --dead-letter letters text; cat letters`,
      `from ${kind}s text`,
      `run "from ${kind}s text | reduce count --by ${kind}"`,
      `from ${kind}s --max-line 30 text`,
      `run "from ${kind}s text | filter --max-line 34 r"`,
    ]) {
      const [reference, wasm] = await Promise.all(
        ['reference', 'wasm'].map((which) =>
          shell(`BECK_SCANNER=${which} beck ${command.replaceAll('letters', `letters-${which}`)}`, { cwd: folder }),
        ),
      )
      expect(wasm!.stdout.equals(reference!.stdout), command).toBe(true)
      expect({ stderr: wasm!.stderr.replaceAll('-wasm', ''), exit: wasm!.exit }, command).toEqual({
        stderr: reference!.stderr.replaceAll('-reference', ''),
        exit: reference!.exit,
      })
      expect(reference!.stdout.length + reference!.stderr.length, command).toBeGreaterThan(0)
    }
  })
})
