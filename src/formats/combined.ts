/**
 * The access logs of Apache and nginx.
 *
 *     203.0.113.7 - ada [14/Mar/2026:09:00:49 +0100] "POST /orders HTTP/2.0" 201 11471 "https://…" "Mozilla/5.0 …"
 *     ip          │ user time                         request                status bytes referer   agent
 *                 ident                                                     `common` ends here
 *
 * Source: the log formats "common" and "combined" of Apache's mod_log_config, and "combined" of nginx's ngx_http_log_module.
 */
import { isUtf8 } from 'node:buffer'
import type { Problem } from '../core/operator.ts'
import { quote } from './json-text.ts'
import { decodeLogTime, TIME_LENGTH } from './log-time.ts'
import { decodeAccessBytes } from './combined-bytes.ts'
import type { LineFormat } from './line-decoder.ts'

const accessFormat = (combined: boolean): LineFormat => ({
  encoding: 'latin1',
  decode: (line) => decodeAccess(line, combined),
  decodeBytes: (bytes, from, to, out, at) => decodeAccessBytes(bytes, from, to, out, at, combined),
})
export const combinedFormat = accessFormat(true)
export const commonFormat = accessFormat(false)

function decodeAccess(line: string, combined: boolean): string | Problem {
  const ipEnd = line.indexOf(' ')
  const identEnd = line.indexOf(' ', ipEnd + 1)
  const firstTime = line.indexOf(' [', identEnd) + 2
  if (ipEnd <= 0 || identEnd < 0 || firstTime < 2) return broken('no "IP IDENT USER [TIME]" at the start', 1)
  // A user's name may hold spaces and brackets: it ends where a time begins.
  let timeStart = firstTime
  let time: string | undefined
  for (; timeStart >= 2; timeStart = line.indexOf(' [', timeStart) + 2) {
    time = decodeLogTime(line, timeStart)
    if (time !== undefined) break
  }
  if (time === undefined) return broken('the time is not like [14/Mar/2026:09:00:17 +0100]', firstTime + 1)
  const userEnd = timeStart - 2

  const requestStart = timeStart + TIME_LENGTH + 3 // `] "`
  if (!line.startsWith('] "', requestStart - 3))
    return broken('no request in double quotes after the time', requestStart)
  const requestEnd = closingQuote(line, requestStart)
  if (requestEnd < 0) return broken('the request has no closing quote', requestStart)
  if (!line.startsWith(' ', requestEnd + 1)) return broken('no status after the request', requestEnd + 2)

  const statusStart = requestEnd + 2
  const statusEnd = line.indexOf(' ', statusStart)
  const status = numberOrNull(line, statusStart, statusEnd)
  if (status === undefined) return broken('the status is not a number', statusStart + 1)
  const bytesStart = statusEnd + 1
  let bytesEnd = line.indexOf(' ', bytesStart)
  if (bytesEnd < 0) bytesEnd = line.length
  const bytes = numberOrNull(line, bytesStart, bytesEnd)
  if (bytes === undefined) return broken('the number of bytes is not a number', bytesStart + 1)

  const record =
    `{"ip":${quote(line.slice(0, ipEnd))},"ident":${textOrNull(line, ipEnd + 1, identEnd)},` +
    `"user":${textOrNull(line, Math.min(identEnd + 1, userEnd), userEnd)},"time":"${time}",` +
    `${decodeRequest(line, requestStart, requestEnd)},"status":${status},"bytes":${bytes}`
  if (!combined) {
    return bytesEnd === line.length
      ? `${record}}`
      : broken('more after the number of bytes', bytesEnd + 1, 'is it the combined format? beck from combined FILE')
  }

  const refererStart = bytesEnd + 2
  const refererEnd = closingQuote(line, refererStart)
  const agentStart = refererEnd + 3
  const agentEnd = closingQuote(line, agentStart)
  const quoted = line.startsWith(' "', bytesEnd) && line.startsWith('" "', refererEnd)
  if (!quoted || refererEnd < 0 || agentEnd < 0) {
    const short = bytesEnd === line.length
    return broken(
      'no "REFERER" "AGENT" after the number of bytes',
      bytesEnd + 1,
      short ? 'is it the common format? beck from common FILE' : undefined,
    )
  }
  const rest = line.slice(agentEnd + 1).replace(/^ /, '')
  return (
    `${record},"referer":${textOrNull(line, refererStart, refererEnd)},"agent":${textOrNull(line, agentStart, agentEnd)}` +
    (rest === '' ? '}' : `,"rest":${quote(rest)}}`)
  )
}

