import { WherryError } from '../errors.ts'

/** Characters of a refused value that a message repeats: whoever sent it knows the rest. */
const SHOWN_MAX = 80

/** Why a request is refused, in the one sentence that every refusal of input is. */
export function refusal(action: string, is: string, expected: string): WherryError {
  return new WherryError('input-invalid', `Cannot ${action}: ${is}, expected ${expected}`)
}

/** A value from outside, as a message may show it. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text
}
