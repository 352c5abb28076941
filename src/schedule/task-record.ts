/** What a store keeps of a task: one record, with its last runs in a part. */
import { decode, encode } from '../codec.ts'
import { messageOf, WherryError } from '../errors.ts'
import type { Job } from '../job.ts'
import type { JobState } from '../lifecycle.ts'
import type { Put, StoredRecord } from '../store/store.ts'

/** One run of a task, as it was last seen. */
export interface TaskRun {
  readonly jobId: string
  /** The instant that it is for; null: it was asked for by hand. */
  readonly scheduledAt: Date | null
  readonly state: JobState
  readonly startedAt: Date | null
  readonly settledAt: Date | null
  /** Absent when it is too long to be kept here; the job has it. */
  readonly result?: unknown
  readonly error?: string | undefined
}

export interface TaskRecord {
  /** Null: there is none yet. */
  readonly version: string | null
  /** Every occurrence up to then is dealt with, in ms since 1970. */
  readonly cursor: number
  /** The job of the latest run; null: there was none. */
  readonly jobId: string | null
  /** The schedule and the time zone of whoever moved the cursor last. */
  readonly schedule: string
  readonly enabled: boolean
}

const TASK_FORMAT = 1
export const TASK_PLACE = 'k/task'
/** The part that holds the runs. */
export const RUNS_PART = 'runs'
/** Characters of a result that are kept with a run; the job keeps all of it. */
const RESULT_LENGTH_MAX = 4_096
const ERROR_LENGTH_MAX = 1_000

/** @throws WherryError `record-corrupt`. */
export function decodeTask({ key, version, head }: StoredRecord): TaskRecord {
  try {
    const { v, a, j, s, d } = JSON.parse(head)
    if (v !== TASK_FORMAT) throw new Error(`its format is ${v}, this version reads ${TASK_FORMAT}`)
    return { version, cursor: a, jobId: j ?? null, schedule: s, enabled: d !== 1 }
  } catch (cause) {
    const why = messageOf(cause)
    throw new WherryError('record-corrupt', `Cannot read the record "${key}": ${why}`, { cause })
  }
}

export function putOfTask(key: string, record: TaskRecord, runs?: readonly TaskRun[]): Put {
  const { version, cursor, jobId, schedule, enabled } = record
  const head = {
    v: TASK_FORMAT,
    a: cursor,
    j: jobId ?? undefined,
    s: schedule,
    d: enabled ? undefined : 1,
  }
  const put = { key, expect: version, place: TASK_PLACE, score: cursor, head: JSON.stringify(head) }
  return runs === undefined ? put : { ...put, parts: { [RUNS_PART]: encode(runs) } }
}

export function runsOf(stored: StoredRecord | null | undefined): TaskRun[] {
  const part = stored?.parts?.[RUNS_PART]
  return part === undefined ? [] : (decode(part) as TaskRun[])
}

/** The runs with this one, which is the newest or is among them. Newest first. */
export function withRun(runs: readonly TaskRun[], run: TaskRun, max: number): TaskRun[] {
  const index = runs.findIndex(({ jobId }) => jobId === run.jobId)
  return (index < 0 ? [run, ...runs] : runs.with(index, run)).slice(0, max)
}

/** What a job of a task carries. */
export interface TaskData {
  readonly taskId: string
  readonly scheduledAt: Date | null
}

export function runOf(job: Job<TaskData>): TaskRun {
  return kept({
    jobId: String(job.id),
    // A job that someone else gave the id of an occurrence has other data.
    scheduledAt: job.data?.scheduledAt ?? null,
    state: job.state,
    startedAt: job.startedAt ?? null,
    settledAt: job.settledAt ?? null,
    result: job.result,
    error: job.error,
  })
}

/** The run without what is too long to be kept with it. */
export function kept({ result, error, ...run }: TaskRun): TaskRun {
  return {
    ...run,
    ...(result !== undefined && isShort(result) && { result }),
    ...(error !== undefined && { error: error.slice(0, ERROR_LENGTH_MAX).toWellFormed() }),
  }
}

function isShort(result: unknown): boolean {
  try {
    return encode(result).length <= RESULT_LENGTH_MAX
  } catch {
    return false
  }
}
