import { describe, expect, test } from 'vitest'
import { CronSchedule } from '../../src/main.ts'
import { cronTime } from '../../src/schedule/cron-time.ts'
import { durationMs } from '../../src/schedule/duration.ts'
import { randomBelow, seededRandom } from '../../src/testing/main.ts'

/** The first `count` instants after `from`, as UTC. */
function instants(text: string, timezone: string, from: string, count: number): string[] {
  const schedule = new CronSchedule(text, { timezone })
  const found: string[] = []
  let at = Date.parse(from)
  while (found.length < count) {
    at = schedule.next(at) as number
    found.push(new Date(at).toISOString().slice(5, 16))
  }
  return found
}

const BERLIN = 'Europe/Berlin'
const SPRING = 'clocks go forward in Berlin at 03-29T01:00Z, from 02:00 to 03:00'
const AUTUMN = 'clocks go back in Berlin at 10-25T01:00Z, from 03:00 to 02:00'

describe('next()', () => {
  test.each<[why: string, text: string, zone: string, from: string, expected: string[]]>([
    [
      'UTC has no changes',
      '30 2 * * *',
      'UTC',
      '2026-03-28T12:00Z',
      ['03-29T02:30', '03-30T02:30'],
    ],
    [
      `${SPRING}: a skipped time is made up for when the clock jumps`,
      '30 2 * * *',
      BERLIN,
      '2026-03-27T12:00Z',
      ['03-28T01:30', '03-29T01:00', '03-30T00:30'],
    ],
    [
      `${SPRING}: two skipped times are made up for once`,
      '*/30 2 * * *',
      BERLIN,
      '2026-03-28T12:00Z',
      ['03-29T01:00', '03-30T00:00', '03-30T00:30'],
    ],
    [
      `${SPRING}: an hourly schedule skips nothing and doubles nothing`,
      '0 * * * *',
      BERLIN,
      '2026-03-28T23:30Z',
      ['03-29T00:00', '03-29T01:00', '03-29T02:00'],
    ],
    [
      `${SPRING}: the half hours that never were do not come`,
      '30 * * * *',
      BERLIN,
      '2026-03-28T23:45Z',
      ['03-29T00:30', '03-29T01:30', '03-29T02:30'],
    ],
    [
      `${AUTUMN}: of a time that comes twice the first counts`,
      '30 2 * * *',
      BERLIN,
      '2026-10-24T12:00Z',
      ['10-25T00:30', '10-26T01:30'],
    ],
    [
      `${AUTUMN}: and still does in the second hour`,
      '30 2 * * *',
      BERLIN,
      '2026-10-25T01:10Z',
      ['10-26T01:30'],
    ],
    [
      `${AUTUMN}: an hourly schedule runs in both hours`,
      '0 * * * *',
      BERLIN,
      '2026-10-24T23:30Z',
      ['10-25T00:00', '10-25T01:00', '10-25T02:00', '10-25T03:00'],
    ],
    [
      'with the change of half an hour of Lord Howe',
      '*/15 * * * *',
      'Australia/Lord_Howe',
      '2026-04-04T14:30Z',
      ['04-04T14:45', '04-04T15:00', '04-04T15:15', '04-04T15:30'],
    ],
    [
      'a day that a whole country left out',
      '0 12 * * *',
      'Pacific/Apia',
      '2011-12-29T00:00Z',
      ['12-29T22:00', '12-30T10:00', '12-30T22:00'],
    ],
    ['0 is Sunday', '0 0 * * 0', 'UTC', '2026-01-01T00:00Z', ['01-04T00:00']],
    ['7 is Sunday', '0 0 * * 7', 'UTC', '2026-01-01T00:00Z', ['01-04T00:00']],
    ['names of days', '0 0 * * SUN', 'UTC', '2026-01-01T00:00Z', ['01-04T00:00']],
    [
      'a leap day waits for its year',
      '0 0 29 2 *',
      'UTC',
      '2026-01-01T00:00Z',
      ['02-29T00:00', '02-29T00:00'],
    ],
    ['a nickname', '@daily', 'UTC', '2026-01-01T00:00Z', ['01-02T00:00']],
  ])('%s: %s in %s', (_why, text, zone, from, expected) => {
    expect(instants(text, zone, from.replace('Z', ':00Z'), expected.length)).toEqual(expected)
  })

  test('seconds stand first, when there are six fields', () => {
    const schedule = new CronSchedule('*/20 * * * * *')
    expect(schedule.next(0)).toBe(20_000)
    expect(schedule.next(20_000)).toBe(40_000)
    expect(schedule.next(39_999)).toBe(40_000)
  })

  test('1 is Sunday as Quartz and Cloudflare number days', () => {
    const thursday = Date.UTC(2026, 0, 1)
    const day = (text: string): number =>
      new Date(new CronSchedule(text, { weekdays: 'quartz' }).next(thursday) as number).getUTCDay()
    expect([1, 2, 3, 4, 5, 6, 7].map((n) => day(`0 9 * * ${n}`))).toEqual([0, 1, 2, 3, 4, 5, 6])
    expect(day('0 9 * * SUN')).toBe(0)
  })
})

