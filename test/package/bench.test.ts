/** What the bench concludes by. It installs its peers itself, so nothing here may import one. */
import { describe, expect, test } from 'vitest'
import type { Result } from '../../bench/finding.ts'
import { Ledger } from '../../bench/ledger.ts'
import { caseTable } from '../../bench/report.ts'
import { quantile, ratios, spreadOf } from '../../bench/statistics.ts'
import { short } from '../../bench/table.ts'

describe('Ledger', () => {
  test('is complete at the last job, and exact when each has run once', async () => {
    const ledger = new Ledger(3)
    for (const index of [2, 0]) ledger.note(index)
    expect(ledger.missing).toBe(1)
    expect(() => ledger.assertExact()).toThrow('1 never ran and 0 ran more than once')
    ledger.note(1)
    await ledger.all
    ledger.assertExact()
  })

  test('refuses a job that ran twice, however often, and one that nobody added', () => {
    const ledger = new Ledger(2)
    for (const index of [0, 0, 0, 1]) ledger.note(index)
    expect(() => ledger.assertExact()).toThrow('0 never ran and 1 ran more than once')
    expect(() => ledger.note(2)).toThrow('never added')
  })
})

describe('the statistics', () => {
  test('take the middle, between two where there is no one', () => {
    expect(spreadOf([9, 1, 4])).toEqual({ median: 4, min: 1, max: 9 })
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5)
    expect(quantile([5], 0.99)).toBe(5)
  })

  test('compare round by round, and more than 1 is better for both kinds of measure', () => {
    const [ours, theirs] = [
      new Map([
        [1, 30],
        [2, 10],
        [3, 7],
      ]),
      new Map([
        [1, 10],
        [2, 20],
      ]),
    ]
    expect(ratios(ours, theirs, 'more')).toEqual([3, 0.5])
    expect(ratios(ours, theirs, 'less')).toEqual([1 / 3, 2])
  })
})

describe('the tables', () => {
  test.each([
    [0.0444, '0.044'],
    [3, '3.0'],
    [999.6, '1000'],
    [55_123, '55.1k'],
    [Number.NaN, '–'],
  ])('%d is short for %s', (value, text) => expect(short(value)).toBe(text))

  test('a case has a line for each contestant, and the ratio of each round', () => {
    expect(
      caseTable([
        rate('wherry', 1, 4),
        rate('bullmq', 1, 2),
        rate('wherry', 2, 6),
        rate('bullmq', 2, 2),
      ]),
    ).toBe(`### add on redis, 10000 jobs, 2 rounds

|        |           jobs/s |      wherry × | CPU-s node | CPU-s server | commands/job |
| ------ | ---------------: | ------------: | ---------: | -----------: | -----------: |
| wherry | 5.0k [4.0k–6.0k] |               |        1.0 |            – |          2.0 |
| bullmq |             2.0k | 2.5 [2.0–3.0] |        1.0 |            – |          2.0 |
`)
  })
})

function rate(contestant: Result['contestant'], round: number, thousands: number): Result {
  const seconds = 10 / thousands
  const cost = { seconds, cpuSeconds: 1, serverCpuSeconds: null, commands: 20_000 }
  const finding = { measure: 'rate', jobs: 10_000, cost } as const
  return { ground: 'redis', case: 'add', contestant, round, finding }
}
