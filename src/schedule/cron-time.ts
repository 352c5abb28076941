/** Cron texts in words, under the names of the builder that Vendure hands to its tasks. */

const WEEKDAYS = {
  everySunday: 0,
  everyMonday: 1,
  everyTuesday: 2,
  everyWednesday: 3,
  everyThursday: 4,
  everyFriday: 5,
  everySaturday: 6,
} as const

type EveryWeekday = {
  readonly [Day in keyof typeof WEEKDAYS]: (hour?: number, minute?: number) => string
}

/** So many units apart, counted from the beginning of the next larger unit. */
export interface Every {
  seconds(): string
  minutes(): string
  hours(): string
  days(hour?: number, minute?: number): string
  months(day?: number, hour?: number, minute?: number): string
}

/** Hours are 0–23, days of the week 0 (Sunday) to 6, months 1–12. */
export interface CronTime extends EveryWeekday {
  /** `every(2).hours()`: at the even hours. */
  every(interval: number): Every
  everyMinute(): string
  everyHour(): string
  everyHourAt(minute: number): string
  everyDay(): string
  everyDayAt(hour: number, minute?: number): string
  everyWeek(): string
  everyWeekAt(weekday: number, hour?: number, minute?: number): string
  everyWeekDay(): string
  everyWeekDayAt(hour: number, minute?: number): string
  everyWeekend(): string
  everyWeekendAt(hour: number, minute?: number): string
  onSpecificDays(weekdays: readonly number[]): string
  onSpecificDaysAt(weekdays: readonly number[], hour: number, minute?: number): string
  everyMonth(): string
  everyMonthOn(day: number, hour?: number, minute?: number): string
  everyYear(): string
  everyYearIn(month: number, day?: number, hour?: number, minute?: number): string
}

function at(
  hour: number | string = 0,
  minute: number = 0,
  day: number | string = '*',
  month: number | string = '*',
  weekday: number | string = '*',
): string {
  return `${minute} ${hour} ${day} ${month} ${weekday}`
}

/** Makes cron texts. */
export const cronTime: CronTime = {
  every: (n) => ({
    seconds: () => `*/${n} * * * * *`,
    minutes: () => `*/${n} * * * *`,
    hours: () => at(`*/${n}`),
    days: (hour, minute) => at(hour, minute, `*/${n}`),
    months: (day = 1, hour, minute) => at(hour, minute, day, `*/${n}`),
  }),
  everyMinute: () => '* * * * *',
  everyHour: () => at('*'),
  everyHourAt: (minute) => at('*', minute),
  everyDay: () => at(),
  everyDayAt: (hour, minute) => at(hour, minute),
  everyWeek: () => at(0, 0, '*', '*', 0),
  everyWeekAt: (weekday, hour, minute) => at(hour, minute, '*', '*', weekday),
  everyWeekDay: () => at(0, 0, '*', '*', '1-5'),
  everyWeekDayAt: (hour, minute) => at(hour, minute, '*', '*', '1-5'),
  everyWeekend: () => at(0, 0, '*', '*', '0,6'),
  everyWeekendAt: (hour, minute) => at(hour, minute, '*', '*', '0,6'),
  onSpecificDays: (weekdays) => at(0, 0, '*', '*', weekdays.join(',')),
  onSpecificDaysAt: (weekdays, hour, minute) => at(hour, minute, '*', '*', weekdays.join(',')),
  everyMonth: () => at(0, 0, 1),
  everyMonthOn: (day, hour, minute) => at(hour, minute, day),
  everyYear: () => at(0, 0, 1, 1),
  everyYearIn: (month, day = 1, hour, minute) => at(hour, minute, day, month),
  ...(Object.fromEntries(
    Object.entries(WEEKDAYS).map(([name, weekday]) => [
      name,
      (hour?: number, minute?: number) => at(hour, minute, '*', '*', weekday),
    ]),
  ) as unknown as EveryWeekday),
}
