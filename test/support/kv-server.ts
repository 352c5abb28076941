/** A server of the KV Connect protocol, as far as reads and writes, on a file and on what `@deno/kv` is made of. */
import { once } from 'node:events'
import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttp2, type ServerHttp2Session } from 'node:http2'
import { createRequire } from 'node:module'
import type { AddressInfo, Server, Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'

interface Native {
  open(path: string, inMemory: boolean | undefined, debug: boolean): number
  close(database: number, debug: boolean): void
  snapshotRead(database: number, request: Uint8Array, debug: boolean): Promise<Uint8Array>
  atomicWrite(database: number, request: Uint8Array, debug: boolean): Promise<Uint8Array>
}

export interface KvServerOptions {
  /** Deno's own client speaks HTTP/2, that of the package HTTP/1. Default 1. */
  readonly http?: 1 | 2
  /** Of so many writes one is done and not answered. Default: none. */
  readonly losesEvery?: number
}

/** A request of 800 KiB comes in one go. */
const WIDE = { settings: { initialWindowSize: 2 ** 24 } }

/** The package does not export it. */
function native(): Native {
  const require = createRequire(import.meta.url)
  return require(join(dirname(require.resolve('@deno/kv')), '_napi_index.cjs'))
}

export class KvServer {
  /** What `DENO_KV_ACCESS_TOKEN` has to be. */
  readonly token = 'kv-server-token'
  readonly #native: Native = native()
  readonly #database: number
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #losesEvery: number
  #writes = 0
  #answersLost = 0
  #isSilent = false

  private constructor(path: string, { http, losesEvery = Infinity }: KvServerOptions) {
    this.#database = this.#native.open(path, undefined, false)
    this.#losesEvery = losesEvery
    const answer = (request: IncomingMessage, response: ServerResponse): void =>
      void this.#answer(request, response)
    // Their requests are alike, as far as they are used here.
    this.#server = http === 2 ? createHttp2(WIDE, answer as never) : createHttp1(answer)
    this.#server.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(2 ** 24))
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  static async on(path: string, options: KvServerOptions = {}): Promise<KvServer> {
    const server = new KvServer(path, options)
    server.#server.listen(0, '127.0.0.1')
    await once(server.#server, 'listening')
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get answersLost(): number {
    return this.#answersLost
  }

  /** From now on it takes requests, and does not answer. */
  fallSilent(): void {
    this.#isSilent = true
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
    this.#native.close(this.#database, false)
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request)
    if (this.#isSilent) return
    if (request.headers.authorization !== `Bearer ${this.token}`) {
      response.writeHead(401).end('no such token')
    } else if (request.url === '/') {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(this.#metadata())
    } else {
      await this.#data(request.url ?? '', body, response)
    }
  }

  #metadata(): string {
    return JSON.stringify({
      version: 2,
      databaseId: '00000000-0000-4000-8000-000000000001',
      endpoints: [{ url: `${this.url}/kv`, consistency: 'strong' }],
      token: this.token,
      expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
    })
  }

  async #data(path: string, body: Uint8Array, response: ServerResponse): Promise<void> {
    try {
      const isWrite = path === '/kv/atomic_write'
      const method = isWrite ? 'atomicWrite' : 'snapshotRead'
      const answer = await this.#native[method](this.#database, body, false)
      if (isWrite && ++this.#writes % this.#losesEvery === 0) {
        this.#answersLost++
        response.writeHead(503).end('the answer is lost')
      } else {
        response.writeHead(200, { 'Content-Type': 'application/x-protobuf' }).end(answer)
      }
    } catch (error) {
      response.writeHead(400).end(String(error))
    }
  }
}
