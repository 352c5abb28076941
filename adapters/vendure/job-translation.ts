/** Jobs cross the border here: Vendure's own class outside, ours inside. */
import { Job as VendureJob } from '@vendure/core'
import { serialise } from '../../src/codec.ts'
import { Job } from '../../src/main.ts'
import type { JobIds } from './job-ids.ts'
import { withoutRequests } from './request-context.ts'

type VendureConfig = ConstructorParameters<typeof VendureJob>[0]

export interface TranslationOptions {
  readonly ids: JobIds
  readonly keepRequest: boolean
}

export class JobTranslation {
  readonly #options: TranslationOptions

  constructor(options: TranslationOptions) {
    this.#options = options
  }

  /** A job to be added. It is always a new one: an id that it brings is not looked at. */
  toStored({ queueName, data, retries, createdAt }: VendureJob): Job {
    const kept = this.#options.keepRequest ? data : withoutRequests(data)
    return new Job({ queueName, data: storable(kept, 'data'), retries, createdAt })
  }

  /** A job that its handler is given: the data as it was added. */
  toLive(job: Job): VendureJob {
    return new VendureJob(this.#configOf(job))
  }

  /** A job to be looked at: in what JSON can hold, for the Admin API sends it. */
  toShown(job: Job): VendureJob {
    // Vendure's resolver reads fields of the data, so there has to be some.
    const data = jsonable(job.data, 'data') ?? {}
    return new VendureJob({ ...this.#configOf(job), data, result: jsonable(job.result, 'result') })
  }

  /** A job in a buffer, which has no id yet. */
  toBuffered({ queueName, data, retries, createdAt }: Job): VendureJob {
    return new VendureJob({ queueName, data, retries, createdAt })
  }

  #configOf(job: Job): VendureConfig {
    const { queueName, data, retries, attempts, progress, result, error, createdAt } = job
    const id = this.#options.ids.shown(job.id)
    return {
      queueName,
      data,
      retries,
      attempts,
      progress,
      result,
      error,
      createdAt,
      // Vendure's enum has the same texts.
      state: job.state as NonNullable<VendureConfig['state']>,
      ...(id !== undefined && { id }),
      ...(job.startedAt && { startedAt: job.startedAt }),
      ...(job.settledAt && { settledAt: job.settledAt }),
    }
  }
}

/**
 * What can be stored as it is, or else what JSON makes of it: Vendure's strategies drop functions
 * without a word, and a handler whose work is done must not fail for one in its result.
 *
 * @throws WherryError `data-unserialisable` for what JSON refuses as well, such as a cycle with one.
 */
export function storable(value: unknown, what: string): unknown {
  try {
    serialise(value, what)
    return value
  } catch (refused) {
    const text = jsonOf(value)
    if (text === null) throw refused
    return text === undefined ? undefined : JSON.parse(text)
  }
}

/** The value if JSON can hold it, or else what is left of it there: a bigint becomes text. */
export function jsonable(value: unknown, what: string): unknown {
  return jsonOf(value) === null ? serialise(value, what).json : value
}

/** Null: JSON refuses it. */
function jsonOf(value: unknown): string | undefined | null {
  try {
    return JSON.stringify(value)
  } catch {
    return null
  }
}
