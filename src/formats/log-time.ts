/** The length of a time in an access log, without its brackets. */
export const TIME_LENGTH = '14/Mar/2026:09:00:17 +0100'.length
const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec'

/** 1 to 12; undefined when it is no month. */
export function monthNumber(name: string): number | undefined {
  const month = MONTHS.indexOf(name) / 3 + 1
  return name.length === 3 && Number.isInteger(month) && month > 0 ? month : undefined
}

/** Whether there is such a day. */
export const isDay = (year: number, month: number, day: number): boolean =>
  day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate()

const TIME = /(\d\d)\/([A-Z][a-z]{2})\/(\d{4}):((?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)) ([+-]\d\d)([0-5]\d)/y

/** 14/Mar/2026:09:00:17 +0100 → 2026-03-14T09:00:17+01:00 */
export function decodeLogTime(line: string, at: number): string | undefined {
  TIME.lastIndex = at
  const match = TIME.exec(line)
  if (!match) return undefined
  const [, day, name, year, time, hours, minutes] = match as unknown as string[]
  const month = monthNumber(name as string)
  if (month === undefined || !isDay(Number(year), month, Number(day))) return undefined
  return `${year}-${String(month).padStart(2, '0')}-${day}T${time}${hours}:${minutes}`
}
