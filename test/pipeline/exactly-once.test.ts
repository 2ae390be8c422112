import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'

/** A folder with a store whose topic `in` has these records. */
async function folderWith(records: number): Promise<string> {
  const folder = temporaryFolder()
  await add(folder, 0, records)
  return folder
}
async function add(folder: string, from: number, to: number): Promise<void> {
  const lines = Array.from({ length: to - from }, (_, i) => `{"n":${from + i}}\n`).join('')
  writeFileSync(join(folder, 'new.ndjson'), lines)
  await shell('beck append in new.ndjson', { cwd: folder })
}
const run = (folder: string, line: string, timeoutMs = 30_000) =>
  shell(`set -o pipefail; ${line}`, { cwd: folder, timeoutMs })
/** How often each number came out. */
async function numbers(folder: string, topic = 'out'): Promise<number[]> {
  const { stdout } = await run(folder, `beck replay ${topic}`)
  return stdout
    .toString()
    .split('\n')
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as { n: number }).n)
}
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

describe('consume --exactly-once', () => {
  test('each run handles what is new, once', async () => {
    const folder = await folderWith(10)
    const line = 'beck consume in -g g --exactly-once | beck filter true | beck append out'
    for (const more of [10, 10, 14]) {
      await add(folder, 10, more)
      const { exit, stderr } = await run(folder, more === 14 ? line.replace('exactly', 'at-least') : line)
      expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
      if (more === 10) expect(await numbers(folder)).toEqual(upTo(10))
    }
    expect(await numbers(folder)).toEqual(upTo(14))
  })

  test('only consume has to be told the store', async () => {
    const folder = await folderWith(3)
    const { exit } = await run(
      folder,
      'mkdir elsewhere; cd elsewhere; beck consume in --store ../.beck -g g --exactly-once | beck append out',
    )
    expect(exit).toBe(0)
    expect(existsSync(join(folder, 'elsewhere/.beck'))).toBe(false)
    expect(await numbers(folder)).toEqual(upTo(3))
  })

  test('another store is refused', async () => {
    const folder = await folderWith(3)
    const { exit, stderr } = await run(folder, 'beck consume in -g g --exactly-once | beck append out --store other')
    expect(exit).toBe(2)
    expect(stderr).toContain('output and offsets can be one only in one store')
    expect(stderr).toContain('epoch 1 is not committed')
  })

  test('records that look like frames, and a limit', async () => {
    const folder = await folderWith(0)
    writeFileSync(
      join(folder, 'odd.ndjson'),
      '["$beck",1,"end",{}]\n["$beck",1,"start",{}]\n{"n":1}\n["$beck",1,"data",2]\n',
    )
    const { exit } = await run(
      folder,
      'beck append in odd.ndjson; for n in 1 2; do beck consume in -g g --exactly-once --limit 2 | beck filter true | beck append out; done',
    )
    expect(exit).toBe(0)
    expect((await run(folder, 'beck replay out | diff - odd.ndjson')).exit).toBe(0)
  })

  test.concurrent.each(['grep -v beck', 'sed 1d', 'head -2', "jq -c '.n'"])(
    '%s in the middle commits nothing',
    async (middle) => {
      const folder = await folderWith(5)
      const { exit, stderr } = await run(folder, `beck consume in -g g --exactly-once | ${middle} | beck append out`)
      expect(exit, stderr).toBe(4)
      expect(stderr).toContain('is not committed')
      expect(await numbers(folder)).toEqual([])
      await run(folder, 'beck consume in -g g --exactly-once | beck append out')
      expect(await numbers(folder)).toEqual(upTo(5))
    },
  )

  test('a second pipeline of the group waits, and takes over when the first dies', async () => {
    const folder = await folderWith(5)
    const follow = 'beck consume in -g g --exactly-once --follow --checkpoint 50ms'
    const { exit, stderr } = await run(
      folder,
      `${follow} | beck append out & first=$(jobs -p %1); sleep 1.5
       beck consume in -g g --exactly-once --no-wait | beck append out || exit 70
       (${follow} | beck append out) & sleep 1.5
       kill -9 $first; echo '{"n":5}' | beck append in
       for i in 1 2 3 4 5 6 7 8 9 10; do [ "$(beck replay out | wc -l)" = 6 ] && break; sleep 0.5; done
       kill -9 0`,
    )
    expect(exit).toBe(137)
    expect(stderr).toContain('nothing to do')
    expect(stderr).toContain('waiting to take over')
    expect(await numbers(folder)).toEqual(upTo(6))
  })

  test('a pipeline that is stopped is taken over, and commits nothing when it goes on', async () => {
    const folder = await folderWith(5)
    const line = 'beck consume in -g g --exactly-once --session-timeout 1s --checkpoint 50ms'
    const { exit, stderr } = await run(
      folder,
      `set -m; ${line} --follow | beck filter true | beck append out & sleep 2
       kill -STOP %1; seq 5 9 | beck map '{n: r}' | beck append in
       ${line} | beck append out || exit 70
       seq 10 11 | beck map '{n: r}' | beck append in
       kill -CONT %1; wait %1; echo "first $?" >&2
       ${line} | beck append out`,
    )
    expect(exit, stderr).toBe(0)
    expect(stderr).toContain('a later run of pipeline "g" has taken over')
    expect(stderr).toContain('first 4')
    expect(await numbers(folder)).toEqual(upTo(12))
  })

  test('a pipeline whose last stage alone is stopped is taken over, too', async () => {
    const folder = await folderWith(5)
    const line = 'beck consume in -g g --exactly-once --session-timeout 1s --checkpoint 50ms'
    const { stderr } = await run(
      folder,
      `set -m; ${line} --follow | beck filter true | beck append out & sleep 1.5; set +m
       sink=$(ps -o pid=,pgid=,args= -e | awk -v g=$(jobs -p %1) '$2 == g && /append/ {print $1}'); kill -STOP $sink
       seq 5 9 | beck map '{n: r}' | beck append in
       ${line} | beck append out; echo "second $?" >&2
       kill -CONT $sink; wait %1; echo "first $?" >&2`,
    )
    expect(stderr).toContain('second 0')
    expect(stderr).toContain('first 4')
    expect(await numbers(folder)).toEqual(upTo(10))
  })

  test('partitions that a topic gets meanwhile are read', async () => {
    const folder = temporaryFolder()
    const { stdout } = await run(
      folder,
      `beck topic create in --by n; seq 0 4 | beck map '{n: r}' | beck append in
       beck consume in -g g --exactly-once --follow --checkpoint 20ms | beck append out &
       for i in $(seq 40); do [ "$(beck replay out 2> /dev/null | wc -l)" = 5 ] && break; sleep 0.25; done
       beck topic alter in --partitions 3; seq 5 29 | beck map '{n: r}' | beck append in
       for i in $(seq 40); do [ "$(beck replay out | wc -l)" = 30 ] && break; sleep 0.25; done
       beck topic describe in > described; kill -9 0`,
    )
    expect(stdout.toString()).toBe('')
    expect((await numbers(folder)).sort((a, b) => a - b)).toEqual(upTo(30))
    // Some of them came into the new ones.
    const { partitions } = JSON.parse(readFileSync(join(folder, 'described'), 'utf8')) as {
      partitions: { next: number }[]
    }
    expect(partitions.length).toBe(3)
  })

  test('partition by partition, a stage has to keep them apart, and groups do not mix', async () => {
    const folder = temporaryFolder()
    await run(
      folder,
      `beck topic create in --by n --partitions 3; seq 0 9 | beck map '{n: r, m: r % 2}' | beck append in`,
    )
    const line = (stage: string, more = ''): string =>
      `beck consume in -g g --exactly-once --per-partition ${more} | ${stage} | beck append out`
    for (const stage of [
      'beck reduce count',
      'beck dedupe --by m',
      'beck sort --by n',
      'beck filter true --dead-letter bad',
    ]) {
      const { exit, stderr } = await run(folder, line(stage))
      expect(exit).not.toBe(0)
      expect(stderr).toMatch(/--per-partition/)
    }
    expect(await numbers(folder)).toEqual([])
    const both = await run(folder, line('beck reduce count --by m,n | beck via -- cat', '--drain'))
    expect({ exit: both.exit, stderr: both.stderr }).toEqual({ exit: 0, stderr: '' })
    expect((await numbers(folder)).sort((a, b) => a - b)).toEqual(upTo(10))
    await add(folder, 10, 20)
    await run(folder, line('beck dedupe --by n'))
    // The state is the partitions': it does not fit a pipeline of all of them.
    const mixed = await run(folder, `beck consume in -g g --exactly-once | beck dedupe --by n | beck append out`)
    expect(mixed.exit).not.toBe(0)
    expect(mixed.stderr).toContain('has worked partition by partition')
    const reset = await run(folder, `beck pipeline reset g --execute && beck pipeline list | wc -l`)
    expect(reset.stdout.toString()).toMatch(/"g@in-2".*\n0\n$/s)
  })

  test('partition by partition, a pipeline that was evicted ends, exit 4', async () => {
    const folder = await folderWith(3)
    const begun = `beck group describe g 2>/dev/null | grep -q '"m"' && beck replay out 2>/dev/null | grep -q n`
    const { exit, stderr, stdout } = await run(
      folder,
      `(beck consume in -g g --exactly-once --per-partition --follow --member m | beck append out) 2> err & until ${begun}; do sleep 0.1; done; beck group evict g m --execute -q > evicted; wait $!; echo $?; cat err`,
    )
    expect(exit, stderr).toBe(0)
    expect(stdout.toString()).toMatch(/^4\n/)
    expect(stdout.toString()).toContain('the group "g" has gone on without this pipeline (member m)')
  })

  test('plain readers and pipelines do not share a group', async () => {
    const folder = await folderWith(5)
    const { stderr } = await run(
      folder,
      `beck consume in -g g --exactly-once --follow | beck append out & first=$(jobs -p %1); sleep 1; beck consume in -g g; kill -9 $first; wait`,
    )
    expect(stderr).toContain('is read by a pipeline that delivers exactly once')
  })

  test.each([
    ['--exactly-once --at-most-once', 'do not go together'],
    ['--exactly-once --member m', 'does not go with --exactly-once alone'],
    ['--exactly-once --per-partition --limit 3', 'does not go with --per-partition'],
    ['--per-partition', 'goes with --exactly-once'],
    ['--drain', 'goes with --exactly-once'],
    ['--exactly-once --follow --drain', '--follow has none'],
    ['--exactly-once > file', 'beck consume writes to a file'],
  ])('%s is exit 2', async (options, problem) => {
    const folder = await folderWith(1)
    const { exit, stderr } = await run(folder, `beck consume in -g g ${options}`)
    expect(exit).toBe(2)
    expect(stderr).toContain(problem)
  })
})

