import { expect, test } from 'vitest'
import { CronSchedule, weekdayNames } from '../../src/main.ts'

test.each<[text: string, numbers: 'unix' | 'quartz', expected: string]>([
  ['0 9 * * 0', 'unix', '0 9 * * SUN'],
  ['0 9 * * 7', 'unix', '0 9 * * SUN'],
  ['0 9 * * 1', 'quartz', '0 9 * * SUN'],
  ['0 9 * * 7', 'quartz', '0 9 * * SAT'],
  ['0 9 * * 1-5', 'unix', '0 9 * * MON,TUE,WED,THU,FRI'],
  ['0 9 * * 2-6', 'quartz', '0 9 * * MON,TUE,WED,THU,FRI'],
  ['0 9 * * 5-7', 'unix', '0 9 * * FRI,SAT,SUN'],
  ['0 9 * * 1-5/2', 'unix', '0 9 * * MON,WED,FRI'],
  ['0 9 1-5 * 1,3', 'unix', '0 9 1-5 * MON,WED'],
  ['0 9 * * 5#2', 'unix', '0 9 * * FRI#2'],
  ['30 0 9 * * 1', 'unix', '30 0 9 * * MON'],
  ['0 0 9 * * 1 2027', 'unix', '0 0 9 * * MON 2027'],
  ['0 9 * * *', 'quartz', '0 9 * * *'],
  ['0 9 * * MON-FRI', 'unix', '0 9 * * MON-FRI'],
  ['@daily', 'unix', '@daily'],
])('%j, numbered as in %s, is %j', (text, numbers, expected) => {
  expect(weekdayNames(text, numbers)).toBe(expected)
})

test('names mean the same however numbers are read', () => {
  const from = Date.UTC(2026, 0, 1)
  const unix = new CronSchedule('0 9 * * 1-5').between(from, from + 14 * 86_400_000, 100)
  for (const weekdays of ['unix', 'quartz'] as const) {
    const named = new CronSchedule(weekdayNames('0 9 * * 1-5'), { weekdays })
    expect(named.between(from, from + 14 * 86_400_000, 100)).toEqual(unix)
  }
})

test.each<[string, 'unix' | 'quartz']>([
  ['0 9 * * 8', 'unix'],
  ['0 9 * * 0', 'quartz'],
  ['0 9 * * 5-2', 'unix'],
])('%j is refused in %s', (text, numbers) => {
  expect(() => weekdayNames(text, numbers)).toThrow('days of a week')
})
