import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hasPostgres, Postgres } from '../postgres.ts'
import { shell, temporaryFolder } from '../shell.ts'

const lines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => `{"n":${from + i}}\n`).join('')

test.skipIf(!hasPostgres)(
  'a partition that goes to another pipeline leaves the one that has had it alone',
  { timeout: 120_000 },
  async () => {
    const server = await Postgres.make()
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'first'), lines(0, 400))
    writeFileSync(join(cwd, 'second'), lines(400, 800))
    const { stdout, stderr } = await shell(
      `pipe() { beck consume in -g g --exactly-once --per-partition --checkpoint 20ms --follow | beck into "$URL" t; echo "a pipeline ends with $?"; }
       rows() { until [ "$(psql -tA "$URL" -c 'SELECT count(*) FROM t' 2>&1)" = "$1" ]; do sleep 0.1; [ $((i++)) -lt 600 ] || { echo "never $1 rows"; kill -9 0; }; done; }
       owners() { until [ "$(beck group describe g | beck map --flat r.partitions | beck dedupe --by member | wc -l)" = "$1" ]; do sleep 0.1; [ $((i++)) -lt 600 ] || { echo "never $1 owners"; kill -9 0; }; done; }
       beck topic create in --partitions 4 --by n
       pipe & beck append in first; rows 400
       pipe & owners 2; beck append in second; rows 800
       kill -9 0`,
      { cwd, env: { URL: server.url, BECK_STORE: join(cwd, 'store') }, timeoutMs: 100_000 },
    )
    expect(stdout.toString()).toBe('')
    expect(stderr).not.toContain('beck into')
    expect(await server.query('SELECT count(DISTINCT n)::int AS numbers FROM t')).toEqual([{ numbers: 800 }])
  },
)
