import { describe, expect, it } from 'vitest'
import { isIsoDate } from '../../src/http/iso-date.ts'

describe('isIsoDate()', () => {
  it.each([
    '2026-11-23',
    '2026-11-23T12:30Z',
    '2026-11-23T12:30:00Z',
    '2026-11-23T12:30:00.000Z',
    '2026-11-23T12:30:00.123456Z',
    '2026-11-23T12:30:00+05:30',
    '2024-02-29T00:00:00Z',
    '0000-01-01T00:00:00Z',
    new Date(8.64e15).toISOString(),
    new Date(-8.64e15).toISOString(),
    new Date(-1e14).toISOString(),
  ])('takes %s', (text) => {
    expect(isIsoDate(text)).toBe(true)
  })

  it.each([
    { why: 'no text', value: 1_767_225_600_000 },
    { why: 'a Date', value: new Date(0) },
    { why: 'nothing', value: '' },
    { why: 'digits', value: '1767225600000' },
    { why: 'a month', value: '2026-11' },
    { why: 'no zone', value: '2026-11-23T12:30:00' },
    { why: 'a space for the T', value: '2026-11-23 12:30:00Z' },
    { why: 'small letters', value: '2026-11-23t12:30:00z' },
    { why: 'words after it', value: '2026-11-23T12:30:00Z and more' },
    { why: 'a line after it', value: '2026-11-23\n' },
    { why: 'no such month', value: '2026-13-01' },
    { why: 'no such day', value: '2026-02-30' },
    { why: 'no such day in that year', value: '2026-02-29T00:00:00Z' },
    { why: 'no such hour', value: '2026-11-23T25:00:00Z' },
    { why: 'a year too many', value: '+275761-01-01T00:00:00Z' },
    { why: 'the year minus nothing', value: '-000000-01-01T00:00:00Z' },
    { why: 'the way of mail', value: 'Mon, 23 Nov 2026 12:30:00 GMT' },
  ])('refuses $why', ({ value }) => {
    expect(isIsoDate(value)).toBe(false)
  })
})
