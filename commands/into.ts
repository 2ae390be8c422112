import { BeckError } from '../src/core/errors.ts'
import type { Arguments, CommandSpec, SinkStage } from '../src/core/spec.ts'
import { suggest } from '../src/core/suggest.ts'

export const into: CommandSpec = {
  name: 'into',
  summary: 'Write records to files or a database, exactly once where the pipe asks for it',
  description: [
    'TARGET says where:',
    '- file:DIR: files part-0000000001.ndjson … in a folder, each complete when it appears. A run makes one; in an exactly-once pipe each epoch ' +
      'with records does, and all of them one after the other are the output.',
    '',
    'At the end of consume --exactly-once output, offsets and the state of the stages are committed as one: killed at any moment and run ' +
      'again, the output is that of an undisturbed run (docs/exactly-once.md).',
  ].join('\n'),
  program: [{ name: 'TARGET', description: 'file:DIR' }],
  files: true,
  options: [],
  common: ['input'],
  cost: { time: 'O(bytes)', memory: 'O(1)' },
  errors: ['bad-record', 'usage', 'file', 'disk-full', 'store', 'fenced', 'frames'],
  examples: [
    {
      says: 'A file for each run',
      command: 'beck into file:flights fixtures/flights.ndjson && ls flights',
      output: 'part-0000000001.ndjson\n',
    },
    {
      says: 'Exactly once, a file an epoch',
      command:
        'beck append visits fixtures/flights.ndjson && beck consume visits -g out --exactly-once | beck into file:out && cat out/*.ndjson | wc -l',
      output: '20000\n',
    },
  ],
  create: createStage,
}

const kinds = ['file:'] as const

async function createStage({ program }: Arguments): Promise<SinkStage> {
  const target = program[0] ?? ''
  if (target.startsWith('file:')) {
    const folder = target.slice('file:'.length)
    if (folder === '')
      throw new BeckError('usage', { problem: 'file: needs a folder', hint: 'write beck into file:out' })
    const { FileSink } = await import('../src/connectors/file/sink.ts')
    return { role: 'sink', reads: [], open: (context) => new FileSink(folder, context) }
  }
  const scheme = /^[a-z]+:/i.exec(target)?.[0]
  throw new BeckError('usage', {
    problem: scheme ? `there is no sink "${scheme}"` : `"${target}" is no sink`,
    suggestion: scheme && suggest(scheme, kinds),
    hint: scheme ? undefined : `a target begins with ${kinds.join(' or ')}, as in beck into file:${target || 'out'}`,
  })
}
