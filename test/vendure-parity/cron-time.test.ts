/** §3 `schedule: (cron) => …`: the builder that a task is handed makes the texts that Vendure's does. */
import { createRequire } from 'node:module'
import { describe, expect, test } from 'vitest'
import type { CronTime } from '../../src/main.ts'
import { cronTime } from '../../src/schedule/cron-time.ts'

// The package is Vendure's, so it is asked for from there.
const fromVendure = createRequire(createRequire(import.meta.url).resolve('@vendure/core'))
const vendures: CronTime = fromVendure('cron-time-generator').CronTime

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const

describe('§3 the builder', () => {
  test.each<[why: string, make: (cron: CronTime) => string]>([
    ['each minute', (cron) => cron.everyMinute()],
    ['each hour', (cron) => cron.everyHour()],
    ['at a minute', (cron) => cron.everyHourAt(5)],
    ['at several minutes', (cron) => cron.everyHourAt([5, 10])],
    ['each day', (cron) => cron.everyDay()],
    ['at an hour', (cron) => cron.everyDayAt(3)],
    ['at an hour and a minute', (cron) => cron.everyDayAt(3, 30)],
    ['at several of both', (cron) => cron.everyDayAt([1, 2], [3, 4])],
    ['each week', (cron) => cron.everyWeek()],
    ['a day by its number', (cron) => cron.everyWeekAt(2, 7)],
    ['a day by its name', (cron) => cron.everyWeekAt('Monday')],
    ['days by number and name', (cron) => cron.everyWeekAt(['mon', 3], [3], [4, 5])],
    ['weekdays', (cron) => cron.everyWeekDay()],
    ['other weekdays', (cron) => cron.everyWeekDay('sunday', 'thursday')],
    ['another first weekday', (cron) => cron.everyWeekDay(0)],
    ['weekdays at a time', (cron) => cron.everyWeekDayAt(9, 15)],
    ['other weekdays at a time', (cron) => cron.everyWeekDayAt(9, [15], 'sun', 4)],
    ['weekends', (cron) => cron.everyWeekend()],
    ['other weekends', (cron) => cron.everyWeekend('friday', 'saturday')],
    ['weekends at a time', (cron) => cron.everyWeekendAt(1, 30)],
    ['other weekends at a time', (cron) => cron.everyWeekendAt(1, 30, 5, 6)],
    ['some days', (cron) => cron.onSpecificDays(['sunday', 2, 'FRI'])],
    ['some days at a time', (cron) => cron.onSpecificDaysAt(['sat'], [3, 4], 5)],
    ['each month', (cron) => cron.everyMonth()],
    ['days of the month', (cron) => cron.everyMonthOn([1, 15])],
    ['a day of the month at a time', (cron) => cron.everyMonthOn(3, 4, 5)],
    ['each year', (cron) => cron.everyYear()],
    ['months of the year', (cron) => cron.everyYearIn([1, 7])],
    ['a month, day and time', (cron) => cron.everyYearIn(3, 4, 5, 6)],
    ['every second minute', (cron) => cron.every(2).minutes()],
    ['every first minute', (cron) => cron.every(1).minutes()],
    ['every fifth hour', (cron) => cron.every(5).hours()],
    ['even hours', (cron) => cron.every('even').hours()],
    ['uneven hours', (cron) => cron.every('uneven').hours()],
    ['uneven days', (cron) => cron.every('uneven').days(3)],
    ['every third day at a time', (cron) => cron.every(3).days(9, 5)],
    ['between minutes', (cron) => cron.between(10, 20).minutes()],
    ['between hours', (cron) => cron.between(9, 17).hours()],
    ['between days', (cron) => cron.between(1, 5).days(3, 4)],
    ...DAYS.flatMap((day): [string, (cron: CronTime) => string][] => [
      [`each ${day}`, (cron) => cron[`every${day}`]()],
      [`each ${day} at an hour`, (cron) => cron[`every${day}At`](3)],
      [`each ${day} at several times`, (cron) => cron[`every${day}At`]([3, 4], [5])],
    ]),
  ])('%s', (_why, make) => {
    expect(make(cronTime)).toBe(make(vendures))
  })

  test('has every name that Vendure’s has', () => {
    const names = Object.getOwnPropertyNames(vendures).filter((name) => /^[a-z]/.test(name))
    const own = new Set(['length', 'name', 'prototype', ...Object.keys(cronTime)])
    expect(names.filter((name) => !own.has(name))).toEqual([])
  })

  test('where Vendure’s leaves a list out, it is meant', () => {
    const list = (cron: CronTime): string => cron.every([1, 5]).minutes()
    expect([list(vendures), list(cronTime)]).toEqual(['* * * * *', '1,5 * * * *'])
  })

  test.each<[why: string, make: (cron: CronTime) => string]>([
    ['a name that is no day’s', (cron) => cron.everyWeekAt('funday')],
    ['no day at all', (cron) => cron.onSpecificDays([])],
  ])('refuses %s, as Vendure’s does', (_why, make) => {
    expect(() => make(vendures)).toThrow()
    expect(() => make(cronTime)).toThrow(expect.objectContaining({ code: 'input-invalid' }))
  })
})
