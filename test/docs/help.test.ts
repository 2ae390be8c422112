import { expect, it } from 'vitest'
import { commands } from '../../commands/index.ts'
import { optionsOf } from '../../src/cli/command-line.ts'
import { root, shell } from '../shell.ts'

it.concurrent.each(Object.entries(commands))('beck %s --help shows all of its spec', async (name, load) => {
  const spec = await load()
  const { stdout, stderr, exit } = await shell(
    `beck ${name} --help; beck help ${name} | cmp - <(beck ${name} --help)`,
    {
      cwd: root,
    },
  )
  const help = stdout.toString()
  expect({ stderr, exit }).toEqual({ stderr: '', exit: 0 })
  expect(help).toContain(`Usage: beck ${name} `)
  for (const { flag } of optionsOf(spec)) expect(help).toContain(`--${flag}`)
  for (const { command } of spec.examples) expect(help).toContain(command.split('\n')[0])
  for (const line of help.split('\n'))
    if (!line.trimStart().startsWith('beck ') && !spec.examples.some(({ command }) => command.includes(line.trim())))
      expect(line.length, line).toBeLessThanOrEqual(100)
})

it('beck --help lists every command', async () => {
  const { stdout } = await shell('beck --help', { cwd: root })
  for (const [name, load] of Object.entries(commands)) {
    expect(stdout.toString()).toContain(`  ${name} `)
    expect(stdout.toString()).toContain((await load()).summary.split(' ')[0])
  }
})
