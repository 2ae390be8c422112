import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { asksForFrames } from './frames.ts'

/**
 * Whether a process writes, by way of others, into the pipe that is our standard input. Asks Linux's /proc; elsewhere nobody can tell,
 * and the answer is no. Costs a look at all processes of the user.
 */
export const isUpstream = (pid: number): boolean => upstream().has(pid)

/** The group of a `consume` that sends control frames, by way of others, into the pipe that is our standard input. Asks the command lines before us. */
export function upstreamGroup(): string | undefined {
  for (const words of upstreamCommands()) {
    if (!words.includes('consume') || !asksForFrames(words)) continue
    const at = words.findIndex((word) => /^(--group|-g)(=|$)/.test(word))
    return words[at]?.includes('=') ? words[at].replace(/^.*?=/, '') : (words[at + 1] ?? '?')
  }
  return undefined
}

/** The words of the command lines that write, by way of others, into the pipe that is our standard input. */
function upstreamCommands(): string[][] {
  return [...upstream()].flatMap((pid) => {
    try {
      return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')]
    } catch {
      return [] // gone
    }
  })
}

function upstream(): Set<number> {
  const writers = new Map<string, number[]>()
  const linkOf = (owner: number | string, fd: number): string => {
    try {
      return readlinkSync(`/proc/${owner}/fd/${fd}`)
    } catch {
      return '' // gone, or not ours
    }
  }
  let pids: string[]
  try {
    pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  } catch {
    return new Set()
  }
  for (const name of pids) {
    const link = linkOf(name, 1)
    if (link.startsWith('pipe:')) writers.set(link, [...(writers.get(link) ?? []), Number(name)])
  }
  const seen = new Set<number>()
  const queue: (number | string)[] = ['self']
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    for (const writer of writers.get(linkOf(next, 0)) ?? []) {
      if (!seen.has(writer)) queue.push(writer)
      seen.add(writer)
    }
  }
  return seen
}

/** The process group of this process: the same for all stages of a pipe. Undefined where there is no /proc. */
export function processGroup(): number | undefined {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2])
  } catch {
    return undefined
  }
}
