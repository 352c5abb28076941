import { WherryError } from '../errors.ts'
import type { JobQueueService } from '../job-queue-service.ts'
import type { Guarantee } from '../store/store.ts'
import { VERSION } from '../version.ts'

export interface HealthJson {
  readonly status: 'ok' | 'unavailable'
  readonly runtime: string
  /** The kind of store, never its address. Null: not known, or a strategy of the user's own. */
  readonly storage: string | null
  readonly guarantee: Guarantee | null
  readonly version: string
}

/** How the service is. Everyone may ask, so it never says why something is wrong. */
export async function healthOf(service: JobQueueService, runtime: string): Promise<HealthJson> {
  try {
    const { name, guarantee } = await service.ping()
    return { status: 'ok', runtime, storage: name, guarantee, version: VERSION }
  } catch (error) {
    const nothing = { runtime, storage: null, guarantee: null, version: VERSION }
    if (error instanceof WherryError && error.code === 'unsupported-by-strategy') {
      return { status: 'ok', ...nothing }
    }
    service.logger.error('The store does not answer', { error })
    return { status: 'unavailable', ...nothing }
  }
}
