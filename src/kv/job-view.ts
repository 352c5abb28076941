import { decode } from '../codec.ts'
import { Job, type JobConfig, type JobSurroundings } from '../job.ts'
import type { JobRecord } from './job-record.ts'

/** The parts of a record that a whole job is made of. */
export const JOB_PARTS: readonly string[] = ['data', 'result', 'error']

/** What the record says, as the config of a job. */
export function configOfRecord(record: JobRecord): JobConfig {
  const { id, queueName, life, priority, parts } = record
  return {
    id,
    queueName,
    data: decodePart(parts['data']),
    retries: life.retries,
    attempts: life.attempts,
    priority,
    state: life.state,
    progress: life.progress,
    result: decodePart(parts['result']),
    error: parts['error'] ?? life.error,
    createdAt: new Date(record.createdAt),
    runAt: dateOf(life.runAt),
    startedAt: dateOf(life.startedAt),
    settledAt: dateOf(life.settledAt),
  }
}

/** The same of a job that was just added, of which little is asked. */
export function configOfAdded<Data>(record: JobRecord): JobConfig<Data> {
  const { id, queueName, life, priority, parts } = record
  return {
    id,
    queueName,
    data: undefined as Data,
    readData: () => decodePart(parts['data']) as Data,
    retries: life.retries,
    priority,
    createdAt: new Date(record.createdAt),
    runAt: dateOf(life.runAt),
  }
}

/** The record as a job, with what its parts hold. */
export function jobOf(record: JobRecord, surroundings: JobSurroundings): Job {
  return new Job(configOfRecord(record), surroundings)
}

function decodePart(part: string | undefined): unknown {
  return part === undefined ? undefined : decode(part)
}

function dateOf(ms: number | null): Date | undefined {
  return ms === null ? undefined : new Date(ms)
}
