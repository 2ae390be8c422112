import { BeckError } from './errors.ts'

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  kb: 1000,
  kib: 1024,
  m: 1024 ** 2,
  mb: 1000 ** 2,
  mib: 1024 ** 2,
  g: 1024 ** 3,
  gb: 1000 ** 3,
  gib: 1024 ** 3,
  t: 1024 ** 4,
  tb: 1000 ** 4,
  tib: 1024 ** 4,
}

const HINT = 'write 64KiB, 1GB or a number of bytes'

/**
 * Reads `64KiB 1GB 1.5MiB 4096` as bytes. `KB MB GB` are powers of 1000; `KiB MiB GiB`, and the bare letters as in `64k`, of 1024.
 * @param option the option it came from, for the message
 * @param least the smallest size that makes sense
 * @throws BeckError bad-option
 */
export function parseSize(text: string, option: string, least = 0): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text)
  const unit = match ? UNITS[(match[2] as string).toLowerCase()] : undefined
  if (!match || unit === undefined) {
    throw new BeckError('bad-option', { option, problem: `"${text}" is not a size`, hint: HINT })
  }
  const bytes = Number(match[1]) * unit
  if (!Number.isSafeInteger(Math.round(bytes)) || (unit === 1 && !Number.isInteger(bytes))) {
    throw new BeckError('bad-option', { option, problem: `"${text}" is not a whole number of bytes`, hint: HINT })
  }
  if (Math.round(bytes) < least) {
    throw new BeckError('bad-option', { option, problem: `"${text}" is too small`, hint: HINT })
  }
  return Math.round(bytes)
}

/** `1536` → `1.5 KiB`: for people. */
export function formatSize(bytes: number): string {
  let value = bytes
  let unit = 0
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  while (value >= 1024 && unit < names.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : Math.round(value * 10) / 10} ${names[unit]}`
}
