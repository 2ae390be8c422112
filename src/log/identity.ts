import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** Loaded where there is no /proc: it brings the network along, some milliseconds of every start. */
const programs = () => process.getBuiltinModule('node:child_process')

/** Who holds a lock or is a member: enough to prove a process dead, whatever happened to its number since. */
export interface Identity {
  readonly pid: number
  /** When the process started, in the system's own unit: tells a process from a later one with the same number. */
  readonly start: string
  /** Which boot of which machine. */
  readonly boot: string
  /** Which pid namespace (container) the number is of. */
  readonly namespace: string
}
/** `unknown`: in another pid namespace, where nothing can be proven. */
export type Liveness = 'alive' | 'dead' | 'unknown'

/** This process's identity. */
export function identify(): Identity {
  return { pid: process.pid, start: startOf(process.pid) ?? '', boot: bootId(), namespace: namespace() }
}

/** Dead only when proven: gone, a zombie, another start time, another boot. */
export function isAlive(other: Identity): Liveness {
  if (other.boot !== bootId()) return 'dead'
  if (other.namespace !== namespace()) return 'unknown'
  const start = startOf(other.pid)
  return start !== undefined && start === other.start ? 'alive' : 'dead'
}

/** Field 22 of /proc/PID/stat (proc_pid_stat(5)); undefined when the process is gone or a zombie. */
function startOf(pid: number): string | undefined {
  if (process.platform !== 'linux') return startByPs(pid)
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

function startByPs(pid: number): string | undefined {
  try {
    const [state, ...start] = programs()
      .execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' })
      .trim()
      .split(/\s+/)
    return state?.startsWith('Z') ? undefined : start.join(' ')
  } catch {
    return undefined
  }
}

const once = (read: () => string): (() => string) => {
  let value: string | undefined
  return () => (value ??= read())
}
const orEmpty = (read: () => string): string => {
  try {
    return read().trim()
  } catch {
    return ''
  }
}
const bootId = once(() =>
  process.platform === 'linux'
    ? orEmpty(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1'))
    : `${hostname()} ${orEmpty(() => programs().execFileSync('sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))}`,
)
const namespace = once(() => orEmpty(() => readlinkSync('/proc/self/ns/pid')))
