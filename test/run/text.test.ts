import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BeckError } from '../../src/core/errors.ts'
import { quoted } from '../../src/run/shell-line.ts'
import { type PipelineText, parsePipeline, plainWords } from '../../src/run/text.ts'
import { temporaryFolder } from '../shell.ts'

const parse = (text: string): PipelineText => parsePipeline({ name: 'text', text })
/** Stages as lists of words; a pipeline in brackets is a list within. */
const shape = ({ stages }: PipelineText): unknown[] =>
  stages.map(({ name, words }) => [
    name,
    ...words.flatMap((word): readonly unknown[] =>
      word.kind === 'text' ? (word.files ?? [word.text]) : [shape(word.pipeline)],
    ),
  ])
const wordsOf = (text: string, folder = '.'): string[] => {
  const [stage] = parsePipeline({ name: 'text', text: `x ${text}`, folder }).stages
  return plainWords(stage!, () => '')
}

describe('the text of a pipeline', () => {
  it.each<[string, unknown]>([
    ['filter r.ok', [['filter', 'r.ok']]],
    ["a 'b c'|d", [['a', 'b c'], ['d']]],
    [
      '#!/usr/bin/env -S beck run\n# all of it\na b # the first\n  | c \\\n d\n',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'join (replay orders | filter "r.ok") --on id',
      [
        [
          'join',
          [
            ['replay', 'orders'],
            ['filter', 'r.ok'],
          ],
          '--on',
          'id',
        ],
      ],
    ],
    ['a | tee (b | tee (c)) (d) | e', [['a'], ['tee', [['b'], ['tee', [['c']]]], [['d']]], ['e']]],
    ['beck a | beck b', [['a'], ['b']]],
    ['x a#b \'#c\' "" --by=k', [['x', 'a#b', '#c', '', '--by=k']]],
    [
      String.raw`x it\'s "a \"b\" \$c \d" 'a\b' "$" a$`,
      [['x', "it's", String.raw`a "b" $c \d`, String.raw`a\b`, '$', 'a$']],
    ],
    ["via -- sed 's/a|b/(c)/'", [['via', '--', 'sed', 's/a|b/(c)/']]],
  ])('%s', (text, expected) => expect(shape(parse(text))).toEqual(expected))

  it.each([
    ['filter r.x | | sort', '1:14', 'where a stage should be'],
    ['', '1:1', 'where a stage should be'],
    ['a |\n  # nothing\n', '3:1', 'the text ends where'],
    ["a\n  'b", '2:3', 'never closed'],
    ['a "b', '1:3', 'never closed'],
    ['join (a | b', '1:6', 'never closed'],
    ['a)', '1:2', 'closes nothing'],
    ['a b(c)', '1:4', 'a bracket within a word'],
    ['a $HOME', '1:3', 'no variables'],
    ['a "ä $HOME"', '1:6', 'no variables'],
    ['a `date`', '1:3', 'no commands are run inside words'],
    ['a > b', '1:3', 'no redirections'],
    ['a && b', '1:3', 'after another one'],
    ['a ; b', '1:3', 'one text is one pipeline'],
    ['a || b', '1:3', '"or"'],
    ['a {b,c}', '1:3', 'several words'],
    ['(a) b', '1:1', 'a pipeline in brackets'],
  ])('refuses %j at %s', (text, place, problem) => {
    let thrown: unknown
    try {
      parse(text)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(BeckError)
    expect(thrown).toMatchObject({ code: 'usage', facts: { place: `text:${place}` } })
    expect((thrown as BeckError).message).toContain(problem)
    expect((thrown as BeckError).hint).toBeTruthy()
  })

  it('has the words that bash makes of it', () => {
    const folder = temporaryFolder()
    for (const name of ['a.log', 'b.log', '.c.log', 'sub/d.log', 'x[1].log']) {
      mkdirSync(join(folder, 'sub'), { recursive: true })
      writeFileSync(join(folder, name), '')
    }
    const env = { ...process.env, LC_ALL: 'C' }
    const texts = [
      String.raw`a\ b "c'd" 'e"f'g"h"i \\ "\\" "\n" '\n'`,
      '*.log **/*.log [ab].log [!a].log ?.log no*such "*.log" \\*.log .*.log ./*.log sub/* *"1"*',
      '~ ~/x "~" a~ {} {a} @{x',
      String.raw`x\
y "a\
b"`,
      '$ "$" "a $ b"',
    ]
    for (const text of texts) {
      const printed = execFileSync('bash', ['-c', `printf '%s\\0' ${text}`], { env, cwd: folder })
      expect(wordsOf(text, folder), text).toEqual(printed.toString().split('\0').slice(0, -1))
    }
  })

  it('quoted words come back, from here and from a shell', () => {
    const words = fc.array(fc.string({ unit: fc.constantFrom(...'ab\'"\\$`*?[]{}(),|&;<># \n\t~=!-é') }), {
      minLength: 1,
      maxLength: 6,
    })
    fc.assert(
      fc.property(words, (list) => {
        expect(wordsOf(list.map(quoted).join(' '))).toEqual(list)
      }),
    )
    const sample = fc.sample(words, 50).flat()
    const printed = execFileSync('bash', ['-c', `printf '%s\\0' ${sample.map(quoted).join(' ')}`])
    expect(printed.toString().split('\0').slice(0, -1)).toEqual(sample)
  })
})
