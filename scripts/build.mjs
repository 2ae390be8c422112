#!/usr/bin/env node
// Builds beck into dist/: beck.cjs (bin/start.cjs), main.cjs (the bundle) and main.cache (V8's code cache of the bundle).
// `--if-stale` builds only when a source is newer than the bundle.
import { execFileSync } from 'node:child_process'
import { build } from 'esbuild'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const sources = ['bin', 'src', 'commands', 'scripts', 'package.json']
if (process.argv.includes('--if-stale') && existsSync('dist/main.cache')) {
  const newest = (path) =>
    statSync(path).isDirectory()
      ? Math.max(...readdirSync(path).map((name) => newest(join(path, name))), 0)
      : statSync(path).mtimeMs
  if (Math.max(...sources.map(newest)) < statSync('dist/main.cache').mtimeMs) process.exit()
}

// Made aside and put in place by rename, so that nobody starts half a bundle. The cache goes first and comes last, since V8 checks
// little more than the length of the source that it belongs to.
const fresh = `dist/fresh-${process.pid}`
mkdirSync(fresh, { recursive: true })
process.on('exit', () => rmSync(fresh, { recursive: true, force: true }))
/** commander loads child_process, and with it the network, for a feature that beck does not use: 3 ms of every start. */
const lazyChildProcess = {
  name: 'lazy child_process',
  setup({ onLoad }) {
    onLoad({ filter: /commander.lib.command\.js$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8')
      const eager = "const childProcess = require('node:child_process');"
      if (!text.includes(eager)) throw new Error(`${path} has changed: see scripts/build.mjs`)
      return { contents: text.replace(eager, 'const childProcess = undefined;') }
    })
  },
}
const { metafile } = await build({
  entryPoints: ['bin/beck.ts'],
  outfile: `${fresh}/main.cjs`,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20.19',
  // The bundle is a script, which has no import(): lazy imports of Node's own modules become require.
  supported: { 'dynamic-import': false },
  loader: { '.wasm': 'binary' },
  // What pg could do elsewhere: libpq by a native addon, and Cloudflare's sockets.
  external: ['pg-native', 'pg-cloudflare'],
  plugins: [lazyChildProcess],
  // Half of the text is read, copied and hashed at each start, in each thread. Names stay, for traces of the stack.
  minifyWhitespace: true,
  minifySyntax: true,
  define: { BECK_VERSION: JSON.stringify(JSON.parse(readFileSync('package.json', 'utf8')).version) },
  // A function, for bin/start.cjs to call: what Node would wrap around a module, and the image that workers start from.
  banner: { js: '(function(exports,require,module,__filename,BECK_IMAGE){' },
  footer: { js: '})' },
  metafile: true,
  logLevel: 'warning',
})
// bin/start.cjs takes each byte for a character. esbuild escapes strings, but not regular expressions.
const odd = /[^\0-\x7f]/.exec(readFileSync(`${fresh}/main.cjs`, 'latin1'))
if (odd) {
  const near = odd.input.slice(Math.max(0, odd.index - 60), odd.index + 20)
  throw new Error(`the bundle is not ASCII, write \\u… in: ${near}`)
}
// The licences of what is bundled ask to be passed on with it.
const packages = new Set(
  Object.keys(metafile.inputs).flatMap((path) => path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/) ?? []),
)
const licences = [...packages].toSorted().map((folder) => {
  const file = (pattern) => readdirSync(folder).find((name) => pattern.test(name))
  const own = file(/^licen[cs]e/i)
  // Some have theirs at the end of the README.
  const text = readFileSync(join(folder, own ?? file(/^readme/i)), 'utf8').replace(
    own ? /^/ : /^.*\n##? license\n/is,
    '',
  )
  if (!/copyright|permission/i.test(text)) throw new Error(`${folder} has no licence to pass on`)
  return `${folder.replace(/^.*node_modules\//, '')}\n\n${text.trim()}\n`
})
writeFileSync(`${fresh}/licences.txt`, `The bundle contains these packages.\n\n${licences.join('\n\n')}`)
copyFileSync('bin/start.cjs', `${fresh}/beck.cjs`)
chmodSync(`${fresh}/beck.cjs`, 0o755)
execFileSync(process.execPath, ['scripts/code-cache.cjs', `${fresh}/main.cjs`, `${fresh}/main.cache`], {
  stdio: ['ignore', 'ignore', 'inherit'],
})
rmSync('dist/main.cache', { force: true })
for (const name of ['licences.txt', 'main.cjs', 'beck.cjs', 'main.cache'])
  renameSync(`${fresh}/${name}`, `dist/${name}`)
