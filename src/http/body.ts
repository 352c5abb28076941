/** What the body of a request must look like. What a job may look like, the queue knows. */
import type { HonoRequest } from 'hono'
import { WherryError } from '../errors.ts'
import type { JobOptions } from '../job-queue-strategy.ts'
import { DRAIN_BUDGET_MS, type DrainOptions } from '../kv/drain.ts'
import { assertWhole, refusal, shown } from '../refusal.ts'
import { isIsoDate } from './iso-date.ts'
import { recordOf } from './record.ts'
import { pathLengthOf, richValue } from './rich-json.ts'

/** Jobs that one request may add. */
const ADDITIONS_MAX = 1_000
/** The longest that one request may drain: 15 minutes, which no platform exceeds. */
const BUDGET_MS_MAX = 900_000
/**
 * Levels of arrays and objects in a body. What is nested deeper might be stored and then overflow
 * the stack of whoever reads it, and a list of jobs fails with any one of them.
 */
const DEPTH_MAX = 200

/** Characters of the paths to all values of one body that JSON alone would lose. */
const PATHS_LENGTH_MAX = 2 ** 19

/** The options of an added job, with the type that JSON has for each. */
const OPTION_TYPES: Readonly<Record<keyof JobOptions, 'number' | 'string'>> = {
  retries: 'number',
  delay: 'number',
  runAt: 'string',
  priority: 'number',
  id: 'string',
  timeout: 'number',
}

export interface Addition {
  readonly data: unknown
  readonly options: JobOptions
}

/**
 * The body as JSON; undefined when there is none.
 *
 * @throws WherryError `media-type-unsupported`, `json-malformed` or `input-invalid`.
 */
export async function bodyOf(request: HonoRequest): Promise<unknown> {
  const bytes = await request.arrayBuffer()
  if (bytes.byteLength === 0) return undefined
  if (!isJsonType(request)) {
    throw new WherryError(
      'media-type-unsupported',
      `Cannot read the body: its type is ${shown(request.header('content-type') ?? '')}, expected application/json`,
    )
  }
  const body = parsed(bytes)
  if (!isDeeper(body, DEPTH_MAX)) return body
  throw refusal('read the body', 'it is nested too deep', `at most ${DEPTH_MAX} levels`)
}

/** Whether the request says that its body is JSON. */
export function isJsonType(request: HonoRequest): boolean {
  const [type = ''] = (request.header('content-type') ?? '').split(';')
  return type.trim().toLowerCase() === 'application/json'
}

/** The jobs to add: one body is one job, an array is several. */
export function additionsOf(body: unknown): Addition[] {
  const bodies = Array.isArray(body) ? body : [body]
  if (bodies.length < 1 || bodies.length > ADDITIONS_MAX) {
    throw refusal('add jobs', `there are ${bodies.length}`, `1 to ${ADDITIONS_MAX}`)
  }
  const additions = bodies.map((one, i) => additionOf(one, one === body ? 'body' : `body[${i}]`))
  const pathsLength = additions.reduce((sum, { data }) => sum + pathLengthOf(data), 0)
  if (pathsLength <= PATHS_LENGTH_MAX) return additions
  throw refusal(
    'add jobs',
    'too many values, or too deep ones, are such as JSON alone would lose',
    `paths to them of ${PATHS_LENGTH_MAX} characters at most`,
  )
}

/** How long and how much to drain. No body: as it pleases. */
export function drainOptionsOf(body: unknown = {}): DrainOptions {
  const { budgetMs = DRAIN_BUDGET_MS, maxJobs = Number.MAX_SAFE_INTEGER } = recordOf(
    body,
    ['budgetMs', 'maxJobs'],
    'body',
  )
  assertWhole('drain', 'budgetMs', budgetMs, 1, BUDGET_MS_MAX)
  assertWhole('drain', 'maxJobs', maxJobs, 1)
  return { budgetMs, maxJobs }
}

/** For what takes no input: what is sent all the same was meant for something else. */
export function assertNothing(body: unknown = {}): void {
  recordOf(body, [], 'body')
}

function parsed(bytes: ArrayBuffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    // Every engine has words of its own for what is wrong; the answer has the same on all of them.
    const message = 'Cannot read the body: it is malformed, expected JSON in UTF-8'
    throw new WherryError('json-malformed', message, { cause: error })
  }
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((item) => isDeeper(item, levels - 1))
}

function additionOf(value: unknown, what: string): Addition {
  const fields = recordOf(value, ['data', 'options', 'meta'], what)
  const { data, options = {}, meta = {} } = fields
  if (data === undefined) throw refusal('add a job', `${what} has no data`, 'some, or null')
  const marks = recordOf(meta, ['data'], `${what}.meta`).data
  return {
    data: marks === undefined ? data : richValue(data, marks, `${what}.data`),
    options: jobOptionsOf(options, `${what}.options`),
  }
}

function jobOptionsOf(value: unknown, what: string): JobOptions {
  const options = recordOf(value, Object.keys(OPTION_TYPES), what)
  for (const [name, option] of Object.entries(options)) {
    const type = OPTION_TYPES[name as keyof JobOptions]
    if (typeof option === type) continue
    const expected = type === 'string' ? 'text' : 'a number'
    throw refusal('add a job', `${what}.${name} is ${shown(option)}`, expected)
  }
  const { runAt, ...others } = options
  if (runAt === undefined) return others
  if (isIsoDate(runAt)) return { ...others, runAt: new Date(runAt) }
  throw refusal('add a job', `${what}.runAt is ${shown(runAt)}`, 'ISO 8601 text')
}