const broken = (problem: string, column: number, hint?: string): Problem => ({
  problem,
  column,
  hint: hint ?? "for another format name its parts: beck from regex '^(?<ip>\\S+) (?<rest>.*)' FILE",
})

const BACKSLASH = 92

/** Where the quoted text that starts at `from` ends: at its first quote without a backslash before it; -1 when nowhere. */
function closingQuote(line: string, from: number): number {
  let quote = line.indexOf('"', from)
  while (quote > from && line.charCodeAt(quote - 1) === BACKSLASH) {
    let backslashes = 1
    while (line.charCodeAt(quote - 1 - backslashes) === BACKSLASH && quote - 1 - backslashes >= from) backslashes++
    if (backslashes % 2 === 0) break
    quote = line.indexOf('"', quote + 1)
  }
  return quote
}

/** "GET /path HTTP/1.1" in its parts. What is no request (a TLS handshake sent to a plain port) is kept whole as `path`. */
function decodeRequest(line: string, start: number, end: number): string {
  const methodEnd = line.indexOf(' ', start)
  if (methodEnd > start && methodEnd < end && METHOD.test(line.slice(start, methodEnd))) {
    const pathEnd = line.lastIndexOf(' ', end - 1)
    const protocol = pathEnd > methodEnd && line.startsWith('HTTP/', pathEnd + 1)
    return (
      `"method":"${line.slice(start, methodEnd)}","path":${textOrNull(line, methodEnd + 1, protocol ? pathEnd : end)},` +
      `"protocol":${protocol ? textOrNull(line, pathEnd + 1, end) : 'null'}`
    )
  }
  return `"method":null,"path":${start === end ? 'null' : textOrNull(line, start, end)},"protocol":null`
}

const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

function numberOrNull(line: string, start: number, end: number): string | undefined {
  if (end <= start) return undefined
  let digits = start
  for (let i = start; i < end; i++) {
    const code = line.charCodeAt(i)
    if (code < 48 || code > 57) return line.slice(start, end) === '-' ? 'null' : undefined
    if (code === 48 && digits === i && i < end - 1) digits++ // nginx writes the status of HTTP/0.9 as 009
  }
  return line.slice(digits, end)
}

function textOrNull(line: string, start: number, end: number): string {
  if (end - start === 1 && line.charCodeAt(start) === 45) return 'null'
  const text = line.slice(start, end)
  return quote(text.includes('\\') ? unescapeLog(text) : text)
}

const SHORT: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  b: '\b',
  f: '\f',
  v: '\v',
  '"': '"',
  '\\': '\\',
}

/** Undoes the escapes of both servers. Bytes (`\xHH`) that make no UTF-8 stay as they are spelt. */
function unescapeLog(text: string): string {
  const decode = (bytes: (spelt: string, byte: number) => string): string =>
    text.replace(/\\(?:x([0-9A-Fa-f]{2})|(.))/g, (spelt, hex: string | undefined, char: string) =>
      hex ? bytes(spelt, parseInt(hex, 16)) : (SHORT[char] ?? spelt),
    )
  const decoded = decode((_, byte) => String.fromCharCode(byte))
  if (isUtf8(Buffer.from(decoded, 'latin1'))) return decoded
  return decode((spelt, byte) => (byte < 0x80 ? String.fromCharCode(byte) : spelt))
}
