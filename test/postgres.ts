import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll } from 'vitest'

/** Debian keeps a server's programs here. */
const ROOT = '/usr/lib/postgresql'
const programs = existsSync(ROOT)
  ? readdirSync(ROOT)
      .map((version) => join(ROOT, version, 'bin'))
      .find((folder) => existsSync(join(folder, 'postgres')))
  : undefined

/** Whether there is a PostgreSQL to start: the Debian package `postgresql`. */
export const hasPostgres = programs !== undefined
if (!hasPostgres) process.stderr.write(`SKIPPED: no PostgreSQL in ${ROOT} (Debian: apt-get install postgresql)\n`)

export const PASSWORD = 'zebra/@crossing'

const servers: Postgres[] = []
// Here, since a test that runs cannot add a hook to its file any more.
afterAll(async () => {
  for (const server of servers) {
    await server.kill()
    rmSync(server.folder, { recursive: true, force: true })
  }
})

/** A server of the tests' own, on a free port, in a folder that goes with the test file. */
export class Postgres {
  readonly folder: string
  readonly port: number
  /** With its password. */
  readonly url: string
  #server: ChildProcess | undefined

  private constructor(folder: string, port: number) {
    this.folder = folder
    this.port = port
    this.url = `postgres://tester:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/postgres`
  }

  static async make(): Promise<Postgres> {
    const folder = mkdtempSync(join(tmpdir(), 'beck-pg-'))
    const server = new Postgres(folder, await freePort())
    const secret = join(folder, 'secret')
    writeFileSync(secret, `${PASSWORD}\n`)
    for (const path of [folder, secret]) if (user.uid !== undefined) chownSync(path, user.uid, user.gid)
    const options = [
      '-A',
      'scram-sha-256',
      '-U',
      'tester',
      `--pwfile=${secret}`,
      '--no-sync',
      '-E',
      'UTF8',
      '--no-locale',
    ]
    execFileSync(join(programs as string, 'initdb'), ['-D', join(folder, 'data'), ...options], {
      ...user,
      stdio: 'pipe',
      cwd: folder,
    })
    servers.push(server)
    await server.start()
    return server
  }

  async start(): Promise<void> {
    const settings = [
      'fsync=off',
      'autovacuum=off',
      'listen_addresses=127.0.0.1',
      'max_connections=20',
      'log_destination=stderr',
    ]
    for (let tries = 0; ; tries++) {
      // It goes with these tests, whatever ends them.
      const server = spawn(
        'setpriv',
        [
          '--pdeathsig',
          'KILL',
          join(programs as string, 'postgres'),
          '-D',
          join(this.folder, 'data'),
          '-p',
          String(this.port),
          '-k',
          this.folder,
          ...settings.flatMap((one) => ['-c', one]),
        ],
        { ...user, stdio: ['ignore', 'ignore', 'pipe'], cwd: this.folder },
      )
      this.#server = server
      // After a kill its children may still be going.
      if (await ready(server)) return
      if (tries > 50) throw new Error('PostgreSQL does not start')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  /** SIGKILL, as an accident has it. */
  async kill(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (!server || server.exitCode !== null || server.signalCode !== null) return
    const gone = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGKILL')
    await gone
  }

  async query(sql: string): Promise<Readonly<Record<string, unknown>>[]> {
    const client = new Client({
      connectionString: this.url,
      connectionTimeoutMillis: 10_000,
      application_name: 'test',
      keepAlive: false,
    })
    await client.connect()
    try {
      return [...(await client.query(sql)).rows]
    } finally {
      await client.end()
    }
  }
}

/** A server does not run as root. */
const user: { readonly uid: number; readonly gid: number } | { readonly uid?: undefined; readonly gid?: undefined } =
  userInfo().uid === 0 ? { uid: 65534, gid: 65534 } : {}

function ready(server: ChildProcess): Promise<boolean> {
  return new Promise((resolve) => {
    server.once('exit', () => resolve(false))
    server.stderr?.on('data', (chunk: Buffer) => {
      if (chunk.includes('ready to accept connections')) resolve(true)
    })
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { readonly port: number }
      probe.close(() => resolve(port))
    })
  })
}
