/**
 * Jobs in Upstash, or any Redis that speaks its REST protocol: for Workers and others that have no
 * TCP. Guarantee: `atomic`. Every commit is one script in one request.
 *
 * @module
 */
import type { Random } from '../../src/clock.ts'
import { messageOf, WherryError } from '../../src/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { systemRandom } from '../../src/system.ts'
import { createLuaStore, type LuaServer } from './lua/lua-store.ts'
import { digestOf } from './lua/script-digest.ts'

export interface UpstashStoreOptions {
  /** `https://….upstash.io`. */
  readonly url: string
  readonly token: string
  /** The hash tag that all keys begin with. Default `wherry`. */
  readonly base?: string | undefined
  /** How long an answer may take before its fate counts as unknown, in ms. Default 10,000. */
  readonly timeoutMs?: number | undefined
  readonly random?: Random | undefined
}

/**
 * Keeps records in Upstash. Sends nothing until it is used. There are no wake-ups over REST, so a
 * resident worker finds new jobs by its `pollInterval`.
 *
 * @example
 * ```ts
 * const { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token } = env
 * const jobs = new JobQueueService({ storage: createUpstashStore({ url, token }) })
 * ```
 */
export function createUpstashStore(options: UpstashStoreOptions): Store {
  const { url, token, base = 'wherry', timeoutMs = 10_000, random = systemRandom } = options
  const server = new UpstashServer(url, token, timeoutMs)
  return createLuaStore(server, { name: 'upstash', base, random })
}

class UpstashServer implements LuaServer {
  readonly #url: string
  readonly #token: string
  readonly #timeoutMs: number

  constructor(url: string, token: string, timeoutMs: number) {
    this.#url = url
    this.#token = token
    this.#timeoutMs = timeoutMs
  }

  async run(script: string, key: string, args: readonly string[]): Promise<unknown> {
    try {
      return await this.#send(['EVALSHA', await digestOf(script), '1', key, ...args])
    } catch (error) {
      // The server has restarted, or forgot its scripts: nothing was done.
      if (!String(error).includes('NOSCRIPT')) throw error
      return this.#send(['EVAL', script, '1', key, ...args])
    }
  }

  async close(): Promise<void> {}

  async #send(command: readonly string[]): Promise<unknown> {
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: { Authorization: `Bearer ${this.#token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(command),
      signal: AbortSignal.timeout(this.#timeoutMs),
    })
    if (response.status === 401 || response.status === 403) {
      await response.body?.cancel()
      throw new WherryError('store-unavailable', 'Cannot use Upstash: it refuses the token')
    }
    const answer = await answerOf(response)
    if (answer.error === undefined) return answer.result
    throw new Error(`Upstash answered ${response.status}: ${answer.error}`)
  }
}

interface RestAnswer {
  readonly result?: unknown
  readonly error?: string
}

async function answerOf(response: Response): Promise<RestAnswer> {
  try {
    const answer = (await response.json()) as RestAnswer
    if ('result' in answer || 'error' in answer) return answer
    return { error: 'neither a result nor an error' }
  } catch (error) {
    return { error: messageOf(error) }
  }
}
