import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Arguments } from '../../src/core/spec.ts'
import { decode } from './harness.ts'

const fixture = (name: string, lines: number): Buffer =>
  Buffer.from(readFileSync(`fixtures/${name}`, 'latin1').split('\n').slice(0, lines).join('\n'), 'latin1')

const BOM = '\ufeff'
const inputs: { name: string; program: string[]; options?: Arguments['options']; input: string | Buffer }[] = [
  {
    name: 'csv',
    program: ['csv'],
    input: `${BOM}id,"na\nme"\r\n1,"é ""x"""\r\n\r\n2,y,z\n"a"b,c\n😀,"l\r\nm"\n"open,\n`,
  },
  { name: 'csv with --infer', program: ['csv'], options: { infer: true }, input: 'a,b\n"1",-2.50\r\n' },
  { name: 'tsv', program: ['tsv'], input: 'a\tb\r\n\\t\\\\\té"\n1\n' },
  {
    name: 'json',
    program: ['json'],
    input: `${BOM}[{"a":"\\"]é",\n "b":[1, {}]} , 12.5e3,\n"x😀", tru, []]{"c":\n1} 7 null`,
  },
  {
    name: 'json --at',
    program: ['json'],
    options: { at: 'a["\\"b"][1]' },
    input: '{"z":[1,{"a":[]}],"a":{"x":"]","\\"b":[0,[1,{"é":2}]]}}',
  },
  { name: 'json that is cut off', program: ['json'], input: '[{"a":1},{"b' },
  { name: 'json that is none', program: ['json'], input: '[{"a":1},\n x' },
  { name: 'combined', program: ['combined'], input: fixture('access.log', 46) },
  { name: 'logfmt', program: ['logfmt'], options: { infer: true }, input: fixture('app.logfmt', 5) },
  { name: 'syslog', program: ['syslog'], input: fixture('syslog.log', 12) },
  { name: 'lines', program: ['lines'], input: `${BOM}é\r\n\n"😀"\n\u0000\r\r\nlast\r` },
  { name: 'words', program: ['words'], input: `${BOM}é  one\r\n\n "😀"\ttwo\n \v\f\r\nlast` },
  {
    name: 'lines that are not UTF-8',
    program: ['lines'],
    input: Buffer.from('a\u00e9\n\u00c3\u00a9\nb\u00ff', 'latin1'),
  },
  {
    name: 'csv that is not UTF-8',
    program: ['csv'],
    input: Buffer.from('a,b\n\u00e9,1\n"\u00c3\u00a9",2\n"\u00ff\n",3\n', 'latin1'),
  },
  {
    name: 'a row that is too long',
    program: ['csv'],
    options: { 'max-line': '20' },
    input: 'a,b\n1,2\n12345678,123456789012\n3,4',
  },
  {
    name: 'a value that is too long',
    program: ['json'],
    options: { 'max-line': '20' },
    input: '[1,\n[12345678,123456789012,""],\n3]',
  },
  {
    name: 'lines that are too long',
    program: ['lines'],
    options: { 'max-line': '300' },
    input: `a\n${'é'.repeat(151)}\nb\n${'c'.repeat(300)}\n${'d'.repeat(700)}`,
  },
  { name: 'regex', program: ['regex', '(?<a>.)(?<b>é)?'], input: 'é😀\nxé\n\n' },
]

describe.each(inputs)('$name', ({ program, options = {}, input }) => {
  const bytes = Buffer.from(input as string)

  it('gives the same however the bytes are cut in two', async () => {
    const whole = await decode(program, options, [bytes])
    expect(whole.output + (whole.failed ?? '')).not.toBe('')
    for (let at = 0; at <= bytes.length; at++) {
      const cut = await decode(program, options, [bytes.subarray(0, at), bytes.subarray(at)])
      expect(cut, `cut at ${at}`).toEqual(whole)
    }
  })

  it('gives the same byte by byte, or cut anywhere', async () => {
    const whole = await decode(program, options, [bytes])
    expect(
      await decode(
        program,
        options,
        [...bytes].map((byte) => Buffer.of(byte)),
      ),
    ).toEqual(whole)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(bytes.length)), async (places) => {
        const cuts = [0, ...places.sort((a, b) => a - b), bytes.length]
        const chunks = cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end))
        expect(await decode(program, options, chunks)).toEqual(whole)
      }),
    )
  })

  it('reads a second file as it read the first', async () => {
    const once = await decode(program, options, [bytes])
    if (once.failed) return
    const twice = await decode(program, options, [bytes], [bytes])
    expect(twice).toEqual({ output: once.output.repeat(2), rejected: [...once.rejected, ...once.rejected] })
  })
})
