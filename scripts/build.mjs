#!/usr/bin/env node
// Bundles beck into dist/. `--if-stale` builds only when a source is newer than the bundle.
import { build } from 'esbuild'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const target = 'dist/beck.cjs'
if (process.argv.includes('--if-stale') && existsSync(target)) {
  const newest = (path) =>
    statSync(path).isDirectory()
      ? Math.max(...readdirSync(path).map((name) => newest(join(path, name))), 0)
      : statSync(path).mtimeMs
  if (Math.max(...['bin', 'src', 'commands', 'scripts', 'package.json'].map(newest)) < statSync(target).mtimeMs)
    process.exit()
}
mkdirSync('dist', { recursive: true })
const fresh = `${target}.${process.pid}` // put in place by rename: several test files may build at once
await build({
  entryPoints: ['bin/beck.ts'],
  outfile: fresh,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20.19',
  minifySyntax: true,
  minifyWhitespace: true,
  loader: { '.wasm': 'binary' },
  define: { BECK_VERSION: JSON.stringify(JSON.parse(readFileSync('package.json', 'utf8')).version) },
  banner: { js: '#!/usr/bin/env node' },
  logLevel: 'warning',
})
chmodSync(fresh, 0o755)
renameSync(fresh, target)
