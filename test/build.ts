import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Tests run what was built from these sources. */
export default function build(): void {
  const script = fileURLToPath(new URL('../scripts/build.mjs', import.meta.url))
  execFileSync(process.execPath, [script, '--if-stale'], { stdio: ['ignore', 2, 2] })
}
