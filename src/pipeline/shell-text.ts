import { fstatSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'

const SHELLS = new Set(['sh', 'bash', 'dash', 'zsh', 'ksh', 'ash'])
/** Longer scripts are not read. */
const MOST_BYTES = 1 << 20

/**
 * Whether the text that our shell runs says that a `consume` with control frames leads to each `| beck NAME TARGET` in it: for ends of pipes, whose
 * consume may be gone before anybody has seen it. Knows `sh -c TEXT` (cron, other programs) and scripts; not what is typed. Where it cannot
 * tell, no.
 */
export function shellSaysFrames(name: string, target: string): boolean {
  const text = shellText()
  return text !== undefined && leadsFromConsume(text, name, target)
}

/** The same of a text. */
export function leadsFromConsume(text: string, name: string, target: string): boolean {
  const end = new RegExp(String.raw`^([^]*\|[^|]*)\bbeck\s+${name}\s([^]*)$`)
  const pipes = statements(text).flatMap((statement) => {
    const [, before, words] = end.exec(statement) ?? []
    if (before === undefined || words === undefined) return []
    // What the shell puts in for a variable is not to be seen: it may be ours.
    return words.includes(target) || words.includes('$') ? [before] : []
  })
  return pipes.length > 0 && pipes.every((before) => /\bconsume\s[^]*\s--(exactly|at-least)-once\b[^]*\|/.test(before))
}

/** What the process that has started us runs, where that is a shell on Linux. */
function shellText(): string | undefined {
  try {
    if (!fstatSync(0).isFIFO()) return undefined
    const proc = `/proc/${process.ppid}`
    const [program = '', ...words] = readFileSync(`${proc}/cmdline`, 'utf8').split('\0').slice(0, -1)
    if (!SHELLS.has(basename(program).replace(/^-/, ''))) return undefined
    const command = words.findIndex((word) => /^-\w*c$/.test(word))
    const script = words.findIndex((word) => !word.startsWith('-'))
    if (command >= 0 && (script < 0 || command < script)) {
      return words.slice(command + 1).find((word) => !word.startsWith('-'))
    }
    if (script < 0) return undefined
    const path = resolve(readlinkSync(`${proc}/cwd`), words[script] as string)
    const { size } = statSync(path)
    return size <= MOST_BYTES ? readFileSync(path, 'utf8') : undefined
  } catch {
    return undefined
  }
}

/** Pieces between what ends a pipeline: line ends (unless the pipe goes on), `;`, `&` and `||`, outside of quotes. */
function statements(text: string): string[] {
  const found: string[] = ['']
  const tokens = /\\[^]|'[^']*'|"(?:\\[^]|[^"\\])*"|(?:^|(?<=\s))#[^\n]*|\|&?\s*\n\s*|\|\||\|&|[<>]&|&>|[;&\n]|[^]/g
  for (const [token] of text.matchAll(tokens)) {
    if (token === '\\\n' || token.startsWith('#')) continue
    if (token === '||' || /^[;&\n]$/.test(token)) found.push('')
    else found.push(`${found.pop() ?? ''}${token}`)
  }
  return found
}
