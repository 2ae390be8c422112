#!/usr/bin/env node
// Compiles the scanner's kernel (src/ndjson/kernel/*.ts, AssemblyScript) to kernel.wasm, which is committed: to build or to use beck
// nobody needs the compiler. `--check` compares instead. The compiler (100 MB) is installed into the kernel's own folder when missing.
import { execFileSync, execSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('../src/ndjson/kernel', import.meta.url)))
const check = process.argv.includes('--check')
const compiler = 'node_modules/assemblyscript/bin/asc.js'
if (!existsSync(compiler)) {
  console.error('installing the AssemblyScript compiler …')
  execSync('npm ci --no-audit --no-fund --loglevel=error', { stdio: ['ignore', 2, 2] })
}
const folder = check ? mkdtempSync(join(tmpdir(), 'beck-kernel-')) : '.'
const target = join(folder, 'kernel.wasm')
const options = [
  '-O3',
  '--noAssert',
  '--runtime',
  'stub',
  '--enable',
  'simd',
  '--enable',
  'bulk-memory',
  '--importMemory',
  // As large as addresses go. The import then says a maximum, as memory that threads share must (src/ndjson/heap.ts).
  '--maximumMemory',
  '65536',
]
execFileSync(process.execPath, [compiler, 'index.ts', '-o', target, ...options, '--use', 'abort='], {
  stdio: 'inherit',
})
if (check) {
  const same = readFileSync(target).equals(readFileSync('kernel.wasm'))
  rmSync(folder, { recursive: true })
  if (!same) {
    console.error('src/ndjson/kernel/kernel.wasm is not what its sources compile to: run node scripts/kernel.mjs')
    process.exitCode = 1
  }
}
