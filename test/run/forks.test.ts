// Pipelines that fork, tables in brackets, and stages that read by themselves: in one process and as a process a stage, with the same bytes, in the
// output and in topics.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { quoted } from '../../src/run/shell-line.ts'
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
  const parts = `parts of ${name}-${mode}`
  const named = text.replace('NAME-MODE', quoted(parts))
  const got = await shell(`beck run --mode ${mode} "$TEXT"`, { cwd: folder, env: { ...env, TEXT: named } })
  const topics: Record<string, string> = {}
  const files = existsSync(join(folder, parts)) ? readdirSync(join(folder, parts)) : []
  for (const file of files.toSorted()) topics[file] = readFileSync(join(folder, parts, file), 'utf8')
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
  'another program in between':
    "filter 'r.n > 3' in.ndjson | via -- sed s/k1/K/ | map '{k: r.k}' | reduce count --by k",
  'another program first, and another one last': 'via -- cat in.ndjson | filter r.n | via -- grep -c k1',
  'two programs one after the other':
    "filter 'r.n > 3' in.ndjson | via -- cat | via --lines -- sed -u s/k/K/ | sort --by -id",
  'a program that reads only the beginning': "filter 'r.n > 3' in.ndjson | via -- head -3 | map '{...r, x: 1}'",
  'a program that fails': "filter 'r.n > 3' in.ndjson | via -- sh -c 'head -2; exit 5' | reduce count",
  'a program that is not there': "filter 'r.n > 3' in.ndjson | via -- nowhere-to-be-found | reduce count",
  'a program that answers too little fails': "filter 'r.n > 3' in.ndjson | via --lines -- head -4 | reduce count",
  'a bad record before a program': "filter 'r.n > 3' broken.ndjson | via -- cat | reduce count",
  'a bad record behind a program':
    "from lines broken.ndjson | map r.line | via -- jq -r . | filter 'r.n > 3' | reduce count",
  'a program in a branch':
    "filter 'r.n > 3' in.ndjson | tee (via -- sed s/k1/K/ | filter 'r.n > 5' | append a) | reduce count --by k",
  'a program at the beginning of what follows a branch':
    "filter 'r.n > 3' in.ndjson | tee (append a) | via -- cat | tee (append b) | reduce count --by k",
  'a program in a branch that fails':
    "filter 'r.n > 3' in.ndjson | tee (via -- sh -c 'cat > /dev/null; exit 3' | append a) | reduce count --by k",
  'a program in a branch that ends early':
    "filter 'r.n > 3' in.ndjson | tee (via -- head -2 | append a) | reduce count --by k",
  'a program in a table':
    "filter 'r.n > 3' in.ndjson | join (via -- cat table.ndjson | filter r.ok) --on k | reduce count",
  'another format in between':
    "filter 'r.n > 13' in.ndjson | map r.id | via -- sed 's/^/id=/' | from logfmt | filter r.id",
  'text for a program': "filter 'r.n > 14' in.ndjson | to csv | via -- head -3 | from csv | map '{id: r.id}'",
  'another format in a branch': "filter 'r.n > 14' in.ndjson | tee (from lines | append a) | reduce count",
  'a program in a table that reads nothing':
    "filter 'r.n > 3' in.ndjson | join (via -- cat) --on k --type anti | reduce count",
  'both sides sorted':
    "filter 'r.n > 3' in.ndjson | join table.ndjson --merge --on k --type full | map '{k: r.k, i: r.id}'",
  'both sides sorted, the first stage': 'join table.ndjson --merge --on k in.ndjson | sort --by -id --limit 3',
  'both sides sorted, with brackets':
    "filter 'r.n > 3' in.ndjson | join (filter r.ok table.ndjson) --merge --on k --type left | reduce 'count, max(id)' --by name",
  'both sides sorted, a table that is bad':
    "filter 'r.n > 3' in.ndjson | join (filter 'r.n > 3' broken.ndjson) --merge --on id --type left | reduce count",
  'two streams':
    "filter 'r.n > 9' in.ndjson | join in.ndjson --within 4s --time t --on k --type left | map '{i: r.id, j: r.right_id}'",
  'two streams, with brackets':
    "filter 'r.n > 9' in.ndjson | join (filter 'r.n < 3' in.ndjson | map '{k: r.k, t: r.t, j: r.id}') --within 30s --time t --on k --type full",
  'two streams of one bracket in another':
    "join (join (filter 'r.n < 3' in.ndjson) --within 30s --time t --on k in.ndjson) --within 30s --time t --on k --prefix other_ in.ndjson | reduce 'count, sum(id)' --by k",
  'the latest of two streams':
    "filter 'r.n > 9' in.ndjson | join (filter 'r.n < 3' in.ndjson) --as-of t --on k --type left",
  'the latest of two streams that come out of order':
    "filter 'r.n > 9' in.ndjson | join (sort --by -n in.ndjson) --as-of t --on k --type left",
  'the latest of a file': "filter 'r.n > 9' in.ndjson | join in.ndjson --as-of t --on k --nest before --no-exact",
  'a join with bad records of both sides':
    "filter 'r.n > 3' broken.ndjson --dead-letter first | join (filter true broken.ndjson --dead-letter second) --on id --dead-letter third | reduce count",
  'partitions to files': "filter 'r.n > 3' in.ndjson | shuffle --by k --partitions 3 --out NAME-MODE",
  'partitions through processes':
    "filter 'r.n > 3' in.ndjson | shuffle --by k --partitions 3 --exec 'head -2' | sort --by id",
  'partitions through processes that fail':
    "filter 'r.n > 3' in.ndjson | shuffle --by k --partitions 3 --workers 1 --exec 'cat; exit $BECK_PARTITION' | reduce count",
  'partitions in a branch':
    "filter 'r.n > 3' in.ndjson | tee (shuffle --by k --partitions 2 --out NAME-MODE) | reduce count --by k",
  'a table of a file that is not there':
    "filter 'r.n > 3' in.ndjson | join (filter r.ok nowhere.ndjson) --on k --type left | reduce count",
}

describe.concurrent('pipelines with brackets', () => {
  for (const [name, text] of Object.entries(cases)) {
    it(name, async () => {
      const explained = await shell('beck explain "$TEXT"', { cwd: folder, env: { TEXT: text } })
      expect(explained.stdout.toString()).toMatch(/^in one process\b/)
      const [fused, pipes] = await Promise.all([run('fused', text, name), run('pipes', text, name)])
      expect(fused).toEqual(pipes)
      expect(fused.exit !== 0).toBe(/fail|bad|not there/.test(name) && !/goes on|with bad/.test(name))
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
    'a commit that is not the end': 'consume in -g g --at-least-once | commit | to csv',
    'partitions one by one': 'consume in -g g --exactly-once --per-partition | append a',
  }
  for (const [name, text] of Object.entries(apart)) {
    it(`a process a stage: ${name}`, async () => {
      const { stdout } = await shell('beck explain "$TEXT"', { cwd: folder, env: { TEXT: text } })
      expect(stdout.toString()).toMatch(/^a process a stage\n/)
    })
  }
})
