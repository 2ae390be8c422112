// Every example that a user can read is run: those of the specs, and those of the documents, in ```console blocks. A block's lines
// that begin with "$ " are typed (a line ending in "|" or "\" goes on), what follows is what the terminal must show; "…" alone
// on a line stands for any lines. The blocks of one document are one session in one folder, in which `fixtures` is.
import { mkdtempSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commands } from '../../commands/index.ts'
import { root, shell, temporaryFolder } from '../shell.ts'

const specs = await Promise.all(Object.values(commands).map((load) => load()))

describe.concurrent('examples', () => {
  const folder = temporaryFolder()
  function session(): string {
    const cwd = mkdtempSync(join(folder, 'session-'))
    symlinkSync(join(root, 'fixtures'), join(cwd, 'fixtures'))
    return cwd
  }

  const examples = specs.flatMap((spec) => spec.examples.map((example) => ({ ...example, of: spec.name })))
  it.for(examples)('$of: $says', async ({ command, output }, { expect }) => {
    const got = await shell(command, { cwd: session() })
    expect(got.exit, got.stderr).toBe(0)
    if (output === undefined) return
    expect(got.stdout.toString()).toBe(output.endsWith('\n') || output === '' ? output : `${output}\n`)
  })

  const pages = readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)
  const documents = ['README.md', 'CONTRIBUTING.md', ...pages]
    .map((file) => ({ file, steps: typed(readFileSync(join(root, file), 'utf8')) }))
    .filter(({ steps }) => steps.length > 0)
  it.for(documents)('$file', async ({ steps }, { expect }) => {
    const cwd = session()
    for (const { command, output } of steps) {
      const got = await shell(`{ ${command}\n} 2>&1`, { cwd })
      const lines = output.map((line) => (line === '…' ? '(?:.*\n)*?' : `${escaped(line)}\n`))
      if (!new RegExp(`^${lines.join('')}$`).test(got.stdout.toString()))
        expect({ command, output: got.stdout.toString() }).toEqual({
          command,
          output: output.map((line) => `${line}\n`).join(''),
        })
    }
  })
})

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')

/** The command lines of a document's console blocks, with what each shows. */
function typed(markdown: string): { command: string; output: string[] }[] {
  const steps: { command: string; output: string[] }[] = []
  for (const [, block] of markdown.matchAll(/^```console\n([^]*?)^```$/gm)) {
    let unfinished = false
    for (const line of (block as string).trimEnd().split('\n')) {
      const step = steps.at(-1)
      if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: [] })
      else if (unfinished) step!.command += `\n${line}`
      else step!.output.push(line)
      unfinished = /[|\\]$/.test(line) && (unfinished || line.startsWith('$ '))
    }
  }
  return steps
}

it('every command has examples, a docs page and golden cases', () => {
  for (const { name, examples } of specs) {
    expect(examples.length, `examples of ${name}`).toBeGreaterThan(0)
    expect(readdirSync(join(root, 'docs/commands'))).toContain(`${name}.md`)
    expect(readdirSync(join(root, 'test/cases'))).toContain(name)
  }
})
