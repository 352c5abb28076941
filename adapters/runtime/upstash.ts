import { refusal } from '../../src/refusal.ts'
import { createUpstashStore } from '../store/upstash.ts'
import { baseOf, type StoreKinds } from './open-store.ts'
import { type Environment, settingOf } from './setup.ts'

/**
 * `upstash:`, with `UPSTASH_REDIS_REST_URL` and `UPSTASH_REDIS_REST_TOKEN` of the environment; or the
 * driver of unstorage, which lends its own.
 */
export function upstash(env: Environment): Partial<StoreKinds> {
  return {
    schemes: {
      upstash: ({ base }) => {
        const url = needed(env, 'UPSTASH_REDIS_REST_URL')
        const token = needed(env, 'UPSTASH_REDIS_REST_TOKEN')
        return createUpstashStore({ url, token, base })
      },
    },
    drivers: {
      upstash: (driver, instance) => {
        const { client } = instance as UpstashClient
        const token = client.headers.authorization.replace('Bearer ', '')
        return createUpstashStore({ url: client.baseUrl, token, base: baseOf(driver) })
      },
    },
  }
}

/** What of the client of `@upstash/redis` is borrowed. */
interface UpstashClient {
  readonly client: {
    readonly baseUrl: string
    readonly headers: { readonly authorization: string }
  }
}

function needed(env: Environment, name: string): string {
  const value = settingOf(env, name)
  if (value !== undefined) return value
  throw refusal('open a store', `${name} is not set`, 'it in the environment')
}
