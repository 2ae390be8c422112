import { BeckError } from '../src/core/errors.ts'
import type { CommandSpec, ProcessStage } from '../src/core/spec.ts'

export const via: CommandSpec = {
  name: 'via',
  summary: 'Send records through another program',
  description:
    'Runs CMD with its arguments, writes the records to its standard input and takes the lines of its standard output as records. In an ' +
    'exactly-once pipe it is run anew for each epoch, on the records of that epoch, and the end of its output closes the epoch: jq, awk ' +
    'or a script can stand in such a pipe, and a program that looks across records (sort, uniq, wc) sees one epoch at a time. With --lines ' +
    'one run of it serves all epochs: for programs that answer each line with one line, at once, and do not gather their output ' +
    '(jq -c --unbuffered, sed -u, grep --line-buffered, python3 -u, stdbuf -oL). ' +
    'The program need not read everything; ending with anything but exit 0 is an error, and nothing of that epoch is committed.',
  program: [{ name: 'CMD', description: 'the program and its arguments, after --', variadic: true, own: true }],
  files: false,
  options: [{ flag: 'lines', description: 'it answers each line with one line: run it once' }],
  common: [],
  cost: { time: 'O(bytes), and a start of the program per epoch', memory: 'O(1)' },
  errors: ['usage', 'process', 'frames'],
  examples: [
    {
      says: 'jq in an exactly-once pipe',
      command:
        "beck append visits fixtures/flights.ndjson && beck consume visits -g far --exactly-once | beck via -- jq -c 'select(.distance > 2000)' | beck append far && beck replay far | wc -l",
    },
    {
      says: 'A program that answers line by line',
      command: `printf '{"n":1}\\n{"n":2}\\n' | beck via --lines -- sed -u 's/n/m/'`,
      output: '{"m":1}\n{"m":2}\n',
    },
  ],
  create: ({ program, options }): ProcessStage => {
    const [command = '', ...words] = program
    if (command === '') throw new BeckError('usage', { problem: 'which program?', hint: 'beck via -- jq -c .a' })
    return { role: 'process', command, words, lines: options['lines'] === true }
  },
}
