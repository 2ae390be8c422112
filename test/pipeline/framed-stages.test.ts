import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type BarrierFrame, formatFrame, type StartFrame } from '../../src/pipeline/frames.ts'
import { shell, temporaryFolder } from '../shell.ts'

const start: StartFrame = {
  kind: 'start',
  store: '/nowhere',
  group: 'g',
  generation: 1,
  epoch: 4,
  level: 'exactly-once',
  stages: ['consume'],
  states: 0,
  handles: [],
}
const barrier: BarrierFrame = {
  kind: 'barrier',
  epoch: 5,
  records: 3,
  offsets: { 't/0': 3 },
  handles: [],
  drain: false,
}
const text = (frame: Parameters<typeof formatFrame>[0]): string => formatFrame(frame).toString()
const whole =
  `${text(start)}{"a":1}\n["$beck",1,"data",["$beck",1,2]]\n{"a":2}\n` +
  `${text({ kind: 'watermark', time: 9 })}${text(barrier)}\n{"a":3}\n${text({ ...barrier, epoch: 6, records: 1 })}` +
  text({ kind: 'end', epoch: 6, records: 0, drained: false })

/** What a command line makes of a pipe with these bytes. */
async function pipe(line: string, input: string) {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'in'), input)
  const { exit, stderr } = await shell(`set -o pipefail; cat in | ${line} | cat > out`, { cwd: folder })
  return { exit, stderr, output: readFileSync(join(folder, 'out'), 'utf8'), folder }
}

describe('stages in a pipe with frames', () => {
  test('hand frames on, with their own counts', async () => {
    const { exit, stderr, output } = await pipe(`beck filter 'r.a !== 2' | beck map '{a: r.a, b: 1}'`, whole)
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(output).toBe(
      `${text({ ...start, stages: ['consume', 'filter', 'map'] })}{"a":1,"b":1}\n{"b":1}\n` +
        `${text({ kind: 'watermark', time: 9 })}${text({ ...barrier, records: 2 })}\n{"a":3,"b":1}\n` +
        `${text({ ...barrier, epoch: 6, records: 1 })}${text({ kind: 'end', epoch: 6, records: 0, drained: false })}`,
    )
  })

  test("a user's records that look like frames leave as such", async () => {
    const { output } = await pipe(`beck filter 'r.a !== 2' | beck filter true`, whole)
    expect(output).toContain('\n["$beck",1,"data",["$beck",1,2]]\n')
  })

  test.each([
    ['lost records', whole.replace('{"a":1}\n', ''), '1 of 3 records before barrier 5 are missing'],
    [
      'a lost barrier',
      whole.replace(text(barrier), ''),
      'between consume and filter barrier 5 is missing (barrier 6 came)',
    ],
    ['a lost end', whole.slice(0, whole.lastIndexOf('["$beck"')), 'without its "end", after barrier 6'],
    ['a torn record', `${text(start)}{"a":1}\n{"a":`, 'without its "end", after barrier 4'],
    ['a record without its newline', `${text(start)}{"a":1}`, 'without its "end", after barrier 4'],
    ['an end that is torn', whole.slice(0, -3), 'without its "end", after barrier 6'],
    ['a start that is torn', '["$beck",1,"start",{"sto', 'within its first line'],
  ])('%s: exit 4, and no end for the next stage', async (_, input, problem) => {
    const { exit, stderr, output } = await pipe(`beck filter true`, input)
    expect(exit).toBe(4)
    expect(stderr).toContain(problem)
    expect(output).not.toContain('"end"')
  })

  const tasks = text({ ...start, epoch: 0, tasks: [] })
  const open = (p: number, action: 'open' | 'switch' | 'close' = 'open'): string =>
    text({
      kind: 'task',
      partition: `t/${p}`,
      action,
      pipeline: `g@t-${p}`,
      generation: 1,
      epoch: 4,
      states: 0,
      handles: [],
    })
  const one = `{"a":1}\n${text({ ...barrier, records: 1 })}`
  const end = text({ kind: 'end', epoch: 0, records: 0, drained: false })

  test('change from task to task behind a barrier', async () => {
    const input = `${tasks}${open(0)}${one}${open(1)}${one}${open(0, 'switch')}${one.replace('"epoch":5', '"epoch":6')}${open(0, 'close')}${end}`
    const { exit, stderr, output } = await pipe(`beck filter true`, input)
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    expect(output).toBe(input.replace('"stages":["consume"]', '"stages":["consume","filter"]'))
  })

  test.each([
    [
      'records before another task',
      `${open(0)}{"a":1}\n${open(1)}${one}${end}`,
      '1 records came before a change of tasks',
    ],
    ['a task twice', `${open(0)}${one}${open(0)}${one}${end}`, 'task t/0 is open already'],
    ['a task that was not opened', `${open(0)}${one}${open(1, 'switch')}${one}${end}`, 'task t/1 is not open'],
    [
      'a task that was closed',
      `${open(0)}${one}${open(0, 'close')}${open(0, 'switch')}${one}${end}`,
      'task t/0 is not open',
    ],
    ['a barrier without a task', `${open(0)}${one}${open(0, 'close')}${one}${end}`, 'no task is open'],
    ['records behind the last barrier', `${open(0)}${one}{"a":2}\n${end}`, '1 records came behind the last barrier'],
    [
      'lost records of a task',
      `${open(0)}${one.replace('{"a":1}\n', '')}${end}`,
      '1 of 1 records before barrier 5 are missing',
    ],
    ['a lost barrier of a task', `${open(0)}${one.replace('"epoch":5', '"epoch":6')}${end}`, 'barrier 5 is missing'],
    ['a task behind the end', `${open(0)}${one}${end}${open(1)}`, 'records came before a change of tasks'],
    ['tasks without an end', `${open(0)}${one}`, 'without its "end"'],
  ])('%s, with tasks: exit 4, and no end for the next stage', async (_, input, problem) => {
    const { exit, stderr, output } = await pipe(`beck filter true`, `${tasks}${input}`)
    expect(exit, stderr).toBe(4)
    expect(stderr).toContain(problem)
    if (!input.endsWith(open(1))) expect(output).not.toContain('"end"')
  })

  test.each([
    [`beck sort --by a --check`, 'check the topic: beck replay'],
    [`beck to csv`, 'beck to writes another format'],
    [`beck from json`, 'beck from makes records of other formats'],
    [`beck shuffle --by a --partitions 2 --exec cat`, 'what beck shuffle writes with --out or --exec'],
    [`beck filter true - /dev/null`, 'no other input beside it'],
  ])('%s is refused before anything is done', async (line, problem) => {
    const { exit, stderr, output } = await pipe(line, whole)
    expect({ exit, output }, stderr).toEqual({ exit: 2, output: '' })
    expect(stderr).toContain(problem)
  })

  test('frames are not written to files', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'in'), whole)
    const { exit, stderr } = await shell('cat in | beck filter true > out', { cwd: folder })
    expect(exit).toBe(2)
    expect(stderr).toContain('beck filter writes to a file, where nothing commits')
    expect(existsSync(join(folder, 'out')) && readFileSync(join(folder, 'out'), 'utf8')).toBe('')
  })

  test('in a file, such lines are records', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'in'), whole)
    const { stdout } = await shell('beck filter true in; beck filter true < in', { cwd: folder })
    expect(stdout.toString()).toBe(whole.replace('\n\n', '\n').repeat(2))
  })
})
