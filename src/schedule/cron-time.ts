/** Cron texts in words, under the names of the builder that Vendure hands to its tasks. */
import { refusal, shown } from '../refusal.ts'

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const

/** One value or several of a field. */
export type Several = number | readonly number[]
/** 0 is Sunday; or a name, such as `monday` or `mon`. */
export type Weekday = number | string

type EveryWeekday = {
  readonly [Day in (typeof DAYS)[number] as `every${Day}`]: () => string
} & {
  readonly [Day in (typeof DAYS)[number] as `every${Day}At`]: (
    hours: Several,
    minutes?: Several,
  ) => string
}

/** So many units apart, counted from the beginning of the next larger unit. */
export interface Every {
  seconds(): string
  minutes(): string
  hours(): string
  days(hours?: Several, minutes?: Several): string
  months(days?: Several, hours?: Several, minutes?: Several): string
}

/** Hours are 0–23, months 1–12. */
export interface CronTime extends EveryWeekday {
  /** `every(2).hours()`: at the even hours; `every('uneven').hours()`: at the others. */
  every(interval: Several | 'even' | 'uneven'): Every
  /** `between(9, 17).hours()`: at these, the last included. */
  between(first: number, last: number): Every
  everyMinute(): string
  everyHour(): string
  everyHourAt(minutes: Several): string
  everyDay(): string
  everyDayAt(hours: Several, minutes?: Several): string
  everyWeek(): string
  everyWeekAt(days: Weekday | readonly Weekday[], hours?: Several, minutes?: Several): string
  /** Monday to Friday, or other days. */
  everyWeekDay(first?: Weekday, last?: Weekday): string
  everyWeekDayAt(hours: Several, minutes?: Several, first?: Weekday, last?: Weekday): string
  /** Saturday and Sunday, or other days. */
  everyWeekend(one?: Weekday, other?: Weekday): string
  everyWeekendAt(hours: Several, minutes?: Several, one?: Weekday, other?: Weekday): string
  onSpecificDays(days: readonly Weekday[]): string
  onSpecificDaysAt(days: readonly Weekday[], hours: Several, minutes?: Several): string
  everyMonth(): string
  everyMonthOn(days: Several, hours?: Several, minutes?: Several): string
  everyYear(): string
  everyYearIn(months: Several, days?: Several, hours?: Several, minutes?: Several): string
}

type Field = Several | string

function at(
  hours: Field = 0,
  minutes: Field = 0,
  days: Field = '*',
  months: Field = '*',
  weekdays: Field = '*',
): string {
  return [minutes, hours, days, months, weekdays].map(String).join(' ')
}

/** Says when within a unit; `field` is told the unit's last. */
function each(field: (last: number) => Field): Every {
  return {
    seconds: () => `${field(59)} * * * * *`,
    minutes: () => at('*', field(59)),
    hours: () => at(field(23)),
    days: (hours, minutes) => at(hours, minutes, field(31)),
    months: (days = 1, hours, minutes) => at(hours, minutes, days, field(12)),
  }
}

function stepOf(interval: Several | 'even' | 'uneven', last: number): Field {
  if (interval === 'uneven') return `1-${last}/2`
  if (interval === 'even') return '*/2'
  if (typeof interval !== 'number') return interval
  return interval > 1 ? `*/${interval}` : '*'
}

function isText(text: string): (other: string) => boolean {
  return (other) => other.toLowerCase() === text.toLowerCase()
}

/** @throws WherryError `input-invalid` for a name that is no day's. */
function numberOf(day: Weekday): number {
  if (typeof day === 'number') return day
  const index = DAYS.findIndex((name) => [name, name.slice(0, 3)].some(isText(day)))
  if (index >= 0) return index
  throw refusal('make a cron text', `${shown(day)} is no day`, DAYS.join(', '))
}

function listOf(days: Weekday | readonly Weekday[]): string {
  const list = typeof days === 'object' ? days : [days]
  if (list.length > 0) return list.map(numberOf).join(',')
  throw refusal('make a cron text', 'it names no day', 'one at least')
}

/** Makes cron texts. */
export const cronTime: CronTime = {
  every: (interval) => each((last) => stepOf(interval, last)),
  between: (first, last) => each(() => `${first}-${last}`),
  everyMinute: () => '* * * * *',
  everyHour: () => at('*'),
  everyHourAt: (minutes) => at('*', minutes),
  everyDay: () => at(),
  everyDayAt: (hours, minutes) => at(hours, minutes),
  everyWeek: () => at(0, 0, '*', '*', 0),
  everyWeekAt: (days, hours, minutes) => at(hours, minutes, '*', '*', listOf(days)),
  everyWeekDay: (first, last) => cronTime.everyWeekDayAt(0, 0, first, last),
  everyWeekDayAt: (hours, minutes, first = 1, last = 5) =>
    at(hours, minutes, '*', '*', `${numberOf(first)}-${numberOf(last)}`),
  everyWeekend: (one, other) => cronTime.everyWeekendAt(0, 0, one, other),
  everyWeekendAt: (hours, minutes, one = 6, other = 0) =>
    at(hours, minutes, '*', '*', listOf([one, other])),
  onSpecificDays: (days) => at(0, 0, '*', '*', listOf(days)),
  onSpecificDaysAt: (days, hours, minutes) => at(hours, minutes, '*', '*', listOf(days)),
  everyMonth: () => at(0, 0, 1),
  everyMonthOn: (days, hours, minutes) => at(hours, minutes, days),
  everyYear: () => at(0, 0, 1, 1),
  everyYearIn: (months, days = 1, hours, minutes) => at(hours, minutes, days, months),
  ...(Object.fromEntries(
    DAYS.flatMap((name, day) => [
      [`every${name}`, () => at(0, 0, '*', '*', day)],
      [`every${name}At`, (hours: Several, minutes?: Several) => at(hours, minutes, '*', '*', day)],
    ]),
  ) as unknown as EveryWeekday),
}