test('between() gives what next() steps through, over changes of the clock too', () => {
  const random = seededRandom(11)
  const texts = ['*/20 * * * *', '30 2 * * *', '15 */2 * * *', '0 1,2,3 * * *', '* 2 * * *']
  const zones = [BERLIN, 'America/New_York', 'Australia/Lord_Howe', 'Pacific/Auckland']
  for (let seed = 0; seed < 200; seed++) {
    const text = texts[seed % texts.length] as string
    const timezone = zones[randomBelow(random, zones.length)] as string
    const schedule = new CronSchedule(text, { timezone })
    const month = [2, 3, 8, 9][randomBelow(random, 4)] as number
    const after = Date.UTC(2026, month, 20) + randomBelow(random, 20 * 86_400_000)
    const until = after + randomBelow(random, 2 * 86_400_000)
    const stepped: number[] = []
    for (let at = schedule.next(after); at !== null && at <= until; at = schedule.next(at)) {
      stepped.push(at)
    }
    expect([text, timezone, after, schedule.between(after, until, 10_000)]).toEqual([
      text,
      timezone,
      after,
      stepped,
    ])
    expect(schedule.between(after, until, 2)).toEqual(stepped.slice(-2))
  }
})

test.each([
  ['nope', 'UTC', 'nope'],
  ['* * *', 'UTC', 'five'],
  ['60 * * * *', 'UTC', '60'],
  ['0 0 30 2 *', 'UTC', 'never comes'],
  ['', 'UTC', 'no schedule'],
  ['* * * * *', 'Mars/Olympus', 'Mars/Olympus'],
])('%j in %s is refused', (text, timezone, named) => {
  expect(() => new CronSchedule(text, { timezone })).toThrow(named)
})

test.each([
  [cronTime.every(2).hours(), '0 */2 * * *'],
  [cronTime.every(5).minutes(), '*/5 * * * *'],
  [cronTime.every(10).seconds(), '*/10 * * * * *'],
  [cronTime.every(3).days(4), '0 4 */3 * *'],
  [cronTime.every(2).months(), '0 0 1 */2 *'],
  [cronTime.everyMinute(), '* * * * *'],
  [cronTime.everyHour(), '0 * * * *'],
  [cronTime.everyHourAt(15), '15 * * * *'],
  [cronTime.everyDay(), '0 0 * * *'],
  [cronTime.everyDayAt(3, 30), '30 3 * * *'],
  [cronTime.everyWeek(), '0 0 * * 0'],
  [cronTime.everyWeekAt(2, 7), '0 7 * * 2'],
  [cronTime.everyWeekDayAt(9), '0 9 * * 1-5'],
  [cronTime.everyWeekend(), '0 0 * * 6,0'],
  [cronTime.onSpecificDaysAt([1, 3], 8, 5), '5 8 * * 1,3'],
  [cronTime.everyMonthOn(15, 2), '0 2 15 * *'],
  [cronTime.everyYear(), '0 0 1 1 *'],
  [cronTime.everyYearIn(12, 24, 18), '0 18 24 12 *'],
  [cronTime.everySunday(), '0 0 * * 0'],
  [cronTime.everySaturdayAt(10, 1), '1 10 * * 6'],
])('in words: %s', (text, expected) => {
  expect(text).toBe(expected)
  expect(new CronSchedule(text).next(0)).toBeGreaterThan(0)
})

test.each<[number | string, number]>([
  [1_500, 1_500],
  ['10s', 10_000],
  ['1.5h', 5_400_000],
  ['2 days', 172_800_000],
  ['5 minutes', 300_000],
  ['250', 250],
  ['250ms', 250],
])('a length of time: %s', (value, ms) => {
  expect(durationMs('test', 'timeout', value)).toBe(ms)
})

test.each(['', 'soon', '10 y', '-5s', '0', 0, -1, Number.NaN])('no length of time: %s', (value) => {
  expect(() => durationMs('test', 'timeout', value)).toThrow('timeout')
})
