import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const chaos = fileURLToPath(new URL('chaos.mjs', import.meta.url))

/** A short run; the long one is `node test/crash/chaos.mjs`. */
test(
  'producers and consumers that are killed and stopped lose, repeat and re-order nothing',
  { timeout: 300_000 },
  () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [chaos, '--records', '12000', '--producers', '4', '--consumers', '4', '--kill-ms', '50'],
      { encoding: 'utf8' },
    )
    expect(status, stdout + stderr).toBe(0)
  },
)
