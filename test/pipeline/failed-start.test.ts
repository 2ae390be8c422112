import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'

/** Plain shell pipelines, without pipefail, one stage of which fails before it has written anything. */
const run = (cwd: string, line: string) => shell(line, { cwd, timeoutMs: 60_000 })
const LINE = 'beck consume in -g g --exactly-once --drain | beck filter true | beck reduce count'

const failures: readonly (readonly [what: string, from: string, to: string, says: string])[] = [
  ['the topic is not there', 'consume in', 'consume inn', 'beck consume: there is no topic "inn"'],
  ['an option of consume', '-g g', '-g g --bogus', 'beck consume: there is no option --bogus'],
  ['a value of consume', '-g g', '-g g --checkpoint often', '"often" is not a duration'],
  ['no such command', 'beck consume', 'beck consum', 'there is no command "consum"'],
  ['an option in the middle', 'filter true', 'filter true --bogus', 'beck filter: there is no option --bogus'],
  ['an expression in the middle', 'filter true', "filter 'r.n +'", 'beck filter: the expression'],
]
const ends = [
  ['append out', 'beck replay out'],
  ['into file:parts', 'cat parts/part-*'],
  ['into sqlite:out.db t', 'test -e out.db && sqlite3 out.db "SELECT * FROM t"'],
] as const

const cases = failures.flatMap(([what, ...how], index) =>
  // One of the source and one of the middle will do for the others.
  ends.filter((_, end) => end === 0 || index % 4 === 0).map(([end, show]) => [end, what, show, ...how] as const),
)
test.concurrent.each(cases)(
  'beck %s keeps nothing of what later stages say about nothing: %s',
  async (end, _what, show, from, to, says) => {
    const cwd = temporaryFolder()
    await run(cwd, `echo '{"n":1}' | beck append in`)
    const failed = await run(cwd, `${LINE.replace(from, to)} | beck ${end}`)
    expect(failed.exit).toBe(4)
    expect(failed.stderr).toContain(says)
    const [command] = end.split(' ')
    expect(failed.stderr).toContain(`beck ${command}: a stage before this one has failed at its start`)
    expect((await run(cwd, `${show} 2>/dev/null`)).stdout.toString()).toBe('')
    // The next run does all.
    expect(await run(cwd, `${LINE} | beck ${end}`)).toMatchObject({ exit: 0, stderr: '' })
    expect((await run(cwd, show)).stdout.toString()).toContain('1')
  },
)

test('an end that fails before consume has begun: exit codes say so, and the next run does all', async () => {
  const cwd = temporaryFolder()
  await run(cwd, `echo '{"n":1}' | beck append in`)
  for (const end of ['beck append out --bogus', 'beck into nosuch:x t', 'false', 'sleep 0']) {
    const { stdout, stderr } = await run(cwd, `${LINE} | ${end}; echo "\${PIPESTATUS[0]}"`)
    expect(stdout.toString()).toBe('4\n')
    expect(stderr).toContain('beck consume: the next stage of the pipe has ended')
    expect(stderr).not.toContain('    at ')
  }
  expect(await run(cwd, `${LINE} | beck append out`)).toMatchObject({ exit: 0, stderr: '' })
  expect((await run(cwd, 'beck replay out')).stdout.toString()).toBe('{"count":1}\n')
})

test('where nobody would know it, nothing is written: no frames, no pipe, or a program of another kind behind', async () => {
  const cwd = temporaryFolder()
  await run(cwd, `echo '{"n":1}' | beck append in`)
  // Without frames a stage that fails is any program that does.
  expect(await run(cwd, 'beck consume inn -g g | beck reduce count')).toMatchObject({ exit: 0 })
  expect((await run(cwd, 'beck filter --bogus < /dev/null | cat')).stdout.toString()).toBe('')
  expect((await run(cwd, 'beck consume inn -g g --at-least-once | beck commit | cat')).stdout.toString()).toBe('')
  expect((await run(cwd, 'beck consume inn -g g --exactly-once | beck to csv | cat')).stdout.toString()).toBe('')
  await run(cwd, 'beck consume inn -g g --exactly-once > file')
  expect(existsSync(join(cwd, 'file')) && readFileSync(join(cwd, 'file'), 'utf8')).toBe('')
})

test('a source that leaves since another run is at work, has nobody behind it say anything: exit 0', async () => {
  const cwd = temporaryFolder()
  await run(cwd, `echo '{"n":1}' | beck append in`)
  const line = `
    beck consume in -g g --exactly-once --follow --checkpoint 10ms | beck append busy &
    until beck replay busy 2> /dev/null | grep -q n; do sleep 0.1; done
    for end in 'append out' 'into file:parts'; do
      beck consume in -g g --exactly-once --no-wait | beck filter true | beck via -- cat | beck reduce count | beck $end || echo "exit $?"
    done
    beck run --mode pipes 'consume in -g g --exactly-once --no-wait | reduce count | append out' || echo "exit $?"
    kill -9 0`
  const { stdout, stderr } = await run(cwd, line)
  expect(stdout.toString()).toBe('')
  expect(stderr.match(/nothing to do/g)).toHaveLength(3)
  expect(stderr).not.toContain('nothing is committed')
  expect((await run(cwd, 'find . -name "part-*"; beck replay out')).stdout.toString()).toBe('')
})
