import { BeckError } from '../src/core/errors.ts'
import { parseFieldPath } from '../src/core/field-path.ts'
import type { Arguments, CommandSpec, Decoder, DecoderContext, DecoderStage } from '../src/core/spec.ts'
import { chooseFormat } from '../src/cli/choose-format.ts'
import type { LineFormat } from '../src/formats/line-decoder.ts'

type Options = Arguments['options']
type Open = (context: DecoderContext) => Decoder

/** A format: which options it knows, and its decoder, whose code is loaded only now. `load` throws where the options are wrong. */
interface Format {
  readonly options: readonly string[]
  load(options: Options, pattern: string | undefined): Promise<Open>
}

const ofLines = async (make: () => LineFormat): Promise<Open> => {
  const { LineDecoder } = await import('../src/formats/line-decoder.ts')
  return (context) => new LineDecoder(make(), context)
}

const formats: Readonly<Record<string, Format>> = {
  json: {
    options: ['at'],
    async load({ at }) {
      const { JsonDecoder } = await import('../src/formats/json.ts')
      const path = at === undefined ? undefined : parseFieldPath(at as string)
      return (context) => new JsonDecoder(path, context)
    },
  },
  csv: {
    options: ['columns', 'delimiter', 'infer'],
    load: (options) => separated(options, true),
  },
  tsv: {
    options: ['columns', 'infer'],
    load: (options) => separated(options, false),
  },
  combined: {
    options: [],
    async load() {
      const { combinedFormat } = await import('../src/formats/combined.ts')
      return ofLines(() => combinedFormat)
    },
  },
  common: {
    options: [],
    async load() {
      const { commonFormat } = await import('../src/formats/combined.ts')
      return ofLines(() => commonFormat)
    },
  },
  logfmt: {
    options: ['infer'],
    async load({ infer }) {
      const { logfmtFormat } = await import('../src/formats/logfmt.ts')
      return ofLines(() => logfmtFormat(infer === true))
    },
  },
  syslog: {
    options: ['year'],
    async load({ year }) {
      const { syslogFormat } = await import('../src/formats/syslog.ts')
      if (year !== undefined && !/^\d{4}$/.test(year as string)) {
        throw new BeckError('bad-option', {
          option: '--year',
          problem: `"${String(year)}" is not a year`,
          hint: 'write --year 2026',
        })
      }
      return ofLines(() => syslogFormat(year === undefined ? undefined : Number(year)))
    },
  },
  lines: {
    options: [],
    async load() {
      const { linesFormat } = await import('../src/formats/lines.ts')
      return ofLines(() => linesFormat)
    },
  },
  words: {
    options: [],
    async load() {
      const { wordsFormat } = await import('../src/formats/words.ts')
      return ofLines(() => wordsFormat)
    },
  },
  regex: {
    options: ['infer'],
    async load({ infer }, pattern) {
      if (pattern === undefined) {
        const problem = 'PATTERN is missing: a regular expression with named groups'
        throw new BeckError('usage', {
          problem,
          hint: "for example: beck from regex '(?<level>\\w+): (?<message>.*)' FILE",
        })
      }
      const { regexFormat } = await import('../src/formats/regex.ts')
      const format = regexFormat(pattern, infer === true)
      return ofLines(() => format)
    },
  },
}

async function separated(options: Options, quotes: boolean): Promise<Open> {
  const { parseColumns, parseDelimiter, SeparatedDecoder } = await import('../src/formats/separated.ts')
  const delimiter = quotes ? parseDelimiter(options['delimiter'] as string | undefined) : '\t'
  const columns = options['columns'] === undefined ? undefined : parseColumns(options['columns'] as string)
  return (context) => new SeparatedDecoder({ delimiter, quotes, columns, infer: options['infer'] === true }, context)
}

const names = Object.keys(formats)

