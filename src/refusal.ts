import { WherryError, type WherryErrorCode } from './errors.ts'

/** Characters of a refused value that a message repeats: whoever gave it knows the rest. */
const SHOWN_MAX = 80

/** Why an input is refused, in the one sentence that every refusal is. */
export function refusal(
  action: string,
  is: string,
  expected: string,
  code: WherryErrorCode = 'input-invalid',
): WherryError {
  return new WherryError(code, `Cannot ${action}: ${is}, expected ${expected}`)
}

/** A value from outside, as a message may show it. */
export function shown(value: unknown): string {
  const isNumeric = typeof value === 'number' || typeof value === 'bigint'
  const text = isNumeric ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text
}

/** @throws WherryError `input-invalid`, naming what was given and the bounds. */
export function assertWhole(
  action: string,
  name: string,
  value: unknown,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): asserts value is number {
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return
  const to = max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`
  throw refusal(action, `${name} is ${shown(value)}`, `a whole number from ${min}${to}`)
}

/** @throws WherryError `input-invalid` for what is no number from 0. Infinity is one. */
export function assertNumber(
  action: string,
  name: string,
  value: unknown,
): asserts value is number {
  if (typeof value === 'number' && value >= 0) return
  throw refusal(action, `${name} is ${shown(value)}`, 'a number from 0')
}
