/**
 * Storage URLs of Durable Objects, for a Worker that has some: a Worker links only the stores that it
 * is given.
 *
 * @module
 */
import { refusal } from '../../src/refusal.ts'
import { createCloudflareKVStore, type KVBinding } from '../store/cloudflare-kv.ts'
import type { PartsBinding } from '../store/durable-object/kv-parts.ts'
import { createDurableObjectStore, type ObjectNamespace } from '../store/durable-object.ts'
import type { OpenUrl } from './storage-url.ts'

/**
 * `durable-object:QUEUE` and `cloudflare-kv:JOBS+durable-object:QUEUE`, which keeps long parts in KV;
 * both name bindings.
 *
 * @example
 * ```ts
 * const storage = openStore(env.WHERRY_STORAGE, env, durableObjects)
 * ```
 */
export function durableObjects(env: object): Record<string, OpenUrl> {
  const bindings = env as Readonly<Record<string, unknown>>
  const objects = (name: string): ObjectNamespace =>
    bound(bindings, name, 'getByName', 'Durable Object') as ObjectNamespace
  const namespace = (name: string): unknown =>
    bound(bindings, name, 'getWithMetadata', 'KV namespace')
  return {
    'durable-object': ({ path, base }) => createDurableObjectStore(objects(path), { base }),
    'cloudflare-kv': ({ path, base }) => {
      const [jobs = '', queue] = path.split('+durable-object:')
      const kv = namespace(jobs)
      if (queue === undefined) return createCloudflareKVStore(kv as KVBinding, { base })
      return createDurableObjectStore(objects(queue), { base, parts: kv as PartsBinding })
    },
  }
}

function bound(
  bindings: Readonly<Record<string, unknown>>,
  name: string,
  method: string,
  kind: string,
): unknown {
  const binding = bindings[name]
  if (typeof (binding as Record<string, unknown> | null)?.[method] === 'function') return binding
  throw refusal('open a store', `no ${kind} is bound as "${name}"`, 'one in wrangler.toml')
}
