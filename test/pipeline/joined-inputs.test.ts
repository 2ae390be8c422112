import { describe, expect, test } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'

/** A folder with the topics `l` and `q`, and what a join of all their records is. */
async function folderWithTopics(how = by): Promise<string> {
  const folder = temporaryFolder()
  await run(
    folder,
    `seq 0 99 | beck map '{t: r * 10, k: r % 5, l: r}' > l.nd; seq 0 99 | beck map '{t: r * 10 + 5, k: r % 7, q: r}' > q.nd
     beck append l l.nd; beck append q q.nd; beck join q.nd l.nd ${how} > expected`,
  )
  return folder
}
const by = '--on k --within 40ms --time t --type full'
const asOf = '--on k --as-of t --direction nearest --tolerance 50ms --delay 0s --time-unit ms --type full'
const run = (folder: string, line: string) => shell(`set -o pipefail; ${line}`, { cwd: folder, timeoutMs: 60_000 })
const left = 'beck consume l -g gl --exactly-once'
const right = 'beck consume q -g gq --exactly-once'

/** The output is that of a plain join. */
async function expectWhole(folder: string): Promise<void> {
  const { exit, stdout } = await run(folder, 'beck replay out | diff - expected')
  expect({ exit, stdout: stdout.toString() }).toEqual({ exit: 0, stdout: '' })
}

describe('join of two inputs with frames', () => {
  test.each([by, asOf])(
    'runs over parts of both give what one join gives, and both groups are committed: %s',
    async (by) => {
      const folder = await folderWithTopics(by)
      const { exit, stderr } = await run(
        folder,
        `for part in '10 7' '5 50' '60 1'; do set -- $part
         ${left} --limit $1 --checkpoint 1ms | beck join <(${right} --limit $2 --checkpoint 3ms) ${by} | beck append out || exit 70
       done; ${left} --drain | beck join <(${right} --drain | beck filter true) ${by} | beck append out`,
      )
      expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
      await expectWhole(folder)
      const { stdout } = await run(folder, 'beck pipeline list')
      const pipelines = stdout.toString().trim().split('\n')
      expect(pipelines.map((line) => JSON.parse(line) as object)).toMatchObject([
        { pipeline: 'gl', lag: 0, stateBytes: 0 },
        { pipeline: 'gq', lag: 0, stateBytes: 0 },
      ])
    },
  )

  test('an input that is silent does not hold the commits of the other up', async () => {
    const folder = await folderWithTopics()
    const { exit, stderr } = await run(
      folder,
      `${left} --limit 1 | beck join <(${right} --limit 1) ${by} | beck append out || exit 70
       ${left} --follow --checkpoint 20ms | beck join <(${right} --follow --checkpoint 20ms) ${by} | beck append out & pipe=$!
       for i in $(seq 300); do [ "$(beck pipeline list | beck filter 'r.lag > 0')" = "" ] && break; sleep 0.1; done
       beck append l l.nd; beck append l l.nd
       for i in $(seq 300); do [ "$(beck pipeline list | beck filter 'r.lag > 0')" = "" ] && break; sleep 0.1; done
       beck pipeline list | beck filter 'r.lag > 0'; kill $(jobs -p); wait; exit 0`,
    )
    expect(exit, stderr).toBe(0)
    const { stdout } = await run(folder, `beck pipeline list | beck map 'r.lag'`)
    expect(stdout.toString()).toBe('0\n0\n')
  })

  test('both from one source: the same barrier comes on both ways', async () => {
    const folder = await folderWithTopics()
    const { exit, stderr } = await run(
      folder,
      `mkfifo way; ${left} --drain --checkpoint 1ms | tee way | beck filter 'r.l % 2' | beck join <(beck filter 'r.l % 3' < way) ${by} | beck append out || exit 70
       beck filter 'r.l % 3' l.nd > three.nd; beck filter 'r.l % 2' l.nd | beck join three.nd ${by} > expected`,
    )
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    await expectWhole(folder)
  })

  test('a table that is a file is part of the state', async () => {
    const folder = await folderWithTopics()
    const join = (table: string): string => `beck join ${table} ${by} | beck append out`
    const { exit, stderr } = await run(
      folder,
      `${left} --limit 50 | ${join('q.nd')} || exit 70; head -50 q.nd > other.nd; ${left} | ${join('other.nd')}`,
    )
    expect(exit).not.toBe(0)
    expect(stderr).toContain('the TABLE of beck join is not what it was')
    await run(folder, `mv q.nd moved.nd; ${left} --drain | ${join('moved.nd')}`)
    await expectWhole(folder)
  })

  // Together, since some wait for their neighbours.
  test.concurrent.each([
    ['a table in a plain pipe', left, '<(cat q.nd)', 'comes through a pipe without control frames'],
    ['a left side without frames', 'cat l.nd', `<(${right})`, 'the left side has no control frames'],
    ['only one side is drained', `${left} --drain`, `<(${right})`, 'only one of the two inputs has --drain'],
    ['two levels', left, `<(${right.replace('exactly', 'at-least')})`, 'only one of the two inputs has --'],
    [
      'one group for both',
      `${left} --no-wait`, // whichever comes first
      '<(beck consume q -g gl --exactly-once --no-wait)',
      'beck join: one of the two sources has left',
    ],
    ['a right side that loses a record', left, `<(${right} | sed 3d)`, 'between consume and join 1 of'],
  ])('%s: nothing is committed', async (_, from, table, problem) => {
    const folder = await folderWithTopics()
    const { exit, stderr } = await run(folder, `${from} | beck join ${table} ${by} | beck append out`)
    expect(exit, stderr).not.toBe(0)
    expect(stderr).toContain(problem)
    expect((await run(folder, 'beck replay out')).stdout.toString()).toBe('')
  })

  test.each([
    ['--merge --on k', 'it cannot be a pipe'],
    ['--on k', 'to join two streams, add --within'],
    ['topic:q --follow --on k --as-of t', 'a TABLE that goes on needs offsets of its own'],
  ])('a TABLE with frames, or one that goes on, where it is read whole: %s', async (options, problem) => {
    const folder = await folderWithTopics()
    const table = options.startsWith('topic:') ? '' : `<(${right})`
    const { exit, stderr } = await run(folder, `${left} | beck join ${table} ${options} | beck append out`)
    expect(exit).not.toBe(0)
    expect(stderr).toContain(problem)
  })

  test('a group that somebody else has read on from is refused', async () => {
    const folder = await folderWithTopics()
    const join = `beck join <(${right} --limit 20) ${by} | beck append out`
    const { exit, stderr } = await run(
      folder,
      `${left} --limit 20 | ${join} || exit 70; ${right} --limit 5 | beck append elsewhere || exit 71; ${left} | ${join}`,
    )
    expect(exit).not.toBe(0)
    expect(stderr).toMatch(/beck join has joined "gl" \(epoch \d+\) and "gq" \(epoch \d+\), and now come/)
  })
})
