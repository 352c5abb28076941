/** The REST protocol of Upstash in front of a Redis, as far as one command a request. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Redis } from 'ioredis'

export class UpstashBridge {
  readonly token = 'bridge-token'
  readonly #redis: Redis
  readonly #server: Server
  #answersToLose = 0

  private constructor(redisUrl: string) {
    this.#redis = new Redis(redisUrl)
    this.#server = createServer((request, response) => void this.#answer(request, response))
  }

  static async to(redisUrl: string): Promise<UpstashBridge> {
    const bridge = new UpstashBridge(redisUrl)
    bridge.#server.listen(0, '127.0.0.1')
    await once(bridge.#server, 'listening')
    return bridge
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Does what is asked next, and answers nobody. */
  loseAnswers(count: number): void {
    this.#answersToLose = count
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
    this.#redis.disconnect()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (status: number, body: object): void => {
      if (this.#answersToLose > 0 && status === 200) {
        this.#answersToLose--
        response.destroy()
        return
      }
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
    }
    if (request.headers.authorization !== `Bearer ${this.token}`) {
      return send(401, { error: 'WRONGPASS invalid or missing auth token' })
    }
    const [command = '', ...args] = JSON.parse(await text(request)) as string[]
    await this.#redis.call(command, args).then(
      (result) => send(200, { result }),
      (error: Error) => send(400, { error: error.message }),
    )
  }
}
