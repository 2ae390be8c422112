// Makes every beck of a shell line a `beck run`: pipes of becks become one text, and a stand-in for beck on the PATH turns each command into a text.
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The word that stands for `| beck`. */
const THEN = '%|'

/**
 * Puts together what stands in one pipe: `beck a x | beck b` becomes `beck a x '%|' b`, one command line for the stand-in. Words stay as they are, so that the
 * shell still expands them. A command whose streams are redirected stays a process.
 */
export function joinPipes(line: string): string {
  let out = ''
  let at = 0
  /** Of a list of commands, up to its end or a bracket that closes it. */
  const list = (): void => {
    /** The command that is being read: none yet, one of beck that a pipe may be put together with, or another. */
    let command: 'none' | 'beck' | 'other' = 'none'
    while (at < line.length) {
      const rest = line.slice(at)
      const joint = /^\|\s*beck (?=[a-z])/.exec(rest)?.[0]
      const ends = /^(\|\||&&|[;|&\n]|[{!](?=\s)|(do|then)(?=\s)|\w+\(\))/.exec(rest)?.[0]
      const quoted = /^('[^']*'|"(\\[^]|[^"\\])*"|\\[^]|#(?<=(^|\s)#).*|\$\{[^}]*\}|\d?>&\d)/.exec(rest)?.[0]
      if (joint && command === 'beck' && !redirects(line.slice(at + joint.length))) {
        out += `'${THEN}' `
        at += joint.length
      } else if (ends && (command === 'none' || !/^[\w{!]/.test(ends))) {
        out += ends
        at += ends.length
        command = 'none'
      } else if (rest[0] === '(') {
        out += '('
        at++
        list()
        command = command === 'beck' ? 'beck' : 'other'
      } else if (rest[0] === ')') {
        out += ')'
        at++
        return
      } else if (quoted) {
        out += quoted
        at += quoted.length
        if (/^\d?>/.test(quoted) || (command === 'none' && !quoted.startsWith('#'))) command = 'other'
      } else if (command === 'none' && /^\s/.test(rest)) {
        out += rest[0]
        at++
      } else {
        const word = /^([^\s'"\\$;|&()<>]+|[^])/.exec(rest)![0]
        if (command === 'none') command = word === 'beck' ? 'beck' : 'other'
        else if (/^[<>]/.test(word) && rest[1] !== '(') command = 'other'
        out += word
        at += word.length
      }
    }
  }
  list()
  return out
}

/** Whether the next command of a pipe reads something else. */
const redirects = (line: string): boolean => /^('[^']*'|"(\\[^]|[^"\\])*"|\\[^]|[^|;&\n<'"\\]|<\()*<(?!\()/.test(line)

/** Several members of a group share partitions, and there is no order between these: their output is another one in every run (batch.test.ts). */
export const modeOf = (mode: string, text: string): string =>
  /^(beck )?consume/.test(text) ? mode.replace('--workers 2', '--workers 1') : mode

/**
 * Writes the stand-in for beck: `beck filter 'r.a' x` is `beck run MODE "filter 'r.a' x"`. What is no stage of a pipeline goes to beck as it is.
 * The file $BECK_RAN is made when something is run.
 */
export function writeStandIn(folder: string, beck: string, mode: string): void {
  const lines = [
    '#!/bin/bash',
    `beck='${beck}'`,
    'case $1 in run | explain | help | completion | -* | "") exec "$beck" "$@" ;; esac',
    'text=',
    'for word; do',
    '  case $word in',
    '    -h | --help) exec "$beck" "$@" ;;',
    `    '${THEN}') text+=' |' ;;`,
    `    *) text+=" '\${word//\\'/\\'\\\\\\'\\'}'" ;;`,
    '  esac',
    'done',
    ': > "$BECK_RAN"',
    `case $1 in consume) mode='${modeOf(mode, 'consume')}' ;; *) mode='${mode}' ;; esac`,
    'exec "$beck" run --mode $mode "${text# }"',
    '',
  ]
  const file = join(folder, 'beck')
  writeFileSync(file, lines.join('\n'))
  chmodSync(file, 0o755)
}
