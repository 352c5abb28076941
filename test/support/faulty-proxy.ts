/** A way to a server that breaks as networks do. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

interface Pair {
  readonly client: Socket
  readonly server: Socket
}

export class FaultyProxy {
  readonly #listener: Server
  readonly #pairs = new Set<Pair>()
  /** Swallows what the server answers, until that many answers are lost. */
  #answersToLose = 0

  private constructor(port: number) {
    this.#listener = createServer((client) => this.#forward(client, port))
  }

  /** A proxy to the port on this machine. */
  static async to(port: number): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(port)
    proxy.#listener.listen(0, '127.0.0.1')
    await once(proxy.#listener, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#pairs.size
  }

  /** Ends every connection: what was asked may have been done. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy()
      server.destroy()
    }
  }

  /** Leaves every connection open and lets nothing through any more; new ones work. */
  freeze(): void {
    for (const pair of this.#pairs) {
      pair.client.pause().unpipe()
      pair.server.pause().unpipe()
      pair.server.removeAllListeners('data')
    }
  }

  /** Lets the next answers reach nobody, and ends their connections. */
  loseAnswers(count: number): void {
    this.#answersToLose = count
  }

  async close(): Promise<void> {
    this.cut()
    this.#listener.close()
    await once(this.#listener, 'close')
  }

  #forward(client: Socket, port: number): void {
    const server = connect(port, '127.0.0.1')
    const pair = { client, server }
    this.#pairs.add(pair)
    const end = (): void => {
      this.#pairs.delete(pair)
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      socket.on('error', end).on('close', end)
    }
    client.pipe(server)
    server.on('data', (answer) => {
      if (this.#answersToLose === 0) return client.write(answer)
      this.#answersToLose--
      end()
    })
  }
}
