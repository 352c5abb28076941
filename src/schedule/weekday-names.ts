import { refusal } from '../refusal.ts'
import type { WeekdayNumbers } from './cron-schedule.ts'

const NAMES = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'] as const

/**
 * The same cron text with names for the days of the week, which mean the same everywhere. In unix
 * cron 0 and 7 are Sunday; in the triggers of Cloudflare Workers, as in Quartz, 1 is.
 *
 * @throws WherryError `input-invalid` for a number that is no day.
 *
 * @example
 * ```ts
 * weekdayNames('0 9 * * 1-5') // '0 9 * * MON,TUE,WED,THU,FRI': for wrangler.toml
 * weekdayNames('0 9 * * 2-6', 'quartz') // the same days, from a text of Cloudflare's
 * ```
 */
export function weekdayNames(text: string, numbers: WeekdayNumbers = 'unix'): string {
  const fields = text.trim().split(/\s+/)
  // The days of the week are last, but for the year that may follow the seconds' seven fields.
  const index = fields.length === 7 ? 5 : fields.length - 1
  const field = fields[index]
  if (field === undefined || fields.length < 5) return text
  const first = numbers === 'quartz' ? 1 : 0
  fields[index] = field
    .split(',')
    .map((part) => named(part, first))
    .join(',')
  return fields.join(' ')
}

/** One part of the field: a day, a range with or without a step, or what has no numbers of days. */
function named(part: string, first: number): string {
  const [, from, to, step = '1'] = /^(\d)-(\d)(?:\/(\d+))?$/.exec(part) ?? []
  if (from === undefined || to === undefined) {
    return part.replace(/^\d/, (digit) => nameOf(Number(digit), first))
  }
  const names: string[] = []
  for (let day = Number(from); day <= Number(to); day += Number(step))
    names.push(nameOf(day, first))
  if (names.length > 0) return names.join(',')
  throw refusal('name the days of a week', `"${part}" runs backwards`, 'the lower day first')
}

function nameOf(number: number, first: number): string {
  const name = number <= 7 && number >= first ? NAMES[(number - first) % 7] : undefined
  if (name !== undefined) return name
  throw refusal('name the days of a week', `${number} is no day`, `${first} to 7`)
}
