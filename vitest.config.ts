import { readFileSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

/** The kernel as bytes, as esbuild's loader "binary" gives it to the bundle. */
const wasm = {
  name: 'wasm',
  enforce: 'pre' as const,
  load: (id: string) =>
    id.endsWith('.wasm') ? `export default Buffer.from('${readFileSync(id).toString('base64')}', 'base64')` : undefined,
}

export default defineConfig({
  plugins: [wasm],
  test: {
    globalSetup: 'test/build.ts',
    setupFiles: process.env['BECK_SEED'] ? ['test/seed.ts'] : [],
    include: ['test/**/*.test.ts'],
    testTimeout: process.env['BECK_FUZZ_RUNS'] ? 1_800_000 : 60_000,
    pool: 'threads',
    hookTimeout: 60_000,
    maxConcurrency: 4,
    maxWorkers: 2,
  },
})
