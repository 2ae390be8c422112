// Every example of a command's help is run, in a folder of its own in which `fixtures` is.
import { mkdtempSync, readdirSync, symlinkSync } from 'node:fs'
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
})

it('every command has examples, a docs page and golden cases', () => {
  for (const { name, examples } of specs) {
    expect(examples.length, `examples of ${name}`).toBeGreaterThan(0)
    expect(readdirSync(join(root, 'docs/commands'))).toContain(`${name}.md`)
    expect(readdirSync(join(root, 'test/cases'))).toContain(name)
  }
})
