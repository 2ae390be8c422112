import { spawn } from 'node:child_process'
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** The program under test: the built bundle, or the executable that `BECK_BIN` names. */
export const program = process.env['BECK_BIN'] ? resolve(process.env['BECK_BIN']) : join(root, 'dist/beck.cjs')

export interface Outcome {
  readonly stdout: Buffer
  readonly stderr: string
  /** As the shell counts it: 128 + signal number for a killed process. */
  readonly exit: number
}

const folders: string[] = []
// Here, since a test that runs cannot add a hook to its file any more.
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** A folder that goes when the test file is done. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'beck-test-'))
  folders.push(folder)
  return folder
}

/** A folder whose only file is `beck`. */
export const bin = temporaryFolder()
if (!existsSync(program)) throw new Error(`${program} is not there`)
chmodSync(program, 0o755)
symlinkSync(program, join(bin, 'beck'))

/** What a user's shell has, without what would change beck's output or its start. */
function environment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { LC_ALL: 'C.UTF-8' }
  for (const name of ['HOME', 'USER', 'TMPDIR', 'LANG']) if (process.env[name]) env[name] = process.env[name]
  env['PATH'] = [bin, dirname(process.execPath), process.env['PATH']].join(delimiter)
  return { ...env, ...extra }
}

/**
 * Runs a line in bash, as typed by a user, with `beck` on the PATH. Standard input is the file `input`, else empty.
 * After `timeoutMs` the whole process group is killed, and exit is 137.
 */
export function shell(
  line: string,
  options: { cwd: string; input?: string; env?: Readonly<Record<string, string>>; timeoutMs?: number },
): Promise<Outcome> {
  const env = environment(options.env ?? {})
  const stdin = options.input === undefined ? ('ignore' as const) : openSync(options.input, 'r')
  const child = spawn('bash', ['-c', line], {
    cwd: options.cwd,
    env,
    stdio: [stdin, 'pipe', 'pipe'],
    detached: true, // its own process group, so that a hanging pipeline can be killed whole
  })
  if (typeof stdin === 'number') closeSync(stdin)
  return new Promise((done, failed) => {
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    child.stdout!.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr!.on('data', (chunk: Buffer) => stderr.push(chunk))
    const timer = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), options.timeoutMs ?? 30_000)
    child.on('error', failed)
    child.on('close', (code) => {
      clearTimeout(timer)
      done({ stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString(), exit: code ?? 137 })
    })
  })
}
