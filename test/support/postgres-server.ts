/** A PostgreSQL of our own on a free port, so that a test can kill it. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { freePort } from './redis-server.ts'

const INSTALLED = '/usr/lib/postgresql'
const [version] = existsSync(INSTALLED) ? readdirSync(INSTALLED).sort().reverse() : []

/** Why there is no PostgreSQL here; null: there is one. */
export const postgresMissing: string | null = reasonItIsMissing()

function reasonItIsMissing(): string | null {
  if (version === undefined) return 'postgresql is not installed'
  if (!existsSync(join(INSTALLED, version, 'bin/initdb'))) return 'postgresql has no initdb'
  return process.getuid?.() === 0 && userId() === null ? 'there is no user "postgres"' : null
}

/** Root may not run it, so the user does that its package has made. */
function userId(): { uid: number; gid: number } | null {
  const line = readFileSync('/etc/passwd', 'utf8').match(/^postgres:[^:]*:(\d+):(\d+):/m)
  return line === null ? null : { uid: Number(line[1]), gid: Number(line[2]) }
}

export class PostgresServer {
  readonly port: number
  readonly #folder: string

  private constructor(port: number) {
    this.port = port
    this.#folder = mkdtempSync(join(tmpdir(), 'wherry-pg-'))
    chmodSync(this.#folder, 0o700)
    const user = userId()
    if (process.getuid?.() === 0 && user !== null) chownSync(this.#folder, user.uid, user.gid)
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`
  }

  static async start(): Promise<PostgresServer> {
    const server = new PostgresServer(await freePort())
    server.#run('initdb', '-D', server.#folder, '-U', 'postgres', '-A', 'trust', '--no-sync')
    server.start()
    return server
  }

  start(): void {
    const options = `-p ${this.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=${this.#folder}`
    const log = join(this.#folder, 'log')
    this.#run('pg_ctl', '-D', this.#folder, '-w', '-l', log, '-o', options, 'start')
  }

  /** `immediate` ends it as a crash would. */
  stop(mode: 'fast' | 'immediate' = 'immediate'): void {
    this.#run('pg_ctl', '-D', this.#folder, '-w', '-m', mode, 'stop')
  }

  close(): void {
    this.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #run(program: string, ...args: string[]): void {
    const path = join(INSTALLED, version as string, 'bin', program)
    const user = process.getuid?.() === 0 ? userId() : null
    // A server that is started inherits what its starter writes to, so that is no pipe.
    const { status, error } = spawnSync(path, args, { ...user, cwd: this.#folder, stdio: 'ignore' })
    if (status !== 0) throw error ?? new Error(`${program} ended with ${status}`)
  }
}
