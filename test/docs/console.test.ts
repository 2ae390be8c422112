// Every ```console block in README.md and docs/*.md is run: a page is one session in one folder. "$ " begins a command, which goes on after "\" or "|" at
// the end of a line; what follows is everything that it prints, on both outputs.
import { readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root, shell, temporaryFolder } from '../shell.ts'

interface Step {
  readonly command: string
  readonly output: string
}

function steps(page: string): Step[] {
  const found: Step[] = []
  for (const [, block = ''] of page.matchAll(/^```console\n([^]*?)^```$/gm)) {
    for (const [, command = '', output = ''] of block.matchAll(/^\$ ((?:.*[\\|]\n)*.*)\n((?:(?!\$ ).*\n)*)/gm))
      found.push({ command, output })
  }
  return found
}

const docs = readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)
const pages = ['README.md', ...docs]
  .filter((name) => name.endsWith('.md'))
  .map((name) => ({ name, steps: steps(readFileSync(join(root, name), 'utf8')) }))
  .filter(({ steps }) => steps.length > 0)

it('there are examples', () => expect(pages.length).toBeGreaterThan(0))

describe.each(pages)('$name', ({ steps }) => {
  const folder = temporaryFolder()
  symlinkSync(join(root, 'fixtures'), join(folder, 'fixtures'))
  it.each(steps)('$command', async ({ command, output }) => {
    const { stdout } = await shell(`exec 2>&1; ${command}`, { cwd: folder })
    expect(stdout.toString()).toBe(output)
  })
})
