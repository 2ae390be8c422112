import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { build } from 'esbuild'
import { expect, test } from 'vitest'
import { root, shell, temporaryFolder } from '../shell.ts'
import { type Call, DiskOrder, TRACED } from './disk-order.ts'

/**
 * Whatever a line of the journal names has to be on the disk before that line is written, and so on: real pipelines under strace, whose calls
 * are held to that order. The store's own files have the simulated disk for it; this is for all that goes along with them.
 */
const hasStrace = spawnSync('strace', ['-V']).status === 0

/** What is wrong with a call, given what is on the disk before it. */
type Rule = (call: Call, disk: DiskOrder, folder: string) => Iterable<string | undefined>

/** A line of the store's journal. */
const isCommit = ({ name, path }: Call, folder: string): boolean =>
  name === 'pwrite64' && dirname(path) === join(folder, '.beck/journal') && path.endsWith('.ndjson')

/** All objects in a value that have this member. */
function* having(value: unknown, member: string): Generator<Readonly<Record<string, unknown>>> {
  if (typeof value !== 'object' || value === null) return
  if (Object.hasOwn(value, member)) yield value as Readonly<Record<string, unknown>>
  for (const inner of Object.values(value)) yield* having(inner, member)
}

/** A line of the journal: snapshots and parts that it names, and what earlier lines have led to. */
const journal: Rule = function* (call, disk, folder) {
  if (!isCommit(call, folder)) return
  const line = JSON.parse(call.text) as { readonly s?: Readonly<Record<string, unknown>> }
  for (const [pipeline, state] of Object.entries(line.s ?? {})) {
    for (const { file, bytes } of having(state, 'options')) {
      yield disk.lacks(join(folder, '.beck/state', pipeline, String(file)), Number(bytes))
    }
    for (const { file, bytes } of [...having(state, 'chain')].flatMap(
      ({ chain }) => chain as { file: string; bytes: number }[],
    )) {
      yield disk.lacks(join(folder, '.beck/state', pipeline, file), bytes)
    }
    for (const { temporary, name, folder: parts, bytes } of having(state, 'temporary')) {
      const [own, final] = [temporary, name].map((one) => join(String(parts), String(one))) as [string, string]
      const lacks = disk.lacks(own, Number(bytes))
      yield lacks?.endsWith('is not there') ? disk.lacks(final, Number(bytes)) : lacks
    }
  }
  // What an earlier line has led to, and this one forgets. Snapshots count through their line alone, locks and such for living processes.
  const own = ['lock', 'state'].map((name) => join(folder, '.beck', name))
  for (const name of disk.changedNames()) {
    if (!own.some((one) => name.startsWith(`${one}/`))) yield `${name} is not on the disk`
  }
}

/** What a stage writes beside its output is safe before it writes the snapshot that says how long it is. */
const side = (stage: string, name: string): Rule =>
  function* (call, disk, folder) {
    const isSnapshot = call.name === 'openat' && call.creates && call.path.endsWith('.snap')
    if (isSnapshot && call.path.includes(`-${stage}/`)) yield disk.lacks(join(folder, name))
    // A copy that takes the place of what was committed.
    if (call.name === 'rename' && call.to === join(folder, name)) yield disk.lacksBytes(call.path)
  }

/** What is outside the store is safe before a line of the journal says so. */
const first = (name: string): Rule =>
  function* (call, disk, folder) {
    const path = join(folder, name)
    if (isCommit(call, folder) && disk.has(path)) yield disk.lacks(path)
  }

/** All of a folder of output is safe before it says that it is complete. */
const complete: Rule = function* (call, disk, folder) {
  const path = call.name === 'rename' ? call.to : call.name === 'openat' && call.creates ? call.path : ''
  if (basename(path) !== '_SUCCESS') return
  for (const part of disk.within(join(folder, 'out'))) {
    if (dirname(part) === join(folder, 'out') && basename(part).startsWith('part-')) yield disk.lacks(part)
  }
}

/** What a task has made is safe before the job's journal says that it is done. */
const tasks: Rule = function* (call, disk, folder) {
  const job = join(folder, 'out/_job')
  // What a job is comes first: without it there is nothing to go on with.
  if (call.name === 'mkdir' && dirname(call.path) === job) yield disk.lacks(join(job, 'journal'))
  if (call.path !== join(job, 'journal') || !call.name.startsWith('write')) return
  const { task } = JSON.parse(call.text) as { readonly task: string }
  // Nor does a line come to the disk before those that stand above it.
  yield disk.lacks(call.path)
  const made = disk.within(join(job, task))
  if (made.length === 0) yield `${task} has made nothing`
  for (const path of made) yield disk.lacks(path)
}

