// Pipelines that fork, and tables in brackets: in one process and as a process a stage, with the same bytes, in the output and in topics.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
const lines = Array.from({ length: 900 }, (_, n) =>
  JSON.stringify({ id: n, k: `k${n % 13}`, n: n % 17, t: new Date(1767225600000 + n * 1000).toISOString() }),
)
const write = (name: string, all: readonly string[]): void => writeFileSync(join(folder, name), `${all.join('\n')}\n`)
write('in.ndjson', lines)
write('broken.ndjson', lines.toSpliced(700, 0, '{"id":'))
write(
  'table.ndjson',
  Array.from({ length: 9 }, (_, n) => JSON.stringify({ k: `k${n}`, name: `N${n}`, ok: n % 2 === 0 })),
)

interface Got {
  readonly stdout: string
  readonly exit: number
  readonly said: readonly string[]
  readonly topics: Readonly<Record<string, string>>
}

async function run(mode: string, text: string, name: string): Promise<Got> {
  const env = { BECK_STORE: join(folder, `${name}-${mode}`) }
  const got = await shell(`beck run --mode ${mode} "$TEXT"`, { cwd: folder, env: { ...env, TEXT: text } })
  const topics: Record<string, string> = {}
  for (const topic of ['a', 'b', 'c']) {
    if (!existsSync(join(env.BECK_STORE, 'topics', topic))) continue
    topics[topic] = (await shell(`beck replay ${topic}`, { cwd: folder, env })).stdout.toString()
  }
  // In pipes the table is a descriptor, and what several stages say may come in any order.
  const said = got.stderr.replace(/\/dev\/fd\/\d+/g, 'the table in brackets').split('\n')
  return { stdout: got.stdout.toString(), exit: got.exit, said: said.toSorted(), topics }
}

const cases: Readonly<Record<string, string>> = {
  'a branch': "filter 'r.n > 3' in.ndjson | tee (append a) | reduce count --by k",
  'several branches':
    "map '{...r, x: 1}' in.ndjson | tee (filter 'r.n > 9' | append a) (filter 'r.n < 2' | append b) | reduce 'sum(n)' --by k",
  'a fork at the end': "filter 'r.n > 14' in.ndjson | tee (append a)",
  'one fork behind the other':
    "filter 'r.n > 1' in.ndjson | tee (append a) | filter 'r.n > 5' | tee (append b) | sort --by n --limit 5",
  'a fork in a branch':
    "filter 'r.n > 1' in.ndjson | tee (filter 'r.n > 3' | tee (append b) | append a) | reduce count",
  'a table': "filter 'r.n > 3' in.ndjson | join (filter 'r.ok' table.ndjson) --on k | reduce count --by name",
  'a table of groups':
    "join (reduce 'count, first(id)' --by k in.ndjson) --on k in.ndjson --nest all | filter 'r.all.count > 69' | reduce count",
  'a table within a table':
    "join (join (filter r.ok table.ndjson) --on k table.ndjson --type semi | map '{k: r.k, other: r.name}') --on k in.ndjson | sort --by -id --limit 7",
  'a table that forks':
    "join (filter r.ok table.ndjson | tee (append a) | map '{k: r.k}') --on k in.ndjson --type anti | reduce count --by k",
  'a table in a branch':
    "filter 'r.n > 3' in.ndjson | tee (join (filter r.ok table.ndjson) --on k | append a) | reduce count",
  'an empty table': "join (filter 'r.nothing' table.ndjson) --on k in.ndjson --type left | reduce count",
  'windows on both sides':
    "filter 'r.n > 3' in.ndjson | tee (window count --tumbling 1m --time t --by k | append a) | window count --hopping 2m/1m --time t",
  'text for people in the rest': "filter 'r.n > 14' in.ndjson | tee (append a) | to csv",
  'a stage that fails in a branch':
    "filter 'r.n > 3' in.ndjson | tee (map 'r.id < 500 ? r : undefined.x' | append a) | reduce count",
  'a stage that fails in the rest':
    "filter 'r.n > 3' in.ndjson | tee (append a) | map 'r.id < 500 ? r : undefined.x' | reduce count",
  'stages that fail everywhere':
    "filter 'r.n > 3' in.ndjson | tee (map 'undefined.x' | append a) | sort --by n | map 'undefined.y' | reduce count",
  'all of a branch that forks fails':
    "filter 'r.n > 3' in.ndjson | tee (filter true | tee (map 'undefined.x' | append b) | map 'undefined.y' | append a) | reduce count",
  'a bad record before the fork': "filter 'r.n > 3' broken.ndjson | tee (append a) | reduce count",
  'a bad record that goes on to both': "from lines broken.ndjson | filter 'r.line' | tee (append a) | reduce count",
  'a table that fails half way':
    "filter 'r.n > 3' in.ndjson | join (filter 'r.n > 3' broken.ndjson | map '{k: r.k, i: r.id}') --on k --type semi | reduce count",
  'a table that is bad':
    "filter 'r.n > 3' in.ndjson | tee (append a) | join (filter true table.ndjson | to csv) --on k | reduce count",
  'a table of a file that is not there':
    "filter 'r.n > 3' in.ndjson | join (filter r.ok nowhere.ndjson) --on k --type left | reduce count",
}

describe.concurrent('pipelines with brackets', () => {
  for (const [name, text] of Object.entries(cases)) {
    it(name, async () => {
      const explained = await shell('beck explain "$TEXT"', { cwd: folder, env: { TEXT: text } })
      expect(explained.stdout.toString()).toMatch(/^in one process\n/)
      const [fused, pipes] = await Promise.all([run('fused', text, name), run('pipes', text, name)])
      expect(fused).toEqual(pipes)
      expect(fused.exit !== 0).toBe(/fail|bad|not there/.test(name) && !/goes on/.test(name))
    })
  }

  it('of one input, a branch gets what the rest gets, in its order', async () => {
    const { topics, stdout } = await run('fused', 'filter true in.ndjson | tee (append a)', 'order')
    expect(stdout).toBe(readFileSync(join(folder, 'in.ndjson'), 'utf8'))
    expect(topics['a']).toBe(stdout)
  })

  it('ends where the output is no longer read', async () => {
    const env = { BECK_STORE: join(folder, 'head'), TEXT: 'filter true in.ndjson | tee (append a) | map r' }
    const got = await shell('beck run "$TEXT" | head -1; echo ${PIPESTATUS[0]}', { cwd: folder, env })
    expect(got).toMatchObject({ stderr: '', exit: 0 })
    expect(got.stdout.toString()).toBe(`${lines[0]}\n0\n`)
    const { stdout } = await shell('beck replay a', { cwd: folder, env })
    expect(stdout.toString().startsWith(`${lines[0]}\n`)).toBe(true)
  })

  const apart = {
    'a database that cannot make its source wait': 'consume in -g g | tee (into sqlite:x.db t) | reduce count',
    'a program': 'via -- cat in.ndjson | sort --by n',
    'another table read side by side': 'join (filter r.ok table.ndjson | sort --by k) --merge --on k in.ndjson',
    'standard input for a table': 'join (filter r.ok) --on k in.ndjson',
    'a branch with a file of its own':
      'filter true in.ndjson | tee (filter r.ok table.ndjson | append a) | reduce count',
  }
  for (const [name, text] of Object.entries(apart)) {
    it(`a process a stage: ${name}`, async () => {
      const { stdout } = await shell('beck explain "$TEXT"', { cwd: folder, env: { TEXT: text } })
      expect(stdout.toString()).toMatch(/^a process a stage\n/)
    })
  }
})
