import type { CommandSpec } from '../src/core/spec.ts'
import { appendParts, type PartPlan } from '../src/log/parts.ts'

export const append: CommandSpec = {
  name: 'append',
  summary: 'Keep records in a topic',
  description:
    'Appends records to a topic of the store, byte for byte. The store and the topic are made when they are not there. What was ' +
    'acknowledged (the command has ended, or an input that pauses is idle) survives kill -9 with --acks none, and a power cut with ' +
    'batch and all.',
  program: [{ name: 'TOPIC', description: 'letters, digits, ".", "_", "-"' }],
  files: true,
  options: [
    { flag: 'by', value: 'KEY', description: 'records of one key go to one partition; remembered by the topic' },
    { flag: 'partition', value: 'N', description: 'all records to this partition' },
    { flag: 'partitions', value: 'N', description: 'partitions of a new topic', default: '1' },
    {
      flag: 'time',
      value: 'FIELD',
      description: 'the event time, for finding records by time; remembered by the topic',
    },
    {
      flag: 'acks',
      value: 'LEVEL',
      choices: ['none', 'batch', 'all'],
      default: 'batch',
      description: 'when records reach the disk: with no commit, with each group (50 ms or 2 MiB), or at once',
    },
    {
      flag: 'producer',
      value: 'ID',
      description: 'writes nothing twice: the same input run again goes on where it stopped',
    },
    { flag: 'sequence', value: 'FIELD', description: 'a number that grows, by which --producer knows repeats' },
    {
      flag: 'exactly-once',
      description: 'nothing is appended unless the pipe begins with consume --exactly-once and that is there',
    },
  ],
  common: ['input', 'store'],
  cost: { time: 'O(bytes)', memory: 'O(1)' },
  errors: ['bad-record', 'usage', 'store', 'disk-full', 'fenced'],
  examples: [
    {
      says: 'Keep records, and read them back',
      command: 'beck append flights fixtures/flights.ndjson && beck replay flights --limit 1',
    },
    {
      says: 'Four partitions by origin, readable by time',
      command: 'beck append visits fixtures/flights.ndjson --partitions 4 --by origin --time date',
    },
    {
      says: 'Run twice, written once',
      command:
        'beck append flights fixtures/flights.ndjson --producer import && beck append flights fixtures/flights.ndjson --producer import',
    },
  ],
  place: 'last',
  // Apart: a thread that makes parts needs nothing of it.
  create: async (args) => (await import('../src/pipeline/topic-sink.ts')).appendTo(args),
  createParts: (plan) => appendParts(plan as PartPlan), // as `partsOf` gave it
}
