/**
 * The hot path of access logs: from bytes to bytes, for the lines that nearly all are. No escapes, no spaces in the user's name, a
 * request of three parts, nothing after the agent; every other line gets -1 and is decoded (or refused) by combined.ts.
 */
import { decodeLogTime, TIME_LENGTH } from './log-time.ts'
import { writeBytes } from './record-writer.ts'

const text = (text: string): Uint8Array => Buffer.from(text)
const IP = text('{"ip":"')
const IDENT = text('","ident":')
const USER = text(',"user":')
const TIME = text(',"time":"')
const METHOD = text('","method":"')
const PATH = text('","path":"')
const PROTOCOL = text('","protocol":"')
const STATUS = text('","status":')
const BYTES = text(',"bytes":')
const REFERER = text(',"referer":')
const AGENT = text(',"agent":')
const NULL = text('null')
const HTTP = text('HTTP/')

const SPACE = 32
const QUOTE = 34
const DASH = 45
const ZERO = 48
const BACKSLASH = 92

/** The part of the time that changes once a day, as logged (`14/Mar/2026:`) and decoded (`2026-03-14T`). */
const DATE_LENGTH = 12
let date = new Uint8Array(DATE_LENGTH)
let decodedDate = new Uint8Array()

/** As `LineFormat.decodeBytes`. */
export function decodeAccessBytes(
  bytes: Uint8Array,
  from: number,
  to: number,
  out: Uint8Array,
  at: number,
  combined: boolean,
): number {
  const ipEnd = wordEnd(bytes, from, to)
  const identEnd = wordEnd(bytes, ipEnd + 1, to)
  const userEnd = wordEnd(bytes, identEnd + 1, to)
  if (ipEnd <= from || identEnd <= ipEnd + 1 || userEnd <= identEnd + 1) return -1
  if (ipEnd === from + 1 && bytes[from] === DASH) return -1
  at = copy(bytes, from, ipEnd, out, writeBytes(IP, out, at))
  at = writeText(bytes, ipEnd + 1, identEnd, out, writeBytes(IDENT, out, at))
  at = writeText(bytes, identEnd + 1, userEnd, out, writeBytes(USER, out, at))

  const time = userEnd + 2 // ` [`
  const methodStart = time + TIME_LENGTH + 3 // `] "`
  if (methodStart >= to || bytes[time - 1] !== 0x5b || bytes[methodStart - 3] !== 0x5d) return -1
  if (bytes[methodStart - 2] !== SPACE || bytes[methodStart - 1] !== QUOTE) return -1
  at = writeTime(bytes, time, out, writeBytes(TIME, out, at))
  if (at < 0) return -1

  let methodEnd = methodStart
  while ((bytes[methodEnd] as number) >= 0x41 && (bytes[methodEnd] as number) <= 0x5a) methodEnd++
  const requestEnd = quotedEnd(bytes, methodEnd, to)
  if (requestEnd < 0 || methodEnd === methodStart || bytes[methodEnd] !== SPACE) return -1
  let pathEnd = requestEnd - 1
  while (bytes[pathEnd] !== SPACE) pathEnd--
  if (pathEnd <= methodEnd + 1 || requestEnd - pathEnd <= HTTP.length + 1) return -1
  for (let i = 0; i < HTTP.length; i++) if (bytes[pathEnd + 1 + i] !== HTTP[i]) return -1
  if (pathEnd === methodEnd + 2 && bytes[methodEnd + 1] === DASH) return -1
  at = copy(bytes, methodStart, methodEnd, out, writeBytes(METHOD, out, at))
  at = copy(bytes, methodEnd + 1, pathEnd, out, writeBytes(PATH, out, at))
  at = copy(bytes, pathEnd + 1, requestEnd, out, writeBytes(PROTOCOL, out, at))

  if (bytes[requestEnd + 1] !== SPACE) return -1
  const statusEnd = numberEnd(bytes, requestEnd + 2, to)
  if (statusEnd < 0 || bytes[statusEnd] !== SPACE || statusEnd >= to) return -1
  const bytesEnd = numberEnd(bytes, statusEnd + 1, to)
  if (bytesEnd < 0) return -1
  at = writeNumber(bytes, requestEnd + 2, statusEnd, out, writeBytes(STATUS, out, at))
  at = writeNumber(bytes, statusEnd + 1, bytesEnd, out, writeBytes(BYTES, out, at))

  if (combined) {
    const refererStart = bytesEnd + 2
    if (bytes[bytesEnd] !== SPACE || bytes[refererStart - 1] !== QUOTE) return -1
    const refererEnd = quotedEnd(bytes, refererStart, to)
    const agentStart = refererEnd + 3
    if (refererEnd < 0 || bytes[refererEnd + 1] !== SPACE || bytes[agentStart - 1] !== QUOTE) return -1
    const agentEnd = quotedEnd(bytes, agentStart, to)
    if (agentEnd < 0 || agentEnd + 1 !== to) return -1
    at = writeText(bytes, refererStart, refererEnd, out, writeBytes(REFERER, out, at))
    at = writeText(bytes, agentStart, agentEnd, out, writeBytes(AGENT, out, at))
  } else if (bytesEnd !== to) return -1
  out[at++] = 0x7d
  out[at++] = 0x0a
  return at
}

