/** Listing jobs the way Vendure's users do it: operators, nested conditions, sorts, pages. */
import type { Job, JobId } from './job.ts'
import type { JobState } from './lifecycle.ts'
import { assertWhole, refusal, shown } from './refusal.ts'

export interface StringOperators {
  readonly eq?: string | undefined
  readonly notEq?: string | undefined
  /** Case-insensitive. */
  readonly contains?: string | undefined
  readonly notContains?: string | undefined
  readonly in?: readonly string[] | undefined
  readonly notIn?: readonly string[] | undefined
  readonly regex?: string | undefined
  readonly isNull?: boolean | undefined
}

export interface IdOperators {
  readonly eq?: JobId | undefined
  readonly notEq?: JobId | undefined
  readonly in?: readonly JobId[] | undefined
  readonly notIn?: readonly JobId[] | undefined
  readonly isNull?: boolean | undefined
}

export interface BooleanOperators {
  readonly eq?: boolean | undefined
  readonly isNull?: boolean | undefined
}

export interface NumberOperators {
  readonly eq?: number | undefined
  readonly lt?: number | undefined
  readonly lte?: number | undefined
  readonly gt?: number | undefined
  readonly gte?: number | undefined
  /** Inclusive. */
  readonly between?: { readonly start: number; readonly end: number } | undefined
  readonly isNull?: boolean | undefined
}

export interface DateOperators {
  readonly eq?: Date | undefined
  /** Strictly. */
  readonly before?: Date | undefined
  /** Strictly. */
  readonly after?: Date | undefined
  /** Inclusive. */
  readonly between?: { readonly start: Date; readonly end: Date } | undefined
  readonly isNull?: boolean | undefined
}

export interface JobFilterParameter {
  readonly id?: IdOperators | undefined
  readonly createdAt?: DateOperators | undefined
  readonly startedAt?: DateOperators | undefined
  readonly settledAt?: DateOperators | undefined
  readonly queueName?: StringOperators | undefined
  readonly state?: StringOperators | undefined
  readonly progress?: NumberOperators | undefined
  readonly duration?: NumberOperators | undefined
  readonly retries?: NumberOperators | undefined
  readonly attempts?: NumberOperators | undefined
  readonly isSettled?: BooleanOperators | undefined
  readonly _and?: readonly JobFilterParameter[] | undefined
  readonly _or?: readonly JobFilterParameter[] | undefined
}

export type SortOrder = 'ASC' | 'DESC'
export type JobSortField =
  | 'id'
  | 'createdAt'
  | 'startedAt'
  | 'settledAt'
  | 'queueName'
  | 'progress'
  | 'duration'
  | 'retries'
  | 'attempts'
export type JobSortParameter = { readonly [Field in JobSortField]?: SortOrder | undefined }

/** `null`, as GraphQL sends it, says as little as an absent field, here and in filters and sorts. */
export interface JobListOptions {
  /** Default 0. */
  readonly skip?: number | undefined
  /** Default 100, at most 1,000. */
  readonly take?: number | undefined
  /** The first field dominates. Default: createdAt ascending. */
  readonly sort?: JobSortParameter | undefined
  readonly filter?: JobFilterParameter | undefined
  /** How the fields of `filter` are combined. Default AND. */
  readonly filterOperator?: 'AND' | 'OR' | undefined
}

export interface JobPage {
  readonly items: Job[]
  /** All that match, not only those of this page. */
  readonly totalItems: number
}

/** What filters and sorts look at. Times are ms since 1970. */
export interface ListedJob {
  readonly id: JobId
  readonly createdAt: number
  readonly startedAt: number | null
  readonly settledAt: number | null
  readonly queueName: string
  readonly state: JobState
  readonly progress: number
  readonly duration: number
  readonly retries: number
  readonly attempts: number
  readonly isSettled: boolean
}

export const TAKE_DEFAULT = 100
export const TAKE_MAX = 1_000

export const SORT_FIELDS: readonly JobSortField[] = [
  'id',
  'createdAt',
  'startedAt',
  'settledAt',
  'queueName',
  'progress',
  'duration',
  'retries',
  'attempts',
]

const FILTER = 'filter jobs'

type Value = string | number | boolean | null
type Operators = Readonly<Record<string, unknown>>
type Test = (value: Exclude<Value, null>, operand: never) => boolean

/** What each operator says of a value that is not null; dates are compared as their milliseconds. */
const OPERATORS: Readonly<Record<string, Test>> = {
  eq: (value, operand: unknown) => value === comparable(operand, value),
  contains: (value, operand: string) =>
    String(value).toLowerCase().includes(operand.trim().toLowerCase()),
  in: (value, operands: readonly unknown[]) =>
    operands.some((one) => value === comparable(one, value)),
  regex: (value, operand: string) => new RegExp(operand).test(String(value)),
  lt: (value, operand: number) => Number(value) < operand,
  lte: (value, operand: number) => Number(value) <= operand,
  gt: (value, operand: number) => Number(value) > operand,
  gte: (value, operand: number) => Number(value) >= operand,
  before: (value, operand: Date) => Number(value) < Number(operand),
  after: (value, operand: Date) => Number(value) > Number(operand),
  between: (value, { start, end }: { start: number | Date; end: number | Date }) =>
    Number(value) >= Number(start) && Number(value) <= Number(end),
}

