import { refusal, shown } from '../refusal.ts'

/**
 * The value, if it is a JSON object that has no other field than these; null: any field.
 *
 * @throws WherryError `input-invalid`, naming the field.
 */
export function recordOf(
  value: unknown,
  fields: readonly string[] | null,
  what: string,
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refusal('read the body', `${what} is ${shown(value)}`, 'an object')
  }
  const unknown = fields && Object.keys(value).find((field) => !fields.includes(field))
  if (typeof unknown !== 'string') return value as Record<string, unknown>
  throw refusal(
    'read the body',
    `${what} has the field ${shown(unknown)}`,
    fields?.join(', ') ?? '',
  )
}
