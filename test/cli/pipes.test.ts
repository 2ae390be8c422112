// How beck behaves among other programs: closed pipes, full disks, slow writers, descriptors that a sibling changed.
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root, shell, temporaryFolder } from '../shell.ts'

const folder = temporaryFolder()
const big = join(folder, 'big.ndjson')
const LINES = 400_000 // 36 MB: enough for two workers
writeFileSync(big, Array.from({ length: LINES }, (_, n) => `{"a":${n},"text":"${'x'.repeat(70)}"}\n`).join(''))
const run = async (line: string, env = {}) => {
  const { stdout, stderr, exit } = await shell(line, { cwd: folder, env })
  return { stdout: stdout.toString(), stderr, exit }
}

describe('a pipe', () => {
  it.each(['--workers 1', '--workers 2'])('that closes early is no error (%s)', async (workers) => {
    const { stdout, stderr } = await run(
      `beck filter 'r.a >= 0' ${workers} big.ndjson | head -1; echo "\${PIPESTATUS[@]}"`,
    )
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^\{"a":0,.*\}\n0 0\n$/)
  })

  it('carries everything, whatever its reader does', async () => {
    const { stdout } = await run(`beck filter 'r.a >= 0' big.ndjson | (sleep 0.3; cmp - big.ndjson) && echo same`)
    expect(stdout).toBe('same\n')
  })

  it('that a sibling made non-blocking loses nothing', async () => {
    // Touching process.stdout and process.stdin is what makes them non-blocking, for every process that shares them.
    const touch = `node -e 'process.stdout.write(""); process.stdin.unref(); setTimeout(() => process.exit(), 200)'`
    const { stdout, stderr } = await run(
      `cat big.ndjson | (${touch} & beck filter 'r.a >= 0'; wait) | (sleep 0.3; cmp - big.ndjson) && echo same`,
    )
    expect({ stdout, stderr }).toEqual({ stdout: 'same\n', stderr: '' })
  })

  it('lets a record that arrives alone leave alone', async () => {
    const { latencies, stop } = await slowWriter()
    stop()
    expect(latencies.length).toBe(5)
    expect(Math.max(...latencies), `${latencies}`).toBeLessThan(50 * (process.env['CI'] ? 4 : 2)) // a shared machine; the bench holds it to 50
  })
})

/** Milliseconds from writing a line to reading it back. */
async function slowWriter(): Promise<{ latencies: number[]; stop: () => void }> {
  await run('true') // builds
  const child = spawn(process.execPath, [join(root, 'dist/beck.cjs'), 'filter', 'r.a > 0'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const latencies: number[] = []
  const answer = () => new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
  child.stdin.write('{"a":1}\n')
  await answer() // started
  for (let line = 0; line < 5; line++) {
    await new Promise((resolve) => setTimeout(resolve, 30))
    const start = performance.now()
    child.stdin.write('{"a":1}\n')
    await answer()
    latencies.push(performance.now() - start)
  }
  return { latencies, stop: () => child.kill() }
}

describe('a full disk', () => {
  it.each(['--workers 1', '--workers 2'])('under standard output is an error (%s)', async (workers) => {
    const { stderr, exit } = await run(`beck filter 'r.a >= 0' ${workers} big.ndjson > /dev/full`)
    expect(exit).toBe(3)
    expect(stderr).toContain('standard output: no space left on the device')
  })
  it('under the dead letters is an error', async () => {
    const { exit } = await run(`echo 'bad' | beck filter 'r.a > 0' --dead-letter /dev/full`)
    expect(exit).toBe(3)
  })
})

describe('several workers', () => {
  const bad = join(folder, 'bad.ndjson')
  it('stop at the first bad record, with everything before it written and its line named', async () => {
    writeFileSync(bad, '')
    await run(`(head -300000 big.ndjson; echo '{"a":'; tail -n +300001 big.ndjson; echo 'also bad') > bad.ndjson`)
    const { stdout, stderr } = await run(
      `beck filter 'r.a >= 0' --workers 2 bad.ndjson | cmp - <(head -300000 big.ndjson) && echo same; echo "\${PIPESTATUS[0]}"`,
    )
    expect(stdout).toBe('same\n0\n') // the status of echo's own pipe
    expect(stderr).toContain('bad.ndjson:300001:6: ')
    expect((await run(`beck filter 'r.a >= 0' --workers 2 bad.ndjson > out`)).exit).toBe(1)
  })
  it('keep bad records in order, and count them together', async () => {
    const { stdout, stderr } = await run(
      `beck filter 'r.a >= 0' --workers 2 bad.ndjson --dead-letter letters | cmp - big.ndjson && cat letters`,
    )
    expect(stdout).toBe('{"a":\nalso bad\n')
    expect(stderr).toContain('kept 2 bad records')
  })
})
