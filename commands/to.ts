import { BeckError } from '../src/core/errors.ts'
import { parseFieldPath, parseKeyFields, Projection, type FieldPath } from '../src/core/field-path.ts'
import type { Arguments, CommandSpec, Encoder, EncoderStage } from '../src/core/spec.ts'
import { chooseFormat } from '../src/cli/choose-format.ts'
import type { Columns } from '../src/formats/rows.ts'

type Options = Arguments['options']
type Context = Parameters<EncoderStage['open']>[0]

/** A format: which options it knows, and its stage, whose code is loaded only now. `load` throws where the options are wrong. */
interface Format {
  readonly options: readonly string[]
  load(options: Options, field: string | undefined): Promise<EncoderStage>
}

const stage = (reads: readonly FieldPath[], open: (context: Context) => Encoder): EncoderStage => ({
  role: 'encoder',
  reads,
  open,
})

const formats: Readonly<Record<string, Format>> = {
  table: {
    options: ['columns'],
    async load(options) {
      const { RowEncoder } = await import('../src/formats/rows.ts')
      const { tableFormat } = await import('../src/formats/table.ts')
      const columns = columnsOf(options)
      return stage(columns?.reads ?? [], (context) => {
        // Someone who watches a stream wants to see it now; a file or a pipe gets the same bytes whatever the timing.
        const hold = context.terminal ? 'first batch' : 'first records'
        return new RowEncoder(tableFormat(context.terminal), columns, hold, context)
      })
    },
  },
  csv: { options: ['columns', 'delimiter'], load: (options) => separated(options, true) },
  tsv: { options: ['columns'], load: (options) => separated(options, false) },
  json: {
    options: ['pretty'],
    async load({ pretty }) {
      const { JsonEncoder } = await import('../src/formats/json-encoder.ts')
      return stage([], (context) => new JsonEncoder(pretty === true, context))
    },
  },
  lines: {
    options: [],
    async load(_, field) {
      if (field === undefined) {
        const problem = 'FIELD is missing: the field to write'
        throw new BeckError('usage', { problem, hint: 'for example: beck to lines origin fixtures/flights.ndjson' })
      }
      const { LinesEncoder } = await import('../src/formats/lines.ts')
      const { forTerminal } = await import('../src/formats/terminal.ts')
      const path = parseFieldPath(field)
      return stage([path], (context) => new LinesEncoder(path, context.terminal ? forTerminal : String, context))
    },
  },
}

async function separated(options: Options, quotes: boolean): Promise<EncoderStage> {
  const { RowEncoder } = await import('../src/formats/rows.ts')
  const { parseDelimiter } = await import('../src/formats/separated.ts')
  const { separatedFormat } = await import('../src/formats/separated-encoder.ts')
  const { forTerminal } = await import('../src/formats/terminal.ts')
  const delimiter = quotes ? parseDelimiter(options['delimiter'] as string | undefined) : '\t'
  const columns = columnsOf(options)
  return stage(columns?.reads ?? [], (context) => {
    const format = separatedFormat(delimiter, quotes, context.terminal ? forTerminal : String)
    return new RowEncoder(format, columns, 'nothing', context)
  })
}

/** Reads `--columns`, which are paths as everywhere. @throws BeckError bad-option */
function columnsOf({ columns }: Options): Columns | undefined {
  if (columns === undefined) return undefined
  const fields = parseKeyFields(columns as string, '--columns')
  const projection = new Projection()
  return { fields: fields.map(({ name, path }) => ({ name, index: projection.add(path) })), reads: projection.paths }
}

const names = Object.keys(formats)

export const to: CommandSpec = {
  name: 'to',
  summary: 'Turn records into tables, CSV, TSV, JSON or lines',
  description: [
    '- table: aligned for people, numbers to the right; on a terminal long texts are cut to its width.',
    '- csv: RFC 4180 with a header row. tsv: the same with tabs, where \\t, \\n, \\r and \\\\ are escapes.',
    '- json: one array, each record with its bytes as they are; --pretty changes white space only.',
    '- lines FIELD: the text of one field a line, as it is.',
    '',
    'The columns are the fields of the first 1,000 records (at most 4 MiB), which are held until then; a later record with another field is a ' +
      'bad record. With --columns they are what you name; csv and tsv then hold nothing back, a table on a terminal only what arrives first. ' +
      'Strings are written as text, null and missing fields as nothing, everything else as its JSON, numbers as they are spelt.',
  ].join('\n'),
  program: [
    { name: 'FORMAT', description: names.join(', '), choices: names },
    { name: 'FIELD', description: 'for lines: the field to write', optional: true },
  ],
  programWords: (format) => (format === 'lines' ? 2 : 1),
  files: true,
  options: [
    {
      flag: 'columns',
      value: 'FIELDS',
      description: 'table, csv, tsv: the columns, as in --columns id,region=tags.region',
    },
    { flag: 'delimiter', value: 'CHAR', description: 'csv: what stands between fields, as ";" or tab', default: ',' },
    { flag: 'pretty', description: 'json: indented' },
  ],
  common: ['input'],
  cost: { time: 'O(n)', memory: 'O(1), and the first 1,000 records where they decide the columns' },
  errors: ['bad-record', 'usage', 'bad-option', 'bad-program'],
  examples: [
    {
      says: 'A table to look at',
      command: 'head -3 fixtures/flights.ndjson | beck to table',
      output:
        'date              delay  distance  origin  destination\n' +
        '2001/01/13 14:56     32       418  SAN     SJC\n' +
        '2001/01/31 16:40     -5      1093  FLL     ISP\n' +
        '2001/02/11 18:39      3       293  LBB     DAL\n',
    },
    {
      says: 'Some fields as CSV, a nested one under a name of your own',
      command: `echo '{"id":1,"tags":{"region":"eu, north"}}' | beck to csv --columns id,where=tags.region`,
      output: 'id,where\n1,"eu, north"\n',
    },
    {
      says: 'One JSON document',
      command: 'head -2 fixtures/flights.ndjson | beck to json',
      output:
        '[\n{"date":"2001/01/13 14:56","delay":32,"distance":418,"origin":"SAN","destination":"SJC"},\n' +
        '{"date":"2001/01/31 16:40","delay":-5,"distance":1093,"origin":"FLL","destination":"ISP"}\n]\n',
    },
    {
      says: 'One field for other programs',
      command: 'beck to lines origin fixtures/flights.ndjson | sort | uniq -c | sort -rn | head -1',
    },
  ],
  async create({ program, options }) {
    const [name, field] = program as [string, string?]
    return chooseFormat('to', formats, name, options).load(options, field)
  },
}