const consume = 'beck consume in -g g --exactly-once --checkpoint 0s'
const bad = `${consume} | beck map 'r.id % 9 ? r : NaN' --dead-letter bad --quiet | beck append out`
const parts = `${consume} | beck filter 'r.id < 700' | beck via -- cat | beck into file:deep/parts`
const lines: readonly { name: string; line: string; rules: readonly Rule[]; at: RegExp; ends?: string }[] = [
  {
    name: 'snapshots, and files beside the output',
    line: `${consume} --session-timeout 1m | beck map 'r.id % 9 ? r : NaN' --dead-letter bad --quiet | beck window count --tumbling 10s --time ts --late-to late --quiet --by path | beck append out`,
    rules: [journal, side('map', 'bad'), side('window', 'late')],
    at: /pwrite64.*"handles":\[\{/,
  },
  {
    name: 'files beside the output, again',
    line: `${bad}; tail -n 90 records | beck append in; ${bad}`,
    rules: [journal, side('map', 'bad')],
    at: /rename.*restoring/,
  },
  {
    name: 'snapshots in chains, and what was spilled',
    line: `${consume} | beck dedupe --by id --memory 100KiB | beck sort --by path,id --memory 100KiB | beck append out; ${consume} --drain | beck dedupe --by id --memory 100KiB | beck sort --by path,id --memory 100KiB | beck append out`,
    rules: [journal],
    at: /pwrite64.*"sealed":/,
  },
  {
    name: 'a join of two topics',
    line: `${consume} | beck join <(beck consume in -g h --exactly-once --checkpoint 0s) --on id --within 1s --time ts | beck append out`,
    rules: [journal],
    at: /pwrite64.*"handles":\[\{/,
  },
  {
    name: 'part files',
    // The second run has nothing to write: its line forgets the part of the first.
    line: `${parts}; tail -n 90 records | beck append in; ${parts}`,
    rules: [journal],
    at: /pwrite64.*"temporary"/,
  },
  {
    name: 'a part file without frames',
    line: `beck into file:deep/parts records`,
    rules: [],
    at: /^link/,
    ends: 'deep/parts/part-0000000001.ndjson',
  },
  {
    name: 'rows in SQLite',
    line: `${consume} | beck into sqlite:out.db t`,
    rules: [journal, first('out.db')],
    at: /pwrite64.*"prepared"/,
  },
  {
    name: 'at least once, into a file',
    line: `beck consume in -g g --at-least-once --checkpoint 0s | beck commit > out`,
    // Its name is the shell's.
    rules: [
      journal,
      function* (call, disk, folder) {
        if (isCommit(call, folder)) yield disk.lacksBytes(join(folder, 'out'))
      },
    ],
    at: /^write.*out>/,
  },
  {
    name: 'a folder of partitions',
    line: `beck replay in | beck shuffle --by id --partitions 3 --out out`,
    rules: [complete],
    at: /_SUCCESS/,
    ends: 'out/_SUCCESS',
  },
  {
    name: 'a job in tasks',
    line: `beck run --mode parallel --workers 2 --split 64KB --out out 'beck filter "r.id % 3" records | beck reduce count --by path'`,
    rules: [tasks, complete],
    at: /mkdir.*_job\/map-/,
    ends: 'out/_SUCCESS',
  },
]

for (const { name, line, rules, at, ends } of lines) {
  test.skipIf(!hasStrace)(name, { timeout: 120_000 }, async () => {
    const folder = join(realpathSync(temporaryFolder()), 'work')
    mkdirSync(folder)
    const trace = join(dirname(folder), 'trace')
    const records = Array.from({ length: 4000 }, (_, id) => {
      const ts = new Date(Date.UTC(2026, 0, 1) + id * 100 - ((id * 7919) % 900)).toISOString()
      return `{"ts":"${ts}","id":${id},"path":"/${id % 7}"}\n`
    })
    writeFileSync(join(folder, 'records'), records.join(''))
    const made = await shell(
      'for i in 1 2 3 4 5 6 7 8; do head -n ${i}00 records | tail -n 100; done | beck append in',
      { cwd: folder },
    )
    expect(made.exit, made.stderr).toBe(0)
    const disk = new DiskOrder(folder)
    const env = { BECK_STORE: join(folder, '.beck'), UV_THREADPOOL_SIZE: '1' }
    const script = join(dirname(folder), 'script')
    writeFileSync(script, `set -eo pipefail\n${line}\n`)
    const { exit, stderr } = await shell(`strace -f -qq -y -s 100000 -e trace=${TRACED} -o ${trace} bash ${script}`, {
      cwd: folder,
      env,
      timeoutMs: 100_000,
    })
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
    const wrong: string[] = []
    let seen = 0
    disk.replay(trace, (call) => {
      if (at.test(`${call.name}(${call.path}> ${call.to} ${call.text}`)) seen++
      for (const rule of rules) {
        for (const lack of rule(call, disk, folder))
          if (lack !== undefined) wrong.push(`before ${call.name} ${call.path}: ${lack}`)
      }
    })
    if (ends !== undefined) {
      const lack = disk.lacks(join(folder, ends))
      if (lack !== undefined) wrong.push(`at the end: ${lack}`)
    }
    expect(seen).toBeGreaterThan(0)
    expect(wrong).toEqual([])
  })
}

test.skipIf(!hasStrace)('a large snapshot is on the disk when the thread that wrote it says so', async () => {
  const folder = realpathSync(temporaryFolder())
  const [source, program, trace] = ['source.ts', 'program.cjs', 'trace'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  const aside = join(root, 'src/pipeline/written-aside.ts')
  writeFileSync(
    source,
    `import { writeFileSync } from 'node:fs'
     import { WrittenAside } from ${JSON.stringify(aside)}
     const file = new WrittenAside('large', Buffer.alloc(5e6))
     const timer = setInterval(() => {
       if (file.state() === 'waits') return
       clearInterval(timer)
       writeFileSync('done', JSON.stringify(file.state()))
     }, 1)`,
  )
  await build({ entryPoints: [source], outfile: program, bundle: true, platform: 'node', format: 'cjs' })
  const disk = new DiskOrder(folder)
  const { exit, stderr } = await shell(`strace -f -qq -y -e trace=${TRACED} -o ${trace} node ${program}`, {
    cwd: folder,
  })
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
  const found: (string | undefined)[] = []
  disk.replay(trace, ({ name, creates, path }) => {
    if (name === 'openat' && creates && path === join(folder, 'done'))
      found.push(disk.lacksBytes(join(folder, 'large')))
  })
  expect(found).toEqual([undefined])
  expect(readFileSync(join(folder, 'done'), 'utf8')).toContain('crc')
})