export const from: CommandSpec = {
  name: 'from',
  summary: 'Turn other formats into NDJSON records',
  description: [
    '- json: the elements of an array, or documents one after the other; --at takes an array inside. An element on one line keeps its bytes.',
    '- csv, tsv: the first row names the columns, unless --columns does. In TSV \\t, \\n, \\r and \\\\ are escapes and quotes are nothing special.',
    '- combined, common: access logs of Apache and nginx: ip, ident, user, time, method, path, protocol, status, bytes, referer, agent ' +
      '(and rest, if more follows). "-" is null. What is no request is kept whole as path.',
    '- logfmt: key=value pairs; a key alone is true, a key given twice has a list of its values.',
    '- syslog: RFC 5424, RFC 3164 and the files of syslog daemons. The times of RFC 3164 lack year and zone: they stay as written, or take the ' +
      'year from --year.',
    '- lines: each line as {"line": …}.',
    '- words: each word as {"word": …}; white space is between words.',
    '- regex PATTERN: the named groups of a JavaScript regular expression, found anywhere in the line.',
    '',
    'Values are strings, unless --infer makes numbers, true, false and null (nothing) of those that survive it: leading zeros, integers beyond ' +
      '2^53, dates and codes like 12e5 stay strings. Blank lines are skipped, except by lines.',
  ].join('\n'),
  program: [
    { name: 'FORMAT', description: names.join(', '), choices: names },
    { name: 'PATTERN', description: 'for regex: a regular expression with named groups', optional: true },
  ],
  programWords: (format) => (format === 'regex' ? 2 : 1),
  files: true,
  options: [
    { flag: 'at', value: 'PATH', description: 'json: where the array is, as in --at data.items' },
    { flag: 'columns', value: 'NAMES', description: 'csv, tsv: names of the columns, where no header row has them' },
    { flag: 'delimiter', value: 'CHAR', description: 'csv: what stands between fields, as ";" or tab', default: ',' },
    { flag: 'infer', description: 'csv, tsv, logfmt, regex: numbers, true, false and null instead of strings' },
    { flag: 'year', value: 'YEAR', description: 'syslog: the year of the first line' },
  ],
  common: ['input'],
  cost: { time: 'O(n)', memory: 'O(the longest record)' },
  errors: ['bad-record', 'bad-input', 'usage', 'bad-option', 'bad-program'],
  examples: [
    {
      says: 'CSV with a header row',
      command: 'head -3 fixtures/airports.csv | beck from csv --infer',
      output:
        '{"iata":"00M","name":"Thigpen","city":"Bay Springs","state":"MS","country":"USA","latitude":31.95376472,"longitude":-89.23450472}\n' +
        '{"iata":"00R","name":"Livingston Municipal","city":"Livingston","state":"TX","country":"USA","latitude":30.68586111,"longitude":-95.01792778}\n',
    },
    {
      says: 'An access log',
      command: 'head -1 fixtures/access.log | beck from combined',
      output:
        '{"ip":"2001:db8::8a2e:370:7334","ident":null,"user":null,"time":"2026-03-14T09:00:17+01:00","method":"GET","path":"/products?page=2",' +
        '"protocol":"HTTP/2.0","status":200,"bytes":14039,"referer":"https://search.example/?q=shoes",' +
        '"agent":"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}\n',
    },
    {
      says: 'The array in a JSON document',
      command: `echo '{"page": 1, "items": [{"id": 1}, {"id": 2}]}' | beck from json --at items`,
      output: '{"id": 1}\n{"id": 2}\n',
    },
    {
      says: 'Lines of your own format',
      command: `echo 'WARN disk 91%' | beck from regex --infer '^(?<level>\\w+) (?<what>\\w+) (?<percent>\\d+)%'`,
      output: '{"level":"WARN","what":"disk","percent":91}\n',
    },
  ],
  async create({ program, options }) {
    const [name, pattern] = program as [string, string?]
    const open = await chooseFormat('from', formats, name, options).load(options, pattern)
    return { role: 'decoder', open } satisfies DecoderStage
  },
}
