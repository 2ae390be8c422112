#!/usr/bin/env node
// Installs the dependencies when they are not there, so that each command of the README works on a fresh clone.
import { execSync } from 'node:child_process'
import { existsSync, lstatSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const installed = 'node_modules/.package-lock.json'
const current = existsSync(installed) && statSync(installed).mtimeMs >= statSync('package-lock.json').mtimeMs
const linked = existsSync('node_modules') && lstatSync('node_modules').isSymbolicLink() // a second work tree
if (!current && !linked) {
  console.error('installing the dependencies …')
  // Not `npm ci`: that insists on the optional packages of every platform, which not every registry has.
  execSync('npm install --no-save --no-audit --no-fund --loglevel=error', { stdio: ['ignore', 2, 2] })
}
