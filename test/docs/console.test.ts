// Every ```console block in docs/*.md is run: a page is one session in one folder. "$ " begins a command, which goes on after "\" or "|" at
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

const pages = readdirSync(join(root, 'docs'))
  .filter((name) => name.endsWith('.md'))
  .map((name) => ({ name, steps: steps(readFileSync(join(root, 'docs', name), 'utf8')) }))
  .filter(({ steps }) => steps.length > 0)

it('there are examples', () => expect(pages.length).toBeGreaterThan(0))

describe.each(pages)('docs/$name', ({ steps }) => {
  const folder = temporaryFolder()
  symlinkSync(join(root, 'fixtures'), join(folder, 'fixtures'))
  it.each(steps)('$command', async ({ command, output }) => {
    const { stdout } = await shell(`exec 2>&1; ${command}`, { cwd: folder })
    expect(stdout.toString()).toBe(output)
  })
})
