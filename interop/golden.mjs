// Messages kept as test data, under a data key that everyone may know.
//
//   node golden.mjs make DIR     writes the messages of this SDK (js-*) to DIR/golden.json
//   node golden.mjs verify DIR   decrypts all messages there, this SDK's and kmsd's (go-*)
//
// kmsd's messages are written by: go test ./client/envelope -run Golden -update

import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { decrypt, encrypt, pattern } from './esdk.mjs'
import { FixedKeyring } from './keyring.mjs'

const cases = [
  { name: 'js-empty', size: 0, frameLength: 4096, context: {} },
  { name: 'js-one-byte', size: 1, frameLength: 4096, context: { purpose: 'test' } },
  { name: 'js-whole-frames', size: 192, frameLength: 64, context: { purpose: 'test', empty: '' } },
  { name: 'js-many-frames', size: 1000, frameLength: 33, context: { b: '2', B: '1', a: '3' } },
  { name: 'js-frames-of-one-byte', size: 5, frameLength: 1, context: {} },
  { name: 'js-unicode', size: 100, frameLength: 4096, context: { größe: 'grün', '🔑': '鍵', '\uffff': 'sorts before 🔑 in UTF-8' } },
]

const [, , mode, dir] = process.argv
const file = path.join(dir, 'golden.json')
const golden = JSON.parse(await readFile(file, 'utf8'))
const keyring = new FixedKeyring(
  golden.key_arn,
  Buffer.from(golden.data_key, 'base64'),
  Buffer.from(golden.encrypted_data_key, 'base64')
)

if (mode === 'make') {
  const kept = golden.messages.filter((m) => !m.name.startsWith('js-'))
  const made = []
  for (const { name, size, frameLength, context } of cases) {
    const message = await encrypt(keyring, pattern(size), { context, frameLength })
    made.push({ name, size, frame_length: frameLength, context, message: message.toString('base64') })
  }
  golden.messages = [...made, ...kept]
  await writeFile(file, JSON.stringify(golden, null, 2) + '\n')
} else if (mode === 'verify') {
  let ours = 0
  for (const m of golden.messages) {
    const message = Buffer.from(m.message, 'base64')
    const plaintext = await decrypt(keyring, message, m.context)
    if (!plaintext.equals(pattern(m.size))) throw new Error(`${m.name}: another plaintext`)
    if (m.name.startsWith('go-')) ours++
  }
  if (ours === 0) throw new Error('no message of kmsd among the golden ones')
  console.log(`golden messages: the SDK reads all ${golden.messages.length}, ${ours} of them kmsd's`)
} else {
  throw new Error('usage: node golden.mjs make|verify DIR')
}