/** Operators that say the opposite of another. */
const OPPOSITES: Readonly<Record<string, string>> = {
  notEq: 'eq',
  notContains: 'contains',
  notIn: 'in',
}

/** Ids may be numbers to the caller and text to us. */
function comparable(operand: unknown, value: string | number | boolean): unknown {
  if (operand instanceof Date) return operand.getTime()
  return typeof value === 'string' && typeof operand === 'number' ? String(operand) : operand
}

/**
 * Whether the job matches. Fields of one filter are combined by `operator`; several operators of
 * one field all have to hold; `_and` and `_or` hold filters of their own.
 *
 * @throws WherryError `input-invalid` for a field or an operator that is not known.
 */
export function matches(
  job: ListedJob,
  filter: JobFilterParameter,
  operator: 'AND' | 'OR' = 'AND',
): boolean {
  const results = Object.entries(filter)
    .filter(([, condition]) => condition !== undefined && condition !== null)
    .map(([field, condition]) => {
      if (field === '_and')
        return (condition as JobFilterParameter[]).every((part) => matches(job, part))
      if (field === '_or') return matchesAny(job, condition as JobFilterParameter[])
      return fieldMatches(field, valueOfField(job, field), condition as Operators)
    })
  if (results.length === 0) return true
  return operator === 'OR' ? results.includes(true) : !results.includes(false)
}

function matchesAny(job: ListedJob, filters: readonly JobFilterParameter[]): boolean {
  return filters.length === 0 || filters.some((filter) => matches(job, filter))
}

function valueOfField(job: ListedJob, field: string): Value {
  if (Object.hasOwn(job, field)) return job[field as keyof ListedJob]
  throw refusal(FILTER, `there is no field "${field}"`, `one of ${Object.keys(job).join(', ')}`)
}

function fieldMatches(field: string, value: Value, operators: Operators): boolean {
  return Object.entries(operators).every(([name, operand]) => {
    if (operand === undefined || operand === null) return true
    if (name === 'isNull') return (value === null) === operand
    const opposite = OPPOSITES[name]
    const test = OPERATORS[opposite ?? name]
    if (test === undefined) {
      throw refusal(FILTER, `"${field}" has the operator "${name}"`, 'one that Vendure has for it')
    }
    // As in SQL, nothing is known of a value that is absent.
    return value !== null && tested(test, value, operand) === (opposite === undefined)
  })
}

function tested(test: Test, value: Exclude<Value, null>, operand: unknown): boolean {
  try {
    return test(value, operand as never)
  } catch {
    throw refusal(FILTER, `an operand is ${shown(operand)}`, 'what its operator takes')
  }
}

/**
 * Compares by the fields of the sort, the first of them first; absent values come last.
 *
 * @throws WherryError `input-invalid` for a field or an order that is not known.
 */
export function compareBy(sort: JobSortParameter): (a: ListedJob, b: ListedJob) => number {
  const fields = Object.entries(sort).filter(([, order]) => order !== undefined && order !== null)
  for (const [field, order] of fields) {
    if (SORT_FIELDS.includes(field as JobSortField) && (order === 'ASC' || order === 'DESC'))
      continue
    throw refusal(
      'list jobs',
      `sort is ${shown(`${field}:${order}`)}`,
      `${SORT_FIELDS.join(', ')}, with ASC or DESC`,
    )
  }
  return (a, b) => {
    for (const [field, order] of fields) {
      const result = compareValues(
        a[field as JobSortField],
        b[field as JobSortField],
        order === 'DESC',
      )
      if (result !== 0) return result
    }
    // Ids of one moment are ordered too, so pages never repeat or skip.
    return compareValues(String(a.id), String(b.id), fields[0]?.[1] === 'DESC')
  }
}

function compareValues(
  a: string | number | null,
  b: string | number | null,
  descending: boolean,
): number {
  if (a === b) return 0
  if (a === null) return 1
  if (b === null) return -1
  return a < b === descending ? 1 : -1
}

/**
 * The bounds of a page.
 *
 * @throws WherryError `input-invalid` when they are out of range.
 */
export function pageOf(options: { readonly skip?: unknown; readonly take?: unknown }): {
  skip: number
  take: number
} {
  const skip = options.skip ?? 0
  const take = options.take ?? TAKE_DEFAULT
  assertWhole('list jobs', 'skip', skip, 0)
  assertWhole('list jobs', 'take', take, 1, TAKE_MAX)
  return { skip, take }
}
