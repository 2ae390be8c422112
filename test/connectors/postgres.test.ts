import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { shell, temporaryFolder } from '../shell.ts'
import { hasPostgres, PASSWORD, Postgres } from '../postgres.ts'

describe.skipIf(!hasPostgres)('beck into postgres:', () => {
  let server: Postgres
  beforeAll(async () => {
    server = await Postgres.make()
  })
  const lines = (...records: string[]): string => records.map((record) => `${record}\n`).join('')
  async function into(input: string, words: string, cwd = temporaryFolder()) {
    const file = join(cwd, 'input')
    writeFileSync(file, input)
    const { stdout, stderr, exit } = await shell(`beck into "$URL" ${words}`, {
      cwd,
      input: file,
      env: { URL: server.url },
    })
    return { stdout: stdout.toString(), stderr, exit }
  }
  const fine = { stdout: '', stderr: '', exit: 0 }

  test('a table is made of the records, and grows; numbers and texts are kept', async () => {
    const records = lines(
      '{"n":1,"s":"é \\" \'; DROP TABLE made; --","big":12345678901234567890,"o":{"b": 1, "a": [1.50]},"t":true,"z":null}',
      '{"n":0.12345678901234567890123,"we\\"ird col":"x","z":"later","n":2.50}',
      '{}',
      '{"n":1e400,"t":false}',
    )
    expect(await into(records, 'made')).toEqual(fine)
    expect(await into(lines('{"more":[1]}'), 'made')).toEqual(fine)
    expect(
      await server.query('SELECT n::text, s, big::text, o::text, t, z, "we""ird col", more::text FROM made'),
    ).toEqual([
      {
        n: '1',
        s: 'é " \'; DROP TABLE made; --',
        big: '12345678901234567890',
        o: '{"b": 1, "a": [1.50]}',
        t: true,
        z: null,
        'we"ird col': null,
        more: null,
      },
      { n: '2.50', s: null, big: null, o: null, t: null, z: 'later', 'we"ird col': 'x', more: null },
      { n: null, s: null, big: null, o: null, t: null, z: null, 'we"ird col': null, more: null },
      { n: `1${'0'.repeat(400)}`, s: null, big: null, o: null, t: false, z: null, 'we"ird col': null, more: null },
      { n: null, s: null, big: null, o: null, t: null, z: null, 'we"ird col': null, more: '[1]' },
    ])
    const { exit, stderr } = await into(lines('{"n":5}', '{"n":"5"}', '{"n":6}'), 'made')
    expect(exit).toBe(1)
    expect(stderr).toContain('refuses a record: the column "n" is numeric, and this is a string: {"n":"5"}')
    expect(await server.query("SELECT count(*)::int AS rows, max(n)::text LIKE '1000%' AS kept FROM made")).toEqual([
      { rows: 6, kept: true },
    ])
  })

  test('a table that another one makes meanwhile is used, and grows', async () => {
    const waits = (granted: boolean) => `SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted = ${granted}`
    const other = server.query(`DO $$ BEGIN
      PERFORM pg_advisory_xact_lock(hashtext('"both"'));
      CREATE TABLE "both" (n numeric);
      COMMENT ON TABLE "both" IS 'made by beck';
      FOR turn IN 1..2000 LOOP EXIT WHEN EXISTS (${waits(false)}); PERFORM pg_sleep(0.005); END LOOP;
    END $$`)
    while ((await server.query(waits(true))).length === 0);
    expect(await into(lines('{"n":1,"s":"x"}'), 'both')).toEqual(fine)
    await other
    expect(await server.query('SELECT n::int, s FROM "both"')).toEqual([{ n: 1, s: 'x' }])
  })

  test('in a table of yours the server converts, and says what it does not take', async () => {
    await server.query('CREATE SCHEMA shop')
    await server.query(
      'CREATE TABLE shop."Orders" (id int PRIMARY KEY, at timestamptz, state text DEFAULT \'new\', double bigint GENERATED ALWAYS AS (id * 2) STORED)',
    )
    expect(
      await into(lines('{"id":1,"at":"2026-01-01T01:00:00+01:00"}', '{"id":2,"state":null}'), 'shop.Orders'),
    ).toEqual(fine)
    const refused = [
      ['{"id":3}\n{"id":1}', 'duplicate key value violates unique constraint'],
      ['{"id":4,"at":"yesterday"}'.replace('yesterday', 'some day'), 'invalid input syntax for type timestamp'],
      ['{"id":5,"state":"a\\u0000b"}', 'unsupported Unicode escape sequence'],
      ['{"id":6,"State":1}', 'has no column "State"'],
      ['{"id":7,"double":1}', 'the column "double" is generated'],
      [`{"id":8,"${'x'.repeat(64)}":1}`, 'too long a name'],
      ['[9]', 'is not an object'],
    ] as const
    for (const [record, problem] of refused) {
      const { exit, stderr } = await into(lines(record), 'shop.Orders')
      expect(stderr).toContain(problem)
      expect(exit).toBe(1)
    }
    expect(
      await server.query(
        'SELECT id, extract(epoch FROM at)::int AS at, state, double::int FROM shop."Orders" ORDER BY id',
      ),
    ).toEqual([
      { id: 1, at: 1767225600, state: 'new', double: 2 },
      { id: 2, at: null, state: null, double: 4 },
      { id: 3, at: null, state: 'new', double: 6 },
    ])
  })

  test('upserts, also of one key several times, and of keys that are one in the column', async () => {
    const records = lines('{"id":1,"n":1,"note":"first"}', '{"id":2,"n":2}', '{"id":1,"n":3}', '{"id":1.0,"n":4}')
    for (const run of ['first', 'again']) expect(await into(records, 'up --key id --upsert'), run).toEqual(fine)
    expect(await server.query('SELECT id::int, n::int, note FROM up ORDER BY 1')).toEqual([
      { id: 1, n: 4, note: 'first' },
      { id: 2, n: 2, note: null },
    ])
    await server.query('CREATE TABLE days (day date UNIQUE, n int)')
    expect(
      await into(lines('{"day":"2026-01-01","n":1}', '{"day":"20260101","n":2}'), 'days --key day --upsert'),
    ).toEqual(fine)
    expect(await server.query('SELECT n FROM days')).toEqual([{ n: 2 }])
    const { exit, stderr } = await into(lines('{"day":"2026-01-01","n":1}'), 'days --key n --upsert')
    expect({ exit, stderr }).toMatchObject({ exit: 2, stderr: expect.stringContaining('no unique index') })
  })

  test('what is wrong with the address or the server, and never a password', async () => {
    const wrong = async (url: string) => {
      const cwd = temporaryFolder()
      const { stderr, exit } = await shell('echo "{}" | BECK_DEBUG=1 beck into "$URL" t', { cwd, env: { URL: url } })
      expect(stderr).not.toMatch(/zebra|crossing|hidden/)
      return { stderr, exit }
    }
    expect(await wrong(server.url.replace('zebra', 'hidden'))).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('user or password are wrong'),
    })
    expect(await wrong(server.url.replace('/postgres', '/none'))).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('there is no such database'),
    })
    expect(await wrong('postgres://me:hidden@127.0.0.1:1/x')).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('postgres://me@127.0.0.1:1/x t: nobody listens there'),
    })
    expect(await wrong('postgres://me:hidden@host:port/x')).toMatchObject({
      exit: 3,
      stderr: expect.stringContaining('the address cannot be read'),
    })
    expect(await wrong('postgre://me:hidden@h/x')).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('did you mean "postgres"?'),
    })
    expect(await wrong('//me:hidden@h/x')).toMatchObject({ exit: 2 })
  })

  test('exactly once: rows and epoch together, and no password on the disk', async () => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'in.ndjson'), lines('{"n":1}', '{"n":2}', '{"n":3}'))
    const line =
      'beck append in in.ndjson; for run in 1 2 3; do beck consume in -g g --exactly-once --limit 2 | beck into "$URL" once; echo "${PIPESTATUS[*]}"; done; beck pipeline describe g | jq -r .sink'
    const { stdout, stderr } = await shell(line, { cwd, env: { URL: server.url } })
    expect(stderr).toBe('')
    expect(stdout.toString()).toBe(`0 0\n0 0\n0 0\npostgres://tester@127.0.0.1:${server.port}/postgres once\n`)
    expect(await server.query('SELECT n::int FROM once')).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
    expect(await server.query("SELECT epoch::int, offsets->>'in/0' AS offset FROM beck_commits")).toEqual([
      { epoch: 2, offset: '3' },
    ])
    const files = readdirSync(join(cwd, '.beck'), { recursive: true, withFileTypes: true }).filter((file) =>
      file.isFile(),
    )
    expect(files.length).toBeGreaterThan(2)
    for (const file of files) {
      const text = readFileSync(join(file.parentPath, file.name), 'utf8')
      expect(text.includes(PASSWORD) || text.includes(encodeURIComponent(PASSWORD)), file.name).toBe(false)
    }
  })
})
