import { isDeepStrictEqual } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { KeyTable, KeyTableState, ObjectTemplate, RecordBatch } from '../../src/core/batch.ts'
import { MAX_DEPTH } from '../../src/ndjson/line.ts'
import type { ScannerName } from '../../src/ndjson/index.ts'
import { JsonLines } from './json-lines.ts'
import { feed, openScanner, rowTexts, scanAll, type Seen } from './scan.ts'

/** Lines to try; CI tries a million. */
const RUNS = Number(process.env['BECK_FUZZ_RUNS'] ?? 30_000)
const LINES = 50
const FIELDS = 'a b.a long_name_of_a_field path.c[1] é c["0"].a b [""]'

const scanners = (strict: boolean) => {
  const open = (which: ScannerName) => openScanner(FIELDS, { which, strict, base: 1000 })
  return [open('reference'), open('wasm')] as const
}

/** Documents of LINES lines, each with the cuts at which it is fed. */
function* documents(seed: number, { duplicates, edits }: { duplicates: boolean; edits: number }) {
  const random = new JsonLines(seed)
  for (let i = 0; i < RUNS / LINES; i++) {
    const lines = Array.from({ length: LINES }, () => random.line(duplicates))
    const text = Buffer.from(lines.join('\n') + (random.below(2) ? '\n' : ''))
    const bytes = edits ? random.mutate(text, random.below(edits)) : text
    const cuts = Array.from({ length: random.below(3) }, () => random.below(bytes.length)).sort((a, b) => a - b)
    yield { bytes, cuts, random }
  }
}

describe('the fast scanner agrees with the readable one', { timeout: 60_000 + RUNS }, () => {
  it('on all lines when strict, in rows, fields, problems and columns', () => {
    const [reference, wasm] = scanners(true)
    const expectedFrom = { scanner: reference, tables: [reference.keyTable([0]), reference.keyTable([6, 0])] }
    const actualFrom = { scanner: wasm, tables: [wasm.keyTable([0]), wasm.keyTable([6, 0])] }
    for (const { bytes, cuts, random } of documents(1, { duplicates: true, edits: 30 })) {
      const expected = scanWithColumns(expectedFrom, bytes, cuts, random.below(100))
      same(scanWithColumns(actualFrom, bytes, cuts, expected.choice), expected)
    }
  })

  it('on valid lines when not strict', () => {
    const [reference, wasm] = scanners(false)
    for (const { bytes, cuts } of documents(2, { duplicates: false, edits: 0 })) {
      restart(reference)
      restart(wasm)
      const expected = scanAll(reference, bytes, cuts)
      expect(expected.bad).toEqual([])
      same(scanAll(wasm, bytes, cuts), expected)
    }
  })

  it('on what it refuses when not strict, and finds what it must', () => {
    const [reference, wasm] = scanners(false)
    for (const { bytes, cuts } of documents(3, { duplicates: false, edits: 30 })) {
      restart(reference)
      restart(wasm)
      const expected = byLine(bytes, scanAll(reference, bytes, cuts))
      const actual = byLine(bytes, scanAll(wasm, bytes, cuts))
      expect(actual.length).toBe(expected.length)
      actual.forEach(({ at, row, bad }, i) => {
        const truth = expected[i] as (typeof expected)[number]
        expect(at).toBe(truth.at)
        const line = lineAt(bytes, at)
        if (bad)
          expect({ line: line.toString('latin1'), bad }).toEqual({ line: line.toString('latin1'), bad: truth.bad })
        else if (truth.row) {
          if (JSON.stringify(row) !== JSON.stringify(truth.row) && !hasDuplicates(line.toString()))
            expect(row).toEqual(truth.row)
        } else {
          expect(mustBeFound(line), line.toString('latin1')).toBe(false)
          for (const text of row?.slice(1) ?? []) if (text !== undefined) JSON.parse(text)
        }
      })
    }
  })
})

/** `toEqual` words a difference well, but takes ten times as long to find none. */
function same(actual: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toEqual(expected)
}

function restart(scanner: ReturnType<typeof openScanner>): void {
  scanner.begin({ file: 'x.ndjson', base: 1000, lineAt: (offset) => offset })
}

/** The rows and bad lines of an input, each at the start of its line. */
function byLine(bytes: Buffer, { rows, bad, positions }: Seen) {
  const lineStart = (position: number): number => (position - 1000 ? bytes.lastIndexOf(10, position - 1000 - 1) + 1 : 0)
  return [
    ...rows.map((row, i) => ({ at: lineStart(positions[i] as number), row, bad: undefined })),
    ...bad.map(({ text, problem, column, position }) => ({
      at: position - 1000,
      row: undefined,
      bad: { text, problem, column },
    })),
  ].sort((a, b) => a.at - b.at)
}

