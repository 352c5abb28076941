import { refusal } from '../../src/refusal.ts'
import type { Environment } from './setup.ts'

/**
 * What a Worker has bound under that name, which is known by a method.
 *
 * @throws WherryError `input-invalid` when it is not there.
 */
export function bindingOf<Binding>(
  env: Environment,
  name: string,
  method: string,
  kind: string,
): Binding {
  const binding = env[name] as Readonly<Record<string, unknown>> | null | undefined
  if (typeof binding?.[method] === 'function') return binding as Binding
  throw refusal('open a store', `no ${kind} is bound as "${name}"`, 'one in wrangler.toml')
}
