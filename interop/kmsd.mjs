// A kmsd on a loopback port with a temporary folder, used by way of kmsctl.

import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const exec = promisify(execFile)
const startTimeout = 20_000 // ms

async function freePort() {
  const server = net.createServer()
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

const contextFlags = (context) => Object.entries(context).flatMap(([k, v]) => ['--context', `${k}=${v}`])

export class Kmsd {
  // start makes a data folder, a kmsd over it, and the key alias.
  static async start(bin, alias) {
    const kmsd = new Kmsd()
    kmsd.bin = path.resolve(bin)
    kmsd.dir = await mkdtemp(path.join(os.tmpdir(), 'kmsd-interop-'))
    kmsd.data = path.join(kmsd.dir, 'data')
    try {
      const listen = `127.0.0.1:${await freePort()}`
      await exec(path.join(kmsd.bin, 'kmsd'), ['init', '--data', kmsd.data, '--listen', listen])
      kmsd.daemon = spawn(path.join(kmsd.bin, 'kmsd'), ['serve', '--data', kmsd.data], { stdio: ['ignore', 'pipe', 'pipe'] })
      kmsd.log = ''
      for (const stream of [kmsd.daemon.stdout, kmsd.daemon.stderr]) stream.on('data', (b) => (kmsd.log += b))
      kmsd.exited = new Promise((resolve) => kmsd.daemon.once('exit', resolve))
      await kmsd.createKey(alias)
      return kmsd
    } catch (err) {
      await kmsd.stop()
      throw new Error(`starting kmsd: ${err.message}\n${kmsd.log ?? ''}`)
    }
  }

  // createKey makes a key with this alias, as soon as kmsd answers.
  async createKey(alias) {
    for (const until = Date.now() + startTimeout; ; await sleep(100)) {
      try {
        await this.kmsctl('key', 'create', '--alias', alias)
        return
      } catch (err) {
        if (Date.now() > until || this.daemon.exitCode !== null) throw err
      }
    }
  }

  // stop ends the daemon it started, by its process id, and removes the folder.
  async stop() {
    if (this.daemon?.exitCode === null) {
      this.daemon.kill('SIGTERM')
      const stopped = await Promise.race([this.exited.then(() => true), sleep(10_000, false, { ref: false })])
      if (!stopped) this.daemon.kill('SIGKILL')
    }
    await rm(this.dir, { recursive: true, force: true })
  }

  async kmsctl(...args) {
    const credentials = path.join(this.data, 'root-credentials.yaml')
    const { stdout } = await exec(path.join(this.bin, 'kmsctl'), ['--credentials', credentials, ...args], { maxBuffer: 1 << 20 })
    return stdout
  }

  async dataKey(keyID, context) {
    return JSON.parse(await this.kmsctl('data-key', '--key', keyID, ...contextFlags(context), '-o', 'json'))
  }

  async decrypt(ciphertext, context) {
    return this.#inFile(ciphertext, async (file) =>
      JSON.parse(await this.kmsctl('decrypt', '--ciphertext-file', file, ...contextFlags(context), '-o', 'json'))
    )
  }

  async encryptFile(keyID, plaintext, context) {
    return this.#inFile(plaintext, async (file) => {
      await this.kmsctl('file', 'encrypt', file, '--key', keyID, '--out', `${file}.sealed`, ...contextFlags(context))
      return readFile(`${file}.sealed`)
    })
  }

  async decryptFile(message, context) {
    return this.#inFile(message, async (file) => {
      await this.kmsctl('file', 'decrypt', file, '--out', `${file}.opened`, ...contextFlags(context))
      return readFile(`${file}.opened`)
    })
  }

  async #inFile(bytes, use) {
    const dir = await mkdtemp(path.join(this.dir, 'file-'))
    try {
      const file = path.join(dir, 'in')
      await writeFile(file, bytes, { mode: 0o600 })
      return await use(file)
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }
}
