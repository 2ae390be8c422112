import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { delimiter, dirname } from 'node:path'
import { expect, it } from 'vitest'
import { program, shell, temporaryFolder } from '../shell.ts'
import { joinPipes, modeOf, writeStandIn } from './as-runs.ts'

it.each([
  ['beck a x | beck b', "beck a x '%|' b"],
  ['beck a |\n  beck b', "beck a '%|' b"],
  ['cat x | beck a | beck b | wc -l', "cat x | beck a '%|' b | wc -l"],
  ['beck a "$x | beck b" | beck c', `beck a "$x | beck b" '%|' c`],
  ['beck a | grep x | beck b', 'beck a | grep x | beck b'],
  ['beck a < in | beck b', 'beck a < in | beck b'],
  ['beck a 2>&1 | beck b', 'beck a 2>&1 | beck b'],
  ['beck a | beck b < in', 'beck a | beck b < in'],
  ['beck a | beck b > out', "beck a '%|' b > out"],
  ["beck a 'r => r.n < 3' | beck b", "beck a 'r => r.n < 3' '%|' b"],
  ["beck a | beck b 'r.n < 3' | beck c", "beck a '%|' b 'r.n < 3' '%|' c"],
  ['beck a <(beck b | beck c) | beck d', "beck a <(beck b '%|' c) '%|' d"],
  ['(x; beck a) | beck b | (y)', '(x; beck a) | beck b | (y)'],
  ['for i in 1 2; do beck a $i | beck b; done', "for i in 1 2; do beck a $i '%|' b; done"],
  ['p() { beck a | beck b; }; p', "p() { beck a '%|' b; }; p"],
  ['echo beck a | beck b', 'echo beck a | beck b'],
  ['beck a || beck b && beck c; beck d | beck e', "beck a || beck b && beck c; beck d '%|' e"],
  ['# beck a | it is\nbeck b | beck c', "# beck a | it is\nbeck b '%|' c"],
])('in %j each pipe of becks is one', (line, joined) => expect(joinPipes(line)).toBe(joined))

it('the stand-in hands words on as they are, to a run in the mode it was made for', async () => {
  const folder = temporaryFolder()
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  const fake = join(folder, 'fake')
  writeFileSync(fake, '#!/bin/sh\nprintf "%s\\n" "$@"\n', { mode: 0o755 })
  writeStandIn(bin, fake, 'parallel --workers 2')
  const ran = join(folder, 'ran')
  const env = { BECK_RAN: ran, PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter) }
  const said = async (line: string) => (await shell(line, { cwd: folder, env })).stdout.toString()
  expect(await said('beck filter --help; beck run x; beck --version')).toBe('filter\n--help\nrun\nx\n--version\n')
  expect(() => readFileSync(ran)).toThrow('ENOENT')
  expect(await said(joinPipes(`beck map "it's" 'a b' | beck sort`))).toBe(
    "run\n--mode\nparallel\n--workers\n2\n'map' 'it'\\''s' 'a b' | 'sort'\n",
  )
  expect(readFileSync(ran, 'utf8')).toBe('')
  expect(await said('beck consume t')).toContain('--workers\n1\n')
  expect(modeOf('parallel --workers 2', 'beck consume t')).toBe('parallel --workers 1')
})

it('a text of the stand-in is what the words were', async () => {
  const folder = temporaryFolder()
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  writeStandIn(bin, program, 'fused')
  const env = {
    BECK_RAN: join(folder, 'ran'),
    PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter),
  }
  const line = joinPipes(`echo '{"a":"it'"'"'s"}' | beck map '{b: r.a + " \\\\ | $x"}' | beck filter 'r.b !== "("'`)
  expect(await shell(line, { cwd: folder, env })).toMatchObject({ exit: 0, stderr: '' })
  expect((await shell(line, { cwd: folder, env })).stdout.toString()).toBe('{"b":"it\'s \\\\ | $x"}\n')
})
