import { expect, it } from 'vitest'
import { root, shell } from '../shell.ts'

it('bash completes commands and their options', async () => {
  const complete = (words: string, index: number) =>
    `eval "$(beck completion bash)"; COMP_WORDS=(${words}); COMP_CWORD=${index}; _beck; echo "\${COMPREPLY[@]}"`
  const run = async (words: string, index: number) =>
    (await shell(complete(words, index), { cwd: root })).stdout.toString()
  expect(await run('beck fil', 1)).toBe('filter\n')
  expect(await run('beck filter --dead', 2)).toBe('--dead-letter\n')
  expect(await run('beck filter x --color ne', 4)).toBe('never\n')
})
