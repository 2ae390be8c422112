#!/usr/bin/env node
// Writes what is generated: docs/commands/*.md from the commands' specs, and between its markers in README.md the list of commands and the
// benchmark's table. `--check` changes nothing and fails when something is stale.
import { build } from 'esbuild'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { markdown as benchmarkTable } from '../bench/table.mjs'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))

const modules = `
  export { commands } from './commands/index.ts'
  export { commonOptions, globalOptions } from './src/cli/common-options.ts'
  export { optionRow, usageLine } from './src/cli/help.ts'
  export { errorTable } from './src/core/errors.ts'
`
const bundle = 'dist/specs.mjs'
await build({
  stdin: { contents: modules, resolveDir: '.', loader: 'ts' },
  outfile: bundle,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  loader: { '.wasm': 'binary' },
  external: ['pg'],
  banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)` },
  logLevel: 'warning',
})
const { commands, commonOptions, globalOptions, optionRow, usageLine, errorTable } = await import(`../${bundle}`)
rmSync(bundle)
const specs = await Promise.all(Object.values(commands).map((load) => load()))

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
const table = (head, rows) =>
  [
    `| ${head.join(' | ')} |`,
    `|${'---|'.repeat(head.length)}`,
    ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`),
  ].join('\n')
const optionTable = (options) =>
  table(
    ['option', 'what it does'],
    options.map(optionRow).map(([flags, text]) => [`\`${flags}\``, text]),
  )

function page(spec) {
  const parts = [
    `# beck ${spec.name}`,
    `${spec.summary}.`,
    `    ${usageLine(spec)}`,
    spec.description,
    spec.program?.length &&
      table(
        ['argument', 'what it is'],
        spec.program.map(({ name, description }) => [`\`${name}\``, description]),
      ),
    spec.options.length > 0 && `## Options\n\n${optionTable(spec.options)}`,
    `## Common options\n\n${optionTable([...spec.common.flatMap((group) => commonOptions[group]), ...globalOptions])}`,
    `## Cost\n\nTime ${spec.cost.time}, memory ${spec.cost.memory}.`,
    spec.errors?.length &&
      `## Errors\n\n${table(
        ['code', 'exit'],
        spec.errors.map((code) => [`\`${code}\``, String(errorTable[code].exit)]),
      )}`,
    '## Examples',
    ...spec.examples.map(
      ({ says, command, output = '' }) =>
        `${says}:\n\n\`\`\`console\n$ ${command}\n${output}${output.endsWith('\n') || !output ? '' : '\n'}\`\`\``,
    ),
  ]
  return `${parts.filter(Boolean).join('\n\n')}\n`
}

const commandList = (folder) =>
  table(
    ['command', 'what it does'],
    specs.map(({ name, summary }) => [`[\`${name}\`](${folder}${name}.md)`, summary]),
  )

/** Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->`. */
function fill(text, name, content) {
  const marked = new RegExp(`(<!-- ${name} -->\n)[^]*?(<!-- /${name} -->)`)
  if (!marked.test(text)) throw new Error(`README.md has no place for ${name}`)
  return text.replace(marked, (_, before, after) => `${before}${content}\n${after}`)
}

const files = new Map(specs.map((spec) => [`docs/commands/${spec.name}.md`, page(spec)]))
files.set('docs/commands/README.md', `# Commands\n\n${commandList('')}\n`)
let readme = fill(readFileSync('README.md', 'utf8'), 'commands', commandList('docs/commands/'))
const results = existsSync('bench/results') ? readdirSync('bench/results').toSorted() : []
if (results.length > 0) {
  const latest = results[results.length - 1]
  const result = JSON.parse(readFileSync(`bench/results/${latest}`, 'utf8'))
  readme = fill(readme, 'benchmark', benchmarkTable({ ...result, date: latest.replace('.json', '') }))
}
files.set('README.md', readme)

mkdirSync('docs/commands', { recursive: true })
const stale = [...files]
  .filter(([path, text]) => !existsSync(path) || readFileSync(path, 'utf8') !== text)
  .map(([path]) => path)
const surplus = readdirSync('docs/commands')
  .map((name) => `docs/commands/${name}`)
  .filter((path) => !files.has(path))
if (process.argv.includes('--check')) {
  if (stale.length + surplus.length > 0) {
    console.error(`stale: ${[...stale, ...surplus].join(', ')}\nrun: npm run docs`)
    process.exitCode = 1
  }
} else {
  for (const path of stale) writeFileSync(path, files.get(path))
  for (const path of surplus) rmSync(path)
}
