/** Vendure's Admin API, as its dashboard uses it. */

// biome-ignore lint/suspicious/noExplicitAny: answers are compared with what is expected
export type Answer = any

export interface JobOfApi {
  readonly id: string
  readonly queueName: string
  readonly state: string
  readonly progress: number
  readonly attempts: number
  readonly retries: number
  readonly duration: number
  readonly isSettled: boolean
  readonly result: Answer
  readonly error: Answer
  readonly data: Answer
  readonly createdAt: string
  readonly startedAt: string | null
  readonly settledAt: string | null
}

export const JOB =
  'id queueName state progress attempts retries duration isSettled result error data createdAt startedAt settledAt'

export class AdminApi {
  readonly #url: string
  token = ''

  constructor(port: number) {
    this.#url = `http://127.0.0.1:${port}/admin-api`
  }

  /** Answers the data. @throws Error with the first error that the API has told. */
  async ask(query: string, variables: Readonly<Record<string, unknown>> = {}): Promise<Answer> {
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${this.token}` },
      body: JSON.stringify({ query, variables }),
    })
    this.token = response.headers.get('vendure-auth-token') ?? this.token
    const { data, errors } = (await response.json()) as Answer
    if (errors) throw new Error(errors[0].message)
    return data
  }

  async login(): Promise<void> {
    await this.ask(
      'mutation { login(username: "superadmin", password: "superadmin") { __typename } }',
    )
  }

  async job(id: string | number): Promise<JobOfApi | null> {
    return (await this.ask(`query ($id: ID!) { job(jobId: $id) { ${JOB} } }`, { id })).job
  }

  async jobs(options?: unknown): Promise<{ items: JobOfApi[]; totalItems: number }> {
    const query = `query ($options: JobListOptions) { jobs(options: $options) { items { ${JOB} } totalItems } }`
    return (await this.ask(query, { options })).jobs
  }
}