function lineAt(bytes: Buffer, at: number): Buffer {
  const end = bytes.indexOf(10, at)
  return bytes.subarray(at, end < 0 ? bytes.length : end)
}

/** What is found in every line, strict or not, decided byte by byte. */
function mustBeFound(line: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(line)
  } catch {
    return true
  }
  let inString = false
  let depth = 0
  let last = ''
  let ended = false
  const counts: Record<string, number> = { '{': 0, '}': 0, '[': 0, ']': 0 }
  for (let i = 0; i < line.length; i++) {
    const char = String.fromCharCode(line[i] as number)
    if (char < ' ' && (inString || !'\t\r'.includes(char))) return true
    if (inString) {
      if (char === '\\') i++
      if (char === '"') inString = false
      continue
    }
    if (' \t\r'.includes(char)) continue
    if (ended) return true
    if (char === '"') inString = true
    if (last === '}' && char === '{') return true
    if (char in counts) counts[char] = (counts[char] as number) + 1
    if (char === '{' || char === '[') depth++
    if ((char === '}' || char === ']') && --depth === 0) ended = true
    if (depth > MAX_DEPTH) return true
    last = char
  }
  return inString || counts['{'] !== counts['}'] || counts['['] !== counts[']']
}

/** Of a valid line. */
function hasDuplicates(line: string): boolean {
  const open: (Set<string> | undefined)[] = []
  for (const [token] of line.matchAll(/"(?:[^"\\]|\\.)*"(?:[ \t\r]*:)?|[{}[\]]/g)) {
    if (token === '{') open.push(new Set())
    else if (token === '[') open.push(undefined)
    else if (token === '}' || token === ']') open.pop()
    else if (token.endsWith(':')) {
      const name = JSON.parse(token.slice(0, token.lastIndexOf('"') + 1)) as string
      if (open.at(-1)?.has(name)) return true
      open.at(-1)?.add(name)
    }
  }
  return false
}

interface Tried {
  readonly scanner: ReturnType<typeof openScanner>
  readonly tables: readonly KeyTable[]
}

/** Everything that a batch can tell of its rows. `choice` picks masks and constants. */
function scanWithColumns({ scanner, tables }: Tried, bytes: Buffer, cuts: number[], choice: number) {
  restart(scanner)
  for (const table of tables) table.clear()
  const batches: unknown[] = []
  feed(scanner, bytes, cuts, ({ batch, bad, lines }) => {
    batches.push({
      lineCount: lines,
      bad: bad.map(({ start, end, ...rest }) => ({ ...rest, length: end - start })),
      ...columns(batch, choice),
    })
    batches.push(tables.map((table) => [...table.intern(batch)]))
  })
  const all = tables.map((table) =>
    Array.from({ length: table.size }, (_, id) => [table.text(id, 0), table.position(id)]),
  )
  return { choice, batches, all, exported: tables.map((table) => exported(table.export())) }
}

const exported = ({ bytes, ends, positions }: KeyTableState) => ({
  text: Buffer.from(bytes).toString('latin1'),
  ends: [...ends],
  positions: [...positions],
})

function columns(batch: RecordBatch, choice: number) {
  const { count } = batch
  const from = Math.min(choice % 3, count)
  const mask = Uint8Array.from({ length: count }, (_, row) => (row * 7 + choice) % 3 && 1)
  const flags = Uint8Array.from({ length: count }, (_, row) => (row + choice) % 4)
  const template: ObjectTemplate = {
    members: [
      { name: 'A"é', value: { kind: 'field', field: 0 } },
      { name: 'flag', value: { kind: 'flags', flags } },
      ...(choice % 2 ? [{ name: 'constant', value: { kind: 'constant', json: '"ü"' } as const }] : []),
      { name: 'b', value: { kind: 'field', field: 6 } },
    ],
  }
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
  return {
    rows: rowTexts(batch),
    positions: Array.from({ length: count }, (_, row) => batch.position(row)),
    numbers: [0, 1, 6].map((field) => {
      const { kinds, values } = batch.numbers(field)
      return [[...kinds], [...values]]
    }),
    decimals: [0, 6].map((field) => {
      const { kinds, mantissas, scales } = batch.decimals(field)
      return [[...kinds], [...mantissas], [...scales]]
    }),
    kinds: [0, 1, 2, 3, 4, 5, 6, 7].map((field) => [...batch.kinds(field)]),
    equals: ['a', 'é', '', '\\', '0123456789abcd'].map((constant) => [...batch.equalsString(0, Buffer.from(constant))]),
    lines: [text(batch.lines(undefined, 0, count)), text(batch.lines(mask, from, count))],
    rendered: text(batch.render(template, from, count)),
    head: rowTexts(batch.head(2)),
  }
}
