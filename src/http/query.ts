/** What the query of a request must look like. A parameter that is not known is never passed over. */
import { compareBy, type JobListOptions, type JobSortParameter, pageOf } from '../job-list.ts'
import type { JobQueueService } from '../job-queue-service.ts'
import { JobState } from '../lifecycle.ts'
import { refusal, shown } from '../refusal.ts'
import { isIsoDate } from './iso-date.ts'
import { queueOf } from './lookup.ts'

/** Parameters that may be given more than once. */
const REPEATABLE = ['queueName', 'state']

/** Which jobs `GET /jobs` lists: the newest first unless it says otherwise. */
export function listOptionsOf(url: string, service: JobQueueService): JobListOptions {
  const given = parametersOf('list jobs', url, ['queueName', 'state', 'skip', 'take', 'sort'])
  // Jobs of queues that other processes created are listed too, so any name will do.
  const names = namesOf(given, service).map((name) => service.queue(name)?.name ?? name)
  const states = given.getAll('state').flatMap((text) => text.split(','))
  return {
    ...pageOf({ skip: numberOf(given, 'skip'), take: numberOf(given, 'take') }),
    sort: sortOf(given.get('sort') ?? 'createdAt:DESC'),
    filter: {
      ...(names.length > 0 && { queueName: { in: names } }),
      ...(states.length > 0 && { state: { in: states.map(stateOf) } }),
    },
  }
}

export interface Removal {
  /** Undefined: every queue. */
  readonly queueNames: readonly string[] | undefined
  readonly olderThan: Date | undefined
}

/** Which settled jobs `DELETE /jobs` removes. */
export function removalOf(url: string, service: JobQueueService): Removal {
  const given = parametersOf('remove jobs', url, ['queueName', 'olderThan'])
  const names = namesOf(given, service).map((name) => queueOf(service, name).name)
  const olderThan = given.get('olderThan')
  if (olderThan !== null && !isIsoDate(olderThan)) {
    throw refusal('remove jobs', `olderThan is ${shown(olderThan)}`, 'ISO 8601 text')
  }
  return {
    queueNames: names.length > 0 ? names : undefined,
    olderThan: olderThan === null ? undefined : new Date(olderThan),
  }
}

/** For what takes no parameter: one that is given was meant for the body. */
export function assertNoParameters(action: string, url: string): void {
  parametersOf(action, url, [])
}

function parametersOf(action: string, url: string, known: readonly string[]): URLSearchParams {
  const given = new URL(url, 'http://localhost').searchParams
  for (const name of given.keys()) {
    const expected = known.length > 0 ? `only ${known.join(', ')}` : 'none'
    if (!known.includes(name))
      throw refusal(action, `there is a parameter ${shown(name)}`, expected)
    if (given.getAll(name).length === 1 || REPEATABLE.includes(name)) continue
    throw refusal(action, `${name} is given more than once`, 'it once')
  }
  return given
}

/** Names of queues, repeated or between commas; a queue's own name may have a comma in it. */
function namesOf(given: URLSearchParams, service: JobQueueService): string[] {
  const names = given
    .getAll('queueName')
    .flatMap((text) => (service.queue(text) === undefined ? text.split(',') : [text]))
  if (!names.includes('')) return names
  throw refusal('choose jobs', 'queueName is empty', 'the name of a queue, or no queueName')
}

/** A number, or the text that is none: the page says what it expects. */
function numberOf(given: URLSearchParams, name: string): unknown {
  const text = given.get(name) ?? undefined
  return text !== undefined && /^-?\d{1,15}$/.test(text) ? Number(text) : text
}

function stateOf(text: string): string {
  if (Object.hasOwn(JobState, text)) return text
  throw refusal('list jobs', `state is ${shown(text)}`, Object.keys(JobState).join(', '))
}

function sortOf(text: string): JobSortParameter {
  const pairs = text.split(',').map((part) => [...part.split(/:(.*)/s, 2), ''].slice(0, 2))
  const sort = Object.fromEntries(pairs) as JobSortParameter
  compareBy(sort)
  if (Object.keys(sort).length === pairs.length) return sort
  throw refusal('list jobs', `sort is ${shown(text)}`, 'each field once')
}
