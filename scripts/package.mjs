#!/usr/bin/env node
// Makes dist/beck, a single executable of this machine's Node and the bundle (docs/decisions/0003-single-executable.md).
// Never strip it: that cuts the bundle off.
import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const fresh = { config: 'dist/sea.json', blob: 'dist/sea.blob', executable: 'dist/beck.fresh' }
const config = {
  main: 'dist/beck.cjs',
  assets: { 'main.cjs': 'dist/main.cjs', 'main.cache': 'dist/main.cache' },
  output: fresh.blob,
  disableExperimentalSEAWarning: true,
  useCodeCache: true,
}
writeFileSync(fresh.config, JSON.stringify(config))
execFileSync(process.execPath, ['--experimental-sea-config', fresh.config], { stdio: ['ignore', 'ignore', 'inherit'] })
copyFileSync(process.execPath, fresh.executable)
chmodSync(fresh.executable, 0o755)
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'
execFileSync(
  'node_modules/.bin/postject',
  [fresh.executable, 'NODE_SEA_BLOB', fresh.blob, '--sentinel-fuse', fuse],
  { stdio: 'pipe' }, // it warns of sections without a name, which is no news
)
// The way this has failed elsewhere is silence: a copy of node, with nothing in it.
const version = JSON.parse(readFileSync('package.json', 'utf8')).version
const answer = execFileSync(fresh.executable, ['--version'], { encoding: 'utf8' }).trim()
if (answer !== version) throw new Error(`the executable answers --version with "${answer}" instead of "${version}"`)
renameSync(fresh.executable, 'dist/beck')
for (const file of [fresh.config, fresh.blob]) rmSync(file)
console.log('dist/beck is ready: one file, no Node needed')