describe('by the clock', () => {
  test.concurrent.each([['--processing-time --tumbling 300ms'], ['--time n --time-unit s --tumbling 1s --idle 200ms']])(
    'window %s: results come although no more records do, also after a restart',
    async (options) => {
      const folder = await folderWith(3)
      const line = (more: string): string =>
        `beck consume in -g g --exactly-once ${more} | beck window count ${options} | beck append out`
      // What is there of the first run is in the state only; the second one says it by the clock.
      const { exit, stderr } = await run(
        folder,
        `${line('--checkpoint 1h')} || exit 70; ${line('--follow --checkpoint 50ms')} & echo '{"n":3600}' | beck append in
       for i in $(seq 300); do [ "$(beck replay out 2>/dev/null | beck reduce 'sum(count)')" = '{"sum_count":4}' ] && break; sleep 0.1; done
       kill $(jobs -p); wait; exit 0`,
        60_000,
      )
      expect(exit, stderr).toBe(0)
      const { stdout } = await run(folder, `beck replay out | beck reduce 'sum(count)'`)
      expect(stdout.toString()).toBe('{"sum_count":4}\n')
    },
  )
})

describe('state', () => {
  const hours = (options = '') =>
    `beck consume in -g g --exactly-once ${options} | beck window 'count, sum(n)' --tumbling 10s --time n --time-unit s | beck append out`
  const results = async (folder: string): Promise<number[]> =>
    (await run(folder, 'beck replay out')).stdout
      .toString()
      .split('\n')
      .filter(Boolean)
      .map((text) => (JSON.parse(text) as { count: number }).count)

  test('open windows stay for the next run, and --drain closes them', async () => {
    const folder = await folderWith(25)
    await run(folder, hours())
    expect(await results(folder)).toEqual([10, 10])
    await add(folder, 25, 33)
    await run(folder, hours())
    expect(await results(folder)).toEqual([10, 10, 10])
    const { exit, stderr } = await run(folder, hours('--drain'))
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(await results(folder)).toEqual([10, 10, 10, 3])
    // Drained is drained: nothing is held, nothing comes again.
    expect((await run(folder, hours('--drain'))).exit).toBe(0)
    expect(await results(folder)).toEqual([10, 10, 10, 3])
  })

  test('snapshots that no commit needs are removed', async () => {
    const folder = await folderWith(25)
    for (const to of [27, 28, 29]) {
      await run(folder, hours())
      await add(folder, to - 2, to)
    }
    const { stdout } = await run(folder, 'ls .beck/state/g/0-window')
    expect(stdout.toString()).toBe('3-3.snap\n')
  })

  test.each([
    ['the windows', `s/10s/20s/`, 2, 'the options of beck window were different'],
    ['the stages', `s/| beck window/| beck dedupe --by n | beck window/`, 2, 'was run with another command line'],
    [
      'the stages, more',
      `s/| beck append/| beck dedupe --by count | beck append/`,
      2,
      'it has no state for beck dedupe',
    ],
    [
      'the stages, fewer',
      `s/| beck window.*| beck append/| beck append/`,
      2,
      'of 1 stages that keep state, and this command line has 0',
    ],
  ])('%s cannot change under it', async (_, change, code, problem) => {
    const folder = await folderWith(25)
    await run(folder, hours())
    await add(folder, 25, 30)
    writeFileSync(join(folder, 'line'), hours())
    const { exit, stderr } = await run(folder, `bash -o pipefail -c "$(sed '${change}' line)"`)
    expect(stderr).toContain(problem)
    expect(stderr).toContain('beck pipeline reset g --execute')
    expect([code, 4]).toContain(exit)
    expect(await results(folder)).toEqual([10, 10])
    // The way out that it names.
    await run(folder, 'beck pipeline reset g --execute')
    expect((await run(folder, `bash -o pipefail -c "$(sed '${change}' line)"`)).exit).toBe(0)
  })

  test.each([
    ['a flipped bit', `printf 'X' | dd of=$f bs=1 seek=40 conv=notrunc status=none`, 'its CRC is wrong'],
    ['a cut', 'truncate -s 40 $f', 'has 40 bytes in place of'],
    ['its loss', 'rm $f', 'is not there'],
  ])('%s of a snapshot commits nothing', async (_, damage, problem) => {
    const folder = await folderWith(25)
    await run(folder, hours())
    await add(folder, 25, 40)
    const { exit, stderr } = await run(folder, `f=$(ls .beck/state/g/0-window/*.snap); ${damage}; ${hours()}`)
    expect(exit).toBe(4)
    expect(stderr).toContain(problem)
    expect(stderr).toContain('beck pipeline reset g --execute')
    expect(await results(folder)).toEqual([10, 10])
  })

  test("a group's offsets do not move under the state that goes with them", async () => {
    const folder = await folderWith(25)
    await run(folder, hours())
    for (const line of ['beck group reset g --to earliest --execute', 'beck group delete g']) {
      const { exit, stderr } = await run(folder, line)
      expect(exit).toBe(3)
      expect(stderr).toContain('beck pipeline reset g --execute')
    }
    const all = `beck pipeline reset g --execute && beck group reset g --to earliest --execute && ${hours('--drain')}`
    expect((await run(folder, all)).exit).toBe(0)
    expect(await results(folder)).toEqual([10, 10, 10, 10, 5])
  })

  test('beck pipeline shows it', async () => {
    const folder = await folderWith(25)
    await run(folder, hours())
    await add(folder, 25, 26)
    const { stdout } = await run(
      folder,
      'beck pipeline list; beck pipeline describe g; beck pipeline reset g; beck pipeline list',
    )
    const [first, described, dry, again] = stdout
      .toString()
      .split('\n')
      .filter(Boolean)
      .map((text) => JSON.parse(text) as Record<string, unknown>)
    expect(first).toMatchObject({ pipeline: 'g', running: false, generation: 1, epoch: 1, lag: 1 })
    expect(first?.['stateBytes']).toBeGreaterThan(100)
    expect(described).toMatchObject({
      process: null,
      stages: ['consume', 'window', 'append'],
      state: [{ file: '0-window/1-1.snap' }],
      offsets: { 'in/0': 25 },
    })
    expect(dry).toMatchObject({ executed: false })
    expect(again).toMatchObject({ epoch: 1, stateBytes: first?.['stateBytes'] })
    const { exit, stderr } = await run(folder, 'beck pipeline describe h')
    expect({ exit, stderr }).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('there is no pipeline "h"') as string,
    })
  })

  test('a program between the stages that holds back what it has read does not hold the pipe for ever', async () => {
    const folder = await folderWith(5)
    // As jq does: its first output leaves, the rest comes at the end of its input.
    const holds = String.raw`sh -c 'read -r line; printf "%s\n" "$line"; cat > held; cat held'`
    const line = `set -o pipefail; beck consume in -g g --exactly-once | ${holds} | beck append out`
    const { exit, stderr } = await run(folder, line)
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(await numbers(folder)).toEqual([0, 1, 2, 3, 4])
  })

  test.each([[`beck sort --by n --check`]])('%s is refused, as what it holds would not survive', async (stage) => {
    const folder = await folderWith(5)
    const { exit, stderr } = await run(folder, `beck consume in -g g --exactly-once | ${stage} | beck append out`)
    expect(exit).not.toBe(0)
    expect(stderr).toContain('forgets them at a restart')
    expect(await numbers(folder)).toEqual([])
  })
})