/** Where the word at `from` ends, at a space; -1 when there is none or anything that needs care. */
function wordEnd(bytes: Uint8Array, from: number, to: number): number {
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number
    if (byte === SPACE) return i
    if (byte < SPACE || byte === QUOTE || byte === BACKSLASH) return -1
  }
  return -1
}

/** Where the text at `from` ends, at a quote; -1 when there is none or an escape. */
function quotedEnd(bytes: Uint8Array, from: number, to: number): number {
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number
    if (byte === QUOTE) return i
    if (byte < SPACE || byte === BACKSLASH) return -1
  }
  return -1
}

/** Where the number (or "-") at `from` ends; -1 when there is none, or zeros before it. */
function numberEnd(bytes: Uint8Array, from: number, to: number): number {
  if (bytes[from] === DASH) return from < to ? from + 1 : -1
  let i = from
  while (i < to && isDigit(bytes[i] as number)) i++
  return i === from || (bytes[from] === ZERO && i > from + 1) ? -1 : i
}

const isDigit = (byte: number): boolean => byte >= ZERO && byte <= 57

function writeNumber(bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  return bytes[from] === DASH ? writeBytes(NULL, out, at) : copy(bytes, from, to, out, at)
}

/** A string, or null for "-". */
function writeText(bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  if (to === from + 1 && bytes[from] === DASH) return writeBytes(NULL, out, at)
  out[at++] = QUOTE
  at = copy(bytes, from, to, out, at)
  out[at++] = QUOTE
  return at
}

function copy(bytes: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  for (let i = from; i < to; i++) out[at++] = bytes[i] as number
  return at
}

/** Writes the time at `from`, which is `TIME_LENGTH` long if it is one; -1 when it is none. */
function writeTime(bytes: Uint8Array, from: number, out: Uint8Array, at: number): number {
  for (let i = 0; i < DATE_LENGTH; i++) {
    if (bytes[from + i] === date[i]) continue
    // Another day: this once by the slow way, which also knows which days there are.
    const logged = bytes.slice(from, from + TIME_LENGTH)
    const decoded = decodeLogTime(Buffer.from(logged).toString('latin1'), 0)
    if (decoded === undefined) return -1
    date = logged.subarray(0, DATE_LENGTH)
    decodedDate = Buffer.from(decoded.slice(0, '2026-03-14T'.length))
    break
  }
  at = writeBytes(decodedDate, out, at)
  const clock = from + DATE_LENGTH // 09:00:17 +0100
  if (!isClockPart(bytes, clock, 24) || !isClockPart(bytes, clock + 3, 60) || !isClockPart(bytes, clock + 6, 60))
    return -1
  const sign = bytes[clock + 9]
  if (bytes[clock + 2] !== 58 || bytes[clock + 5] !== 58 || bytes[clock + 8] !== SPACE) return -1
  if ((sign !== 43 && sign !== DASH) || !isClockPart(bytes, clock + 10, 100) || !isClockPart(bytes, clock + 12, 60))
    return -1
  at = copy(bytes, clock, clock + 8, out, at)
  at = copy(bytes, clock + 9, clock + 12, out, at)
  out[at++] = 58
  return copy(bytes, clock + 12, clock + 14, out, at)
}

/** Two digits below `limit`. */
function isClockPart(bytes: Uint8Array, at: number, limit: number): boolean {
  const tens = bytes[at] as number
  const ones = bytes[at + 1] as number
  return isDigit(tens) && isDigit(ones) && (tens - ZERO) * 10 + ones - ZERO < limit
}
