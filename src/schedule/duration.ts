import { assertWhole, refusal, shown } from '../refusal.ts'

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/**
 * A length of time in ms, from a number of ms or a text such as `10s`, `1.5h` or `2 days`.
 *
 * @throws WherryError `input-invalid`.
 */
export function durationMs(action: string, name: string, value: number | string): number {
  if (typeof value === 'number') {
    assertWhole(action, name, value, 1)
    return value
  }
  const [, count, unit = 'ms'] = DURATION.exec(value.trim().toLowerCase()) ?? []
  const unitMs = UNITS_MS[unit === 'ms' || unit.startsWith('milli') ? 'ms' : unit.slice(0, 1)]
  const ms = Math.round(Number(count) * (unitMs ?? Number.NaN))
  if (ms >= 1) return ms
  throw refusal(action, `${name} is ${shown(value)}`, 'milliseconds, or a text such as "10s"')
}

const DURATION =
  /^(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)?$/
