import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { leadsFromConsume } from '../../src/pipeline/shell-text.ts'
import { shell, temporaryFolder } from '../shell.ts'

const LINE = 'beck consume in -g g --exactly-once | beck reduce count | beck append out'

test.each([
  [LINE, true],
  [LINE.replace('exactly', 'at-least'), true],
  [LINE.replaceAll(' | ', ' |\n  '), true],
  [LINE.replaceAll(' | ', ' \\\n  | '), true],
  [`set -o pipefail; ${LINE}`, true],
  [`seq 10 | beck append in; ${LINE} && beck replay out`, true],
  [`beck append out < old; ${LINE}`, true],
  [`while sleep 1; do ${LINE}; done`, true],
  [LINE.replace('reduce', 'filter "a; b | c" | beck reduce').replace('count', "'n = count'"), true],
  [LINE.replace('|', '2>&1 |&').replace('append', 'append --store s'), true],
  [LINE.replace('out', '"$TOPIC"'), true],
  [`${LINE} # or: seq 9 | beck append out`, true],
  // Others, and what could be.
  [LINE.replace('--exactly-once', ''), false],
  ['seq 9 | beck reduce count | beck append out', false],
  [`${LINE}; seq 9 | beck append out`, false],
  [`${LINE}; seq 9 | beck append "$TOPIC"`, false],
  [LINE.replace('append out', 'append other'), false],
  [`echo 'consume --exactly-once |'; seq 9 | beck append out`, false],
  [`beck consume in -g g --exactly-once | beck into file:out; true | beck append out`, false],
  ['beck append out', false],
  ['', false],
])('%s: %s', (text, leads) => {
  expect(leadsFromConsume(text, 'append', 'out')).toBe(leads)
})

describe.skipIf(process.platform !== 'linux')('a consume that is gone before anybody has seen it', () => {
  // In its place there is nothing at all.
  const gone = LINE.replace(/beck consume/, 'true consume')

  test.each(['append out', 'into file:out'])('%s keeps nothing, in sh -c and in a script', async (end) => {
    const cwd = temporaryFolder()
    const line = gone.replace('append out', end)
    writeFileSync(join(cwd, 'script'), `echo begin\n${line}\nexit $?\n`)
    for (const way of [line, `sh -c '${line}'; exit $?`, 'bash script', 'cd /; sh -e "$OLDPWD/script"']) {
      const { exit, stderr } = await shell(way, { cwd, env: { BECK_STORE: join(cwd, 'store') } })
      expect({ way, exit }).toEqual({ way, exit: 4 })
      expect(stderr).toContain('no control frames have come')
    }
    const { stdout } = await shell('find . -name "*.ndjson"', { cwd })
    expect(stdout.toString()).toBe('')
  })

  test('what has nothing to do with it is kept', async () => {
    const cwd = temporaryFolder()
    const plain = 'true | beck reduce count | beck append out'
    for (const line of [plain, `${gone.replace('append out', 'append other')}; ${plain}`]) {
      expect(await shell(line, { cwd })).toMatchObject({ exit: 0 })
    }
    expect((await shell('beck replay out', { cwd })).stdout.toString()).toBe('{"count":0}\n{"count":0}\n')
  })
})
